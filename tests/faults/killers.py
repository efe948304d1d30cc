"""D2, D5, R3: a record that takes the process down, or its session, or never lets its handler return. It is found, and its neighbours have their effect once."""

from fault_sandbox import FaultTest, main, record, wait_until

MAX_STARTS = 2


class KillerTest(FaultTest):
    # A restarted member is back at once; else the group waits for the dead one's session to end.
    SETTINGS = {"crash.max.starts": MAX_STARTS, "kafka.consumer.group.instance.id": "one", "batch.max.records": 50}

    def is_done(self):
        return self.next_offsets() == self.cluster.end_offsets(self.records)

    def restart_until_done(self, limit, more=None, log="start"):
        """As a supervisor would. Returns the exit codes of the processes that ended by themselves, and the last process."""
        codes = []
        for number in range(limit + 1):
            program = self.start(self.SETTINGS | (more or {}), log=f"{log}{number}")
            wait_until(lambda: not program.alive() or self.is_done(), 60, "the end of the log, or of the process")
            if program.alive():
                return codes, program
            codes.append(program.process.returncode)
        self.fail(f"the process ended {len(codes)} times: {codes}\n{program.log_end()}")

    def send_with(self, *killers):
        """Each among others of its own and of other record keys, in partition 0; partition 1 has none."""
        records = [record(f"before{n}", key=b"k%d" % (n % 3)) for n in range(20)]
        for number, do in enumerate(killers):
            records += [record(f"killer{number}", do, number, b"k1")]
            records += [record(f"after{number}-{n}", key=b"k%d" % (n % 3)) for n in range(20)]
        self.cluster.produce(self.records, 0, records)
        self.cluster.produce(self.records, 1, [record(f"other{n}", key=b"o%d" % (n % 3)) for n in range(40)])
        return 40 + len(records)

    def expect_dead(self, count, sent):
        letters = self.database.rows(f"select cause, stage, value, error from deja.dead_letters where group_id = '{self.group}' order by \"offset\"")
        self.assertEqual([row["cause"] for row in letters], ["killed_process"] * count)
        outcomes, _, _ = self.check(self.records, letters=count)
        self.assertEqual(outcomes, {"processed": sent - count, "killed_process": count})
        return letters


class WhenARecordEndsItsSession(FaultTest):
    MORE = {"crash.max.starts": 2, "retry.max.attempts": 2}

    def poison(self, identity):
        """The server ends the session that writes this effect, and stays up."""
        self.database.run("create function end_session() returns trigger language plpgsql as "
                          "$$ begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1); return new; end $$; "
                          f"create trigger poison before insert on probe_effects for each row when (new.id = '{identity}') execute function end_session()")

    def is_dead(self, program, identity, others):
        """The oracle knows records by what they ask for, and this one asks for nothing."""
        self.await_done([self.records], program)
        self.drain(program)
        letters = self.database.rows("select cause, \"offset\" as at, error from deja.dead_letters")
        self.assertEqual([row["cause"] for row in letters], ["killed_connection"])
        self.assertIn("crash.max.starts", letters[0]["error"])
        self.assertEqual(self.database.value(f"select convert_from(value, 'UTF8')::json->>'id' from deja.dead_letters"), identity)
        self.assertEqual([row["id"] for row in self.database.rows("select id from probe_effects order by id")], sorted(others))

    def test_R3_a_record_that_ends_its_session_is_found(self):
        self.poison("r10")
        self.cluster.produce(self.records, 0, [record(f"r{n}", key=b"k%d" % n) for n in range(30)])
        self.cluster.produce(self.records, 1, [record(f"s{n}", key=b"s%d" % n) for n in range(30)])
        self.is_dead(self.start(self.MORE), "r10", [f"{word}{n}" for word in "rs" for n in range(30) if (word, n) != ("r", 10)])

    def test_R3_a_parked_record_that_ends_its_session_is_found(self):
        self.poison("r1")
        self.cluster.produce(self.records, 0, [record(f"r{n}", "throw:1" if n == 0 else "ok", key=b"k%d" % (n // 5)) for n in range(30)])
        self.is_dead(self.start(self.MORE), "r1", [f"r{n}" for n in range(30) if n != 1])

    def test_R3_ended_sessions_are_no_records_doing(self):
        self.send(400, do="slow-sql:20", keys=400, partition=0)
        program = self.start(self.MORE | {"batch.max.records": 5})
        for _ in range(8):
            self.await_in_batch(program)
            self.end_backends()
            self.await_consumed(self.consumed(), program)
        self.assertEqual(self.finish(program)[0], {"processed": 400})


class WhenARecordKillsTheProcess(KillerTest):
    def is_found(self, do):
        sent = self.send_with(do)
        codes, program = self.restart_until_done(limit=1 + MAX_STARTS)
        self.drain(program)
        self.assertEqual(len(codes), 1 + MAX_STARTS, f"once in a batch, and then alone: {codes}")
        letters = self.expect_dead(1, sent)
        self.assertIn("crash.max.starts", letters[0]["error"])

    def test_D2_R1_an_abort(self):
        self.is_found("abort")

    def test_D2_R1_a_segmentation_fault(self):
        self.is_found("segv")

    def test_D2_R1_an_exit(self):
        self.is_found("exit")

    def test_D2_R1_one_that_is_far_ahead_of_its_lane_in_the_log(self):
        """All before it are another lane's, so that its own stands at the beginning."""
        records = [record(f"before{n}", key=b"k0") for n in range(100)] + [record("killer", "abort", 0, b"k5")] + [record(f"after{n}", key=b"k2") for n in range(20)]
        self.cluster.produce(self.records, 0, records)
        sent = len(records)
        codes, program = self.restart_until_done(limit=1 + MAX_STARTS, more={"lanes.per.partition": 4, "batch.max.records": 2})
        self.drain(program)
        self.assertEqual(len(codes), 1 + MAX_STARTS, f"once in a batch, and then alone: {codes}")
        self.expect_dead(1, sent)

    def test_D2_R1_two_of_them_are_found_one_after_the_other(self):
        sent = self.send_with("abort", "segv")
        codes, program = self.restart_until_done(limit=2 * (1 + MAX_STARTS))
        self.drain(program)
        self.assertLessEqual(len(codes), 1 + 2 * MAX_STARTS, f"both are suspects after the first death: {codes}")
        self.expect_dead(2, sent)

    def test_D2_R1_who_takes_the_partition_over_goes_on_counting(self):
        sent = self.send_with("abort")
        codes = []
        for number in range(1 + MAX_STARTS):
            program = self.start(self.SETTINGS | {"kafka.consumer.group.instance.id": f"process-{number}"}, log=f"process{number}")
            codes.append(program.process.wait(90))
        self.assertEqual(len(set(codes) - {0}), 1, codes)
        _, program = self.restart_until_done(limit=0, log="last")
        self.drain(program)
        self.expect_dead(1, sent)

    def test_D2_R1_a_start_that_was_no_death_is_taken_back(self):
        """Its dependency is away while it is a suspect: processes that end then say nothing about it."""
        self.database.run("insert into probe_switches values ('down', true) on conflict (name) do update set value = true")
        self.cluster.produce(self.records, 0, [record("waits", "unavailable")])
        for number in range(MAX_STARTS + 2):
            program = self.start(self.SETTINGS, log=f"start{number}")
            wait_until(lambda: self.database.value("select coalesce(max(paused_cause), '') like 'probe is unavailable%' from deja.lanes"),
                       60, "the shown pause", program)
            program.kill()
        self.database.run("update probe_switches set value = false")
        codes, program = self.restart_until_done(limit=0, log="last")
        self.drain(program)
        self.assertEqual((codes, self.letters(), self.effects()), ([], 0, 1))


class WhenAHandlerHangs(KillerTest):
    HANG = {"handler.timeout.ms": 3000, "drain.timeout.ms": 1500}

    def test_D5_the_watchdog_names_it_and_the_lane_goes_on(self):
        sent = self.send_with("hang")
        codes, program = self.restart_until_done(limit=1 + MAX_STARTS, more=self.HANG)
        self.drain(program)
        self.assertEqual(codes, [70] * (1 + MAX_STARTS))
        with open(program.log.replace(f"start{len(codes)}", "start0"), errors="replace") as log:
            self.assertIn("handler probe hangs", log.read().splitlines()[-1], "the last line on stderr names the cause")
        self.expect_dead(1, sent)

if __name__ == "__main__":
    main()
