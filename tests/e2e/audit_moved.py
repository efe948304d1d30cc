"""The audit of a group that an operator moved: what it was moved past is skipped, what it read since is not, and the records of a log that
was made again are judged by what became of them, not by what lay at their offsets before."""

import sandbox
from audits import AuditSandbox, named
from probe_records import KEY, script
from programs import wait_until


class AuditOfAMovedGroup(AuditSandbox):
    program = "deja-probe"

    def setUp(self):
        super().setUp()
        self.records, self.events = self.topic("probe", 1), self.topic("probe.events", 1)
        self.probe_settings = self.settings({"app.topics": [self.records], "app.events.topic": self.events})
        self.prepare("--config", self.write_settings("init.toml", self.probe_settings))

    def send(self, *numbers):
        self.cluster.produce(self.records, 0, [(b"k%d" % (n % 3), script(f"r{n}", seq=n), [(KEY, b"r%d" % n)]) for n in numbers])

    def run_to_the_end(self):
        program = self.start(self.probe_settings)
        self.await_done([self.records], program)
        self.drain(program)

    def move(self, *words):
        self.must("lanes", *words, "--group", self.group, "--topic", self.records, "--partition", "0", "--reason", "r", "--yes", program="deja")

    def assert_a_lost_effect_is_found(self, offset):
        lost = f'from deja.keys_1 where "offset" = {offset} and at = (select max(at) from deja.keys_1 where "offset" = {offset})'
        self.database.run(f"create table saved as select * {lost}; delete {lost}")
        rows = self.audit(code=1)
        self.database.run("insert into deja.keys_1 select * from saved; drop table saved")
        self.assertEqual([finding["offset"] for finding in named(rows, "missing")], [offset])


class WhenItWasResetForwardAndBack(AuditOfAMovedGroup):
    def test_what_is_read_again_is_not_skipped_any_more(self):
        self.send(*range(30))
        self.run_to_the_end()
        self.send(*range(30, 50))
        self.move("reset", "--to-offset", "45", "--expect", "15")
        self.run_to_the_end()
        self.assert_counts(self.audit(code=0), checked=50, processed=35, skipped=15, events=35)
        self.assert_a_lost_effect_is_found(10)
        self.move("reset", "--to-offset", "20", "--expect", "30")
        self.assert_counts(self.audit(code=0), checked=20, processed=20, events=35)
        self.run_to_the_end()
        self.assert_counts(self.audit(code=0), checked=50, processed=50, events=50)
        self.assert_a_lost_effect_is_found(35)

    def test_a_group_that_is_moved_before_its_start_has_those_records_too(self):
        self.send(*range(20))
        self.probe_settings["start.from"] = "latest"
        self.run_to_the_end()
        self.send(*range(20, 30))
        self.run_to_the_end()
        self.assert_counts(self.audit(code=0), checked=10, processed=10, events=10)
        self.move("reset", "--to-earliest", "--expect", "30")
        self.run_to_the_end()
        self.assert_counts(self.audit(code=0), checked=30, processed=30, events=30)
        self.assert_a_lost_effect_is_found(5)


class WhenTheTopicWasMadeAgain(AuditOfAMovedGroup):
    def make_again(self, *numbers):
        """Returns the running program, which has stopped at the other log."""
        self.cluster.delete_topic(self.records)
        self.cluster.create_topic(self.records, 1)
        self.send(*numbers)
        program = self.start(self.probe_settings)
        wait_until(lambda: (self.database.value("select paused_cause from deja.lanes") or "").startswith("log lost"), 60, "the partition to stop", program, every=0.2)
        return program

    def test_its_records_are_judged_by_themselves(self):
        self.send(*range(30))
        self.run_to_the_end()
        program = self.make_again(*range(5, 15), *range(100, 130))
        self.move("accept-loss")
        self.await_done([self.records], program)
        self.drain(program)
        self.assert_counts(self.audit(code=0), checked=40, processed=30, duplicate=10, events=60)
        self.assert_a_lost_effect_is_found(20)
        self.assert_a_lost_effect_is_found(35)

        program = self.make_again(*range(200, 220))
        self.move("accept-loss", "--to-offset", "15")
        self.await_done([self.records], program)
        self.drain(program)
        self.assert_counts(self.audit(code=0), checked=20, processed=5, skipped=15, events=65)
        self.move("reset", "--to-earliest", "--expect", "20")
        program = self.start(self.probe_settings)
        self.await_done([self.records], program)
        self.drain(program)
        self.assert_counts(self.audit(code=0), checked=20, processed=20, events=80)
        self.assert_a_lost_effect_is_found(12)


if __name__ == "__main__":
    sandbox.main()
