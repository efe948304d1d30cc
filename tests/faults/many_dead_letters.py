"""D7: a hundred thousand dead letters are looked at, counted and replayed at the pace that was set, and no command holds them in memory.

Seconds are printed. What is asserted of time is a ratio to what the same machine does in the same run: a busy one is slow in both.
"""

import json
import os
import subprocess
import sys
import time

from fault_sandbox import KEY, FaultTest, main, record, script, wait_until
from sandbox import BIN

LETTERS, PARTITIONS, KEYS = 100_000, 4, 5_000
RATE, MEASURED_SECONDS, WARM_UP_SECONDS = 500, 24, 6
MEMORY_MB = 200
# Runs a command from a process that is small itself: what a child's peak begins with is its parent's size.
MEASURE = """
import os, sys, time
begun = time.monotonic()
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(child, 0)
with open(sys.argv[1], "w") as file:
    file.write(f"{time.monotonic() - begun} {used.ru_maxrss}")
sys.exit(os.waitstatus_to_exitcode(status))
"""


class WhenThereAreManyDeadLetters(FaultTest):
    partitions = PARTITIONS

    def setUp(self):
        super().setUp()
        self.measured = []

    def timed(self, command, code=0):
        """(seconds, what it printed); its memory is asserted."""
        path = os.path.join(self.folder, "measured")
        done = subprocess.run([sys.executable, "-S", "-E", "-c", MEASURE, path, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder,
                              env=self.environment, timeout=170)
        self.assertEqual(done.returncode, code, f"{command}\n{done.stderr.decode()}")
        with open(path) as file:
            seconds, kilobytes = map(float, file.read().split())
        return seconds, kilobytes / 1024, done.stdout

    def deja(self, *words, times=1, code=0):
        """The shortest of its seconds."""
        runs = [self.timed([os.path.join(BIN, "deja"), *words, "--group", self.group], code) for _ in range(times)]
        seconds, memory = min(run[0] for run in runs), max(run[1] for run in runs)
        print(f"deja {' '.join(words[:6])}: {seconds:.2f} s, {memory:.0f} MB, {len(runs[0][2]) / 1e6:.1f} MB printed", flush=True)
        self.assertLess(memory, MEMORY_MB, " ".join(words))
        return seconds, runs[0][2].decode()

    def changes(self, *words, code=0):
        out = self.deja(*words, "--reason", "a fix is out", "--yes", "--output", "json", code=code)[1]
        return json.loads(out)

    def plain_query(self, sql):
        """Seconds of psql with the same rows, from its start to its end: the shortest of three."""
        psql = next(path for folder in os.environ["PATH"].split(":") if os.access(path := os.path.join(folder, "psql"), os.X_OK))
        return min(self.timed([psql, "-X", "-q", "-A", "-t", "-d", self.postgres_url, "-c", sql])[0] for _ in range(3))

    def make_letters(self):
        """Records that the group is past without having seen them, imported as dead letters of another framework: rows as deja makes them."""
        path, each = os.path.join(self.folder, "letters.jsonl"), LETTERS // PARTITIONS
        with open(path, "w") as file:
            for partition in range(PARTITIONS):
                for first in range(0, each, 1000):
                    records = [record(f"m{partition}-{n}", "ok", n, f"k{partition}-{n % (KEYS // PARTITIONS)}".encode()) for n in range(first, first + 1000)]
                    self.cluster.produce(self.records, partition, records)
                    for n, (key, value, headers) in enumerate(records, first):
                        file.write(json.dumps({"key": key.decode(), "value": value.decode(), "headers": [[KEY, headers[0][1].decode()]], "topic": self.records, "partition": partition, "offset": n}) + "\n")
        program = self.start({"start.from": "latest", "flood.ratio": 1.0})
        wait_until(lambda: sorted(self.next_offsets().values()) == [each] * PARTITIONS, 60, "the lanes", program)
        row = self.changes("dlq", "import", path, "--expect", str(LETTERS))
        self.assertEqual((row["accepted"], self.letters()), (LETTERS, LETTERS))
        # as if a bad week had made them: some forty causes
        self.database.run("update deja.dead_letters set fingerprint = 'f' || mod(\"offset\", 40), cause = (array['exhausted', 'rejected'])[1 + mod(\"offset\", 2)], "
                          "error = 'account ' || \"offset\" || ' is closed', dead_at = dead_at - mod(\"offset\", 200) * interval '1 minute'")
        self.database.run("vacuum analyze deja.dead_letters")
        # As in the first minute of a first replay, which autovacuum ends whenever it likes: Postgres knows nothing of the items.
        self.database.run("alter table deja.dlq_items set (autovacuum_enabled = false)")
        return program

    def done(self):
        return self.database.value("select count(*) from deja.dlq_items where state = 'done'")

    def assert_in_proportion(self, seconds, plain, what):
        print(f"{what}: {seconds:.2f} s, plain SQL {plain:.2f} s", flush=True)
        self.assertLess(seconds, 1 + 6 * plain, f"{what}, while a plain query of the same rows takes {plain:.2f} s")

    def test_D8_a_hundred_thousand_are_listed_counted_and_replayed_at_the_set_rate(self):
        begun = time.monotonic()
        program = self.make_letters()
        print(f"{LETTERS} letters after {time.monotonic() - begun:.0f} s", flush=True)

        columns = "id, group_id, handler, topic, partition, \"offset\", record_key, idempotency_key, cause, stage, error, fingerprint, attempts, size, first_failed_at, dead_at, status, replays"
        of_group = f"from deja.dead_letters where group_id = '{self.group}'"
        seconds, out = self.deja("dlq", "list", times=3)
        self.assertEqual(len(out.splitlines()), 101, "a heading and the first hundred")
        self.assert_in_proportion(seconds, self.plain_query(f"select {columns} {of_group} order by id limit 101"), "dlq list")
        seconds, out = self.deja("dlq", "list", "--filter", 'cause=rejected and error~"account 77"', "--output", "json", times=3)
        self.assertEqual(len(out.splitlines()), self.database.value(f"select count(*) {of_group} and cause = 'rejected' and error like '%account 77%'"))
        self.assert_in_proportion(seconds, self.plain_query(f"select {columns} {of_group} order by id"), "dlq list with a filter")
        seconds, out = self.deja("dlq", "list", "--output", "json")
        self.assertEqual(out.count("\n"), LETTERS)
        self.assert_in_proportion(seconds, self.plain_query(f"select {columns} {of_group} order by id"), "dlq list of all")
        seconds, out = self.deja("dlq", "stats", "--output", "json", times=3)
        self.assertEqual(sum(json.loads(line)["records"] for line in out.splitlines()), LETTERS)
        self.assert_in_proportion(seconds, self.plain_query(f"select handler, cause, fingerprint, count(*), count(distinct record_key), min(dead_at), max(dead_at), max(error) {of_group} group by 1, 2, 3"), "dlq stats")

        self.deja("dlq", "replay", "--all", "--dry-run")
        action = str(self.changes("dlq", "replay", "--all", "--rate", str(RATE), "--expect", str(LETTERS))["action_id"])
        # moments of the database's clock, so that a test that stands still measures no less
        window = (f"from deja.dlq_items i, (select min(at) as first from deja.dlq_items where state = 'done') b where state = 'done' and "
                  f"i.at >= b.first + interval '{WARM_UP_SECONDS} seconds' and i.at < b.first + interval '{WARM_UP_SECONDS + MEASURED_SECONDS} seconds'")
        wait_until(lambda: self.database.value(f"select exists(select from deja.dlq_items i, (select min(at) as first from deja.dlq_items where state = 'done') b where i.state = 'done' "
                                               f"and i.at >= b.first + interval '{WARM_UP_SECONDS + MEASURED_SECONDS} seconds')"), 150, "the middle of the replay", program, every=1)
        rate = self.database.value(f"select count(*) {window}") / MEASURED_SECONDS
        self.deja("dlq", "actions", action)
        self.changes("dlq", "cancel", action)
        made = self.done()
        self.assertEqual((self.effects(), self.database.value("select count(*) from deja.dead_letters where status = 'open'")), (made, LETTERS - made), "what was not done is open again")
        # how fast this machine could go
        few = f"offset<{made // PARTITIONS + 2000}"
        count = self.database.value(f"select count(*) {of_group} and status = 'open' and \"offset\" < {made // PARTITIONS + 2000}")
        action = self.changes("dlq", "replay", "--filter", few, "--rate", "100000", "--expect", str(count))["action_id"]
        wait_until(lambda: self.database.value(f"select state from deja.dlq_actions where id = {action}") == "done", 120, "the end of the quick replay", program, every=0.2)
        row = self.database.rows(f"select count(*) as count, greatest(0.1, extract(epoch from max(at) - min(at)))::float8 as seconds from deja.dlq_items where action_id = {action}")[0]
        capacity = row["count"] / row["seconds"]
        print(f"--rate {RATE}: {rate:.1f} a second; without bound: {capacity:.0f} a second", flush=True)
        self.assertLess(rate, RATE * 1.1)
        self.assertGreater(rate, min(RATE, capacity / 2) * 0.9)
        self.drain(program)
        self.assertEqual(self.effects(), self.done())
        print(f"all in {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
