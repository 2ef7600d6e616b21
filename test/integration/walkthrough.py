"""Replays the console transcripts of a document.

Blocks fenced as ```console hold commands (lines that start with "$ ", continued by a trailing backslash) and what they
print. In the expected text `<name>` stands for anything on its line, and a line of three dots for any number of lines.
A command must exit with 0, unless the line after it is "[exit N]"."""

import re
import subprocess


class Step:
    def __init__(self, command, line):
        self.command = command
        self.line = line
        self.expected = []
        self.exit = 0


def parse(path):
    steps = []
    inside = False
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if line.startswith("```"):
                inside = line == "```console"
                continue
            if not inside:
                continue
            if line.startswith("$ "):
                steps.append(Step(line[2:], number))
            elif steps and steps[-1].command.endswith("\\") and not steps[-1].expected:
                steps[-1].command = steps[-1].command[:-1] + line.strip()
            elif steps and re.fullmatch(r"\[exit \d+\]", line):
                steps[-1].exit = int(line[6:-1])
            elif steps:
                steps[-1].expected.append(line.rstrip())
    return steps


def pattern(lines):
    parts = []
    for line in lines:
        if line == "...":
            parts.append(r"(?:.*\n)*?")
            continue
        # Runs of blanks are column gaps: their width depends on the values.
        pieces = re.split(r"(<[a-z][a-z -]*>| +)", line)
        text = "".join(
            ".+?" if re.fullmatch(r"<[a-z][a-z -]*>", piece) else " +" if piece.strip() == "" and piece else re.escape(piece)
            for piece in pieces
        )
        parts.append(text + r" *\n")
    return re.compile("".join(parts))


def run(step, env, cwd, timeout=120):
    p = subprocess.run(
        ["bash", "-c", step.command], env=env, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
    )
    output = p.stdout + p.stderr
    where = f"line {step.line}: {step.command}"
    assert p.returncode == step.exit, f"{where}\nexit code {p.returncode}, expected {step.exit}:\n{output}"
    text = "\n".join(line.rstrip() for line in output.splitlines())
    text = text + "\n" if text else ""
    if not pattern(step.expected).fullmatch(text):
        want = "\n".join(step.expected)
        raise AssertionError(f"{where}\nexpected:\n{want}\ngot:\n{text}")
