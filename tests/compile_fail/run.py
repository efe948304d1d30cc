#!/usr/bin/env python3
"""Compiles every case of this folder and holds what the compiler says against what the case expects.

usage: run.py [--include DIR]... [--flags 'FLAGS'] [COMPILER...]

ok_*.cpp must compile without a warning. Every other case must fail with exactly one error line, and that line must hold the sentence of the
case's first lines: `// expect: SENTENCE`, or `// expect-gcc:` and `// expect-clang:` where the words are the compiler's own. Quotes are
not compared: each compiler has its own, and clang escapes those inside a sentence.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic"]
CASES = pathlib.Path(__file__).resolve().parent


def without_quotes(text):
    return " ".join(re.sub(r"[\\\"'`‘’“”]", "", text).split())


def expected(source, kind):
    match = re.search(rf"^// expect(?:-{kind})?: (.+)$", source, re.MULTILINE)
    return match.group(1) if match else None


def kind_of(compiler):
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    return "clang" if "clang" in version else "gcc"


def precompile(compiler, kind, flags, folder):
    """Flags that make each case start from <deja/deja.h> as it was read once; parsing it is nearly all the time a case takes."""
    target = pathlib.Path(folder, kind, "deja", "deja.h.gch")  # g++ takes it for the header wherever that is the first include
    target.parent.mkdir(parents=True)
    header = target.parent.with_name("first.h")
    header.write_text("#include <deja/deja.h>\n", encoding="utf-8")
    subprocess.run([compiler, "-std=c++20", *WARNINGS, *flags, "-x", "c++-header", str(header), "-o", str(target)], check=True)
    return ["-include-pch", str(target)] if kind == "clang" else [f"-I{target.parent.parent}"]


def problem(compiler, kind, flags, case):
    """What is wrong with the case, or None."""
    command = [compiler, "-std=c++20", "-fsyntax-only", *WARNINGS, *flags, str(case)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "LC_ALL": "C"})
    if case.name.startswith("ok_"):
        return None if done.returncode == 0 and not done.stderr.strip() else "does not compile cleanly:\n" + done.stderr
    sentence = expected(case.read_text(), kind)
    if sentence is None:
        return f"has no expected sentence for {kind}"
    if done.returncode == 0:
        return "compiles, but should not"
    errors = [line for line in done.stderr.splitlines() if re.search(r"\b(fatal )?error:", line)]
    if len(errors) != 1:
        return f"gives {len(errors)} errors instead of one:\n" + done.stderr
    if without_quotes(sentence) not in without_quotes(errors[0]):
        return f"does not say so:\n  expected: {sentence}\n  error:    {errors[0]}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--include", action="append", default=[], help="include directory; default: the project's")
    parser.add_argument("--flags", default="", help="further compiler flags")
    parser.add_argument("compilers", nargs="*", help="default: g++ and clang++, those that are there")
    arguments = parser.parse_args()
    compilers = arguments.compilers or [c for c in ("g++", "clang++") if shutil.which(c)]
    if not compilers:
        sys.exit("no compiler found")
    includes = arguments.include or [str(CASES.parents[1] / "include")]
    flags = [f"-I{directory}" for directory in includes] + shlex.split(arguments.flags)
    cases = sorted(CASES.glob("*.cpp"))
    failed = 0
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        jobs = []
        for compiler in compilers:
            kind = kind_of(compiler)
            first = precompile(compiler, kind, flags, folder)
            jobs += [(compiler, kind, first + flags, case) for case in cases]
        for (compiler, _, _, case), wrong in zip(jobs, pool.map(lambda job: problem(*job), jobs)):
            if wrong:
                failed += 1
                print(f"{case.name} with {pathlib.Path(compiler).name} {wrong}\n")
    print(f"{len(jobs) - failed} of {len(jobs)} cases as expected ({len(cases)} cases; {', '.join(compilers)})")
    return 1 if failed or not jobs else 0


if __name__ == "__main__":
    sys.exit(main())
