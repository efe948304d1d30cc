"""The check of tests/failpoints/coverage.py notices what it is for, and the sources pass it."""

import os
import pathlib
import unittest

import coverage
import page

ROOT = pathlib.Path(__file__).resolve().parents[2]


def missing(body):
    return [(function, call) for _, function, call in coverage.steps_without("lane.cpp", f"namespace deja {{\nvoid Lane::go(int n) {{\n{body}\n}}\n}}\n")]


class Page(unittest.TestCase):
    def test_the_page_in_docs_is_the_one_that_the_table_gives(self):
        if os.environ.get("DEJA_UPDATE_DOCS"):
            with open(page.PATH, "w") as file:
                file.write(page.page())
        with open(page.PATH) as file:
            self.assertEqual(file.read(), page.page(), "run this test with DEJA_UPDATE_DOCS=1 to write it anew")


class Coverage(unittest.TestCase):
    def test_the_sources_pass(self):
        self.assertEqual(list(coverage.findings(ROOT)), [])

    def test_a_statement_without_a_failpoint_is_noticed(self):
        self.assertEqual(missing("context_.stores.lanes.mark(c, row_, a);"), [("go", "mark")])

    def test_a_request_to_kafka_without_a_failpoint_is_noticed(self):
        self.assertEqual(missing("consumer_->commit(offsets, true);"), [("go", "commit")])

    def test_two_steps_need_two_failpoints(self):
        self.assertEqual(missing("stores_.keys.release(c, k); stores_.keys.claim(c, m, 1); DEJA_FAILPOINT(after_claim);"), [("go", "release")])

    def test_a_failpoint_of_another_function_does_not_count(self):
        self.assertEqual(missing("kafka_.watermarks(p); }\nvoid other() { DEJA_FAILPOINT(after_watermark_look);"), [("go", "watermarks")])

    def test_a_comment_is_no_failpoint(self):
        self.assertEqual(missing("connection_.exec(sql); // DEJA_FAILPOINT(after_flush);"), [("go", "exec")])

    def test_a_step_with_its_failpoint_is_right(self):
        self.assertEqual(missing("if (x) { stores_.keys.claim(c, m, 1); }\nDEJA_FAILPOINT(after_claim); return;"), [])

    def test_each_real_step_is_needed(self):
        """Takes each failpoint of src/runtime that stands behind a call away, one by one: the check must notice most of them."""
        removed = noticed = 0
        for path in sorted((ROOT / "src" / "runtime").glob("*.cpp")):
            source = path.read_text()
            for match in coverage.FAILPOINT.finditer(source):
                removed += 1
                noticed += bool(list(coverage.steps_without(path.name, source[:match.start()] + source[match.end():])))
        self.assertGreater(noticed, removed // 2, f"{noticed} of {removed}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
