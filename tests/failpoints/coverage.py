#!/usr/bin/env python3
"""Every step of the protocol has its failpoint: in src/runtime each call that sends a statement or asks Kafka for something is
followed by a DEJA_FAILPOINT before the next such call, or is named in ALLOWED with the reason; every step of the table stands in the code.

usage: coverage.py [PROJECT_DIR]
"""

import pathlib
import re
import sys

from table import read_table

# What a call looks like. Calls that build text, or look at the client's own memory, send nothing.
CALL = re.compile(r"""
    (?:stores_?\.\w+|registry_|registry)\.(?P<store>\w+)\(
  | (?:consumer_->|consumer\.|consumer\(\)\.)(?P<consumer>\w+)\(
  | (?:producer_->|producer\.)(?P<producer>\w+)\(
  | kafka_\.(?P<view>\w+)\(
  | (?<!\w)connection_?(?:\(\))?\.(?P<connection>exec\w*)\(
  | postgres::(?P<control>commit|roll_back\w*|set_savepoint|keep_savepoint|touch|in_transaction|deferred_constraints|check_schema|missing_rights|
      behind_transaction_pooler)\(
  | make_unique<postgres::(?P<session>Connection)>\(
""", re.VERBOSE)
SENDS_NOTHING = {"insert_sql", "close_sql", "generation", "cached_watermarks", "take_commit_errors", "take_commit_doubt", "may_commit_in_rebalance",
                 "broken"}
FAILPOINT = re.compile(r"DEJA_FAILPOINT\((\w+)\)")

# (file, function, call) without a failpoint behind it, and why
ALLOWED = {
    ("intake.cpp", "committed_mark", "committed"): "hands the answer to the lane, which has the failpoint",
    ("batch.cpp", "commit", "committed"): "remembers in memory which topics are known; what follows is after_commit",
    ("lane_ownership.cpp", "notice_foreign_offset", "in_transaction"): "around append(), with after_rewind_noted behind it",
    ("intake.cpp", "watermarks", "watermarks"): "as committed_mark",
    ("intake.cpp", "partition_count", "partition_count"): "as committed_mark",
    ("intake.cpp", "run", "pause"): "a local flag of the client; what follows is after_drain_begun",
    ("intake.cpp", "dispatch", "pause"): "a local flag of the client; what follows is after_log_lost",
}


def without_comments(source):
    return re.sub(r"//[^\n]*|/\*.*?\*/", lambda match: re.sub(r"[^\n]", " ", match.group()), source, flags=re.DOTALL)


def without_texts(source):
    return re.sub(r'"(?:\\.|[^"\\\n])*"', lambda match: '"' + " " * (len(match.group()) - 2) + '"', source)


def functions(source):
    """(name, body, offset of the body) of each function; a lambda belongs to the function around it."""
    depth = 0  # of braces that are no function's
    at = 0
    opener = re.compile(r"[{}]")
    while match := opener.search(source, at):
        at = match.end()
        if match.group() == "}":
            depth -= 1
            continue
        head = re.split(r"[;{}]", source[:match.start()])[-1]
        if re.search(r"\b(namespace|class|struct|enum|union)\b(?![^()]*\()", head) or not re.search(r"\)[^()]*$|\)", head):
            depth += 1
            continue
        name = re.search(r"(~?\w+)\s*\(", head)
        inner, end = 1, match.end()
        while inner:
            brace = opener.search(source, end)
            end = brace.end()
            inner += 1 if brace.group() == "{" else -1
        yield name.group(1) if name else "?", source[match.end():end - 1], match.end()
        at = end


def steps_without(name, source):
    """(line, function, call) of each call that no failpoint follows before the next call."""
    text = without_texts(without_comments(source))
    for function, body, offset in functions(text):
        events = [(match.start(), next(filter(None, match.groups())), None) for match in CALL.finditer(body)]
        events = [event for event in events if event[1] not in SENDS_NOTHING]
        events += [(match.start(), None, match.group(1)) for match in FAILPOINT.finditer(body)]
        events.sort()
        for (at, call, _), following in zip(events, events[1:] + [(0, "nothing", None)]):
            # the same call again, as on several ways out, may share the failpoint behind the last one
            if call and following[1] and following[1] != call and (name, function, call) not in ALLOWED:
                yield text.count("\n", 0, offset + at) + 1, function, call


def findings(root):
    root = pathlib.Path(root)
    steps = {step.name.replace("-", "_") for step in read_table(root)}
    used = set()
    for path in sorted((root / "src").rglob("*.[ch]*")):
        if path.suffix in (".cpp", ".h") and path.parent.name != "failpoints":
            source = path.read_text()
            used |= set(FAILPOINT.findall(source))
            if path.parent.name == "runtime":
                for line, function, call in steps_without(path.name, source):
                    yield f"{path.relative_to(root)}:{line}: no failpoint follows {call}() in {function}()"
    for name in sorted(steps - used):
        yield f"src/failpoints/steps.def: {name} stands nowhere in the code"


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]
    found = list(findings(root))
    print("\n".join(found) if found else "every step has its failpoint")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
