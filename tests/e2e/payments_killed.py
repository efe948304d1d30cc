"""SIGKILL about once a second, while payments keep coming: nothing lost, nothing doubled, events in order."""

import os
import random
import time

import progress
import sandbox
from payments_run import TOPIC, Feeder, PaymentsTest, payments
from programs import wait_until

KILLS = 8


class WhenTheConsumerIsKilledAgainAndAgain(PaymentsTest):
    def test_effects_events_and_dead_letters_are_exact(self):
        seed = int(os.environ.get("DEJA_TEST_SEED") or random.randrange(1_000_000))
        print(f"seed {seed} (DEJA_TEST_SEED={seed} repeats it)", flush=True)
        dice = random.Random(seed)
        records = payments(20_000, seed=seed)
        # A static member gets its partitions back at once instead of after the session's end. None of the records kills anything,
        # so a start that a kill cut short must not count against them.
        settings = self.payment_settings({"kafka.consumer.group.instance.id": f"one-{self.tag}", "crash.max.starts": 100})
        feeder = Feeder(self, TOPIC, records, per_second=1200)
        kills = 0
        while kills < KILLS or feeder.is_alive():
            program = self.start(settings)
            before = self.passed()
            wait_until(lambda: self.passed() > before or not feeder.is_alive(), 60, "some progress", program, every=0.01)
            time.sleep(dice.uniform(0, 2))  # not to await something: so that the kill comes at any moment, before and after events are out
            program.kill()
            kills += 1
        feeder.join()
        self.assertGreaterEqual(kills, KILLS)

        program = self.start(settings)
        self.await_ready(self.port, program)
        self.await_done([TOPIC], program)
        self.drain(program)
        outcomes, _, ledger, _, repeats = self.check()
        print(f"{kills} kills, {len(ledger)} effects, {outcomes['duplicate']} duplicates, {repeats} events published twice under one id")

    def passed(self):
        return sum(lane["next_offset"] for lane in progress.lanes(self.database, self.group).values())


if __name__ == "__main__":
    sandbox.main()
