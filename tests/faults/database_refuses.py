"""C6 to C8, C10: the database is there, but does not do what it is asked to."""

import threading

from fault_sandbox import FaultTest, free_port, longer, main, record, wait_until
from postgres_session import Database, url_of_database

# Fails the first `times` statements on a table with an SQLSTATE. Its sequence counts on in a transaction that is rolled back.
FAULT = """
create sequence fault_{name};
create function fault_{name}() returns trigger language plpgsql as $$
begin
  if nextval('fault_{name}') <= {times} then
    raise exception 'planted' using errcode = '{state}';
  end if;
  return null;
end $$;
create trigger fault_{name} {when} on {table} for each statement execute function fault_{name}();
"""


class Refusing(FaultTest):
    def plant(self, name, table, state, times=1, when="before insert"):
        self.database.run(FAULT.format(name=name, table=table, state=state, times=times, when=when))

    def reached(self, name):
        return self.database.value(f"select last_value from fault_{name}")


class WhenASessionIsIdleInItsTransaction(FaultTest):
    """Somebody's console, with a snapshot and a lock on the outbox: no segment can be emptied, no row that is gone be cleaned away."""
    FILL = ("do $$ declare s int; begin select open_segment into s from deja.outbox_state; "
            "execute format('insert into deja.outbox_%s (lane, seq, event_id, topic, key, value, headers) select 0, n, gen_random_uuid(), ''none'', null, "
            "repeat(''x'', 1900)::bytea, ''[]'' from generate_series(1, 35000) n on conflict do nothing', s); end $$")

    def segment(self):
        return self.database.value("select open_segment from deja.outbox_state")

    def test_C9_the_relay_goes_on(self):
        self.send(50)
        program = self.start()
        self.await_done([self.records], program)
        idle = Database(self.postgres_url)
        self.addCleanup(idle.close)
        idle.run("begin isolation level repeatable read; select count(*) from deja.outbox; select count(*) from deja.lanes")
        first = self.segment()
        self.database.run(self.FILL)  # so that the next segment is opened, and this one can be emptied as soon as its lock is to be had
        wait_until(lambda: self.segment() != first, 60, "the next segment", program)
        for _ in range(5):
            self.send(200, do="emit:3")
            self.await_done([self.records], program)
        self.assertEqual(idle.value("select count(*) from deja.lanes where open"), 0, "the session is still in its transaction")
        filled = f"select exists (select from deja.outbox_{first} where topic = 'none')"
        self.assertTrue(self.database.value(filled), "the lock of that session stands in the way")
        idle.run("rollback")
        wait_until(lambda: not self.database.value(filled), 60, "the first segment to be emptied", program)
        outcomes, _, _ = self.finish(program)
        self.assertEqual(outcomes, {"processed": 1050})


class WhenStatementsFail(Refusing):
    def repeat(self, isolation):
        name = self.postgres_url.rsplit("/", 1)[1]
        self.database.run(f"alter database {name} set default_transaction_isolation = '{isolation}'")
        planted = []
        # An own timeout (57014) in a handler's statement is that record's failure: here on deja's own statements alone.
        for table, when, states in (("probe_effects", "before insert", ("40001", "40P01", "55P03")),
                                    ("deja.keys_1", "before insert", ("40001", "40P01", "55P03", "57014")),
                                    ("deja.lanes", "before update", ("40001", "40P01", "55P03", "57014"))):
            for state in states:
                planted.append(f"{table[-5:]}_{state}".lower())
                self.plant(planted[-1], table, state, times=3, when=when)
        self.send(400)
        program = self.start({"batch.max.records": 50, "retry.backoff.max.ms": 100})
        self.await_done([self.records], program)
        metrics = self.scrape()
        self.drain(program)
        self.check()
        for each in planted:
            self.assertGreater(self.reached(each), 3, f"{each} happened")
        self.assertEqual(metrics.sum("deja_attempts_total", result="failed"), 0, "no attempt is spent")
        repeats = metrics.by("deja_batch_repeats_total", "cause")
        for state in ("40001", "40P01", "55P03", "57014"):
            self.assertGreaterEqual(repeats.get(state, 0), 1, repeats)

    def test_C6_under_read_committed(self):
        self.repeat("read committed")

    def test_C6_under_repeatable_read(self):
        self.repeat("repeatable read")

    def test_C6_under_serializable(self):
        self.repeat("serializable")

    def test_C6_a_batch_that_keeps_failing_becomes_smaller_and_goes_on_when_it_may(self):
        self.plant("always", "probe_effects", "40001", times=12)
        self.send(200, partition=0)
        program = self.start({"retry.backoff.max.ms": 100})
        self.await_done([self.records], program)
        metrics = self.scrape()
        self.drain(program)
        self.check()
        self.assertEqual(metrics.sum("deja_attempts_total", result="failed"), 0)
        self.assertGreater(metrics.sum("deja_batch_records_count"), 1, "smaller batches")

    def test_C3_a_full_disk_is_an_outage_that_is_named(self):
        """A stand-in: the error of a full disk, raised by a trigger. A disk of its own would need the right to mount one."""
        self.plant("full", "probe_effects", "53100", times=15)
        self.send(100)
        program = self.start({"retry.backoff.max.ms": 200})
        self.await_done([self.records], program)
        metrics = self.scrape()
        self.drain(program)
        self.check()
        self.assertIn("planted", program.log_text())
        self.assertIn("dependency=postgres", program.log_text())
        self.assertEqual(metrics.sum("deja_attempts_total", result="failed"), 0)


class WhenKeysMeet(Refusing):
    def test_C7_one_key_2_to_500_times_in_a_batch(self):
        for times in (2, 3, 10, 499, 500):
            twins = [record(f"twin-{times}", "ok", times, b"k%d" % times)] * times
            self.cluster.produce(self.records, times % 2, twins)
        program = self.start()
        outcomes, effects, _ = self.finish(program)
        self.assertEqual((outcomes["processed"], outcomes["duplicate"]), (5, 1014 - 5))

    def test_C7_two_consumers_meet_the_same_keys_in_reverse_order(self):
        keys = [record(f"r{n}", "slow-sql:1" if n % 50 == 0 else "ok", n, None) for n in range(1500)]
        for at in range(0, 1500, 500):
            self.cluster.produce(self.records, 0, keys[at:at + 500])
            self.cluster.produce(self.records, 1, list(reversed(keys))[at:at + 500])
        port = free_port()
        first, second = self.start(name="first"), self.start(name="second", port=port)
        self.await_done([self.records], first, second)
        deadlocks = self.database.value("select deadlocks from pg_stat_database where datname = current_database()")
        outcomes, _, _ = self.finish(first, second)
        self.assertEqual((outcomes["processed"], outcomes["duplicate"]), (1500, 1500))
        self.assertEqual(deadlocks, 0)

    def test_C7_the_first_holder_of_the_keys_aborts_and_the_one_that_waited_has_the_effect(self):
        self.cluster.produce(self.records, 0, [record("r", "slow-sql:50000")])
        program = self.start()
        (holder,) = self.await_in_batch(program)
        self.cluster.produce(self.records, 1, [record("r", "ok", idempotency="r")])
        self.await_blocked_by(holder, 1, program)
        # The first holder's next try comes after the second, however late that one wakes up: its lane's row has another to wait for.
        guard = Database(self.postgres_url)
        self.addCleanup(guard.close)
        hold = threading.Thread(target=guard.run, args=["begin; select from deja.lanes where partition = 0 for update"], daemon=True)
        hold.start()
        self.await_blocked_by(holder, 2, program)
        self.database.run(f"select pg_terminate_backend({holder})")
        hold.join(60)
        wait_until(lambda: self.next_offsets().get(1) == 1, 60, "the second to go on", program)
        guard.close()
        self.await_done([self.records], program)
        self.drain(program)
        # The values differ: whoever came second is a conflict.
        effects = self.database.rows("select partition from probe_effects")
        self.assertEqual(effects, [{"partition": 1}])
        self.assertEqual(self.database.rows("select partition, cause from deja.dead_letters"), [{"partition": 0, "cause": "conflict"}])

    def await_blocked_by(self, pid, count, program):
        waits = f"select count(*) from pg_stat_activity where {pid} = any(pg_blocking_pids(pid))"
        wait_until(lambda: self.database.value(waits) == count, 60, f"{count} to wait for the first holder", program, every=0.02)

    @longer
    def test_C10_a_foreign_prepared_transaction_holds_a_key(self):
        self.send(1, partition=0)
        program = self.start()
        self.await_done([self.records], program)
        name = f"foreign-{self.tag}"
        self.database.run(f"begin; update deja.keys_1 set digest = digest; delete from deja.keys_1; prepare transaction '{name}'")
        self.addCleanup(self.forget, name)
        (key, value, headers) = record("r0", "ok", 0, b"k0")
        self.cluster.produce(self.records, 0, [(key, value, headers)])
        self.cluster.produce(self.records, 1, [record("another", "ok", 1, b"k1")])
        self.await_effects(2, program)  # another partition goes on
        self.await_log(program, name, seconds=90)  # the alarm
        self.await_metric("deja_lanes_paused", 1, program)
        self.assertEqual(self.in_doubt(), 1)
        self.database.run(f"rollback prepared '{name}'")
        self.finish(program)

    def in_doubt(self):
        return self.database.value("select count(*) from pg_prepared_xacts where database = current_database()")

    def forget(self, name):
        if self.in_doubt():
            self.database.run(f"rollback prepared '{name}'")


class WhenTheSchemaDoesNotFit(Refusing):
    """It stops with the cause named, and no record is taken for the culprit."""

    def broken_by(self, sql, code, words, more=None):
        self.send(100)
        program = self.start(more)
        self.await_done([self.records], program)
        self.database.run(sql)
        self.send(300)
        self.assertEqual(self.ended(program), code, program.log_end())
        last = program.log_text().splitlines()[-1]
        for word in words:
            self.assertIn(word, last)
        self.assertEqual(self.letters(), 0, "no flood of dead letters")
        self.assertEqual(self.consumed(), 100)
        return program

    def ended(self, program):
        wait_until(lambda: not program.alive(), 60, "the program to end")
        return program.process.returncode

    def repaired_by(self, sql, more=None):
        self.database.run(sql)
        self.finish(self.start(more, log="again"))

    def test_C8_a_table_of_the_handler_is_gone(self):
        self.broken_by("alter table probe_effects rename to hidden", 78, ["probe_effects", "--init"])
        self.repaired_by("alter table hidden rename to probe_effects")

    def test_C8_a_column_of_the_handler_is_gone(self):
        self.broken_by("alter table probe_effects rename column attempt to hidden", 78, ["attempt"])
        self.repaired_by("alter table probe_effects rename column hidden to attempt")

    def test_C8_a_table_of_deja_is_gone(self):
        self.broken_by("alter table deja.keys_1 rename to hidden", 78, ["keys_1", "deja migrate"])
        self.repaired_by("alter table deja.hidden rename to keys_1")

    def test_C8_a_grant_is_revoked(self):
        role = f"role_{self.tag}"
        server = Database(url_of_database(self.postgres_url, "postgres"))
        self.addCleanup(server.close)
        server.run(f"create role {role} login")
        self.addCleanup(lambda: (self.database.run(f"drop owned by {role}"), server.run(f"drop role {role}")))
        self.database.run(f"grant usage on schema deja, public to {role}; grant select, insert, update, delete, truncate on all tables in schema deja to {role}; "
                          f"grant select, insert on probe_effects, probe_switches to {role}; grant usage on sequence probe_effects_n_seq to {role}")
        url = self.postgres_url.replace("postgres@", f"{role}@", 1)
        more = {"postgres.url": url}
        self.broken_by(f"revoke insert on probe_effects from {role}", 77, ["probe_effects", "permission"], more)
        self.repaired_by(f"grant insert on probe_effects to {role}", more)

    def test_C8_the_schema_is_of_another_version(self):
        self.send(100)
        self.database.run("update deja.schema_version set version = version + 1000, oldest_binary = 1000 where version = (select max(version) from deja.schema_version)")
        program = self.start()
        self.assertEqual(self.ended(program), 78, program.log_end())
        self.assertIn("schema", program.log_text().splitlines()[-1])
        self.assertEqual(self.effects(), 0)


if __name__ == "__main__":
    main()
