"""Lanes that nobody works any more and that still have events for Kafka are found and named (L11)."""

import os

import sandbox
from programs import Metrics, Program, http_get, wait_until
from sandbox import BIN, Sandbox

FINDING, CONFIGURATION = 1, 78


class WhenATopicIsNotHandledAnyMore(Sandbox):
    program = "deja-probe"

    def setUp(self):
        super().setUp()
        self.kept, self.removed = self.topic("kept", 1), self.topic("removed", 1)
        self.events = self.topic("probe.events", 1)
        self.base = {"app.events.topic": self.events, "startup.timeout.ms": 20000}
        self.prepare()
        program = self.start(self.with_topics(self.kept, self.removed))
        wait_until(lambda: self.database.value("select count(*) from deja.lanes where owner_token is not null") == 2, 60, "both lanes", program)
        self.drain(program)
        self.leave_events(3)

    def with_topics(self, *topics):
        return self.settings(self.base | {"app.topics": list(topics)})

    def leave_events(self, count):
        """As after a kill between commit and publish."""
        self.database.run(f"insert into deja.outbox_0 (lane, seq, event_id, topic, headers) select id, next_event_seq + n, gen_random_uuid(), '{self.events}', '[]' "
                          f"from deja.lanes, generate_series(0, {count - 1}) n where topic = '{self.removed}'; "
                          f"update deja.lanes set next_event_seq = next_event_seq + {count} where topic = '{self.removed}'")

    def run_it(self, name, *topics, flags=()):
        path = self.write_settings(f"{name}.toml", self.with_topics(*topics))
        program = Program(name, [os.path.join(BIN, self.program), "--config", path, *flags], self.environment,
                          os.path.join(self.folder, f"{name}.log"), self.folder)
        self.running.append(program)
        return program

    def gauge(self):
        return Metrics(http_get(self.port, "/metrics")).by("deja_lanes_abandoned", "topic")

    def doctor(self):
        path = self.write_settings("doctor.toml", {"group.id": self.group})
        return self.once("doctor", "--config", path, "--output", "json", "--filter", "status=fail or check=abandoned_lanes", program="deja")

    def assert_healthy(self):
        code, out, err = self.doctor()
        self.assertEqual(code, 0, out + err)

    def test_a_start_is_refused_until_somebody_accepts_it(self):
        code, _, err = self.once("--config", self.write_settings("refused.toml", self.with_topics(self.kept)), timeout=90)
        self.assertEqual(code, CONFIGURATION, err)
        for word in (self.removed, "3 events", "--abandon"):
            self.assertIn(word, err.splitlines()[-1])

        program = self.run_it("accepting", self.kept, flags=["--abandon"])
        self.await_ready(self.port, program)
        self.assertIn(self.removed, self.database.value("select detail::text from deja.audit_log where action = 'abandon'"))
        wait_until(lambda: "deja_records_total" in http_get(self.port, "/metrics"), 30, "metrics", program)
        self.assert_healthy()
        self.drain(program)
        program = self.run_it("later", self.kept)
        self.await_ready(self.port, program)  # once accepted is accepted

        self.leave_events(2)
        wait_until(lambda: self.gauge() == {self.removed: 1}, 60, "the gauge", program)
        code, out, err = self.doctor()
        self.assertEqual(code, FINDING, err)
        self.assertIn(self.removed, out)
        self.assertIn("2 events", out)

        # another program of the group takes it on
        self.database.run("insert into deja.handlers (group_id, handler, instance, topics, strategy, build) "
                          f"values ('{self.group}', 'other', 'i', '{{{self.removed}}}', 's', 'b')")
        wait_until(lambda: self.gauge() == {}, 60, "the gauge to fall", program)
        self.assert_healthy()
        self.drain(program)

    def test_what_another_program_of_the_group_is_there_for_is_not_refused(self):
        self.database.run(f"update deja.handlers set topics = '{{{self.kept}}}'; insert into deja.handlers (group_id, handler, instance, topics, strategy, "
                          f"build, last_seen) values ('{self.group}', 'other', 'i', '{{{self.removed}}}', 's', 'b', clock_timestamp() - interval '1 hour')")
        self.assert_healthy()  # all are stopped, that is all
        program = self.run_it("one-of-two", self.kept)
        self.await_ready(self.port, program)
        self.assertIn("does not run", program.log_text())
        wait_until(lambda: self.gauge() == {self.removed: 1}, 60, "the gauge", program)
        self.assertEqual(self.doctor()[0], FINDING, "the group runs, and nobody handles the topic")
        self.drain(program)

    def test_the_program_that_handles_the_topic_again_starts_and_publishes(self):
        program = self.run_it("again", self.kept, self.removed)
        wait_until(lambda: self.database.value(f"select published_seq = next_event_seq - 1 from deja.lanes where topic = '{self.removed}'"), 60,
                   "the events", program)
        self.drain(program)


if __name__ == "__main__":
    sandbox.main()
