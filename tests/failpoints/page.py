"""docs/failpoints.md, made from the table of steps."""

import os

from table import ROOT, STEPS

PATH = os.path.join(ROOT, "docs", "failpoints.md")
THROWN = {"lost_link": "a lost link", "handler_error": "the handler's error", "nothing": ""}

INTRODUCTION = """# Failpoints

A failpoint is a named place behind a step of the protocol where a test can make the process die, stop, wait or lose its link. The builds
`debug`, `asan` and `tsan` (CMake option `DEJA_FAILPOINTS`) have them; a release build has no trace of them, which a test checks. They
are for deja's own tests: never run such a build in production.

    DEJA_FAILPOINTS="after-claim=kill@2,after-mark=delay:1500@1" build/asan/bin/deja-probe

arms two of them, STEP=ACTION@HIT each, where HIT counts how often the process came by:

| action | what happens |
|---|---|
| `kill` | SIGKILL of itself |
| `stop` | SIGSTOP of itself; `kill -CONT` lets it go on |
| `delay:MS` | the thread waits so long, at most a minute |
| `throw` | what a lost link to Postgres throws there, or a handler; only where the table says so |

With `DEJA_FAILPOINTS_REPORT=FILE` the process counts there, readable while it runs and after it was killed: a 64-bit number for each row of the
table, how often it came by, and then once more as many, how often something was done.

## Every one of them

`tests/failpoints/driver.py` takes every step at its first, second and last hit, times each action, on real processes; after each it
looks from outside, in Postgres and in Kafka, whether every record has one disposition, every key one effect, and every committed event
is in Kafka under one id, in order, and nothing else is. `scripts/test --label failpoints` runs it (`--label failpoints-quick` a handful);
what broke is printed with the line that repeats it.

## A new step

A call in `src/runtime` that sends a statement or asks Kafka for something needs a line `DEJA_FAILPOINT(after_what_it_did);` behind it: a
test fails otherwise. A new name gets its row in `src/failpoints/steps.def`, and a scenario in `tests/failpoints/scenarios.py` if no run
reaches it yet: the driver says so. This page is written anew by `DEJA_UPDATE_DOCS=1 scripts/test -R failpoints.coverage`.

## The steps

| name | after | `throw` throws |
|---|---|---|
"""


def page():
    return INTRODUCTION + "".join(f"| `{step.name}` | {step.words} | {THROWN[step.throws]} |\n" for step in STEPS)
