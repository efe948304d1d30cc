"""A release build has no trace of the failpoints, a build with DEJA_FAILPOINTS has them all.

usage: compiled.py absent|present BIN_DIR INCLUDE_DIR COMPILER
"""

import os
import subprocess
import sys
import tempfile
import unittest

from table import STEPS

WANTED, BIN, SOURCES, COMPILER = sys.argv[1:5]
PROGRAMS = ("deja", "deja-payments", "deja-probe")
BODY = """
#include "failpoints/failpoint.h"
void next();
int step(int n) {
  if (n > 3) next();
  %s
  return n + 1;
}
"""


def assembly(body, *flags):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "step.cpp")
        with open(path, "w") as file:
            file.write(BODY % body)
        return subprocess.run([COMPILER, "-std=c++20", f"-I{SOURCES}", *flags, "-S", "-o", "-", path], stdout=subprocess.PIPE, check=True).stdout


def traces(program):
    """Words of the failpoints that are in a program's file: names of symbols, of steps, of variables."""
    with open(os.path.join(BIN, program), "rb") as file:
        data = file.read()
    words = ["DEJA_FAILPOINTS", "failpoint", "step_table"] + [step.name.replace("-", "_") for step in STEPS]
    return [word for word in words if word.encode() in data]


class Compiled(unittest.TestCase):
    def test_the_programs(self):
        for program in PROGRAMS:
            found = traces(program)
            with self.subTest(program=program):
                if WANTED == "absent":
                    self.assertEqual(found, [])
                else:
                    self.assertIn("DEJA_FAILPOINTS", found)
                    self.assertTrue({step.name.replace("-", "_") for step in STEPS} <= set(found))

    def test_without_the_option_a_step_is_not_one_instruction_even_unoptimised(self):
        for flags in ((), ("-O2",)):
            self.assertEqual(assembly("DEJA_FAILPOINT(after_claim);", *flags), assembly("", *flags))

    def test_with_the_option_it_is(self):
        self.assertIn(b"failpoints", assembly("DEJA_FAILPOINT(after_claim);", "-DDEJA_FAILPOINTS"))

    def test_a_misspelt_step_does_not_compile(self):
        with self.assertRaises(subprocess.CalledProcessError):
            assembly("DEJA_FAILPOINT(after_clam);", "-w", "-fmax-errors=1")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
