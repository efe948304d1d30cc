"""The audit as a test runs it, and what it found."""

import json

from sandbox import Sandbox

COUNTS = ("checked", "processed", "duplicate", "conflict", "expired", "parked", "dead", "discarded", "skipped", "missing", "doubled", "misordered",
          "orphaned", "unchecked", "events")


def summed(rows):
    return {name: sum(row[name] for row in rows) for name in COUNTS}


def named(rows, kind):
    return [finding for row in rows for finding in row["findings"] if finding["kind"] == kind]


class AuditSandbox(Sandbox):
    def audit(self, *words, program="deja", code=None):
        words = ["audit", "--group", self.group, *words] if program == "deja" else ["--audit", *words]
        ended, out, err = self.once(*words, "--output", "json", program=program)
        self.assertIn(ended, (0, 1), out + err)
        if code is not None:
            self.assertEqual(ended, code, out + err)
        return [json.loads(line) for line in out.splitlines()]

    def assert_counts(self, rows, **wanted):
        found = summed(rows)
        self.assertEqual({name: count for name, count in found.items() if count}, wanted)
