"""The failpoints as the programs have them: src/failpoints/steps.def, and the report a process keeps of its hits."""

import os
import re
import struct
from collections import namedtuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
STEP = re.compile(r'^STEP\((\w+), (\w+), "((?:[^"\\]|\\.)*)"\)$', re.MULTILINE)

Step = namedtuple("Step", "name throws words")


def read_table(root=ROOT):
    with open(os.path.join(root, "src", "failpoints", "steps.def")) as file:
        text = file.read()
    steps = [Step(name.replace("_", "-"), throws, words) for name, throws, words in STEP.findall(text)]
    if len(steps) != len(re.findall(r"^STEP\(", text, re.MULTILINE)):
        raise ValueError("src/failpoints/steps.def: a STEP is not written on one line as STEP(name, throws, \"words\")")
    return steps


STEPS = read_table()
INDEX = {step.name: number for number, step in enumerate(STEPS)}


class Report:
    """$DEJA_FAILPOINTS_REPORT of one process, readable while it runs and after it was killed."""

    def __init__(self, path):
        self.path = path

    def _numbers(self, first):
        size = 8 * len(STEPS)
        try:
            with open(self.path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            data = b""
        if len(data) < 2 * size:
            return {step.name: 0 for step in STEPS}
        return dict(zip(INDEX, struct.unpack_from(f"={len(STEPS)}Q", data, first * size)))

    def hits(self):
        return self._numbers(0)

    def done(self):
        """How often something was done at each step."""
        return self._numbers(1)
