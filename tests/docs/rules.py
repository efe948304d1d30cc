#!/usr/bin/env python3
"""Holds docs/rules.md against the tests: each rule is there, each test it names exists, and each rule has at least one.

usage: rules.py SOURCE_DIR
"""

import os
import re
import subprocess
import sys

PAGE = "docs/rules.md"
RULES = [f"L{n}" for n in range(1, 12)] + [f"B{n}" for n in range(1, 7)] + ["K1", "D1", "D2", "D3", "O1", "O3", "O4", "S1"]
# Rules whose test is still to be named. An entry goes as soon as its rule names one.
WITHOUT_A_TEST = set()


def sections(text):
    """Rule -> (first line number, its text)."""
    found = {}
    for match in re.finditer(r"^### (\w+)\n(.*?)(?=^##|\Z)", text, flags=re.M | re.S):
        found[match[1]] = (text.count("\n", 0, match.start()) + 1, match[2])
    return found


def named(section):
    """The tests after *Shown by:*."""
    shown = re.search(r"^\*Shown by:\*(.*?)(?:\n\n|\Z)", section, flags=re.M | re.S)
    return re.findall(r"`([^`]+)`", shown[1]) if shown else None


def findings(text, tests):
    rules = sections(text)
    for rule in RULES:
        if rule not in rules:
            yield f"{PAGE}: add a section `### {rule}` with the rule, *Else:* and *Shown by:*"
    for rule, (line, section) in rules.items():
        names = named(section)
        if names is None:
            yield f"{PAGE}:{line}: {rule} has no line that begins with *Shown by:*"
            continue
        if not names and rule not in WITHOUT_A_TEST:
            yield f"{PAGE}:{line}: {rule} names no test: add one after *Shown by:*, or add {rule} to WITHOUT_A_TEST in tests/docs/rules.py"
        if names and rule in WITHOUT_A_TEST:
            yield f"tests/docs/rules.py: {rule} names a test now: remove it from WITHOUT_A_TEST"
        for name in names:
            if name not in tests:
                yield f"{PAGE}:{line}: {rule} names `{name}`, which does not exist{nearest(name, rule, tests)}"
    if not rules.keys() >= WITHOUT_A_TEST:
        yield f"tests/docs/rules.py: WITHOUT_A_TEST names rules that {PAGE} does not have"


def unlisted(text, tests):
    """Tests that carry a rule's name and that the page does not name, for whoever completes it."""
    rules = sections(text)
    for test in sorted(tests):
        for rule in re.findall(r"(?<![A-Za-z0-9])([LBKDOS]\d+)(?=_)", test):
            # rows of the fault list are named alike: their tests live in tests/faults and need not be here
            if rule in rules and not test.startswith(("faults/", "model:")) and test not in (named(rules[rule][1]) or ()):
                yield rule, test


def nearest(name, rule, tests):
    alike = sorted(t for t in tests if re.search(rf"(?<![A-Za-z0-9]){rule}_", t) and t.split(".")[0] == name.split(".")[0])
    return f"; of {rule} there are: {', '.join(alike)}" if alike else ""


# --- what needs the disk

def known_tests(root):
    found = set()
    for folder, _, files in os.walk(os.path.join(root, "tests")):
        for file in files:
            if not file.endswith((".cpp", ".py")):
                continue
            with open(os.path.join(folder, file), encoding="utf-8") as opened:
                text = opened.read()
            if file.endswith(".cpp"):
                found.update(f"{suite}.{test}" for suite, test in re.findall(r"^(?:TEST(?:_F|_P)?|RC_GTEST_PROP)\(\s*(\w+),\s*(\w+)", text, flags=re.M))
            else:
                place = os.path.relpath(os.path.join(folder, file[:-len(".py")]), os.path.join(root, "tests"))
                found.update(f"{place}.{test}" for test in re.findall(r"^ +def (test_\w+)", text, flags=re.M))
    listing = subprocess.run([sys.executable, "-B", os.path.join(root, "tests/model/run.py"), "--list"], stdout=subprocess.PIPE, text=True, check=True)
    return found | {f"model:{line}" for line in listing.stdout.split()}


def main():
    root = sys.argv[1]
    with open(os.path.join(root, PAGE), encoding="utf-8") as file:
        text = file.read()
    tests = known_tests(root)
    wrong = list(findings(text, tests))
    for each in wrong:
        print(each)
    for rule, test in unlisted(text, tests):
        print(f"note: {test} is named after {rule}; {PAGE} may name it there")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
