"""What the roles of people may do (schemas/roles): each command as each of them, payloads out of a viewer's reach, and an audit log that nobody changes."""

import itertools
import json
import os
import subprocess
import urllib.parse
import uuid

from fault_sandbox import FaultTest, main, script, wait_until
from postgres_session import Database, SqlError
from sandbox import ROOT

SCRIPTS = os.path.join(ROOT, "schemas", "roles")
PEOPLE = ("viewer", "operator", "admin")
SECRET = "4111-do-not-show"
NO_PERMISSION = 77
ANYBODY, CHANGES, MOVES = (0, 0, 0), (NO_PERMISSION, 0, 0), (NO_PERMISSION, NO_PERMISSION, 0)
NOBODY = (NO_PERMISSION,) * 3

# Each command with its exit code for viewer, operator, admin. {words} are made for each run: see `Things`. What is refused names the file with the rights.
COMMANDS = [
    ("version", ANYBODY), ("config", ANYBODY), ("send {told} hello", ANYBODY),
    ("migrate", ANYBODY), ("migrate --set postgres.schema=another", NOBODY),  # the first has nothing to do
    ("doctor", ANYBODY), ("handlers", ANYBODY), ("outbox", ANYBODY), ("outbox list", ANYBODY),
    ("outbox retry {refused} {why}", CHANGES), ("outbox discard {refused} {why}", CHANGES), ("audit", ANYBODY), ("audit-log", ANYBODY), ("audit-log --verify", ANYBODY),
    ("key done0 --handler probe", ANYBODY), ("key dead0 --handler probe", ANYBODY), ("key parked0 --handler probe", ANYBODY),
    ("lanes", ANYBODY),
    ("lanes pause --topic {moved} {why}", CHANGES), ("lanes resume --topic {paused} {why}", CHANGES),
    ("lanes dead-letter --topic {moved} --partition 0 --offset {blocking} {why}", CHANGES),
    ("lanes reset --topic {moved} --shift-by -1 --dry-run", ANYBODY), ("lanes reset --topic {moved} --shift-by -1 --expect 1 {why}", MOVES),
    ("lanes accept-loss --topic {moved} --partition 0 --to-offset {end} {why}", MOVES),
    ("parked list", ANYBODY),
    ("parked retry {parked} {why}", CHANGES), ("parked dead-letter {parked} {why}", CHANGES), ("parked discard {parked} {why}", CHANGES),
    ("dlq list", ANYBODY), ("dlq stats", ANYBODY), ("dlq actions", ANYBODY), ("dlq actions {running}", ANYBODY), ("dlq actions {running} --records", ANYBODY),
    ("dlq show {open} --redacted", ANYBODY), ("dlq show {edited} --redacted", ANYBODY),
    ("dlq list --text x", CHANGES), ("dlq show {open}", CHANGES), ("dlq export {open}", CHANGES),
    ("dlq replay {open} --dry-run", ANYBODY), ("dlq replay {open} --dry-run --records", ANYBODY), ("dlq replay {open} {why}", CHANGES),
    ("dlq redirect {open} --to probe --dry-run", ANYBODY), ("dlq redirect {open} --to probe {why}", CHANGES),
    ("dlq edit {open} --value {mended} {why}", CHANGES), ("dlq import {lost} {why}", CHANGES),
    ("dlq discard {open} {why}", CHANGES), ("dlq restore {discarded} {why}", CHANGES),
    ("dlq pause {running} {why}", CHANGES), ("dlq resume {standing} {why}", CHANGES), ("dlq cancel {running} {why}", CHANGES),
    ("breakers", ANYBODY), ("breakers reset {dependency} {why}", CHANGES),
    ("flood", ANYBODY), ("flood poison --handler {outage} {why}", CHANGES), ("flood outage --handler {poison} {why}", CHANGES),
]

# Columns that a viewer may not read; all others, of all tables, a viewer may.
PAYLOAD = {"dead_letters": {"value", "headers"}, "parked": {"value", "headers"}, "dlq_edits": {"value", "headers"}, "outbox": {"key", "value", "headers"},
           "outbox_stuck": {"value", "headers"}}
THROUGH_THE_VIEW = ("outbox_0", "outbox_1", "outbox_2")

# What operators may write: privilege on table: columns, or None for the whole row.
EVENT = "lane seq event_id topic partition key value headers"
WRITES = {
    ("INSERT", "audit_log"): "action group_id reason detail",
    ("UPDATE", "lanes"): "owner_token batch_seq parked_version aside_version next_event_seq pause_reason paused_cause blocked_by dead_letter_at dead_letter_reason",
    ("UPDATE", "parked"): "next_at suspect wanted wanted_reason", ("DELETE", "parked"): None,
    ("INSERT", "dead_letters"): "group_id handler lane topic partition offset incarnation record_key value headers record_timestamp key digest ordering cause stage error fingerprint "
                                "build attempts size action_id",
    ("UPDATE", "dead_letters"): "value headers edited size status replays action_id attempts failures cause stage error fingerprint build",
    ("INSERT", "dlq_actions"): "group_id kind reason matched rate canary stop_ratio redirect_to state paced_until",
    ("UPDATE", "dlq_actions"): "accepted refused state state_cause paced_until finished_at",
    ("INSERT", "dlq_items"): "action_id place dead_letter lane forecast", ("UPDATE", "dlq_items"): "state at",
    ("INSERT", "dlq_edits"): "dead_letter action_id value headers",
    ("INSERT", "keys_1"): "key digest lane offset", ("DELETE", "keys_1"): None,
    ("INSERT", "outbox_0"): EVENT, ("INSERT", "outbox_1"): EVENT, ("INSERT", "outbox_2"): EVENT,
    ("UPDATE", "outbox_stuck"): "state value headers",
    ("UPDATE", "breakers"): "reset",
    ("INSERT", "flood_rulings"): "group_id handler fingerprint ruling reason", ("UPDATE", "flood_rulings"): "ruling reason seen_at",
}
MOVES_A_LANE = "next_offset reread_until incarnation suspect_from suspect_records suspect_starts leader_epoch witness_offset witness_timestamp witness_digest"

# In place of a process that takes an order up.
TAKERS = """
create function took_up() returns trigger language plpgsql security definer as $$
begin
  if tg_table_name = 'breakers' then
    new.state := 'closed';
  else
    update deja.floods set state = new.ruling where handler = new.handler;
  end if;
  return new;
end $$;
create trigger took_up before update of reset on deja.breakers for each row when (new.instance = 'test') execute function took_up();
create trigger took_up before insert or update on deja.flood_rulings for each row execute function took_up();
"""

ATTEMPTS = ["update deja.audit_log set reason = 'none'", "update deja.audit_log set who = session_user where id = 1", "delete from deja.audit_log", "truncate deja.audit_log",
            "truncate deja.audit_log cascade", "alter table deja.audit_log disable trigger all", "alter table deja.audit_log disable trigger user",
            "drop trigger audit_log_is_append_only on deja.audit_log", "drop table deja.audit_log", "set session_replication_role = replica",
            "create or replace function deja.refuse_audit_log_change() returns trigger language plpgsql as $$ begin return null; end $$",
            "create rule none as on insert to deja.audit_log do instead nothing", "alter table deja.audit_log owner to current_user"]


def login_url(url, login):
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}"))


class Roles(FaultTest):
    partitions = 1

    def setUp(self):
        super().setUp()
        self.roles = []
        self.addCleanup(self.drop_roles)

    def drop_roles(self):
        self.end_programs()
        for role in self.roles:
            self.database.run(f"drop owned by {role}; drop role {role}")

    def grant(self, kind, role=None):
        """The script as an administrator runs it."""
        done = subprocess.run(["psql", "-X", "-q", "-d", self.postgres_url, "-v", "schema=deja", "-v", f"{kind}={role or self.role(kind)}", "-f", os.path.join(SCRIPTS, f"{kind}.sql")],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        self.assertEqual((done.returncode, done.stdout.decode()), (0, ""))

    def role(self, kind):
        return f"{kind}_{self.tag}"

    def person(self, kind):
        return f"person_{kind}_{self.tag}"

    def make_people(self):
        for kind in PEOPLE:
            self.roles += [self.person(kind), self.role(kind)]
            self.grant(kind)
            self.database.run(f"create role {self.person(kind)} login; grant {self.role(kind)} to {self.person(kind)}")

    def make_consumer(self):
        self.roles.append(self.role("consumer"))
        self.database.run(f"create role {self.role('consumer')} login; grant usage on schema public to {self.role('consumer')}; "
                          f"grant select, insert on probe_effects, probe_switches to {self.role('consumer')}; grant usage on sequence probe_effects_n_seq to {self.role('consumer')}")
        self.grant("consumer")

    def environment_of(self, login):
        return self.environment | {"DEJA_POSTGRES": login_url(self.postgres_url, login)}

    def session(self, login):
        session = Database(login_url(self.postgres_url, login))
        self.addCleanup(session.close)
        return session

    def refused(self, session, sql, words="permission denied"):
        with self.assertRaisesRegex(SqlError, words, msg=f"{session.url}: {sql}"):
            session.run(sql)

    def deja(self, *words, login=None):
        """As the owner, or as somebody."""
        return self.once(*words, "--group", self.group, program="deja", environment=self.environment_of(login) if login else self.environment)

    def ok(self, *words):
        code, out, error = self.deja(*words, "--output", "json")
        self.assertEqual(code, 0, f"{words}\n{out}{error}")
        return [json.loads(line) for line in out.splitlines()]


def secret(identity, do="ok", seq=0):
    """A record with something to hide, each of a key of its own."""
    value = json.dumps(json.loads(script(identity, do, seq)) | {"card": SECRET}).encode()
    return identity.encode(), value, [("Idempotency-Key", identity.encode()), ("card", SECRET.encode())]


class Things:
    """What the commands are about: each use has one of its own, made by the owner of the schema."""

    def __init__(self, test):
        self.test = test
        self.names = itertools.count()
        rows = test.ok("dlq", "list")
        self.letters = iter([row["id"] for row in rows if row["cause"] == "exhausted"])
        self.waiting = iter([row["id"] for row in test.ok("parked", "list")])
        self.blocked = None

    def why(self):
        return "--reason r --yes"

    def told(self):
        return self.test.told

    def moved(self):
        return self.test.moved

    def open(self):
        return next(self.letters)

    def parked(self):
        return next(self.waiting)

    def paused(self):
        self.test.ok("lanes", "pause", "--topic", self.test.moved, "--reason", "r", "--yes")
        return self.test.moved

    def blocking(self):
        """The offset of a record that holds up its lane: the last one, if it still does."""
        place = f"from deja.lanes where topic = '{self.test.moved}'"
        if self.blocked is None or self.test.database.value(f"select next_offset {place}") > self.blocked:
            self.test.cluster.produce(self.test.moved, 0, [secret(f"blocks{next(self.names)}", "unavailable")])
            self.blocked = self.end() - 1
            wait_until(lambda: self.test.database.value(f"select blocked_by is not null and next_offset = {self.blocked} {place}"), 60, "a record that holds up its lane")
        return self.blocked

    def end(self):
        return self.test.cluster.offset(self.test.moved, 0)

    def discarded(self):
        letter = self.open()
        self.test.ok("dlq", "discard", str(letter), "--reason", "r", "--yes")
        return letter

    def running(self):
        """A replay whose letter failed again in its lane, and waits there."""
        letter = self.open()
        (row,) = self.test.ok("dlq", "replay", str(letter), "--reason", "r", "--yes")
        wait_until(lambda: self.test.ok("dlq", "actions", str(row["action_id"]))[0]["running"] == 1, 60, "the letter in its lane")
        return row["action_id"]

    def standing(self):
        action = self.running()
        self.test.ok("dlq", "pause", str(action), "--reason", "r", "--yes")
        return action

    def file(self, content):
        path = os.path.join(self.test.folder, f"file{next(self.names)}")
        with open(path, "wb") as file:
            file.write(content)
        return path

    def mended(self):
        return self.file(secret(f"mended{next(self.names)}")[1])

    def edited(self):
        letter = self.open()
        self.test.ok("dlq", "edit", str(letter), "--value", self.mended(), "--reason", "r", "--yes")
        return letter

    def lost(self):
        """A file with a letter that this database has lost."""
        letter = self.open()
        code, out, error = self.test.deja("dlq", "export", str(letter))
        self.test.assertEqual(code, 0, error)
        self.test.database.run(f"delete from deja.dead_letters where id = {letter}")
        return self.file(out.encode())

    def refused(self):
        """An event that Kafka refused, of a lane that nobody works."""
        number = next(self.names)
        event = f"{number:032x}"
        self.test.database.run("insert into deja.outbox_stuck (lane, seq, event_id, topic, value, headers, at, state, size) "
                               f"select id, published_seq - {number}, '{event}', 'out', '\\x00', '[]', now(), 'stuck', 1 from deja.lanes where topic = '{self.test.moved}'")
        return str(uuid.UUID(event))

    def dependency(self):
        name = f"dependency{next(self.names)}"
        self.test.database.run("insert into deja.breakers (group_id, dependency, handler, instance, state, since, seen_at) "
                               f"values ('{self.test.group}', '{name}', 'probe', 'test', 'open', now(), now() + interval '1 hour')")
        return name

    def flood(self, state):
        name = f"handler{next(self.names)}"
        self.test.database.run("insert into deja.floods (group_id, handler, instance, state, since, cause, fingerprint, seen_at) "
                               f"values ('{self.test.group}', '{name}', 'test', '{state}', now(), 'c', 'f', now() + interval '1 hour')")
        return name

    def outage(self):
        return self.flood("outage")

    def poison(self):
        return self.flood("poison")


class WhenPeopleHaveRoles(Roles):
    def prepare_group(self):
        """Dead letters, parked records, events, and a lane to be moved; the program has the consumer's role, and nothing else."""
        self.told, self.moved = self.topic("told", 1), self.topic("moved", 1)
        self.make_consumer()
        self.owner = self.environment
        settings = {"app.topics": [self.records, self.moved], "dlq.topic": self.told, "flood.ratio": 1.0, "breaker.failure.count": 1000}
        self.cluster.produce(self.records, 0, [secret(f"done{n}") for n in range(5)] + [secret(f"dead{n}", "throw") for n in range(150)])
        self.cluster.produce(self.moved, 0, [secret(f"moved{n}") for n in range(50)])
        self.database.run("insert into probe_switches values ('down', true)")
        self.environment = self.environment_of(self.role("consumer"))
        program = self.start(settings | {"retry.max.attempts": 1})
        wait_until(lambda: self.letters() == 150 and self.effects() == 55, 60, "the dead letters", program)
        self.drain(program)
        self.cluster.produce(self.records, 0, [secret(f"parked{n}", "throw") for n in range(40)])
        program = self.start(settings | {"retry.max.attempts": 5, "retry.backoff.base.ms": 86_400_000, "retry.backoff.max.ms": 86_400_000, "retry.deadline.ms": 360_000_000}, log="patient")
        wait_until(lambda: self.database.value("select count(*) from deja.parked where next_at is not null and attempt = 1") == 40, 60, "the parked records", program)
        self.environment = self.owner
        self.database.run(TAKERS)
        return program

    def state(self):
        """What a refused command might have changed. Not when a parked record is tried next: its delay is drawn, and may be over at any moment."""
        return self.database.rows("select (select count(*) from deja.audit_log) as log, (select count(*) from deja.dlq_actions) as actions, (select count(*) from deja.dlq_edits) as edits, "
                                  "(select md5(string_agg(row(id, status, action_id, replays, md5(value), headers::text, attempts)::text, ',' order by id)) from deja.dead_letters) as letters, "
                                  "(select md5(string_agg(row(id, wanted)::text, ',' order by id)) from deja.parked) as parked, "
                                  "(select md5(string_agg(row(id, next_offset, incarnation, pause_reason, dead_letter_at)::text, ',' order by id)) from deja.lanes) as lanes, "
                                  "(select count(*) from deja.keys_1) as keys, (select count(*) from deja.flood_rulings) as rulings, (select count(*) from deja.breakers where state = 'open') as breakers")

    def settle(self):
        """Until the program has done what was ordered before: it has nothing to read but a record that waits, and nothing to run."""
        def still():
            before = self.state()
            if self.database.value("select exists (select from deja.dlq_items i join deja.dlq_actions a on a.id = i.action_id where i.state = 'queued' and a.state = 'running') "
                                   "or exists (select from deja.parked where next_at < now() or wanted is not null)"):
                return False
            lanes = self.database.rows("select topic, next_offset, blocked_by, pause_reason from deja.lanes where lane < lane_count")
            read = all(lane["blocked_by"] or lane["pause_reason"] or lane["next_offset"] == self.cluster.offset(lane["topic"], 0) for lane in lanes)
            return read and before == self.state()
        wait_until(still, 60, "the lanes at rest")

    def run_as(self, kind, command, expected, form):
        login = self.person(kind)
        words = command.format_map(Making(self.things)).split()
        self.settle()
        before = self.state()
        code, out, error = self.deja(*words, "--output", form, login=login)
        what = f"{kind}: deja {' '.join(words)} --output {form}\n{out[-3000:]}{error}"
        self.assertEqual(code, expected, what)
        if kind == "viewer":
            self.assertNotIn(SECRET, out + error, what)
        if code == 0:
            if "--yes" in words:
                self.assertEqual(self.database.value("select who from deja.audit_log order by id desc limit 1"), login, what)
            return
        self.assertEqual(self.state(), before, what)
        last = error.strip().splitlines()[-1]
        if "migrate" not in command:
            self.assertIn("a grant is missing", last, what)
            self.assertIn("schemas/roles/admin.sql" if "reset" in words and "lanes" in words or "accept-loss" in words else "schemas/roles/operator.sql", last, what)
        if command == "dlq show {open}":
            self.assertIn("--redacted", last, what)

    def test_each_command_works_or_is_refused(self):
        program = self.prepare_group()
        self.make_people()
        self.things = Things(self)
        for command, codes in COMMANDS:
            for kind, code in zip(PEOPLE, codes):
                for form in ("table", "json"):
                    self.run_as(kind, command, code, form)
        self.assertEqual(self.deja("dlq", "list", "--filter", "error~told", "--count", login=self.person("viewer"))[0], 0)
        self.assertIn(SECRET, self.deja("dlq", "show", str(self.things.open()), login=self.person("operator"))[1], "there was something to hide")
        self.assert_out_of_reach()
        self.assert_audit_log_stays()
        self.drain(program)
        self.assertEqual(self.deja("audit-log", "--verify", login=self.person("viewer"))[0], 0)

    def assert_out_of_reach(self):
        viewer, operator = self.session(self.person("viewer")), self.session(self.person("operator"))
        self.database.run("analyze deja.dead_letters")
        stored = "select count(*) from deja.{0} where convert_from({1}, 'utf8') like '%" + SECRET + "%'"
        for table in ("dead_letters", "parked", "dlq_edits"):
            self.assertGreater(operator.value(stored.format(table, "value")), 0, "payloads that an operator reads")
        for table, columns in (PAYLOAD | {segment: PAYLOAD["outbox"] for segment in THROUGH_THE_VIEW}).items():
            for column in columns:
                self.refused(viewer, f"select {column} from deja.{table}")
                self.refused(viewer, f"select count({column}) from deja.{table}")
                self.refused(viewer, f"select 1 from deja.{table} where {column} is null")
                self.refused(viewer, f"copy deja.{table} ({column}) to stdout")
            self.refused(viewer, f"select * from deja.{table}")
            self.refused(viewer, f"select t from deja.{table} t")
            self.refused(viewer, f"table deja.{table}")
        self.assertEqual(viewer.value("select count(*) from pg_stats where schemaname = 'deja' and tablename = 'dead_letters' and attname in ('value', 'headers')"), 0)
        self.assertGreater(viewer.value("select count(*) from deja.dead_letters"), 0)
        for kind in PEOPLE:
            person = self.session(self.person(kind))
            for table in ("dead_letters", "parked", "dlq_edits", "dlq_actions", "dlq_items", "lanes", "outbox_0"):
                self.refused(person, f"truncate deja.{table} cascade")
            self.refused(person, "create table deja.mine ()")
            self.refused(person, "alter table deja.lanes disable trigger all", "must be owner")
            self.refused(person, "update deja.dlq_actions set who = 'somebody'")
            self.refused(person, "delete from deja.dead_letters")
            if kind != "admin":
                self.refused(person, "update deja.lanes set next_offset = 0")

    def assert_audit_log_stays(self):
        count = self.database.value("select count(*) from deja.audit_log")
        self.assertGreater(count, 20)
        for login in [self.role("consumer"), *map(self.person, PEOPLE)]:
            session = self.session(login)
            for sql in ATTEMPTS:
                self.refused(session, sql, "permission denied|must be owner|must be able to")
        for sql in ATTEMPTS[:5]:
            self.refused(self.database, sql, "the audit log is append-only")
        self.assertEqual(self.deja("audit-log", "--verify", login=self.person("viewer"))[0], 0)
        self.assertEqual(self.database.value("select count(*) from deja.audit_log"), count)
        # who and when are the database's to say, and the chain is
        self.refused(self.session(self.person("viewer")), "insert into deja.audit_log (action, reason, detail) values ('a', 'r', '{}')")
        forged = "insert into deja.audit_log (id, at, who, action, reason, detail, previous, hash) values (1, 'epoch', 'somebody', 'a', 'r', '{}', 'p', 'h')"
        for kind in PEOPLE:
            self.refused(self.session(self.person(kind)), forged)
        self.session(self.role("consumer")).run(forged)
        row = self.database.rows("select id, who, at > now() - interval '1 hour' as now from deja.audit_log order by id desc limit 1")[0]
        self.assertEqual(row, {"id": count + 1, "who": self.role("consumer"), "now": True})
        self.assertEqual(self.deja("audit-log", "--verify", login=self.person("viewer"))[0], 0)


class Making(dict):
    def __init__(self, things):
        super().__init__()
        self.things = things

    def __missing__(self, name):
        return getattr(self.things, name)()


class WhenGrantsAreLookedAt(Roles):
    def held(self, role):
        """{(privilege, table): columns, or None for all of a table, now and later}"""
        found = {}
        for row in self.database.rows(
                "select c.relname, a.privilege_type as privilege, null as attname from pg_class c, aclexplode(c.relacl) a where c.relnamespace = 'deja'::regnamespace and a.grantee = "
                f"'{role}'::regrole union all select c.relname, a.privilege_type, t.attname from pg_class c join pg_attribute t on t.attrelid = c.oid, aclexplode(t.attacl) a "
                f"where c.relnamespace = 'deja'::regnamespace and a.grantee = '{role}'::regrole"):
            key = row["privilege"], row["relname"]
            if row["attname"] is None:
                found[key] = None
            else:
                found.setdefault(key, set()).add(row["attname"])
        return found

    def tables(self):
        columns = {}
        for row in self.database.rows("select c.relname, t.attname from pg_class c join pg_attribute t on t.attrelid = c.oid and t.attnum > 0 and not t.attisdropped "
                                      "where c.relnamespace = 'deja'::regnamespace and c.relkind in ('r', 'v', 'p')"):
            columns.setdefault(row["relname"], set()).add(row["attname"])
        return columns

    def expected(self, kind):
        tables = self.tables()
        if kind == "viewer":
            return {("SELECT", table): columns - PAYLOAD[table] if table in PAYLOAD else None for table, columns in tables.items() if table not in THROUGH_THE_VIEW}
        writes = {key: columns and set(columns.split()) for key, columns in WRITES.items()}
        if kind == "admin":
            writes["UPDATE", "lanes"] |= set(MOVES_A_LANE.split())
        return {("SELECT", table): None for table in tables} | writes

    def test_each_role_has_what_it_needs_and_no_more(self):
        self.make_people()
        for _ in range(2):  # a second run changes nothing
            for kind in PEOPLE:
                self.assertEqual(self.held(self.role(kind)), self.expected(kind), kind)
                self.assertEqual(self.database.rows("select p.proname from pg_proc p, aclexplode(p.proacl) a where p.pronamespace = 'deja'::regnamespace "
                                                    f"and a.grantee = '{self.role(kind)}'::regrole"), [])
                self.assertEqual(self.database.value(f"select has_schema_privilege('{self.role(kind)}', 'deja', 'create')"), False)
                self.assertEqual(self.database.rows(f"select rolsuper, rolcreaterole, rolcreatedb, rolcanlogin, rolbypassrls from pg_roles where rolname = '{self.role(kind)}'"),
                                 [{"rolsuper": False, "rolcreaterole": False, "rolcreatedb": False, "rolcanlogin": False, "rolbypassrls": False}])
                self.grant(kind)
        self.make_consumer()
        self.assertEqual({privilege for privilege, table in self.held(self.role("consumer")) if table == "audit_log"}, {"SELECT", "INSERT"})

    def test_whoever_gets_another_role_loses_the_one_before(self):
        self.make_people()
        role = self.role("admin")
        self.grant("viewer", role)
        self.assertEqual(self.held(role), self.expected("viewer"))
        self.grant("operator", role)
        self.assertEqual(self.held(role), self.expected("operator"))

    def test_a_missing_grant_is_named(self):
        self.make_people()
        login, role = self.person("operator"), self.role("operator")
        code, _, error = self.deja("lanes", "reset", "--topic", "t", "--to-earliest", "--reason", "r", "--yes", login=login)
        self.assertEqual((code, "update of column next_offset on deja.lanes" in error, f"role {login}" in error), (NO_PERMISSION, True, True), error)
        for revoked, words, said in (("select on deja.dlq_items", ("dlq", "actions"), "permission denied for table dlq_items (select)"),
                                     ("select on deja.outbox", ("outbox",), "permission denied for view outbox (select)"),
                                     ("insert (ruling) on deja.flood_rulings", ("flood", "poison", "--handler", "h", "--reason", "r", "--yes"), "permission denied for table flood_rulings (insert)")):
            self.database.run(f"revoke {revoked} from {role}; insert into deja.floods values ('{self.group}', 'h', 'i', 'outage', now(), 'c', 'f', now() + interval '1 hour') on conflict do nothing")
            code, _, error = self.deja(*words, login=login)
            self.assertEqual((code, said in error), (NO_PERMISSION, True), error)
        self.assertEqual(self.database.value("select count(*) from deja.audit_log"), 0, "nothing was changed")

    def test_doctor_tells_the_logins_of_people_from_those_of_programs(self):
        self.make_people()
        self.make_consumer()
        def grants(login):
            _, out, error = self.deja("doctor", "--filter", "check=grants", "--output", "json", login=login)
            (row,) = [json.loads(line) for line in out.splitlines()]
            return row["status"], row["detail"]
        for kind in PEOPLE:
            status, detail = grants(self.person(kind))
            self.assertEqual((status, f"schemas/roles/{kind}.sql" in detail), ("warn", True), detail)
        self.assertEqual(grants(self.role("consumer"))[0], "ok")
        self.database.run(f"revoke update on deja.lanes from {self.role('consumer')}")
        self.assertEqual(grants(self.role("consumer")), ("fail", "missing: update on deja.lanes"))


if __name__ == "__main__":
    main()
