#!/usr/bin/env python3
"""Runs the part "By hand" of docs/quickstart.md as written.

usage: quickstart.py SOURCE_DIR BUILD_DIR
"""

import os
import sys

import pages
from shell import Sandbox, wait_until


def main():
    source, build = (os.path.realpath(path) for path in sys.argv[1:3])
    blocks = pages.marked(source, "docs/quickstart.md", "quickstart")
    assert list(blocks) == ["open", "start", "send", "effect", "trouble", "dead", "crash"], f"the page has other blocks: {list(blocks)}"
    with Sandbox() as box:
        checkout = box.make("checkout")
        box.make("checkout", "build")
        os.symlink(os.path.join(build, "bin"), box.path("checkout", "build", "bin"))
        shell = box.shell(blocks["open"], checkout)

        shell.feed(blocks["start"] + blocks["send"])
        wait_until(lambda: shell.passed() == 1, 60, "the first payment is done")
        shell.feed(blocks["effect"])
        wait_until(lambda: shell.said("1250"), 30, "psql has answered")
        assert shell.rows("select account, balance_cents, payments from accounts") == [["a-7", "1250", "1"]]

        shell.feed(blocks["trouble"])
        wait_until(lambda: shell.passed() == 4, 60, "the three records are done")
        assert shell.rows("select account, balance_cents, payments from accounts") == [["a-7", "1250", "1"]]
        assert shell.rows("select cause from deja.dead_letters order by 1") == [["conflict"], ["rejected"]]
        shell.feed(blocks["dead"])
        wait_until(lambda: shell.said("the same key came first with another payload"), 30, "deja dlq list has answered")

        shell.feed(blocks["crash"])
        wait_until(lambda: shell.passed() == 5, 120, "the payment that was sent meanwhile is done")
        assert shell.rows("select account, balance_cents, payments from accounts") == [["a-7", "1300", "2"]]
        shell.feed("kill %deja-payments\n")
        code = shell.close()
        assert code == 0, f"the shell ended with {code}"
    print("quickstart: the page does what it says")


main()
