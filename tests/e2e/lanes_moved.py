"""An operator moves a group's lanes, or accepts that their log lost records, while the program runs and while it does not: every
record keeps the one disposition it had, and the program goes on by itself."""

import json
import os
import pty
import subprocess

import sandbox
from probe_records import KEY, ProbeTest, script
from programs import wait_until


def records(first, count, do=lambda number: "ok"):
    return [(f"k{number % 5}".encode(), script(f"r{number}", do(number), number), [(KEY, f"key-{number}".encode())])
            for number in range(first, first + count)]


class LanesTest(ProbeTest):
    def send(self, some, partition=0):
        self.cluster.produce(self.records, partition, some)

    def deja(self, *words, code=0):
        done, out, err = self.once("lanes", *words, "--group", self.group, "--output", "json", program="deja")
        self.assertEqual(done, code, f"deja lanes {' '.join(words)}\n{out}{err}")
        return [json.loads(line) for line in out.splitlines()], err

    def lane(self, partition=0):
        return next(row for row in self.deja()[0] if row["partition"] == partition)

    def effects_by_offset(self, partition=0):
        return sorted(row["offset"] for row in self.database.rows(
            f"select \"offset\" from probe_effects where topic = '{self.records}' and partition = {partition}"))

    def audit(self):
        return self.database.rows("select action, reason, detail from deja.audit_log order by id")

    def await_consumed(self, program):
        self.await_done([self.records], program)

    def no_alarm(self, program):
        self.assertEqual(self.scrape().sum("deja_lane_rewinds_total"), 0)
        self.assertNotIn("restored or lost its tail", program.log_text())


class WhenAnOperatorMovesTheGroup(LanesTest):
    def setUp(self):
        super().setUp()
        self.send(records(0, 30, lambda number: "reject" if number % 7 == 3 else "throw" if number % 7 == 5 else "ok"))
        self.send(records(0, 5))  # duplicates by their producer, but of number 3, which is dead, so that this one runs
        self.send([(b"k", script("other", "ok", 99), [(KEY, b"key-0")])])  # a conflict

    def dispositions(self):
        return (self.effects_by_offset(), sorted((row["offset"], row["cause"], row["status"]) for row in self.database.rows(
            f"select \"offset\", cause, status from deja.dead_letters where group_id = '{self.group}'")))

    def test_a_running_program_reads_again_and_changes_nothing(self):
        program = self.start(self.probe_settings)
        self.await_consumed(program)
        before = self.dispositions()
        processed, dead = len(before[0]), len(before[1])
        dry, _ = self.deja("reset", "--topic", self.records, "--partition", "0", "--to-earliest", "--dry-run")
        self.assertEqual((dry[0]["records"], dry[0]["dead_letters"]), (36, dead))
        self.assertEqual(dry[0]["rerun"], 36 - dead - processed, "duplicates, whose key is known from elsewhere")
        done, words = self.deja("reset", "--topic", self.records, "--partition", "0", "--to-earliest", "--reason", "rehearsal", "--yes",
                                "--expect", "36")
        self.assertEqual(done, dry)
        self.assertIn("is running", words)
        self.await_consumed(program)
        self.assertEqual(self.dispositions(), before)
        # counted when the reply of the commit is there
        wait_until(lambda: self.scrape().sum("deja_duplicates_total") >= 8 + processed + dead, 60, "the counters", program)
        metrics = self.scrape()
        self.assertEqual(metrics.by("deja_duplicates_total", "cause"), {"producer": 8, "replay": processed, "redelivery": dead})
        self.assertEqual(metrics.sum("deja_records_total", disposition="processed"), processed)
        self.assertEqual(metrics.sum("deja_records_total", disposition="dead") + metrics.sum("deja_records_total", disposition="conflict"), dead)
        self.no_alarm(program)
        self.send(records(100, 3))
        self.await_consumed(program)
        self.assertEqual(len(self.effects_by_offset()), processed + 3)
        self.drain(program)
        self.assertEqual([(row["action"], row["reason"]) for row in self.audit()], [("lanes reset", "rehearsal")])
        self.assertEqual(self.cluster.committed(self.group, self.records, 0)[0], 39)

    def test_a_stopped_group_starts_where_it_was_moved_to(self):
        program = self.start(self.probe_settings)
        self.await_consumed(program)
        self.drain(program)
        before = self.dispositions()
        _, words = self.deja("reset", "--topic", self.records, "--partition", "0", "--shift-by", "-20", "--reason", "r", "--yes", "--expect", "20")
        self.assertIn("is not running", words)
        self.assertEqual(self.cluster.committed(self.group, self.records, 0), (16, "deja/reset"))
        program = self.start(self.probe_settings)
        self.await_consumed(program)
        self.no_alarm(program)
        self.drain(program)
        self.assertEqual(self.dispositions(), before)

    def test_at_a_terminal_the_number_is_asked_for(self):
        program = self.start(self.probe_settings)
        self.await_consumed(program)
        self.drain(program)
        for typed, code, to in ((b"35\n", 64, 36), (b"36\n", 0, 0)):
            master, slave = pty.openpty()
            os.write(master, typed)
            done = subprocess.run([os.path.join(sandbox.BIN, "deja"), "lanes", "reset", "--topic", self.records, "--partition", "0", "--to-earliest",
                                   "--reason", "r", "--group", self.group], stdin=slave, stdout=subprocess.DEVNULL, stderr=slave,
                                  env=self.environment, cwd=self.folder, timeout=60)
            asked = os.read(master, 10000).decode()
            os.close(master)
            os.close(slave)
            self.assertEqual(done.returncode, code, asked)
            self.assertIn("(36)?", asked)
            self.assertEqual(self.lane()["next_offset"], to)


class WhenTheLogLostRecords(LanesTest):
    def await_stop(self, program):
        return wait_until(lambda: (self.lane()["paused_cause"] or "").startswith("log lost") and self.lane(), 60, "the partition to stop", program, every=0.2)

    def accept(self, *words):
        return self.deja("accept-loss", "--topic", self.records, "--partition", "0", "--reason", "nobody needs them", "--yes", *words)

    def test_retention_took_them_and_the_program_goes_on_when_that_is_accepted(self):
        self.send(records(0, 20))
        program = self.start(self.probe_settings)
        self.await_consumed(program)
        self.deja("accept-loss", "--topic", self.records, "--partition", "0", "--reason", "r", "--yes", code=65)
        self.drain(program)
        self.send(records(20, 60))
        self.cluster.delete_records(self.records, 0, 50)

        program = self.start(self.probe_settings)
        stopped = self.await_stop(program)
        self.assertEqual(stopped["next_offset"], 20)
        self.send(records(200, 300), partition=1)  # the other partition is in the middle of its work
        rows, words = self.accept()
        self.assertEqual((rows[0]["from"], rows[0]["to"], rows[0]["lost_from"], rows[0]["lost_until"]), (20, 50, 20, 50))
        self.assertIn("is running", words)
        self.await_consumed(program)
        self.assertEqual(self.effects_by_offset(), list(range(20)) + list(range(50, 80)))
        self.assertEqual(self.effects_by_offset(1), list(range(300)))
        self.assertIsNone(self.lane()["paused_cause"])
        wait_until(lambda: self.scrape().sum("deja_lanes_paused") == 0, 30, "the gauge to follow", program)
        self.no_alarm(program)
        self.deja("accept-loss", "--topic", self.records, "--partition", "0", "--reason", "r", "--yes", code=65)
        self.drain(program)
        self.assertEqual([(row["action"], row["reason"], row["detail"]["lanes"][0]["lost_until"]) for row in self.audit()],
                         [("lanes accept-loss", "nobody needs them", 50)])

    def test_a_stopped_group_goes_on_after_it_at_its_next_start(self):
        self.send(records(0, 20))
        program = self.start(self.probe_settings)
        self.await_consumed(program)
        self.drain(program)
        self.send(records(20, 20))
        self.cluster.delete_records(self.records, 0, 30)
        _, words = self.accept()
        self.assertIn("is not running", words)
        self.assertEqual(self.cluster.committed(self.group, self.records, 0), (30, "deja/reset"))
        program = self.start(self.probe_settings)
        self.await_consumed(program)
        self.assertEqual(self.effects_by_offset(), list(range(20)) + list(range(30, 40)))

    def test_the_topic_was_made_again_under_a_running_program(self):
        self.send(records(0, 30, lambda number: "reject" if number == 2 else "ok"))
        program = self.start(self.probe_settings)
        self.await_consumed(program)
        incarnation = self.database.value("select incarnation from deja.lanes where partition = 0")
        self.cluster.delete_topic(self.records)
        self.cluster.create_topic(self.records, 2)
        self.send(records(100, 5, lambda number: "reject" if number == 102 else "ok"))
        stopped = self.await_stop(program)
        self.assertEqual(stopped["next_offset"], 30)
        rows, words = self.accept()
        self.assertEqual((rows[0]["from"], rows[0]["to"], rows[0]["lost_from"], rows[0]["lost_until"]), (30, 0, 30, None))
        self.assertIn("cannot say how much", words)
        self.await_consumed(program)
        self.assertEqual(sorted(row["id"] for row in self.database.rows("select id from probe_effects where seq >= 100")), ["r100", "r101", "r103", "r104"])
        self.assertEqual(self.database.value(f"select count(*) from deja.dead_letters where \"offset\" = 2 and group_id = '{self.group}'"), 2,
                         "one of each log")
        self.assertNotEqual(self.database.value("select incarnation from deja.lanes where partition = 0"), incarnation)
        self.no_alarm(program)
        self.drain(program)


if __name__ == "__main__":
    sandbox.main()
