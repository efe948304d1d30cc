"""B1, B3 to B7, B10: the group and the log change under the program."""

import json
import random
import time

from fault_sandbox import LONG, SEED, FaultTest, free_port, longer, main, record, scrape, wait_until
from kafka_admin import TransactionalProducer, add_partitions, commit_offsets, committed_offsets, delete_offsets, delete_records
from programs import http_get


LOST = "the log lost records; the partition stops"


class WhenMembersComeAndGo(FaultTest):
    partitions = 4

    def churn(self, strategy):
        dice, rounds = random.Random(SEED), 60 if LONG else 5
        settings = {"kafka.consumer.partition.assignment.strategy": strategy, "batch.max.records": 50}
        self.send(200)
        steady = self.start(settings, name="steady")
        self.await_consumed(0, steady)
        port = free_port()
        for number in range(rounds):
            before = self.consumed()
            self.send(100)
            guest = self.start(settings, name="guest", port=port, log=f"guest-{number}")
            self.await_log(guest, "running")
            self.send(200)
            time.sleep(dice.uniform(0.3, 1.0))  # the fault itself, not to await something
            if dice.random() < 0.2:
                guest.kill()
            elif guest.terminate() != 0:
                # librdkafka before 2.3 fails an assertion when it closes a cooperative consumer that never had an assignment.
                self.assertIn("assignor_state' failed", guest.log_text())
            self.await_consumed(before, steady)
        self.await_done([self.records], steady)
        metrics = scrape(self.port)
        self.drain(steady)
        outcomes, _, _ = self.check()
        self.assertEqual(outcomes, {"processed": self.count})
        self.assertEqual(metrics.sum("deja_duplicates_total", cause="producer"), 0, "repeats are caught by their offset, not by their key")
        self.assertGreater(metrics.sum("deja_rebalances_total"), self.partitions, "partitions went to and fro")

    @longer
    def test_B1_a_member_comes_or_goes_every_second_with_range(self):
        self.churn("range")

    @longer
    def test_B1_a_member_comes_or_goes_every_second_with_cooperative_sticky(self):
        self.churn("cooperative-sticky")


class WhenAHandlerIsSlow(FaultTest):
    def test_B2_polling_goes_on_and_nobody_is_evicted(self):
        """librdkafka would leave the group by itself after max.poll.interval.ms without a poll."""
        self.cluster.produce(self.records, 0, [record("slow", "sleep:14000"), record("behind", "ok", 1)])
        program = self.start({"kafka.consumer.max.poll.interval.ms": 6000})
        self.await_in_batch(program)
        rebalances = scrape(self.port).sum("deja_rebalances_total")
        owners = self.owners()
        self.cluster.produce(self.records, 1, [record("other", "ok", 2, b"o")])
        self.await_effects(1, program)
        self.assertEqual(self.made(), ["other"])
        self.await_effects(3, program)
        self.assertEqual((self.owners(), scrape(self.port).sum("deja_rebalances_total")), (owners, rebalances))
        self.cluster.produce(self.records, 0, [record("later", "ok", 3)])
        outcomes, _, _ = self.finish(program)
        self.assertEqual(outcomes, {"processed": 4})
        self.assertNotIn("max.poll", program.log_text())

    def made(self):
        return [row["id"] for row in self.database.rows("select id from probe_effects order by n")]

    def owners(self):
        return self.database.rows(f"select topic, partition, owner_token from deja.lanes where group_id = '{self.group}' order by 1, 2")


class WhenALaneIsTakenAway(FaultTest):
    def test_B3_what_is_delivered_for_a_lane_that_is_not_owned_any_more_is_dropped_and_counted(self):
        """Kafka still hands out the records: somebody else has taken the row, as a new owner does whom Kafka chose meanwhile."""
        self.send(500)
        program = self.start()
        self.await_consumed(0, program)

        def stale():
            self.database.run(f"update deja.lanes set owner_token = gen_random_uuid(), owner_epoch = owner_epoch + 1 where group_id = '{self.group}'")
            for _ in range(10):
                self.send(20)
            return scrape(self.port).sum("deja_stale_deliveries_total") > 0
        wait_until(stale, 60, "a stale delivery", program)
        self.await_metric("deja_fenced_total", 2, program)
        self.finish(program)


class WhenTopicsChange(FaultTest):
    QUICK = {"kafka.consumer.topic.metadata.refresh.interval.ms": 300}

    def test_B4_partitions_added_at_run_time_are_read_from_their_beginning(self):
        self.send(200)
        program = self.start(self.QUICK)
        self.await_done([self.records], program)
        before = self.database.rows(f"select partition, incarnation, next_event_seq from deja.lanes where group_id = '{self.group}' order by 1")
        add_partitions(self.cluster, self.records, 4)
        self.send(50, partition=2, prefix="new2-")
        self.send(50, partition=3, prefix="new3-")
        outcomes, _, repeats = self.finish(program)
        self.assertEqual((outcomes["processed"], repeats), (300, 0))
        after = self.database.rows(f"select partition, incarnation, next_event_seq from deja.lanes where group_id = '{self.group}' order by 1")
        self.assertEqual(after[:2], before, "rows of other partitions are as they were")

    def test_B4_the_topics_of_the_group_change_and_rows_of_others_stay_untouched(self):
        second, third = self.topic("second", 1), self.topic("third", 1)
        self.send(100)
        self.send(100, topic=second)
        program = self.start(topics=[self.records, second])
        self.await_done([self.records, second], program)
        self.drain(program)
        row = f"select * from deja.lanes where group_id = '{self.group}' and topic = '{self.records}' order by id"
        before = self.database.rows(row)
        self.send(100, topic=third)
        self.send(50, prefix="meanwhile-")
        program = self.start(topics=[second, third], log="without-the-first")
        self.await_done([second, third], program)
        self.drain(program)
        self.assertEqual(self.database.rows(row), before)
        program = self.start(topics=[self.records, third], log="with-it-again")
        self.await_done([self.records, third], program)
        self.drain(program)
        self.check(self.records, second, third)


class WhenTheLogLosesRecords(FaultTest):
    def await_loss(self, program, partition, wanted, low, high=None):
        self.await_log(program, LOST)
        self.await_metric("deja_lanes_paused", 1, program, topic=self.records, cause="log lost")
        lines = [line for line in program.log_text().splitlines() if LOST in line and f"partition={partition}" in line]
        for words in (f"wanted_offset={wanted}", f"log_start={low}", *([f"log_end={high}"] if high is not None else [])):
            self.assertTrue(any(words in line for line in lines), (words, lines))

    def await_partition(self, partition, offset, program):
        wait_until(lambda: self.next_offsets().get(partition) == offset, 60, f"partition {partition} at {offset}", program)

    def test_B5_retention_removed_the_wanted_offset(self):
        self.send(100, partition=0)
        self.send(100, partition=1)
        program = self.start()
        self.await_done([self.records], program)
        self.drain(program)
        self.send(100, partition=0)
        self.send(100, partition=1)
        delete_records(self.cluster, self.records, 0, 150)
        program = self.start(log="again")
        self.await_loss(program, 0, wanted=100, low=150, high=200)
        self.await_partition(1, 200, program)
        self.send(50, partition=1)
        self.await_partition(1, 250, program)
        self.assertEqual(self.next_offsets()[0], 100, "nothing is skipped silently")
        self.assertEqual(self.effects(), 350)
        self.drain(program)
        # It stays so over a restart.
        program = self.start(log="third")
        self.await_loss(program, 0, wanted=100, low=150, high=200)
        self.assertEqual(self.next_offsets()[0], 100)
        self.drain(program)

    def test_B5_L6_retention_took_the_witness_and_all_before_it_but_nothing_that_was_wanted(self):
        self.send(100)
        program = self.start()
        self.await_done([self.records], program)
        self.drain(program)
        for partition, end in self.next_offsets().items():
            delete_records(self.cluster, self.records, partition, end)
        program = self.start(log="again")
        self.await_ready(self.port, program)
        self.send(100)
        self.await_done([self.records], program)
        self.drain(program)
        self.assertEqual(self.effects(), 200)
        self.assertNotIn(LOST, program.log_text())
        self.assertNotIn("cannot seek", program.log_text())

    def recreate_shorter(self, while_running):
        other = self.topic("other", 1)
        self.send(100, partition=0)
        self.send(20, topic=other)
        program = self.start({"kafka.consumer.topic.metadata.refresh.interval.ms": 300}, topics=[self.records, other])
        self.await_done([self.records, other], program)
        if not while_running:
            self.drain(program)
        self.cluster.delete_topic(self.records)
        self.cluster.create_topic(self.records, 2)
        self.send(30, partition=0, prefix="of-the-new-log-")
        if not while_running:
            program = self.start(topics=[self.records, other], log="again")
        self.await_loss(program, 0, wanted=100, low=0, high=None if while_running else 30)
        self.send(20, topic=other)
        wait_until(lambda: self.next_offsets(other).get(0) == 40, 60, "the other topic to go on", program)
        self.assertEqual(self.next_offsets()[0], 100)
        self.assertEqual(self.effects(), 140)
        self.drain(program)

    def test_B5_the_topic_was_deleted_and_is_there_again_shorter(self):
        self.recreate_shorter(while_running=False)

    def test_B5_the_topic_is_deleted_and_made_again_shorter_under_a_running_consumer(self):
        self.recreate_shorter(while_running=True)

    def test_B5_L6_the_topic_was_made_again_and_has_grown_past_the_wanted_offset(self):
        self.send(100, partition=0)
        program = self.start()
        self.await_done([self.records], program)
        self.drain(program)
        self.cluster.delete_topic(self.records)
        self.cluster.create_topic(self.records, 2)
        self.send(300, partition=0, prefix="of-the-new-log-")
        self.send(50, partition=1)
        program = self.start(log="again")
        self.await_partition(1, 50, program)
        self.await_metric("deja_lanes_paused", 1, program, topic=self.records, seconds=10)
        self.assertEqual(self.next_offsets()[0], 100, "nothing of another log is read as if it followed")
        self.drain(program)


class WhenAStopMeetsARebalance(FaultTest):
    partitions = 6

    def draining(self):
        return sum(lane["state"] == "draining" for lane in json.loads(http_get(self.port, "/status"))["lanes"])

    def test_B1_L7_a_stop_while_partitions_are_being_given_up_passes_over_nothing(self):
        """With one connection one lane works and the others wait for it, their records in memory: those that are asked to close twice too."""
        more = {"kafka.consumer.partition.assignment.strategy": "cooperative-sticky", "postgres.connections": 1, "batch.max.records": 1}
        for partition in range(self.partitions):
            self.send(3, do="sleep:700", partition=partition)
        first = self.start(more)
        wait_until(lambda: len(self.next_offsets()) == self.partitions and self.consumed() >= 2, 60, "all lanes and a first effect", first)
        second = self.start(more | {"postgres.connections": 3}, name="second", port=free_port())
        wait_until(self.draining, 60, "lanes to be given up", first, second, every=0.005)
        self.assertEqual(first.terminate(), 0, first.log_end())
        self.finish(second)


class WhenKafkasOffsetsChange(FaultTest):
    def test_B6_the_committed_offsets_were_deleted_and_the_database_decides(self):
        self.send(300)
        program = self.start()
        self.await_done([self.records], program)
        self.drain(program)
        self.assertEqual({p: o for p, (o, _) in committed_offsets(self.cluster, self.group, self.records).items()}, self.next_offsets())
        delete_offsets(self.cluster, self.group, self.records)
        self.assertEqual(committed_offsets(self.cluster, self.group, self.records), {})
        self.send(100)
        program = self.start(log="again")
        self.await_done([self.records], program)
        metrics = self.scrape()
        self.drain(program)
        self.check()
        self.assertEqual(metrics.sum("deja_records_total"), 100, "nothing was read again")

    def test_B6_committed_offsets_that_were_set_back_change_nothing(self):
        self.send(300)
        program = self.start()
        self.await_done([self.records], program)
        self.drain(program)
        commit_offsets(self.cluster, self.group, {(self.records, 0): 0, (self.records, 1): 1})
        self.send(100)
        program = self.start(log="again")
        self.await_done([self.records], program)
        metrics = self.scrape()
        self.drain(program)
        self.check()
        self.assertEqual(metrics.sum("deja_records_total"), 100)

    def test_B10_a_group_that_moves_to_deja_starts_at_its_committed_offsets_once(self):
        self.send(100, partition=0, prefix="by-the-old-consumer-")
        self.send(100, partition=1, prefix="by-the-old-consumer-")
        commit_offsets(self.cluster, self.group, {(self.records, 0): 60, (self.records, 1): 100}, metadata="the old consumer")
        self.send(50, partition=0)
        self.send(50, partition=1)
        program = self.start()
        self.await_done([self.records], program)
        self.drain(program)
        places = self.database.rows('select partition, "offset" from probe_effects order by 1, 2')
        wanted = [{"partition": 0, "offset": n} for n in range(60, 150)] + [{"partition": 1, "offset": n} for n in range(100, 150)]
        self.assertEqual(places, wanted)
        # Once: from now on the database decides.
        commit_offsets(self.cluster, self.group, {(self.records, 0): 10, (self.records, 1): 10}, metadata="the old consumer")
        self.send(20)
        program = self.start(log="again")
        self.await_done([self.records], program)
        self.drain(program)
        self.assertEqual(self.effects(), len(wanted) + 20)

    def test_L9_a_foreign_consumer_that_is_ahead_ends_the_program_and_both_ways_on_work(self):
        self.send(100, partition=0)
        program = self.start()
        self.await_done([self.records], program)
        self.drain(program)
        for leave_to_it in (False, True):
            before = self.effects()
            self.send(40, partition=0)
            end = self.cluster.offset(self.records, 0)
            commit_offsets(self.cluster, self.group, {(self.records, 0): end}, metadata="somebody else")
            stopped = self.start(log=f"stopped-{leave_to_it}")
            self.assertEqual(stopped.process.wait(60), 78, stopped.log_end())
            told = stopped.log_end(1)
            self.assertIn(f"another consumer committed offset {end} of {self.records}/0 in group {self.group}, ahead of deja's {end - 40}", told)
            target = end if leave_to_it else end - 40
            self.assertIn(f"--to-offset {target}", told)
            self.must("lanes", "reset", "--group", self.group, "--topic", self.records, "--partition", "0", "--to-offset", str(target),
                      "--reason", "the other consumer is stopped", "--yes", *(("--expect", "40") if leave_to_it else ()), program="deja")
            program = self.start(log=f"goes-on-{leave_to_it}")
            self.await_ready(self.port, program)
            self.await_done([self.records], program)
            self.drain(program)
            self.assertEqual(self.effects(), before + (0 if leave_to_it else 40))


class WhenTheLogHasGaps(FaultTest):
    def test_B7_transaction_markers_and_aborted_records(self):
        producer = TransactionalProducer(self.cluster, f"outside-{self.tag}")
        wanted = 0
        for number in range(20):
            aborted = number % 2 == 1
            for partition in (0, 1):
                batch = [record(f"t{number}-{partition}-{n}", "ok", n, b"k%d" % n) for n in range(5)]
                if aborted:  # the same keys as the committed ones of the next round, with another value: none of it may be applied
                    batch = [record(f"aborted-{number}-{n}", "ok", n, b"k%d" % n, f"t{number + 1}-{partition}-{n}") for n in range(5)]
                producer.produce(self.records, partition, batch)
            producer.end(commit=not aborted)
            wanted += 0 if aborted else 10
        self.send(10, prefix="plain-")  # no transaction's
        program = self.start()
        self.await_effects(wanted + 10, program)
        # The same over a restart in the middle of such a log, whose end is a marker.
        self.drain(program)
        for number in range(3):
            producer.produce(self.records, 0, [record(f"later-{number}", "ok", number)])
            producer.end(commit=number != 1)
        program = self.start(log="again")
        self.await_effects(wanted + 12, program)
        self.assertFalse(scrape(self.port).by("deja_lanes_paused", "cause"))
        self.drain(program)
        self.assertEqual(self.effects(), wanted + 12)
        self.assertEqual(self.database.value("select count(*) from probe_effects where id like 'aborted%' or id = 'later-1'"), 0)
        self.assertEqual(self.database.value("select count(distinct id) from probe_effects"), wanted + 12)
        self.assertEqual(self.letters(), 0)
        for log in ("deja-probe.log", "again.log"):
            self.assertNotIn(LOST, open(f"{self.folder}/{log}").read())
        self.assertEqual(len(self.cluster.read(self.events)), wanted + 12)

    def test_B7_L7_a_log_that_ends_in_a_marker_leaves_no_lag(self):
        producer = TransactionalProducer(self.cluster, f"outside-{self.tag}")
        for partition in (0, 1):
            producer.produce(self.records, partition, [record(f"t{partition}")])
        producer.end(commit=True)
        program = self.start()
        self.await_done([self.records], program, seconds=20)
        wait_until(lambda: scrape(self.port).sum("deja_consumer_lag_records") == 0, 60, "no lag", program)
        self.drain(program)

    @longer
    def test_B7_gaps_that_compaction_made_are_no_loss(self):
        """The cleaner of a broker sleeps for fifteen seconds between its rounds."""
        if not LONG:
            self.skipTest("under the label `long`: it waits for the broker's cleaner")
        topic = self.topic("compacted", 1, cleanup_policy="compact", segment_ms=100, min_cleanable_dirty_ratio="0.01", max_compaction_lag_ms=1)
        self.send(40, topic=topic, keys=40)
        program = self.start(topics=[topic])
        self.await_effects(40, program)
        self.drain(program)
        for _ in range(6):
            self.send(50, topic=topic, keys=7)
            time.sleep(0.15)  # the age that closes a segment
        self.send(1, topic=topic, keys=1)

        def compacted():
            return len(self.cluster.read(topic)) < 100
        wait_until(compacted, 90, "the cleaner")
        left = [each for each in self.cluster.read(topic) if each.offset >= 40]
        program = self.start(topics=[topic], log="again")
        wait_until(lambda: self.next_offsets(topic) == {0: 341}, 60, "the end of the log", program)
        self.drain(program)
        got = self.database.rows('select "offset" from probe_effects where "offset" >= 40 order by 1')
        self.assertEqual([row["offset"] for row in got], [each.offset for each in left])
        self.assertLess(len(left), 301)
        self.assertNotIn(LOST, program.log_text())


if __name__ == "__main__":
    main()
