"""The recipe of keys changes in a rolling deploy (K1): old and new programs run side by side, die and come back, and every duplicate is found."""

import json
import random

import progress
import sandbox
from audits import AuditSandbox, named, summed
from programs import wait_until

CONFIGURATION = 78


class WhenTheRecipeOfKeysChanges(AuditSandbox):
    program = "deja-probe"

    def setUp(self):
        super().setUp()
        self.records = self.topic("probe", 4)
        self.events = self.topic("probe.events", 1)
        self.base = {"app.topics": [self.records], "app.events.topic": self.events, "http.address": "off", "startup.timeout.ms": 20000,
                     "kafka.consumer.session.timeout.ms": 6000, "postgres.lost.ms": 2000}
        self.old = self.settings(self.base | {"dedup.scope": "before"})
        self.new = self.settings(self.base | {"dedup.scope": "after", "key.secret": "pepper", "tenant.header": "X-Tenant",
                                              "keys.previous.scope": "before", "keys.previous.secret": "none", "keys.previous.tenant.header": "none"})
        self.prepare()

    def feed(self, numbers):
        """A duplicate comes by another partition than its first: another program may get it."""
        spread = {}
        for n in numbers:
            value = json.dumps({"id": f"r{n}", "seq": n, "do": "ok"}).encode()
            spread.setdefault(random.randrange(4), []).append(
                (str(n).encode(), value, [("Idempotency-Key", str(n).encode()), ("X-Tenant", b"acme")]))
        for partition, records in spread.items():
            self.cluster.produce(self.records, partition, records)

    def passed(self):
        return sum(lane["next_offset"] for lane in progress.lanes(self.database, self.group).values())

    def owners(self):
        return self.database.value("select count(distinct instance) from deja.lanes where owner_token is not null")

    def refused(self, settings, *words):
        code, _, err = self.once("--config", self.write_settings("refused.toml", settings), timeout=90)
        self.assertEqual(code, CONFIGURATION, err)
        for word in words:
            self.assertIn(word, err.splitlines()[-1])

    def stored(self):
        return self.database.value("select scope || ',' || coalesce(previous_scope, '-') from deja.recipes")

    def audit_proves_both_halves(self):
        path = self.write_settings("audited.toml", self.new)
        log = self.cluster.read(self.records)
        for program in ("deja", self.program):
            rows = self.audit("--config", path, program=program, code=0)
            self.assertEqual((summed(rows)["processed"], summed(rows)["checked"]), (800, len(log)))
        for rows_of_key in (1, 2):  # one recipe made the keys, or both
            row = self.database.rows(f'select k.lane, l.partition, k."offset" from deja.keys_1 k join deja.lanes l on l.id = k.lane group by 1, 2, 3 '
                                     f"having count(*) = {rows_of_key} order by 3 limit 1")[0]
            lost = f"""lane = {row['lane']} and "offset" = {row['offset']}"""
            key = next(record.key for record in log if (record.partition, record.offset) == (row["partition"], row["offset"]))
            wanted = sorted((record.partition, record.offset) for record in log if record.key == key)
            self.database.run(f"create table saved as select * from deja.keys_1 where {lost}; delete from deja.keys_1 where {lost}")
            for program in ("deja", self.program):
                missing = named(self.audit("--config", path, program=program, code=1), "missing")
                self.assertEqual(sorted((each["partition"], each["offset"]) for each in missing), wanted)
            self.database.run("insert into deja.keys_1 select * from saved; drop table saved")
        # everybody claimed the keys of the recipe before, so those alone prove it
        rows = self.audit("--config", path, "--set", "key.secret=another", code=0)
        self.assertEqual((summed(rows)["processed"], summed(rows)["checked"]), (800, len(log)))

    def test_no_order_of_old_and_new_programs_runs_a_record_twice(self):
        seed = random.randrange(1 << 32)
        random.seed(seed)
        print("seed", seed)
        old = self.start(self.old, "old")
        self.feed(range(0, 300))
        wait_until(lambda: self.passed() >= 300, 60, "the old program's first records", old)

        self.refused({key: value for key, value in self.new.items() if not key.startswith("keys.")}, "before", "after", "keys.previous")
        self.refused(self.new | {"keys.previous.scope": "elsewhere"}, "before", "elsewhere")

        new = self.start(self.new, "new")
        wait_until(lambda: self.owners() == 2, 60, "both to have lanes", old, new)
        self.assertEqual(self.stored(), "after,before")
        self.feed(range(200, 500))   # what the old one did comes to both
        self.feed(range(300, 600))   # and what either did comes to the other
        wait_until(lambda: self.passed() > 400, 60, "some of it", old, new)
        old.kill()
        self.feed(range(0, 700))
        old = self.start(self.old, "old")  # during the deploy an old program restarts
        wait_until(lambda: self.passed() > 900, 60, "some more of it", old, new)
        new.kill()
        self.feed(range(100, 800))
        new = self.start(self.new, "new")
        self.await_done([self.records], old, new)
        self.drain(old)
        self.feed(range(0, 800))
        self.await_done([self.records], new)
        self.drain(new)

        effects = self.database.value("select count(*) || ' ' || count(distinct id) from probe_effects")
        self.assertEqual(effects, "800 800", f"seed {seed}")
        self.assertEqual(self.database.value("select count(*) from deja.dead_letters"), 0)
        self.audit_proves_both_halves()

        alone = {key: value for key, value in self.new.items() if not key.startswith("keys.")}
        self.refused(alone, "keys.previous", "until")
        self.database.run("update deja.recipes set previous_used_at = previous_used_at - interval '22 days'")
        new = self.start(alone, "alone")
        wait_until(lambda: self.stored() == "after,-", 60, "the end of the change", new)
        self.drain(new)
        self.refused(self.old, "before", "after")


if __name__ == "__main__":
    sandbox.main()
