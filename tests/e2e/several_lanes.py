"""Partitions worked in several lanes: kills and rebalances leave effects exact, and the number of lanes changes where it may (L5)."""

import os
import random

import progress
import sandbox
from audits import AuditSandbox, named, summed
from payments_run import TOPIC, Feeder, PaymentsTest, payments
from programs import wait_until


class WhenAPartitionHasSeveralLanes(PaymentsTest, AuditSandbox):
    def lanes(self):
        return self.database.rows("select topic, partition, lane, lane_count, next_offset, next_event_seq, published_seq from deja.lanes "
                                  f"where group_id = '{self.group}' and topic = '{TOPIC}' order by partition, lane")

    def passed(self):
        return self.database.value(f"select coalesce(sum(next_offset), 0)::bigint from deja.lanes where group_id = '{self.group}'")

    def with_lanes(self, count, **more):
        # after a kill as many records of each lane run alone
        return self.payment_settings({"lanes.per.partition": count, "batch.max.records": 150, "kafka.consumer.group.instance.id": f"one-{self.tag}", "crash.max.starts": 100} | more)

    def audit_is_clean(self):
        rows = self.audit(code=0)
        # below the slowest lane each record is judged, between the lanes those of the faster ones; each number of each lane is there
        slowest = self.database.value(f"select sum(slowest)::bigint from (select min(next_offset) as slowest from deja.lanes where group_id = '{self.group}' and lane < lane_count group by partition) l")
        self.assertGreaterEqual(summed(rows)["checked"], slowest)
        self.assertLessEqual(summed(rows)["checked"], self.furthest())
        self.assertEqual(summed(rows)["events"], self.database.value(f"select sum(next_event_seq - 1)::bigint from deja.lanes where group_id = '{self.group}'"))
        return rows

    def furthest(self):
        return self.database.value(f"select sum(furthest)::bigint from (select max(next_offset) as furthest from deja.lanes where group_id = '{self.group}' group by partition) l")

    def audit_finds_what_one_lane_lost(self):
        self.assertEqual(summed(self.audit_is_clean())["checked"], self.furthest())
        for lane in range(3):  # the third one is of the map before
            lost = self.database.rows(f'select k.key, l.partition, k."offset" from deja.keys_1 k join deja.lanes l on l.id = k.lane where l.lane = {lane} order by 3, 2 limit 1')[0]
            where = f"key = '{lost['key']}'"
            self.database.run(f"create table saved as select * from deja.keys_1 where {where}; delete from deja.keys_1 where {where}")
            missing = named(self.audit(code=1), "missing")
            self.assertIn((lost["partition"], lost["offset"]), [(each["partition"], each["offset"]) for each in missing])
            self.assertEqual({each["key"] for each in missing}, {missing[0]["key"]}, "it and its duplicates")
            self.database.run("insert into deja.keys_1 select * from saved; drop table saved")
            lane_row = f"id = (select min(id) from deja.lanes where group_id = '{self.group}' and lane = {lane} and next_event_seq > 1)"
            self.database.run(f"update deja.lanes set next_event_seq = next_event_seq + 1 where {lane_row}")
            rows = self.audit(code=1)
            self.assertEqual([each["what"] for each in named(rows, "missing")], ["event"])
            self.database.run(f"update deja.lanes set next_event_seq = next_event_seq - 1 where {lane_row}")
        self.audit_is_clean()

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
            wait_until(lambda: self.database.value("select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and application_name like 'deja%'") == 0,
                       60, "the sessions of what was killed to end")  # one may commit yet
            self.audit_is_clean()

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
        self.audit_is_clean()
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
        self.audit_finds_what_one_lane_lost()


if __name__ == "__main__":
    sandbox.main()
