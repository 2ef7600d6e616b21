"""The files coverage.tsv are complete and true: no row is missing, and each test that they name exists."""

import ast
import os
import re

import pytest

from coverage_table import HERE, REASONS, TABLES, counts, table

TEST = os.path.dirname(HERE)
pytestmark = pytest.mark.parametrize("folder", TABLES)


def functions(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if path.endswith(".py"):
        return {n.name for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)}
    return set(re.findall(r"^static void (\w+)\(void \*\*", text, re.MULTILINE))


def test_every_row_is_there(folder):
    numbers = {}
    for row in table(folder):
        numbers.setdefault(row.table, []).append(row.number)
    assert numbers == {
        f"{api} {section}": list(range(1, n + 1)) for api, sections in TABLES[folder].items() for section, n in sections.items()
    }


def test_rows_have_a_test_or_a_reason(folder):
    for row in table(folder):
        assert row.tests or row.reason, row
        assert not row.reason or row.reason.startswith(REASONS), row


def test_tests_exist(folder):
    known, missing = {}, []
    for row in table(folder):
        for test in row.tests:
            file, name = test.split("::")
            if file not in known:
                root = TEST if file.startswith("unit/") else HERE
                path = os.path.join(root, file)
                known[file] = functions(path) if os.path.exists(path) else set()
            if name not in known[file]:
                missing.append((row.table, row.number, test))
    assert not missing


def test_the_document_has_the_counts(folder):
    path = os.path.join(os.path.dirname(TEST), "docs", "compatibility.md")
    with open(path, encoding="utf-8") as f:
        assert counts(folder) in " ".join(f.read().split())
