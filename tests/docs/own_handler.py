#!/usr/bin/env python3
"""Runs README's "A handler of your own" as written: install, build, start, send, look.

usage: own_handler.py SOURCE_DIR BUILD_DIR [COMPILER]
"""

import os
import shutil
import sys

import pages
from shell import Sandbox, json_lines, wait_until


def main():
    source, build = (os.path.realpath(path) for path in sys.argv[1:3])
    blocks = pages.marked(source, "README.md", "own-handler")
    assert list(blocks) == ["checkout", "main.cpp", "CMakeLists.txt", "build", "dev", "look"], f"README has other blocks: {list(blocks)}"
    with Sandbox() as box:
        if len(sys.argv) > 3:
            box.environment["CXX"] = sys.argv[3]
        if not shutil.which("make"):
            box.environment["CMAKE_GENERATOR"] = "Ninja"
        checkout = box.make("checkout")
        box.make("checkout", "build")
        os.symlink(build, box.path("checkout", "build", "release"))
        box.run(blocks["checkout"], checkout)

        mine = box.make("mine")
        for file in ("main.cpp", "CMakeLists.txt"):
            box.write(f"mine/{file}", blocks[file])
        shell = box.shell(blocks["build"], mine)
        deja = os.path.join(box.environment["HOME"], "deja", "bin", "deja")

        shell.feed(blocks["dev"])
        wait_until(lambda: any(lane["next_offset"] == 2 and lane["lag"] == 0 for lane in json_lines(shell.output(deja, "lanes", "--output", "json"))),
                   60, "both records are done")
        assert shell.rows("select customer, details ->> 'item' from orders") == [["ada", "tea"]]
        wait_until(lambda: shell.rows("select sum(published_seq) from deja.lanes") == [["1"]], 30, "the event is published")
        assert shell.output(deja, "dlq", "list", "--count").strip() == "0"

        shell.feed(blocks["look"])
        wait_until(lambda: shell.said("(1 row)") and shell.said("log_end_offset"), 30, "psql and deja lanes have answered")
        code = shell.close()
        assert code == 0, f"the shell ended with {code}"
    print("own_handler: README does what it says")


main()
