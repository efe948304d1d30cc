"""Links that die in every way, seen by whole programs: noticed in time, nothing lost, nothing doubled, nothing reordered."""

import sandbox
from links import LinkTest
from payments_run import TOPIC, Feeder, payments
from programs import wait_until


class WhenALinkDies(LinkTest):
    def test_F1_a_half_open_link_to_postgres_is_noticed_and_its_locks_do_not_stay(self):
        settings, postgres, _ = self.proxied()
        stock = payments(6_000, seed=41)
        feeder = Feeder(self, TOPIC, stock[:4000], per_second=1000)
        program = self.start(settings)
        self.await_effects(500, program)
        postgres.half_open()  # in the middle of batches: their backends keep their locks
        self.await_dependency(settings, "postgres", 0, program)
        feeder.join()
        postgres.heal()
        self.await_effects_of(stock[4000:], program)
        self.await_dependency(settings, "postgres", 1, program)
        self.await_done([TOPIC], program)
        self.drain(program)
        self.check()

    def test_F1_half_open_sessions_are_left_while_new_ones_work(self):
        settings, postgres, _ = self.proxied()
        stock = payments(6_000, seed=42)
        feeder = Feeder(self, TOPIC, stock[:3000], per_second=700)
        program = self.start(settings)
        for at in (3000, 4000, 5000):
            self.await_effects_of(stock[at:at + 1000], program)
            postgres.half_open()
            postgres.heal()  # those that are dead stay dead
        feeder.join()
        self.await_done([TOPIC], program)
        self.drain(program)
        self.check()

    def test_F1_a_half_open_link_to_kafka_is_noticed(self):
        settings, _, kafka = self.proxied()
        feeder = Feeder(self, TOPIC, payments(6_000, seed=43), per_second=1000)
        program = self.start(settings)
        self.await_effects(500, program)
        kafka.half_open()
        self.await_dependency(settings, "kafka", 0, program)
        kafka.heal()
        feeder.join()
        self.await_done([TOPIC], program)
        self.drain(program)
        self.check()

    def test_F1_resets_of_both_links_again_and_again(self):
        settings, postgres, kafka = self.proxied()
        stock = payments(8_000, seed=44)
        feeder = Feeder(self, TOPIC, stock[:4000], per_second=800)
        program = self.start(settings)
        for number in range(10):
            self.await_effects_of(stock[4000 + 400 * number:][:400], program)
            (postgres if number % 2 else kafka).reset()
        feeder.join()
        self.await_done([TOPIC], program)
        self.drain(program)
        self.check()

    def test_L2_commits_in_doubt_are_settled_both_ways(self):
        settings, postgres, _ = self.proxied(more={"batch.max.records": 10})
        program = self.start(settings)
        self.await_ready(self.port, program)
        stock = payments(18_000, seed=45)
        committed = undone = 0
        while min(committed, undone) < 5 and stock:  # the supervisor's transactions, which end in COMMIT too, do not count
            for where in ("after", "before", "between"):
                mark = postgres.mark()
                postgres.cut_commits(where, 15, share=0.5)
                self.produce(TOPIC, stock[:1500])  # many batches, and all of them after the cuts are planned
                stock = stock[1500:]
                postgres.await_event("commit-cut", after=mark, count=15, seconds=120)
            self.await_done([TOPIC], program)
            committed = self.metric(settings, "deja_commits_in_doubt_total", resolution="committed")
            undone = self.metric(settings, "deja_commits_in_doubt_total", resolution="not_committed")
        print(f"commits cut: {committed:.0f} had happened, {undone:.0f} had not", flush=True)
        self.assertGreaterEqual(min(committed, undone), 5)
        self.assertEqual(self.metric(settings, "deja_commits_in_doubt_total", resolution="fenced"), 0)
        self.drain(program)
        self.check()


class WhenLanesStandApart(LinkTest):
    def spread(self):
        """For each partition, how far its lanes are apart."""
        rows = self.database.rows("select max(next_offset) - min(next_offset) as apart from deja.lanes "
                                  f"where group_id = '{self.group}' group by topic, partition")
        return [row["apart"] for row in rows]

    def test_L5_a_drain_before_anything_was_read_leaves_no_record_out(self):
        settings, _, kafka = self.proxied(more={"lanes.per.partition": 3, "batch.max.records": 3, "crash.max.starts": 100})
        stock = payments(20_000, seed=46)
        while not (len(self.spread()) == 4 and min(self.spread()) > 0):
            program = self.start(settings)
            before, fresh, stock = self.effects(), stock[:1000], stock[1000:]
            self.produce(TOPIC, fresh)
            self.await_effects(before + 100, program)
            program.kill()
        self.produce(TOPIC, stock[:1000])
        kafka.delay(400)  # so that the lanes are taken over well before their records come
        program = self.start(settings, log="again")
        wait_until(lambda: program.log_text().count("lane taken over") >= 12, 60, "all lanes to be taken over", program, every=0.01)
        self.drain(program)
        kafka.heal()
        program = self.start(settings)
        self.await_done([TOPIC], program)
        self.drain(program)
        self.check()


class WhenKafkaRefusesOffsets(LinkTest):
    def test_B9_processing_goes_on_and_a_restart_starts_where_the_database_says(self):
        settings, _, kafka = self.proxied()
        stock = payments(3_000, seed=55)
        program = self.start(settings)
        self.await_ready(self.port, program)
        kafka.refuse_offset_commits()
        for number in range(3):  # every five seconds: so that there are several
            self.produce(TOPIC, stock[number * 700:(number + 1) * 700])
            self.await_done([TOPIC], program)
            wait_until(lambda count=number + 1: self.metric(settings, "deja_offset_commit_errors_total") >= count, 60, "refused offset commits to be counted", program)
        self.assertEqual(self.metric(settings, "deja_lanes_paused"), 0)
        self.assertEqual(self.metric(settings, "deja_fenced_total"), 0)
        self.drain(program)
        program = self.start(settings, log="again")
        self.await_effects_of(stock[2100:], program)
        self.await_done([TOPIC], program)
        kafka.heal()
        self.drain(program)
        self.check()


class WhenOneProcessIsCutOff(LinkTest):
    def two(self, seed, **more):
        self.cut_off, self.postgres, self.kafka = self.proxied(0, more)
        self.other, _, _ = self.proxied(1, more)
        stock = payments(6_000, seed=seed)
        self.fresh = stock[5000:]
        self.feeder = Feeder(self, TOPIC, stock[:5000], per_second=500)
        self.first, self.second = self.start(self.cut_off, name="first"), self.start(self.other, name="second")
        self.await_lanes(self.cut_off, 2, self.first, self.second)
        self.await_lanes(self.other, 2, self.first, self.second)

    def end(self):
        self.await_lanes(self.cut_off, 2, self.first, self.second)
        self.await_lanes(self.other, 2, self.first, self.second)
        self.feeder.hurry.set()
        self.feeder.join()
        self.await_done([TOPIC], self.first, self.second)
        self.drain(self.first)
        self.drain(self.second)
        self.check()

    def test_F2_from_kafka_only_the_other_takes_its_lanes_and_it_comes_back(self):
        self.two(seed=51)
        self.kafka.refuse()
        self.kafka.cut()
        self.await_lanes(self.other, 4, self.first, self.second)
        self.await_dependency(self.cut_off, "kafka", 0, self.first)
        self.await_effects_of(self.fresh, self.second)
        self.kafka.heal()
        self.end()

    def test_F2_from_postgres_only_it_pauses_and_gives_its_lanes_away_and_comes_back(self):
        self.two(seed=52, **{"postgres.lost.ms": 500})  # leaves after 15 times as long
        self.postgres.half_open()
        self.await_dependency(self.cut_off, "postgres", 0, self.first)
        wait_until(lambda: "leaving the group" in self.first.log_text(), 60, "it to leave the group", self.first, self.second)
        self.await_lanes(self.other, 4, self.first, self.second)
        self.await_effects_of(self.fresh, self.second)
        self.postgres.heal()
        self.end()

    def test_F2_B1_what_is_being_given_up_does_not_hold_up_leaving_the_group(self):
        more = {"postgres.lost.ms": 500, "drain.timeout.ms": 60000, "kafka.consumer.partition.assignment.strategy": "cooperative-sticky"}
        cut_off, postgres, _ = self.proxied(0, more)
        other, _, _ = self.proxied(1, more)
        self.produce(TOPIC, payments(1_000, seed=53))
        first = self.start(cut_off, name="first")
        self.await_lanes(cut_off, 4, first)
        self.await_done([TOPIC], first)
        postgres.refuse()
        postgres.cut()
        self.await_dependency(cut_off, "postgres", 0, first)
        second = self.start(other, name="second")  # two lanes are to be its own, which the first one cannot hand over
        wait_until(lambda: "leaving the group" in first.log_text(), 60, "it to leave the group", first, second)
        self.await_lanes(other, 4, first, second, seconds=30)
        postgres.heal()
        self.await_lanes(cut_off, 2, first, second)
        self.await_lanes(other, 2, first, second)
        self.produce(TOPIC, payments(1_000, seed=54))
        self.await_done([TOPIC], first, second)
        self.drain(first)
        self.drain(second)
        self.check()


if __name__ == "__main__":
    sandbox.main()
