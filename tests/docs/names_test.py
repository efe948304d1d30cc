#!/usr/bin/env python3
"""names.py must notice what it is there for, and leave alone what is right."""

import unittest

import names
import pages

FACTS = names.Facts(exists=lambda path: path in ("docs/a.md", "README.md", "src/runtime/lane.cpp"),
                    anchors={"docs/a.md": {"a-heading"}, "README.md": set()},
                    options={"deja": {"--help"}, "deja lanes": {"--filter"}, "deja dlq": {"--help"}, "deja dlq list": {"--group"}, "deja dev": set(),
                             "deja-payments": {"--init", "--set"}},
                    settings={"retry.max.attempts", "dlq.topic"}, metrics={"deja_records_total", "deja_batch_records"}, tables={"lanes"})


def wrong(text, page="docs/a.md"):
    return names.findings(page, text, FACTS)


class Names(unittest.TestCase):
    def test_right_names_are_left_alone(self):
        self.assertEqual(wrong("See [there](../README.md), [here](a.md#a-heading), [out](https://example.org/x), `src/runtime/lane.cpp`, "
                               "`deja lanes --filter 'lag>0 and x=--nonsense'`, `deja dlq list --group g`, `deja dev -- bash --nonsense`, `dlq.topic`, "
                               "`retention.ms`, `kafka.any.thing`, `deja_records_total{topic=\"t\"}`, `deja_batch_records_sum`, `deja.lanes`, `deja.toml`.\n\n"
                               "    deja-payments --init --set dlq.topic=x\n"), [])

    def test_a_link_to_nothing_is_noticed(self):
        self.assertEqual(len(wrong("[x](b.md)")), 1)

    def test_a_link_to_a_missing_heading_is_noticed(self):
        self.assertEqual(len(wrong("[x](a.md#nothing)")), 1)

    def test_a_missing_file_is_noticed(self):
        self.assertEqual(len(wrong("`src/runtime/gone.cpp`")), 1)

    def test_an_unknown_command_is_noticed(self):
        for text in ("`deja nonsense`", "    deja parked nothing\n", "```sh\n\"$HOME/deja/bin/deja\" nonsense\n```", "`deja dlq list | deja nonsense`"):
            self.assertEqual(len(wrong(text)), 1, text)

    def test_an_unknown_option_is_noticed(self):
        self.assertEqual(len(wrong("`deja lanes --nonsense x`")), 1)
        self.assertEqual(len(wrong("```sh\n./my-program --nonsense &\n```")), 1)

    def test_an_unknown_setting_is_noticed(self):
        for text in ("`retry.nonsense`", "    deja-payments --set retry.nonsense=1\n", "    deja-payments --set nonsense.ms=1\n"):
            self.assertEqual(len(wrong(text)), 1, text)

    def test_an_unknown_metric_is_noticed(self):
        self.assertEqual(len(wrong("`deja_nonsense_total`")), 1)

    def test_an_unknown_table_is_noticed(self):
        self.assertEqual(len(wrong("    select * from deja.nonsense\n")), 1)

    def test_headings_become_anchors(self):
        self.assertEqual(names.anchors("# A `code` heading, yes\n```\n# none\n```\n## What's this?\n"), {"a-code-heading-yes", "whats-this"})

    def test_a_mark_belongs_to_the_next_block_only(self):
        marks = [b.mark for b in pages.blocks("p", "<!-- test: x y -->\n```sh\na\n```\n\n```\nb\n```\n<!-- test: z -->\nwords\n```\nc\n```\n")]
        self.assertEqual(marks, ["test: x y", None, None])


unittest.main()
