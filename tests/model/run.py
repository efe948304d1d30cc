#!/usr/bin/env python3
"""Runs the cases of models; ends with 1 when one does not come out as it says.

usage: run.py [--deep] [-v] [MODEL...]     MODEL: a file of this folder without .py; default: all
       run.py --list                       MODEL.CASE, one a line

  --deep   the cases that have larger bounds, with these
  -v       the shortest way into each violation, step by step
"""

import importlib
import sys
import time

from explorer import explore

MODELS = ("lane", "lanes", "witness", "restore", "predecessor", "operator_actions", "previous_keys", "crash", "parking", "outbox")


def run(case, model, verbose):
    began = time.process_time()
    found = explore(model)
    expected = case.broken in found.violation if case.broken is not None and found.violation else not case.broken and not found.violation
    print(f"{'ok' if expected else 'WRONG':5} {case.name:70} {'broken' if found.violation else 'holds':6} {found.states:>8} states "
          f"{found.steps:>8} steps {time.process_time() - began:5.1f} s", flush=True)
    if found.violation and (verbose or not expected):
        print(f"      {found.violation}")
        for number, label in enumerate(found.trace, 1):
            print(f"      {number:2} {label}")
    if not expected and case.broken:
        print(f"      expected to be broken by: {case.broken}")
    return expected


def main(arguments):
    names = [a for a in arguments if not a.startswith("-")] or MODELS
    if unknown := set(names) - set(MODELS):
        print(f"unknown model {', '.join(sorted(unknown))}; there are {', '.join(MODELS)}", file=sys.stderr)
        return 64
    modules = {name: importlib.import_module(name) for name in names}
    if "--list" in arguments:
        print("\n".join(f"{name}.{case.name}" for name, module in modules.items() for case in module.CASES))
        return 0
    right = True
    for module in modules.values():
        for case in module.CASES:
            model = case.deeper if "--deep" in arguments else case.model
            if model:
                right &= run(case, model, "-v" in arguments)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
