"""A start that cannot go well ends with the exit code of its kind, and the last line on stderr names the cause."""

import os
import re
import socket
import time
import urllib.parse

import sandbox
from sandbox import Sandbox

UNAVAILABLE, NO_PERMISSION, CONFIGURATION, USAGE = 69, 77, 78, 64


def dead_port():
    """A port that nobody listens on, held so that nobody takes it."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder, holder.getsockname()[1]


class WhenAStartCannotGoWell(Sandbox):
    program = "deja-probe"

    def setUp(self):
        super().setUp()
        self.records = self.topic("probe", 1)
        self.events = self.topic("probe.events", 1)

    def with_defaults(self, more):
        return self.settings({"app.topics": [self.records], "app.events.topic": self.events, "startup.timeout.ms": 1500} | more)

    def refuse(self, code, words, more=None, *arguments, environment=None, program=None, within=30):
        begun = time.monotonic()
        path = self.write_settings("deja.toml", self.with_defaults(more or {}))
        got, out, err = self.once("--config", path, *arguments, environment=environment, program=program, timeout=90)
        lines = [line for line in err.splitlines() if line.strip()]
        self.assertTrue(lines, f"nothing on stderr; exit code {got}\n{out}")
        for word in words:
            self.assertRegex(lines[-1], re.compile(word, re.IGNORECASE), err)
        self.assertEqual(got, code, err)
        self.assertLess(time.monotonic() - begun, within)
        return err

    def test_a_setting_is_wrong(self):
        self.prepare()
        for more, words in [
            ({"no.such.key": 1}, ["no.such.key"]),
            ({"batch.max.record": 10}, ["batch.max.record", "batch.max.records"]),
            ({"batch.max.records": "many"}, ["batch.max.records", "many"]),
            ({"batch.max.records": 0}, ["batch.max.records", "0"]),
            ({"log.level": "loud"}, ["log.level", "loud"]),
            ({"kafka.enable.auto.commit": True}, ["enable.auto.commit"]),
            ({"kafka.no.such.setting": "x"}, ["no.such.setting"]),
            ({"app.topic": "x"}, ["app.topic"]),
            ({"app.topics": 7}, ["app.topics", "7"]),
            ({"app.events.topic": 7}, ["app.events.topic"]),
            ({"dlq.topic": "${NO_SUCH_VARIABLE_HERE}"}, ["NO_SUCH_VARIABLE_HERE"]),
        ]:
            with self.subTest(more=more):
                self.refuse(CONFIGURATION, words, more)

    def test_the_command_line_is_wrong(self):
        self.refuse(USAGE, ["no-such-flag"], None, "--no-such-flag")
        self.refuse(CONFIGURATION, ["batch.max.records"], None, "--set", "batch.max.records=many")
        code, _, err = self.once("--config", os.path.join(self.folder, "absent.toml"))
        self.assertEqual(code, CONFIGURATION, err)
        self.assertIn("absent.toml", err.splitlines()[-1])

    def test_the_schema_is_missing(self):
        self.refuse(CONFIGURATION, ["deja migrate"])

    def test_the_programs_own_tables_are_missing(self):
        self.must("migrate", program="deja")
        self.cluster.produce(self.records, 0, [(b"k", b'{"id": "a", "seq": 1, "do": "ok"}', [("Idempotency-Key", b"1")])])
        self.refuse(CONFIGURATION, ["probe_effects", "--init"])
        self.assertEqual(self.database.value("select count(*) from deja.dead_letters"), 0, "a missing table is no record's fault")

    def test_the_login_is_refused(self):
        self.prepare()
        parts = urllib.parse.urlsplit(self.postgres_url)
        url = urllib.parse.urlunsplit(parts._replace(netloc=f"nobody_{self.tag}@{parts.hostname}:{parts.port}"))
        self.refuse(NO_PERMISSION, [f"nobody_{self.tag}"], environment=self.environment | {"DEJA_POSTGRES": url})

    def test_a_grant_is_missing(self):
        self.prepare()
        role = f"poor_{self.tag}"
        self.database.run(f"create role {role} login")
        self.addCleanup(self.database.run, f"drop owned by {role}; drop role {role}")
        parts = urllib.parse.urlsplit(self.postgres_url)
        url = urllib.parse.urlunsplit(parts._replace(netloc=f"{role}@{parts.hostname}:{parts.port}"))
        poor = self.environment | {"DEJA_POSTGRES": url}
        self.refuse(NO_PERMISSION, ["schema"], environment=poor)
        self.database.run(f"grant usage on schema deja to {role}")
        self.refuse(NO_PERMISSION, ["deja", "grant|permission"], environment=poor)

    def test_the_handlers_grant_is_missing(self):
        self.prepare()
        role = f"poor_{self.tag}"
        self.database.run(f"create role {role} login; grant usage on schema deja to {role}; "
                          f"grant all on all tables in schema deja to {role}; grant all on all sequences in schema deja to {role}")
        self.addCleanup(self.database.run, f"drop owned by {role}; drop role {role}")
        parts = urllib.parse.urlsplit(self.postgres_url)
        url = urllib.parse.urlunsplit(parts._replace(netloc=f"{role}@{parts.hostname}:{parts.port}"))
        self.cluster.produce(self.records, 0, [(b"k", b'{"id": "a", "seq": 1, "do": "ok"}', [("Idempotency-Key", b"1")])])
        self.refuse(NO_PERMISSION, ["probe_effects"], environment=self.environment | {"DEJA_POSTGRES": url})
        self.assertEqual(self.database.value("select count(*) from deja.dead_letters"), 0, "a missing grant is no record's fault")

    def test_a_server_stays_away(self):
        self.prepare()
        holder, port = dead_port()
        self.addCleanup(holder.close)
        self.refuse(UNAVAILABLE, ["postgres"], environment=self.environment | {"DEJA_POSTGRES": f"postgresql://postgres@127.0.0.1:{port}/x"})
        self.refuse(UNAVAILABLE, ["kafka"], environment=self.environment | {"DEJA_KAFKA": f"127.0.0.1:{port}"})

    def test_the_database_does_not_exist(self):
        url = self.postgres_url + "_not"
        code, _, err = self.once("--config", self.write_settings("deja.toml", self.with_defaults({})),
                                 environment=self.environment | {"DEJA_POSTGRES": url})
        self.assertIn(code, (UNAVAILABLE, CONFIGURATION), err)
        self.assertIn("_not", err.splitlines()[-1])

    def test_a_topic_stays_away(self):
        self.prepare()
        name = f"absent-{self.tag}"
        self.refuse(UNAVAILABLE, [name], {"app.topics": [self.records, name]})
        self.assertNotIn(name, self.cluster.topics(), "looking for a topic must not make it")

    def test_a_handler_has_no_topic(self):
        self.prepare()
        self.refuse(CONFIGURATION, ["probe", "topic"], {"app.topics": []})

    def test_a_topic_has_two_handlers(self):
        self.prepare()
        self.refuse(CONFIGURATION, [self.records, "first", "second"], program="deja-two-handlers")

    def test_the_port_is_taken(self):
        self.prepare()
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            holder.listen()
            port = holder.getsockname()[1]
            self.refuse(CONFIGURATION, [str(port)], {"http.address": f"127.0.0.1:{port}"})


if __name__ == "__main__":
    sandbox.main()
