"""A2 to A5: the process is stopped, killed, frozen, or has a double."""

import random
import signal
import time

import progress
from fault_sandbox import LONG, SEED, FaultTest, free_port, longer, main, scrape, wait_until
from programs import http_get, http_ok


class WhenTheProcessIsStopped(FaultTest):
    def test_A2_sigterm_in_mid_batch_commits_the_batch_or_nothing_of_it(self):
        self.send(300, do="sleep:5", partition=0)
        program = self.start()
        self.await_in_batch(program)
        self.assertEqual(program.terminate(40), 0, program.log_end())
        self.assert_no_half_batch()
        self.assertEqual(progress.unpublished(self.database, self.group), 0, "a drained program leaves no event unpublished")
        self.send(100)
        program = self.start(log="again")
        _, _, repeats = self.finish(program)
        self.assertEqual(repeats, 0)

    def test_A2_sigkill_during_the_drain_leaves_no_half_batch(self):
        gate = self.gate()
        self.send(300, do=lambda n: "unavailable" if n == 299 else "ok", partition=0)
        program = self.start()
        self.await_in_batch(program)
        program.signal(signal.SIGTERM)
        wait_until(self.is_draining, 20, "the drain", program, every=0.01)
        program.kill()
        self.assert_no_half_batch()
        self.assertLess(self.consumed(), 300, "a batch was under way")
        gate.close()
        program = self.start(log="again")
        self.finish(program)

    def is_draining(self):
        try:
            return "draining" in http_get(self.port, "/status")
        except OSError:
            return False

    def test_A2_a_second_sigterm_ends_at_once(self):
        self.send(1, do="sleep:60000", partition=0)
        self.send(50, partition=1)
        program = self.start({"handler.timeout.ms": 120_000})
        self.await_in_batch(program)
        program.signal(signal.SIGTERM)
        wait_until(self.is_draining, 20, "the drain", program)
        begun = time.monotonic()
        program.signal(signal.SIGTERM)
        self.assertEqual(program.process.wait(30), 128 + signal.SIGTERM, program.log_end())
        self.assertLess(time.monotonic() - begun, 20, "it does not wait for the handler")
        self.assert_no_half_batch()

    def test_A2_a_drain_that_takes_too_long_is_cut_short(self):
        gate = self.gate()
        self.send(1, do="unavailable", partition=0)
        program = self.start({"drain.timeout.ms": 300})
        self.await_in_batch(program)
        self.assertEqual(program.terminate(30), 0, "it does not wait for the handler")
        self.assertIn("drain.timeout.ms", program.log_text())
        self.assertEqual(self.effects(), 0)
        gate.close()
        program = self.start(log="again")
        self.finish(program)

    @longer
    def test_A3_a_restart_every_300_ms_makes_progress(self):
        dice, rounds = random.Random(SEED), 400 if LONG else 12
        settings = {"kafka.consumer.group.instance.id": f"one-{self.tag}", "batch.max.records": 20, "drain.timeout.ms": 2000}
        kills = number = 0
        # However slow the machine: what is promised is progress, not how much of it.
        while number < rounds or (self.consumed() == 0 and number < 20 * rounds):
            number += 1
            self.send(60, do="sleep:1")
            program = self.start(settings, log=f"run-{number % 5}")
            # 300 ms of life, however long this machine takes to give birth.
            wait_until(lambda: http_ok(self.port, "/health/live"), 60, "its start", program, every=0.01)
            time.sleep(dice.uniform(0.2, 0.4))  # the fault itself, not to await something
            if dice.random() < 0.5:
                program.kill()
                kills += 1
            else:
                self.assertEqual(program.terminate(), 0, program.log_end())
        consumed = self.consumed()
        self.assertGreater(consumed, 0, "progress in spite of all")
        print(f"A3: {number} restarts, {kills} of them kills; {consumed} of {self.count} records consumed meanwhile")
        self.send(60)
        self.finish(self.start(settings, log="last"))


class WhenTheProcessIsFrozen(FaultTest):
    def freeze(self, mid_batch):
        """One member is stopped past its session, another takes over and goes on; then it wakes up with records in hand."""
        settings = {"batch.max.records": 20, "handler.timeout.ms": 1000}
        other_port = free_port()
        self.send_mixed(6000)
        frozen = self.start(settings, name="frozen")
        self.await_consumed(0, frozen)
        self.stop_when(frozen, mid_batch)
        try:
            other = self.start(settings, name="other", port=other_port)
            self.await_done([self.records], other, seconds=90)
        finally:
            frozen.signal(signal.SIGCONT)
        wait_until(lambda: scrape(self.port).sum("deja_lanes_owned") == 1 and scrape(other_port).sum("deja_lanes_owned") == 1, 60,
                   "the woken one back in the group: a lane each", frozen, other)
        self.send(500)
        _, _, repeats = self.finish(frozen, other)
        print(f"A4: {repeats} events published twice under one id")

    def send_mixed(self, count):
        self.send(count, do=lambda n: "emit:3" if n % 10 else "sleep:5")

    def stop_when(self, program, mid_batch):
        """Stops the program in, or between, two of its batches; there are always records left for it to have in hand."""
        def stopped():
            if self.count - self.consumed() < 2000:
                self.send_mixed(2000)
            program.signal(signal.SIGSTOP)
            self.await_still()
            if (self.in_batch() if mid_batch else not self.in_transaction()) and self.consumed() < self.count:
                return True
            program.signal(signal.SIGCONT)
            return False
        wait_until(stopped, 120, "a moment in a batch" if mid_batch else "a moment between batches", program, every=0.003)

    def test_A4_E1_a_zombie_stopped_past_its_session_commits_nothing_and_rejoins(self):
        self.freeze(mid_batch=False)

    def test_A4_a_zombie_with_an_open_transaction_does_not_hold_its_lane_for_ever(self):
        self.freeze(mid_batch=True)

    def test_A4_a_static_member_that_wakes_up_comes_back_or_ends_and_says_why(self):
        names = {name: {"kafka.consumer.group.instance.id": f"{name}-{self.tag}", "handler.timeout.ms": 1000} for name in ("frozen", "other")}
        other_port = free_port()
        self.send_mixed(6000)
        frozen = self.start(names["frozen"], name="frozen")
        self.await_consumed(0, frozen)
        self.stop_when(frozen, mid_batch=True)
        try:
            other = self.start(names["other"], name="other", port=other_port)
            self.await_done([self.records], other, seconds=90)
        finally:
            frozen.signal(signal.SIGCONT)

        def back():
            try:
                return scrape(self.port).sum("deja_lanes_owned") == 1
            except OSError:
                return False
        # Kafka forgot the instance's member when its session ended, and may take its next join for another process's.
        wait_until(lambda: not frozen.alive() or back(), 60, "it to come back, or to end", other)
        if not frozen.alive():
            self.assertEqual(frozen.process.returncode, 78, frozen.log_end())
            self.assertIn("FENCED_INSTANCE_ID", frozen.log_text().splitlines()[-1])
            frozen = self.start(names["frozen"], name="again")
        self.send(500)
        self.finish(frozen, other)

    def test_A4_a_handler_in_which_the_process_stood_still_was_not_too_slow(self):
        self.send(1, do="sleep:1500")
        program = self.start({"handler.timeout.ms": 2500, "kafka.consumer.session.timeout.ms": 45000})  # it stays a member
        self.await_in_batch(program)
        program.signal(signal.SIGSTOP)
        try:
            wait_until(lambda: not self.in_transaction(), 60, "Postgres to end the session of a process that says nothing")
        finally:
            program.signal(signal.SIGCONT)
        outcomes, _, _ = self.finish(program)
        self.assertEqual(outcomes, {"processed": 1})


class WhenTheOwnerIsLostInMidPublish(FaultTest):
    def test_E1_its_successor_publishes_the_rest_in_order_and_repeats_under_the_same_ids(self):
        settings = {"kafka.consumer.group.instance.id": f"one-{self.tag}", "batch.max.records": 50}
        self.send(1500, do="emit:20")
        repeated = 0
        for number in range(3):
            program = self.start(settings, log=f"run-{number}")
            wait_until(lambda: self.stopped_in_mid_publish(program, repeated), 60, "some events in Kafka and some on their way", program, every=0.005)
            program.kill()
            repeated = self.unmarked()
        _, _, repeats = self.finish(self.start(settings, log="last"))
        print(f"E1: {repeats} of 30000 events published twice under one id")
        self.assertGreater(repeats, 0, "what was published and not yet marked so is published again")

    def stopped_in_mid_publish(self, program, repeated):
        """Stopped, with events in Kafka that are not marked so, beyond those which earlier rounds have repeated, and with others to come."""
        def found():
            return self.unmarked() > repeated and progress.unpublished(self.database, self.group) > 100
        if not found():
            return False
        program.signal(signal.SIGSTOP)
        self.await_still()  # what Postgres has been told is done
        if found():
            return True
        program.signal(signal.SIGCONT)
        return False

    def unmarked(self):
        """Records of the event topic beyond the events that the database knows to be there."""
        marked = self.database.value(f"select coalesce(sum(published_seq), 0)::bigint from deja.lanes where group_id = '{self.group}'")
        return sum(self.cluster.end_offsets(self.events).values()) - marked


class WhenAStaticMemberHasADouble(FaultTest):
    def test_A5_one_of_the_two_is_fenced_and_says_so(self):
        settings = {"kafka.consumer.group.instance.id": f"one-{self.tag}"}
        self.send(500, do="sleep:1")
        first = self.start(settings, name="first")
        self.await_consumed(0, first)
        port = free_port()
        second = self.start(settings, name="second", port=port)
        wait_until(lambda: not first.alive() or not second.alive(), 60, "one of them to end")
        loser, winner = (first, second) if not first.alive() else (second, first)
        self.assertEqual(loser.process.returncode, 78, loser.log_end())
        last = loser.log_text().splitlines()[-1]
        self.assertIn("instance", last.lower())
        self.assertIn("FENCED", last.upper())
        self.send(200)
        self.finish(winner)


if __name__ == "__main__":
    main()
