"""R5, seed by seed: order per ordering key on random failures, kills and rebalances.

Each seed is a short storm of its own: it decides on the group (partitions, lanes, kind of membership, assignor, bounds), on the records
and on the faults among them. Timing is not part of it: the same seed makes the same faults in the same order, not the same run.

    order_seeds.py --seeds 7        one seed; 7-12 are six. Default: 1-20
    order_seeds.py --jobs 2         seeds at one time
"""

import argparse
import random
import signal
import sys
import time

import load
from fault_sandbox import FaultTest, main
from sandbox import partition_for

FIRST, LAST = 1, 20
NAMES, STEPS = ("m0", "m1", "m2"), 8
KINDS = [("ok", 50), ("throw:1", 10), ("throw:2", 6), ("throw:3", 3), ("throw", 3), ("sql-error", 3), ("swallow-sql-error", 1), ("commit", 1), ("reject", 3),
         ("unavailable", 6), ("emit:2", 4), ("slow-sql:15", 8)]
FAULTS = {"kill": 6, "freeze": 3, "zombie": 1, "join or leave": 4, "restart": 3, "outage": 2, "sessions end": 2}
ALWAYS = ["kill", "kill", "join or leave", "restart"]


class Records(load.Load):
    """Also some without a record key, and twins in another partition: the first to commit wins."""
    conflicts = 0.02

    def __init__(self, seed, topic, partitions):
        dice = random.Random(f"kinds {seed}")
        super().__init__(seed, [topic], dice.randint(24, 48), [(kind, weight * dice.choice([0.5, 1, 2])) for kind, weight in KINDS])
        self.partitions = partitions

    def next(self):
        if self.sent and self.dice.random() < 0.02:
            topic, key, value, headers = self.dice.choice(self.sent)
            elsewhere = [other for _, other, _, _ in self.sent if partition_for(other, self.partitions) != partition_for(key, self.partitions)]
            return topic, self.dice.choice(elsewhere or [key]), value, headers
        return super().next()

    def _new(self):
        topic, key, value, headers = super()._new()
        return topic, key if self.dice.random() > 0.04 else None, value, headers

    def some(self, count):
        return [self.next()[1:] for _ in range(count)]


class WhenMembersDieAndRecordsFail(FaultTest):
    def setUp(self):
        self.seed = int(self._testMethodName.rpartition("_")[2])
        self.dice = random.Random(f"order {self.seed}")
        self.partitions = self.dice.randint(2, 4)
        super().setUp()
        self.load = Records(self.seed, self.records, self.partitions)
        self.static = self.dice.random() < 0.5
        key_bound, lane_bound = self.dice.choice([(1000, 10000), (1000, 10000), (3, 20)])
        self.common = {
            "http.address": "127.0.0.1:0",
            "kafka.consumer.partition.assignment.strategy": self.dice.choice(["range", "cooperative-sticky"]),
            "lanes.per.partition": self.dice.choice([1, 2]), "batch.max.records": self.dice.choice([3, 10, 50, 500]),
            "retry.max.attempts": self.dice.choice([3, 4]), "retry.backoff.base.ms": 30, "retry.backoff.max.ms": self.dice.choice([100, 400]),
            "park.key.max.records": key_bound, "park.max.records": lane_bound,
            "breaker.failure.count": 2, "breaker.open.ms": 100, "flood.ratio": 1.0,
            # None of the records kills its process, and a stop is no handler's fault.
            "crash.max.starts": 100, "handler.timeout.ms": 30000, "drain.timeout.ms": 10000}
        self.members, self.frozen, self.zombie, self.down = {}, set(), None, False
        self.later = []  # (step, what undoes a fault)
        self.at_work = 0  # faults that came while records were consumed
        self.begun, self.timeline = time.monotonic(), []

    def tell(self, what):
        self.timeline.append(f"{time.monotonic() - self.begun:6.2f} {what}")

    # --- members

    def begin(self, name):
        if name in self.members:
            return
        more = {"kafka.consumer.group.instance.id": f"{self.group}-{name}"} if self.static else {}
        self.members[name] = self.start(self.common | more, name=f"seed{self.seed}-{name}")
        self.tell(f"{name} starts")

    def end(self, name):
        self.tell(f"{name} is to end")
        program = self.members.pop(name)
        code = program.terminate()
        self.tell(f"{name} has ended with {code}")
        # SIGTERM may come before there is a handler for it: then not a line is logged.
        self.assertTrue(code == 0 or (code == -signal.SIGTERM and not program.log_text()), f"{name} ended with {code}\n{program.log_end()}")

    def thaw(self, name):
        self.frozen.discard(name)
        self.members[name].signal(signal.SIGCONT)
        self.tell(f"{name} goes on")

    def awake(self):
        return sorted(set(self.members) - self.frozen)

    # --- faults

    def undo(self, step, act):
        self.later.append((step + self.dice.randint(1, 3), act))

    def fault(self, what, step):
        awake = self.awake()
        self.tell(what)
        if what == "outage":
            self.switch(True)
            self.undo(step, self.end_of_outage)
        elif what == "sessions end":
            self.end_backends()
        elif what == "join or leave":
            away = sorted(set(NAMES) - set(self.members))
            if len(self.members) < 3 and (len(awake) < 2 or self.dice.random() < 0.7):
                self.begin(self.dice.choice(away))
            elif len(awake) > 1:
                self.end(self.dice.choice(awake))
        elif awake:
            self.fault_of_a_member(what, self.dice.choice(awake), step)

    def fault_of_a_member(self, what, name, step):
        if what == "kill":
            self.members.pop(name).kill()
            self.tell(f"{name} is dead")
            if self.dice.random() < 0.5 or not self.awake():
                self.begin(name)
            else:
                self.undo(step, lambda: self.begin(name))
        elif what == "restart":
            self.end(name)
            self.begin(name)
        elif what == "freeze" or self.zombie or len(self.members) < 2:
            self.freeze(name)
            self.undo(step, lambda: self.thaw(name))
        else:
            self.freeze(name)
            self.zombie = name

    def freeze(self, name):
        self.members[name].signal(signal.SIGSTOP)
        self.frozen.add(name)
        self.tell(f"{name} stands still")

    def switch(self, down):
        self.down = down
        self.database.run(f"insert into probe_switches values ('down', {down}) on conflict (name) do update set value = excluded.value")

    def end_of_outage(self):
        self.switch(False)
        self.tell("end of the outage")

    def undo_what_is_due(self, step):
        due, self.later = [act for at, act in self.later if at <= step], [each for each in self.later if each[0] > step]
        for act in due:
            act()

    # --- the run

    def send_some(self):
        self.produce(self.records, self.load.some(self.dice.randint(25, 50)))
        return sum(self.cluster.end_offsets(self.records).values())

    def await_faults_moment(self, sent):
        """Most faults come in the midst of work; some before the group has got over the last one, or while an outage holds it up."""
        before, wanted = self.consumed(), sent - self.dice.randrange(25)
        deadline = time.monotonic() + min(self.dice.choice([0.3, 1, 8, 8]), 0.3 if not self.awake() else 1 if self.down else 8)
        while (now := self.consumed()) < wanted and time.monotonic() < deadline:
            time.sleep(0.03)
        self.at_work += now > before
        for name, program in self.members.items():
            self.assertTrue(program.alive(), f"{name} ended by itself with {program.process.returncode}\n{program.log_end()}")

    def storm(self):
        faults = ALWAYS + self.dice.choices(list(FAULTS), list(FAULTS.values()), k=STEPS - len(ALWAYS))
        self.dice.shuffle(faults)
        faults.sort(key="zombie".__eq__)  # last: until its session ends, a rebalance waits for it, and with that everything
        for name in NAMES[:self.dice.choice([2, 3])]:
            self.begin(name)
        self.send_some()
        self.await_consumed(0, *self.members.values())
        for step, fault in enumerate(faults):
            self.await_faults_moment(self.send_some())
            self.undo_what_is_due(step)
            self.fault(fault, step)
        self.undo_what_is_due(STEPS + 3)
        self.send_some()
        for name in self.awake():  # so that the last records of a key meet another process than its first ones
            self.end(name)
            self.begin(name)
        self.send_some()
        self.tell("calm")
        self.work_off()
        if self.zombie:
            self.thaw(self.zombie)
            self.send_some()
            self.work_off()
        for name in sorted(self.members):
            self.end(name)

    def work_off(self):
        self.await_done([self.records], *(self.members[name] for name in self.awake()), seconds=90)
        self.tell("all is worked off")

    def run_seed(self):
        try:
            self.storm()
            outcomes, effects, _ = self.check(letters=self.letters())
            self.assert_it_was_a_test(outcomes)
            self.assert_the_check_sees_two_effects_that_change_places()
        except BaseException:
            print(f"seed {self.seed} FAILED; once more: PYTHONPATH=tests/support python3 -B tests/faults/order_seeds.py --seeds {self.seed}\n{self.group_in_words()}\n"
                  + "\n".join(self.timeline), file=sys.stderr, flush=True)
            raise
        print(f"seed {self.seed}: {self.group_in_words()}; {self.at_work} of {STEPS} faults at work, lanes taken over {self.taken_over()} times, "
              f"{self.across()} effects by another process than their key's one before; " + ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items())), flush=True)

    def group_in_words(self):
        return (f"{self.partitions} partitions, {'static' if self.static else 'dynamic'} members, "
                + ", ".join(f"{key.rpartition('partition.')[2]} {self.common[key]}" for key in
                            ("kafka.consumer.partition.assignment.strategy", "lanes.per.partition", "batch.max.records", "park.max.records")))

    def taken_over(self):
        return self.database.value(f"select sum(owner_epoch)::bigint from deja.lanes where group_id = '{self.group}'")

    def across(self):
        return self.database.value("select count(*) from (select pid <> lag(pid) over (partition by partition, record_key order by n) as other "
                                   "from probe_effects where record_key is not null) each where other")

    def assert_it_was_a_test(self, outcomes):
        for outcome in ("processed", "exhausted", "duplicate"):
            self.assertGreater(outcomes[outcome], 0, outcome)
        self.assertGreater(self.database.value("select count(*) from probe_effects where attempt > 1"), 0, "effects of records that were parked")
        self.assertGreater(self.across(), 0, "effects of one key by several processes")

    def assert_the_check_sees_two_effects_that_change_places(self):
        self.database.run("with pair as (select a.n as one, b.n as other from probe_effects a join probe_effects b using (partition, record_key) "
                          'where a."offset" < b."offset" limit 1) update probe_effects e set n = one + other - n from pair where n in (one, other)')
        with self.assertRaisesRegex(AssertionError, "effects of a record key out of order"):
            self.check(letters=self.letters())


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", default=f"{FIRST}-{LAST}", metavar="FROM-TO")
    parser.add_argument("--jobs", type=int, default=6)
    return parser.parse_args()


if __name__ == "__main__":
    asked = options()
    first, _, last = asked.seeds.partition("-")
    for seed in range(int(first), int(last or first) + 1):
        setattr(WhenMembersDieAndRecordsFail, f"test_R5_seed_{seed:04}", WhenMembersDieAndRecordsFail.run_seed)
    main(workers=asked.jobs, words=())
