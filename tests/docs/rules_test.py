#!/usr/bin/env python3
"""rules.py must notice what it is there for."""

import unittest

import rules

rules.WITHOUT_A_TEST = {"D1"}  # whatever is open on the page of today

PAGE = "".join(f"### {rule}\nText.\n\n*Else:* loss.\n\n*Shown by:* {'*not yet*' if rule in rules.WITHOUT_A_TEST else '`S.' + rule + '_Holds`'}\n\n" for rule in rules.RULES)
TESTS = {f"S.{rule}_Holds" for rule in rules.RULES} | {"model:lane.L1_case"}


class Rules(unittest.TestCase):
    def wrong(self, page, tests=TESTS):
        return list(rules.findings(page, tests))

    def test_a_complete_page_is_left_alone(self):
        self.assertEqual(self.wrong(PAGE), [])

    def test_a_rule_that_is_missing_is_noticed(self):
        self.assertIn("### L4", self.wrong(PAGE.replace("### L4", "### X4"))[0])

    def test_a_test_that_is_gone_is_noticed_and_the_others_of_its_rule_are_named(self):
        (found,) = self.wrong(PAGE.replace("S.L2_Holds", "S.L2_Gone"))
        self.assertIn("`S.L2_Gone`, which does not exist; of L2 there are: S.L2_Holds", found)

    def test_a_rule_without_a_test_is_noticed(self):
        (found,) = self.wrong(PAGE.replace("`S.K1_Holds`", "*not yet*"))
        self.assertIn("K1 names no test: add one", found)

    def test_an_exception_that_is_none_any_more_is_noticed(self):
        (found,) = self.wrong(PAGE.replace("*not yet*", "`S.L1_Holds`", 1))
        self.assertIn("remove it from WITHOUT_A_TEST", found)


unittest.main()
