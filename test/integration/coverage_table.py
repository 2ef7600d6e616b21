"""Reads the files coverage.tsv: which test covers which row of the API tables."""

import os
from collections import namedtuple

HERE = os.path.dirname(os.path.abspath(__file__))
REASONS = ("not applicable: ", "deviation: ", "not served yet: ", "not tested: ")

# Rows of each table, by folder with a coverage.tsv.
TABLES = {
    "kernel": {
        "scheduler": {
            "1": 7, "1.1": 8, "1.2": 20, "1.3": 10, "1.4": 3, "1.5": 3, "2": 14, "3.1": 5, "3.2": 13, "3.3": 5, "3.4": 6,
            "4": 16, "5": 11, "6.1": 10, "6.2": 4, "6.3": 6, "6.4": 12, "6.5": 6, "6.6": 8, "6.7": 5, "7": 14, "8.1": 14,
            "8.2": 26, "8.3": 11, "8.4": 6, "8.5": 4, "8.6": 8, "9.1": 13, "9.2": 14, "9.3": 2, "9.4": 4, "9.5": 2,
            "9.6": 8, "9.7": 11, "10": 5, "11": 7, "12": 13, "13": 24,
        },
        "operator": {
            "0.1": 8, "0.2": 5, "0.3": 1, "0.4": 12, "1": 7, "1.1": 39, "1.2": 9, "1.3": 22, "1.4": 2, "2.1": 21,
            "2.2": 11, "2.3": 1, "2.4": 1, "2.5": 1, "2.6": 5, "2.7": 7, "2.8": 4, "2.9": 7, "3.1": 14, "3.2": 8,
            "4.1": 8, "4.2": 1, "4.3": 8, "4.4": 9, "4.5": 6, "4.6": 9, "4.7": 1, "4.8": 1, "4.9": 4, "5.1": 10, "5.2": 1,
            "5.3": 8, "5.4": 12, "5.5": 12, "5.6": 17, "7.1": 7, "7.2": 18,
        },
    },
    "router": {
        "router": {
            "1.1": 16, "1.2": 38, "1.3": 8, "1.4": 15, "1.5": 19, "1.6": 15, "1.7": 2, "1.8": 6, "1.9": 5, "10.1": 47,
        },
    },
    "iam": {"iam": {"2.1": 21, "2.2": 2, "2.3": 6, "2.4": 7, "2.5": 19, "2.6": 3}},
    "net": {"net": {"3.1": 30, "3.2": 12, "3.3": 21, "3.4": 5, "3.6": 28, "10.2": 15}},
}

Row = namedtuple("Row", "table number what tests reason")


def table(folder):
    """All rows, as they stand in the folder's file."""
    found = []
    with open(os.path.join(HERE, folder, "coverage.tsv"), encoding="utf-8") as f:
        for line in f:
            if line.startswith("#") or not line.strip():
                continue
            columns = line.rstrip("\n").split("\t")
            assert len(columns) in (4, 5), line
            tests = [] if columns[3] == "-" else columns[3].split()
            found.append(Row(columns[0], int(columns[1]), columns[2], tests, columns[4] if len(columns) == 5 else ""))
    return found


def counts(folder):
    """The sentence that docs/compatibility.md has too."""
    rows = table(folder)
    tested = sum(1 for r in rows if r.tests)
    plain = sum(1 for r in rows if r.tests and not r.reason)
    return f"{len(rows)} rows, {tested} with a test ({plain} as upstream), {len(rows) - tested} with a reason only"
