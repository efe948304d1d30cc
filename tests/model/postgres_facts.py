"""Facts about Postgres on which the protocol hangs, asked of the real server in $DEJA_POSTGRES.

Each is shown with two sessions; the second one is known to wait, or not to, by what pg_locks says, never by time.
"""

import contextlib
import os
import threading
import time
import unittest
import uuid

from postgres_session import Database, SqlError

WAIT_S = 60


class Facts(unittest.TestCase):
    def setUp(self):
        url = os.environ["DEJA_POSTGRES"]
        self.first, self.second, self.watch = Database(url), Database(url), Database(url)
        self.schema = "facts_" + uuid.uuid4().hex[:12]
        self.watch.run(f"create schema {self.schema}")
        for session in (self.first, self.second, self.watch):
            self.addCleanup(session.close)
            session.run(f"set search_path = {self.schema}")
        self.addCleanup(lambda: self.watch.run(f"drop schema {self.schema} cascade"))

    def fresh(self, session):
        session.run(f"set search_path = {self.schema}")

    @contextlib.contextmanager
    def waiting(self, sql):
        """Runs SQL in the second session, which has to wait for the first one; the body lets it go on. Gives a list for its lines."""
        pid = self.second.value("select pg_backend_pid()")
        lines, errors = [], []

        def run():
            try:
                lines.extend(self.second.lines(sql))
            except SqlError as e:
                errors.append(e)

        thread = threading.Thread(target=run)
        thread.start()
        end = time.monotonic() + WAIT_S
        while not self.watch.value(f"select exists (select from pg_locks where pid = {pid} and not granted) as waits"):
            self.assertTrue(thread.is_alive() and time.monotonic() < end, "the second session did not wait")
        yield lines
        thread.join(WAIT_S)
        self.assertFalse(thread.is_alive() or errors, errors)

    def test_L10_a_row_lock_waits_for_the_open_transaction_and_is_bounded(self):
        self.watch.run("create table lane (id int primary key, n int); insert into lane values (1, 0)")
        self.first.run("begin; update lane set n = 1")
        with self.assertRaisesRegex(SqlError, "lock timeout"):
            self.second.run("set lock_timeout = '100ms'; select * from lane for update")
        self.first.run("rollback")

    def test_L2_a_look_under_the_lock_sees_what_the_commit_in_flight_left(self):
        self.watch.run("create table lane (id int primary key, batch_seq int); insert into lane values (1, 0)")
        self.first.run("begin; update lane set batch_seq = 1")
        with self.waiting("begin; select batch_seq from lane for update; commit") as lines:
            self.first.run("commit")
        self.assertEqual(lines, ["1"])

    def test_B1_what_a_lock_protects_is_read_in_a_further_statement(self):
        self.watch.run("create table lane (id int primary key, epoch int); insert into lane values (1, 1); create table parked (k int)")
        for together, seen in ((True, "0"), (False, "1")):
            self.watch.run("truncate parked")
            self.first.run("begin; update lane set epoch = epoch; insert into parked values (9)")
            sql = "with t as (update lane set epoch = epoch + 1 returning 1) select (select count(*) from parked) from t" if together else \
                "begin; select from lane for update; select count(*) from parked; commit"
            with self.waiting(sql) as lines:
                self.first.run("commit")
            self.assertEqual([line for line in lines if line][-1], seen, "one statement" if together else "two statements")

    def test_B1_a_claim_and_its_look_up_in_one_statement_miss_the_twin(self):
        self.watch.run("create table keys (k int primary key, digest text)")
        self.first.run("begin; insert into keys values (1, 'A')")
        with self.waiting("with i (k, d) as (values (1, 'B')), c as (insert into keys select * from i on conflict do nothing returning k) "
                          "select c.k is not null, coalesce(keys.digest, 'not seen') from i left join c using (k) left join keys using (k)") as lines:
            self.first.run("commit")
        self.assertEqual(lines, ["f|not seen"])
        self.assertEqual(self.second.lines("select digest from keys"), ["A"])

    def test_B2_a_deferred_trigger_refuses_the_commit_of_an_open_lane(self):
        self.watch.run("""create table lane (id int primary key, open bool); insert into lane values (1, false); create table keys (k int);
            create function closed() returns trigger language plpgsql as $$ begin
              if (select open from lane where id = new.id) then raise exception 'open'; end if; return null; end $$;
            create constraint trigger t after update on lane deferrable initially deferred for each row when (new.open) execute function closed()""")
        with self.assertRaisesRegex(SqlError, "open"):
            self.first.run("begin; update lane set open = true; insert into keys values (1); commit")
        self.fresh(self.first)
        self.first.run("begin; update lane set open = true; insert into keys values (2); update lane set open = false; commit")
        self.assertEqual(self.watch.lines("select k from keys"), ["2"])

    def test_B2_after_a_lost_transaction_block_a_read_only_session_writes_nothing(self):
        self.watch.run("create table effects (k int)")
        with self.assertRaisesRegex(SqlError, "read-only"):
            self.first.run("set default_transaction_read_only = on; begin read write; insert into effects values (1); rollback; insert into effects values (2)")
        self.assertEqual(self.watch.value("select count(*) from effects"), 0)

    def test_B3_a_claim_that_is_undone_leaves_the_waiting_twin_fresh(self):
        self.watch.run("create table keys (k int primary key)")
        for undo in ("rollback to before", "delete from keys"):
            self.first.run("begin; savepoint before; insert into keys values (1)")
            with self.waiting("insert into keys values (1) on conflict do nothing returning 'fresh'") as lines:
                self.first.run(undo + "; commit")
            self.assertEqual(lines, ["fresh"], undo)
            self.watch.run("truncate keys")

    def test_K1_a_probe_does_not_wait_for_an_uncommitted_twin_and_a_claim_does(self):
        self.watch.run("create table keys (k int primary key)")
        self.first.run("begin; insert into keys values (1)")
        self.assertEqual(self.second.lines("select count(*) from keys where k = 1"), ["0"])
        with self.waiting("insert into keys values (1) on conflict do nothing returning 'fresh'") as lines:
            self.first.run("commit")
        self.assertEqual(lines, [])

    def test_O3_a_segment_is_checked_in_a_further_statement_than_its_lock(self):
        self.watch.run("create table segment (seq int)")
        self.first.run("begin; insert into segment values (1)")
        self.assertEqual(self.watch.value("select count(*) from segment"), 0)  # a check without the lock sees nothing to keep
        with self.waiting("begin; lock table segment in access exclusive mode; select exists (select from segment); rollback") as lines:
            self.first.run("commit")
        self.assertEqual(lines, ["t"])


if __name__ == "__main__":
    unittest.main()
