"""Partitions worked in several lanes: kills and rebalances leave effects exact, and the number of lanes changes where it may (L5)."""

import os
import random

import progress
import sandbox
from payments_run import TOPIC, Feeder, PaymentsTest, payments
from programs import wait_until


class WhenAPartitionHasSeveralLanes(PaymentsTest):
    def lanes(self):
        return self.database.rows("select topic, partition, lane, lane_count, next_offset, next_event_seq, published_seq from deja.lanes "
                                  f"where group_id = '{self.group}' and topic = '{TOPIC}' order by partition, lane")

    def passed(self):
        return self.database.value(f"select coalesce(sum(next_offset), 0)::bigint from deja.lanes where group_id = '{self.group}'")

    def with_lanes(self, count, **more):
        return self.payment_settings({"lanes.per.partition": count, "kafka.consumer.group.instance.id": f"one-{self.tag}", "crash.max.starts": 100} | more)

    def test_effects_are_exact_under_kills_and_the_number_of_lanes_changes_only_after_a_drain(self):
        seed = int(os.environ.get("DEJA_TEST_SEED") or random.randrange(1_000_000))
        print(f"seed {seed} (DEJA_TEST_SEED={seed} repeats it)", flush=True)
        dice = random.Random(seed)
        feeder = Feeder(self, TOPIC, payments(10_000, seed=seed), per_second=1500)
        for _ in range(3):
            program = self.start(self.with_lanes(3))
            before = self.passed()
            wait_until(lambda: self.passed() > before + dice.randrange(1500) or not feeder.is_alive(), 60, "some progress", program, every=0.01)
            program.kill()

        # killed in mid-work: as they stand, no record may change its lane
        stand = {row["next_offset"] for row in self.lanes() if row["partition"] == 0}
        self.assertEqual({row["lane_count"] for row in self.lanes()}, {3})
        if len(stand) > 1:
            code, _, err = self.once("--config", self.write_settings("two.toml", self.with_lanes(2)))
            self.assertEqual(code, 78, err)
            self.assertRegex(err, r"payments/\d is worked in 3 lanes .* configured for 2 lanes")
            self.assertIn("lanes.per.partition = 3", err)

        program = self.start(self.with_lanes(3))
        self.await_ready(self.port, program)
        furthest = max(row["next_offset"] for row in self.lanes())
        wait_until(lambda: min(row["next_offset"] for row in self.lanes()) >= furthest, 60, "every lane to be where one was", program)
        self.drain(program)  # the lanes of a partition meet at one offset, though the feeder goes on
        for partition in range(4):
            self.assertEqual(len({row["next_offset"] for row in self.lanes() if row["partition"] == partition}), 1, self.lanes())
        program = self.start(self.with_lanes(2))
        wait_until(lambda: {row["lane_count"] for row in self.lanes()} == {2}, 60, "two lanes in each partition", program)
        feeder.hurry.set()
        feeder.join()
        self.await_done([TOPIC], program)
        worked = {row["lane"] for row in self.lanes() if row["next_event_seq"] > 1}
        self.assertEqual(worked, {0, 1, 2})
        # quiet lanes follow their partition
        ends = self.cluster.end_offsets(TOPIC)
        self.assertEqual({(row["partition"], row["next_offset"]) for row in self.lanes() if row["lane"] < 2}, set(ends.items()))
        self.drain(program)
        self.check()


if __name__ == "__main__":
    sandbox.main()
