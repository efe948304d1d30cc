"""Pages of the documentation: their fenced blocks, and the marks that say how a block is tested.

A mark is a comment on the line before a block:  <!-- test: own-handler build -->  or  <!-- from: examples/payments/payments.cpp -->
"""

import glob
import os
import re
from dataclasses import dataclass


@dataclass
class Block:
    page: str
    line: int
    language: str
    text: str
    mark: str | None = None

    @property
    def place(self):
        return f"{self.page}:{self.line}"


def page_names(root):
    found = glob.glob("docs/**/*.md", root_dir=root, recursive=True)
    return ["README.md", *sorted(found)]


def read(root, page):
    with open(os.path.join(root, page), encoding="utf-8") as file:
        return file.read()


def blocks(page, text):
    found, open_block, mark = [], None, None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            if open_block is None:
                open_block = Block(page, number, line[3:].strip(), "", mark)
            else:
                found.append(open_block)
                open_block = None
            mark = None
        elif open_block is not None:
            open_block.text += line + "\n"
        elif comment := re.fullmatch(r"<!-- ((?:test|from): .*) -->", line.strip()):
            mark = comment[1]
        elif line.strip():
            mark = None
    return found


def marked(root, page, name):
    """The blocks of one test, by the word that follows its name."""
    prefix = f"test: {name} "
    return {b.mark[len(prefix):]: b.text for b in blocks(page, read(root, page)) if b.mark and b.mark.startswith(prefix)}
