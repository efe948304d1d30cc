#!/usr/bin/env python3
"""Checks that what README and docs name is there: links, anchors, files, commands and their options, settings, metrics, tables; that marked code
compiles, and that code taken from a file is still in it.

usage: names.py SOURCE_DIR BIN_DIR COMPILER
"""

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field

import pages

TOP = ("build", "cmake", "docs", "examples", "include", "schemas", "scripts", "src", "tests")
SETTING_ROOTS = {"group", "dedup", "postgres", "http", "start", "batch", "lanes", "handler", "drain", "startup", "retry", "crash", "breaker", "flood",
                 "park", "key", "keys", "tenant", "dlq", "outbox", "log"}
PASSED_ON = ("kafka.", "app.")
PROGRAMS = {"deja", "deja-payments", "my-program"}


@dataclass
class Facts:
    exists: callable                      # path in the checkout -> bool
    anchors: dict                         # page -> anchors of its headings
    options: dict                         # "deja", "deja dlq list", "deja-payments" -> its options
    settings: set = field(default_factory=set)
    metrics: set = field(default_factory=set)
    tables: set = field(default_factory=set)


def anchors(text):
    found = set()
    for heading in re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), flags=re.M):
        words = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return found


def links(page, text, facts):
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        full = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        if not facts.exists(full):
            yield f"link to {target}: there is no {full}"
        elif anchor and anchor not in facts.anchors.get(full, ()):
            yield f"link to {target}: {full} has no such heading"


def code_of(page, text):
    """What is written as code: spans, indented lines, fenced shell blocks."""
    for block in pages.blocks(page, text):
        if block.language in ("", "sh", "toml"):
            yield from block.text.splitlines()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    yield from (line.strip() for line in re.findall(r"^    (?! )(.*)$", prose, flags=re.M))
    for span in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", prose):
        yield span.replace("\n", " ")


def files(code, facts):
    for path in re.findall(rf"(?<![\w./-])((?:{'|'.join(TOP)})/[\w./-]*\w)", code):
        if not path.startswith("build/") and not facts.exists(path):
            yield f"there is no file {path}"


def commands(code, facts):
    for command in re.split(r"[|;]| && | &$|\$\(", re.sub(r"'[^']*'", "X", code)):
        words = [os.path.basename(w.strip('"')) if w.strip('"').endswith(("/deja", "/my-program")) else w for w in command.split()]
        if not words or words[0] not in PROGRAMS:
            continue
        words = [w for w in words if not w.startswith("#")]
        if "--" in words:
            words = words[:words.index("--")]
        name = "deja-payments" if words[0] == "my-program" else words[0]
        if name == "deja" and len(words) == 1:
            continue
        rest = words[1:]
        while rest and not rest[0].startswith("-") and any(known.startswith(f"{name} {rest[0]}") for known in facts.options):
            name, rest = f"{name} {rest[0]}", rest[1:]
        if name not in facts.options or (name == "deja" and not rest[0].startswith("-")):
            yield f"there is no command `{' '.join(words)}`"
            continue
        for option in rest:
            option = option.split("=")[0]
            if re.fullmatch(r"--[a-z-]+", option) and option not in facts.options[name]:
                yield f"`{name}` has no option {option}"


def settings(code, facts):
    candidates = [key for key in re.findall(r"--set ([\w.]+)=", code) if key != "key"]  # key=value stands for any
    if re.fullmatch(r"[a-z]+(\.[a-z]+)+( = .*)?", code):
        candidates.append(code.split(" = ")[0])
    for key in candidates:
        root = key.split(".")[0]
        of_a_group = any(known.startswith(key + ".") for known in facts.settings)  # as keys.previous
        if root in SETTING_ROOTS and key not in facts.settings and not of_a_group and not key.endswith((".h", ".cpp", ".sql", ".py", ".md")):
            yield f"there is no setting {key}"
        if "--set" in code and root not in SETTING_ROOTS and not key.startswith(PASSED_ON):
            yield f"there is no setting {key}"


def metrics(code, facts):
    for name in re.findall(r"(?<![\w-])(deja_[a-z_]+)", code):
        if name not in facts.metrics and re.sub(r"_(bucket|sum|count)$", "", name) not in facts.metrics:
            yield f"there is no metric {name}"


def tables(code, facts):
    for name in re.findall(r"(?<![\w/.-])deja\.([a-z_0-9]+)", code):
        if name not in facts.tables and name != "toml":
            yield f"there is no table deja.{name}"


def findings(page, text, facts):
    """All that is wrong with a page, in words."""
    found = list(links(page, text, facts))
    for code in code_of(page, text):
        for check in (files, commands, settings, metrics, tables):
            found += check(code, facts)
    return found


# --- what needs the disk and the programs

def help_of(*command):
    return subprocess.run([*command, "--help"], stdout=subprocess.PIPE, text=True, check=True, env={"PATH": os.environ["PATH"]}).stdout


def collect_options(program, words, found):
    text = help_of(program, *words[1:])
    found[" ".join(words)] = set(re.findall(r"--[a-z-]+", text))
    listed = re.search(r"^Subcommands:\n((?:  .*\n?)+)", text, flags=re.M)
    for name in re.findall(r"^  ([\w-]+) ", listed[1], flags=re.M) if listed else ():
        collect_options(program, [*words, name], found)


def facts_of(root, programs):
    options = {}
    collect_options(os.path.join(programs, "deja"), ["deja"], options)
    collect_options(os.path.join(programs, "deja-payments"), ["deja-payments"], options)
    schema = "".join(pages.read(root, f"schemas/{name}") for name in sorted(os.listdir(os.path.join(root, "schemas"))) if name.endswith(".sql"))
    return Facts(exists=lambda path: os.path.exists(os.path.join(root, path)),
                 anchors={page: anchors(pages.read(root, page)) for page in pages.page_names(root)},
                 options=options,
                 settings=set(re.findall(r"^\| `([a-z.]+)` \|", pages.read(root, "docs/configuration.md"), flags=re.M)),
                 metrics=set(re.findall(r"^\| `(deja_\w+)` \|", pages.read(root, "docs/metrics.md"), flags=re.M)),
                 tables=set(re.findall(r"create (?:table|view) \{schema\}\.(\w+)", schema)))


def taken_from(root, block):
    source = [line.strip() for name in block.mark.removeprefix("from: ").split() for line in pages.read(root, name).splitlines()]
    missing = [line for line in block.text.splitlines() if line.strip() and line.strip() not in source]
    if missing:
        yield f"not in {block.mark.removeprefix('from: ')} any more: {missing[0].strip()}"


def compiles(root, block, compiler):
    with tempfile.NamedTemporaryFile("w", suffix=".cpp") as file:
        file.write(block.text)
        file.flush()
        done = subprocess.run([compiler, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", os.path.join(root, "include"), file.name],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        yield f"does not compile:\n{done.stdout}"


def main():
    root, programs, compiler = sys.argv[1:4]
    facts = facts_of(root, programs)
    assert facts.settings and facts.metrics and facts.tables and "deja dlq list" in facts.options, "the facts could not be read"
    wrong = []
    for page in pages.page_names(root):
        text = pages.read(root, page)
        wrong += [f"{page}: {each}" for each in findings(page, text, facts)]
        for block in pages.blocks(page, text):
            if block.mark and block.mark.startswith("from: "):
                wrong += [f"{block.place}: {each}" for each in taken_from(root, block)]
            elif block.mark == "test: compile":
                wrong += [f"{block.place}: {each}" for each in compiles(root, block, compiler)]
            elif block.mark and not re.match(r"test: (own-handler|quickstart) ", block.mark):
                wrong.append(f"{block.place}: no test knows the mark {block.mark}")
    for each in wrong:
        print(each)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
