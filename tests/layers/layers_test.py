#!/usr/bin/env python3
"""Plants violations of the layering rules in a small tree and expects layers.py to find each, and nothing else."""
import pathlib
import tempfile
import unittest

import layers

CLEAN = {
    "include/deja/record.h": "#include <string>\n#include <deja/bytes.h>\n",
    "include/deja/query.h": "#include <pqxx/pqxx>\n",
    "src/core/keys.cpp": '#include "core/keys.h"\n#include <deja/record.h>\n// select x from y\nauto text = "choose from these";\n',
    "src/config/options.cpp": '#include "core/log.h"\n',
    "src/kafka/consumer.cpp": '#include <librdkafka/rdkafka.h>\n#include "core/log.h"\n',
    "src/postgres/claims.cpp": '#include <pqxx/pqxx>\nauto sql = "insert into deja.keys values ($1)";\n',
    "src/runtime/lane.cpp": '#include "kafka/consumer.h"\n#include "postgres/claims.h"\nauto help = "commit failed; update the lane, set a new limit";\n',
    "src/ops/doctor.cpp": '#include <microhttpd.h>\n#include "postgres/claims.h"\nauto c = \'"\'; auto d = "plain"; auto e = \'"\';\n',
    "src/testing/harness.cpp": '#include "runtime/lane.h"\n#include "postgres/claims.h"\n',
    "src/application/application.cpp": '#include "ops/doctor.h"\n#include "runtime/lane.h"\n',
    "src/cli/main.cpp": '#include "application/application.h"\n#include "ops/doctor.h"\n',
}


class LayersTest(unittest.TestCase):
    def violations(self, planted):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**CLEAN, **planted}.items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return list(layers.check_tree(folder))

    def expect_one(self, name, text, words, line=1):
        found = self.violations({name: text})
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(f"{name}:{line}: "), found)
        self.assertIn(words, found[0])

    def test_a_clean_tree_has_none(self):
        self.assertEqual(self.violations({}), [])

    def test_D13_the_time_of_day_is_shown_and_decides_nothing(self):
        for text in ("auto now = std::chrono::system_clock::now();\n", "auto now = time(nullptr);\n", "clock_gettime(CLOCK_REALTIME, &t);\n"):
            for place in ("src/core/x.cpp", "src/runtime/x.cpp", "src/kafka/x.cpp", "src/postgres/x.cpp"):
                self.expect_one(place, text, "time of day")
        self.assertEqual(self.violations({"src/ops/log.cpp": "std::chrono::system_clock::now();\n", "src/runtime/x.cpp": "// as system_clock\nruntime(0);\n"}), [])

    def test_core_includes_no_other_layer(self):
        for layer in ("config", "kafka", "postgres", "runtime", "ops", "testing", "application", "cli"):
            self.expect_one("src/core/new.cpp", f'#include "{layer}/x.h"\n', f"core may not include {layer}")

    def test_core_includes_no_public_header_from_above(self):
        self.expect_one("src/core/new.cpp", "#include <deja/runtime.h>\n", "core may not include what lies above it")

    def test_nothing_includes_upwards_or_sideways(self):
        for layer, target in [("config", "kafka"), ("config", "ops"), ("kafka", "postgres"), ("postgres", "kafka"), ("kafka", "ops"),
                              ("postgres", "runtime"), ("runtime", "ops"), ("runtime", "testing"), ("ops", "runtime"),
                              ("testing", "ops"), ("testing", "application"), ("application", "cli")]:
            self.expect_one(f"src/{layer}/new.cpp", f'\n#  include "{target}/x.h"\n', f"{layer} may not include {target}", line=2)

    def test_librdkafka_stays_in_kafka(self):
        for place in ("src/core/x.cpp", "src/runtime/x.cpp", "src/cli/x.cpp", "include/deja/x.h"):
            self.expect_one(place, "#include <librdkafka/rdkafka.h>\n", "librdkafka may be included in")

    def test_libpqxx_stays_in_postgres_and_the_query_header(self):
        for place in ("src/core/x.cpp", "src/runtime/x.cpp", "src/testing/x.cpp", "include/deja/transaction.h"):
            self.expect_one(place, "#include <pqxx/pqxx>\n", "libpqxx may be included in")
        self.expect_one("src/ops/x.cpp", "#include <libpq-fe.h>\n", "libpqxx may be included in")

    def test_public_headers_include_public_headers(self):
        self.expect_one("include/deja/x.h", "#include <core/keys.h>\n", "a public header includes public headers only")
        self.expect_one("include/deja/x.h", '#include "record.h"\n', "a public header includes public headers only")

    def test_a_path_with_dots_hides_no_layer(self):
        self.expect_one("src/core/x.cpp", '#include "../postgres/claims.h"\n', "without ..")

    def test_a_new_folder_needs_a_place_in_the_order(self):
        self.expect_one("src/extras/x.cpp", "int x;\n", "no known layer")

    def test_sql_is_found_in_any_literal(self):
        for sql in ("select next_offset from deja.lanes", "SELECT 1", "insert into ledger values (1)", "update deja.lanes set x = 1",
                    "update accounts a set x = 1", "delete from deja.keys", "create table if not exists t (id int)", "savepoint record",
                    "truncate table deja.outbox", "commit;", "with fresh as (select 1) values (1)", "lock table deja.lanes",
                    "set local lock_timeout = '1s'", "alter table deja.keys add x int", "merge into t using s on true",
                    "grant select on deja.lanes to reader", "rollback to savepoint record"):
            with self.subTest(sql):
                self.expect_one("src/runtime/x.cpp", f'\nauto sql = "{sql}";\n', "SQL text belongs in", line=2)
        self.expect_one("src/cli/x.cpp", 'auto sql = R"sql(\n select a\n from b)sql";\n', "SQL text belongs in")
        self.expect_one("src/cli/x.cpp", 'auto sql = "select a "  // why\n    "from b";\n', "SQL text belongs in")

    def test_words_are_no_sql(self):
        for words in ("selected from the log", "commit failed", "update the schema: run deja migrate", "set postgres.url", "grant DESCRIBE on the topic",
                      "commit", "created table of contents", "delete nothing"):
            self.assertEqual(self.violations({"src/cli/x.cpp": f'auto text = "{words}";\n'}), [], words)

    def test_comments_are_no_sql(self):
        self.assertEqual(self.violations({"src/runtime/x.cpp": '// "select a from b"\n/* "select a\n from b" */ int x;\n'}), [])


if __name__ == "__main__":
    unittest.main()
