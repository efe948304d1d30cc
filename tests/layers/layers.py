#!/usr/bin/env python3
"""Holds the sources against the layering rules: who may include whom, and where drivers, SQL and the time of day may appear.

usage: layers.py [PROJECT_DIR]

Prints one line for each violation, FILE:LINE: RULE, and ends with 1 if there is any.
"""
import pathlib
import re
import sys

# layer -> the layers it may include, beside itself, the public headers and the failpoints
MAY_INCLUDE = {
    "failpoints": set(),
    "core": set(),
    "config": {"core"},
    "kafka": {"core", "config"},
    "postgres": {"core", "config"},
    "audit": {"core", "config", "kafka", "postgres"},
    "runtime": {"core", "config", "kafka", "postgres"},
    "ops": {"core", "config", "kafka", "postgres"},
    "testing": {"core", "config", "kafka", "postgres", "runtime"},
    "application": {"core", "config", "kafka", "postgres", "audit", "runtime", "ops", "testing"},
    "cli": {"core", "config", "kafka", "postgres", "audit", "runtime", "ops", "testing", "application"},
}
# driver's headers -> where they may be included
DRIVERS = {
    "librdkafka": (re.compile(r"librdkafka/"), ("src/kafka/",)),
    "libpqxx": (re.compile(r"pqxx/|libpq-fe\.h|libpq/|postgresql/"), ("src/postgres/", "include/deja/query.h", "src/failpoints/lost_link.cpp")),
    "libmicrohttpd": (re.compile(r"microhttpd\.h"), ("src/ops/",)),
}
SQL_ALLOWED = ("src/postgres/",)
# The host's time of day may jump (D13), so that nothing is decided by it: it is there to be shown.
TIME_OF_DAY = re.compile(r"\bsystem_clock\b|\bgettimeofday\b|\bCLOCK_REALTIME\b|\bstd::time\(|(?<![\w:.>])time\(\s*(nullptr|NULL|0)\s*\)")
TIME_OF_DAY_ALLOWED = ("src/ops/", "src/cli/", "src/runtime/lane_metrics.cpp", "src/runtime/time_of_day.h")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SQL = re.compile(
    r"""\bselect\b.+\bfrom\b | ^\s*select\s+\S | \binsert\s+into\s+\S | \bupdate\s+[\w."$]+(\s+(as\s+)?\w+)?\s+set\b
      | \bdelete\s+from\s+\S | \btruncate\s+(table\s+)?\w+\. | \bmerge\s+into\s+\S
      | \b(create|alter|drop)\s+(or\s+replace\s+)?(unlogged\s+|temp(orary)?\s+|unique\s+)*
        (table|index|schema|role|function|sequence|view|type|trigger|database|materialized)\b
      | ^\s*with\s+\w+\s+as\s*\( | \bon\s+conflict\b | ^\s*(lock\s+table|begin\s+isolation|savepoint\s+\w+|rollback\s+to)\b
      | ^\s*(begin|commit|rollback)\s*; | \bpg_advisory_\w*lock | ^\s*set\s+((local|session)\s+)?\w+\s*(=|to\b) | ^\s*(grant|revoke)\s+(all|usage|select|insert|update|delete|execute|connect|create)\b
        .*\b(on|to|from)\b""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
TOKEN = re.compile(
    r"""(?P<line>//[^\n]*) | (?P<block>/\*.*?\*/)
      | (?:u8|u|U|L)?R"(?P<delim>[^\s()\\]{0,16})\((?P<raw>.*?)\)(?P=delim)"
      | "(?P<text>(?:\\.|[^"\\\n])*)" | (?P<char>'(?:\\.|[^'\\\n])+')""",
    re.VERBOSE | re.DOTALL,
)


def string_literals(source):
    """(line, text) of each literal; those that stand beside each other are one, as they are to the compiler."""
    pieces, end = [], -1
    for match in TOKEN.finditer(source):
        text = match.group("text") if match.group("text") is not None else match.group("raw")
        if text is None:
            if match.group("char") is not None:
                end = -1
            continue
        line = source.count("\n", 0, match.start()) + 1
        between = re.sub(r"//[^\n]*|/\*.*?\*/", "", source[end:match.start()], flags=re.DOTALL) if end >= 0 else "x"
        if pieces and not between.strip():
            pieces[-1][1].append(text)
        else:
            pieces.append((line, [text]))
        end = match.end()
    return [(line, "".join(texts)) for line, texts in pieces]


def without_includes(source):
    return re.sub(r"^\s*#\s*include[^\n]*", "", source, flags=re.MULTILINE)


def check_file(name, source):
    """(line, rule) of each violation in a file, named relative to the project."""
    public = name.startswith("include/")
    layer = name.split("/")[1] if name.startswith("src/") and name.count("/") >= 2 else None
    if name.startswith("src/") and layer not in MAY_INCLUDE:
        yield 1, "is in no known layer of src/"
        return
    for number, text in enumerate(source.splitlines(), 1):
        match = INCLUDE.match(text)
        if not match:
            continue
        target = match.group(2)
        for driver, (pattern, places) in DRIVERS.items():
            if pattern.match(target) and not name.startswith(places):
                yield number, f"{driver} may be included in {', '.join(places)} only: {target}"
        if ".." in pathlib.PurePosixPath(target).parts:
            yield number, f"an include names its path from the layer, without ..: {target}"
            continue
        first = target.split("/")[0] if "/" in target else None
        if public:
            if first in MAY_INCLUDE or match.group(1) == '"':
                yield number, f"a public header includes public headers only, as <deja/...>: {target}"
        elif first in MAY_INCLUDE and first not in (layer, "failpoints") and first not in MAY_INCLUDE[layer]:
            yield number, f"{layer} may not include {first}: {target}"
        elif layer == "core" and target in ("deja/application.h", "deja/query.h", "deja/runtime.h", "deja/testing.h", "deja/deja.h"):
            yield number, f"core may not include what lies above it: {target}"
    if not name.startswith(TIME_OF_DAY_ALLOWED):
        for number, text in enumerate(source.splitlines(), 1):
            if TIME_OF_DAY.search(text.split("//")[0]):
                yield number, "nothing may be decided by the host's time of day: a core::Clock, or the database's clock"
    if not public and not name.startswith(SQL_ALLOWED):
        for number, text in string_literals(without_includes(source)):
            if SQL.search(text.replace("\\n", "\n").replace('\\"', '"')):
                yield number, "SQL text belongs in src/postgres or schemas: " + " ".join(text.split())[:60]


def check_tree(root):
    root = pathlib.Path(root)
    files = sorted(p for part in ("include", "src") for p in (root / part).rglob("*") if p.suffix in (".h", ".cpp", ".inc"))
    for path in files:
        name = path.relative_to(root).as_posix()
        for line, rule in check_file(name, path.read_text(encoding="utf-8")):
            yield f"{name}:{line}: {rule}"


def main():
    if "--help" in sys.argv:
        print(__doc__)
        return 0
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2])
    if not (root / "src").is_dir():
        sys.exit(f"no src/ in {root}")
    violations = list(check_tree(root))
    print("\n".join(violations) if violations else "layers: as designed")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
