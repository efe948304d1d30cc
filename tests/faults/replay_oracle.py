"""What dead letters, their replays and what operators do to them must lead to, judged from the log and from a history that triggers of the
test's own write: every record one disposition, every key at most one effect, the order that `dlq.order` promises, no letter in two
replays, and to the dead-letter topic what happened, in turn. Shares no code with the project.
"""

import json
from collections import defaultdict

from payments_oracle import header, idempotency_key, position, where, without_repeats
from postgres_session import as_bytes

# Everything that is done to a lane is done under its row's lock. So one sequence over effects and history is, in each lane, the order in
# which transactions were committed.
HISTORY = """
alter table probe_effects add column tx xid8 default pg_current_xact_id();
create table storm_history (n bigint default nextval('public.probe_effects_n_seq'), tx xid8 default pg_current_xact_id(), what text, topic text, partition int, "offset" bigint,
                            letter bigint, action bigint, before text, after text, cause text, replays int, again boolean);
create function storm_parked() returns trigger language plpgsql as $$ declare r record; begin
  if tg_op = 'DELETE' then r := old; else r := new; end if;
  insert into public.storm_history (what, topic, partition, "offset", letter, after) values ('parked', r.topic, r.partition, r."offset", r.dead_letter, case tg_op when 'DELETE' then 'gone' else 'there' end);
  return null; end $$;
create function storm_letter() returns trigger language plpgsql as $$ begin
  if tg_op = 'UPDATE' and new.status = old.status and new.dead_at = old.dead_at then return null; end if;
  insert into public.storm_history (what, topic, partition, "offset", letter, action, before, after, cause, replays, again) values ('letter', new.topic, new.partition, new."offset", new.id, new.action_id,
    case tg_op when 'UPDATE' then old.status end, new.status, new.cause, new.replays, case tg_op when 'UPDATE' then new.dead_at <> old.dead_at else false end);
  return null; end $$;
create function storm_item() returns trigger language plpgsql as $$ begin
  if tg_op = 'UPDATE' and new.state = old.state then return null; end if;
  insert into public.storm_history (what, topic, partition, "offset", letter, action, before, after) select 'item', d.topic, d.partition, d."offset", d.id, new.action_id,
    case tg_op when 'UPDATE' then old.state end, new.state from deja.dead_letters d where d.id = new.dead_letter;
  return null; end $$;
create trigger storm after insert or delete on deja.parked for each row execute function storm_parked();
create trigger storm after insert or update on deja.dead_letters for each row execute function storm_letter();
create trigger storm after insert or update on deja.dlq_items for each row execute function storm_item()"""

GOOD = ("ok", "emit", "slow-sql", "sleep")
BY_OTHERS = ("operator", "conflict")  # causes that a record's own script says nothing of
WAITS = ("open", "replaying")  # what holds its ordering key under `hold`
LETTER_MOVES = {(None, "open"), (None, "discarded"), ("open", "replaying"), ("open", "discarded"), ("discarded", "open"), ("replaying", "open"), ("replaying", "replayed"), ("replaying", "discarded")}
ITEM_MOVES = {(None, "queued"), ("queued", "parked"), ("queued", "cancelled"), ("parked", "done"), ("parked", "failed"), ("parked", "cancelled")}


class Facts:
    """What is in the database when all has ended."""

    def __init__(self, database, group):
        self.effects = database.rows('select n, tx, id, record_key, seq, topic, partition, "offset", attempt from probe_effects order by n')
        self.history = database.rows("select * from storm_history order by n")
        self.letters = database.rows(f"select id, topic, partition, \"offset\", status, cause, replays, value, headers from deja.dead_letters where group_id = '{group}' order by id")
        self.edits = database.rows("select dead_letter, value from deja.dlq_edits order by id")
        self.parked = database.rows(f"select topic, partition, \"offset\" from deja.parked where group_id = '{group}'")
        self.actions = database.rows(f"select id, kind, state, accepted from deja.dlq_actions where group_id = '{group}'")
        self.items = database.rows("select action_id, dead_letter, state from deja.dlq_items")


def place_of(row):
    return row["topic"], row["partition"], row["offset"]


def script_of(value):
    try:
        script = json.loads(value)
        return script["id"], script["seq"], script["do"]
    except (TypeError, ValueError, KeyError):
        return None


def _succeeds(do, attempt):
    word, _, number = do.partition(":")
    return word in GOOD or (word == "throw" and number.isdigit() and attempt > int(number))


# --- dispositions

class Dispositions:
    def __init__(self, log, facts, findings):
        self.findings, self.history = findings, facts.history
        self.records = {position(record): record for record in log}
        self.effects = self.each_once(facts.effects, "doubled effect")
        self.letters = self.each_once(facts.letters, "two dead letters for one record")
        self.values = {place: [record.value] for place, record in self.records.items()}
        places = {row["id"]: place for place, row in self.letters.items()}
        for row in facts.edits:
            self.values.get(places.get(row["dead_letter"]), []).append(as_bytes(row["value"]))
        self.causes = defaultdict(set)
        for row in facts.history:
            if row["what"] == "letter":
                self.causes[place_of(row)].add(row["cause"])
        self.by_key = defaultdict(list)
        for place in sorted(self.records):
            if self.key(place) is not None:
                self.by_key[self.key(place)].append(place)
        for place, row in self.letters.items():
            if place in self.values:
                self.values[place].append(as_bytes(row["value"]))

    def each_once(self, rows, what):
        found = {}
        for row in rows:
            if place_of(row) in found:
                self.findings.add(what, where(place_of(row)))
            if place_of(row) not in self.records:
                self.findings.add("an effect or a dead letter without a record", where(place_of(row)))
            found[place_of(row)] = row
        return found

    def key(self, place):
        """The record's own, or the one that an edit gave it."""
        own = idempotency_key(self.records[place])
        given = [value.encode() for name, value in self.letters[place]["headers"] if name == "Idempotency-Key"] if place in self.letters else []
        return own if own is not None else given[-1] if given else None

    def twins(self, place):
        """Others of its key and payload that took effect, or were dead: what it may be a duplicate of."""
        mine = self.values[place] if idempotency_key(self.records[place]) is None else [self.records[place].value]
        return [other for other in self.by_key.get(self.key(place), []) if other != place and (other in self.effects or other in self.letters) and set(mine) & set(self.values[other])]

    def story(self, place):
        """Of all records of its key, for whoever reads a finding."""
        places = self.by_key.get(self.key(place), [place])
        lines = [f"{where(each)} {self.records[each].key} {self.records[each].headers} {self.records[each].value}, edited {self.values[each][1:]}" for each in places]
        rows = [row for row in self.history if place_of(row) in places]
        rows += [dict(row, what="effect") for place, row in self.effects.items() if place in places]
        for row in sorted(rows, key=lambda each: each["n"]):
            lines.append(" ".join(f"{name}={row[name]}" for name in ("n", "tx", "what", "offset", "letter", "action", "before", "after", "cause", "replays") if row.get(name) is not None))
        return "".join("\n    " + line for line in lines)

    def judge(self, place):
        effect, letter, add = self.effects.get(place), self.letters.get(place), self.findings.add
        scripts = [script_of(value) for value in self.values[place]]
        if letter and letter["status"] not in ("replayed", "discarded"):
            add(f"a dead letter that is {letter['status']} at the end", where(place))
        if effect:
            if letter and letter["status"] != "replayed":
                add(f"an effect of a dead letter that is {letter['status']}", where(place))
            if (effect["id"], effect["seq"]) not in [script[:2] for script in scripts if script]:
                add("an effect that differs from its record", where(place))
            if not any(script and _succeeds(script[2], effect["attempt"]) for script in scripts):
                add("an effect of a record that can have none", f"{where(place)}, {scripts}, attempt {effect['attempt']}")
            if self.key(place) is None:
                add("an effect of a record without a key", where(place))
            return "processed"
        if letter and letter["status"] == "discarded":
            return "discarded"
        if not self.twins(place):
            add("a record without a disposition" if not letter else "a replayed dead letter without an effect", f"{where(place)}, {scripts[0]}{self.story(place)}")
        return "duplicate"

    def judge_causes(self, place):
        words = {script[2].partition(":")[0] for script in map(script_of, self.values[place]) if script}
        for cause in self.causes[place]:
            keyless = idempotency_key(self.records[place]) is None
            right = {"key_missing": keyless, "rejected": "reject" in words, "exhausted": bool(words & {"throw", "sql-error"}), "operator": True,
                     "conflict": any(set(self.values[other]) - set(self.values[place]) for other in self.by_key.get(self.key(place), []) if other != place)}
            if not right.get(cause, False):
                self.findings.add(f"a record that is dead without a fault of cause {cause}", f"{where(place)}, {words}")

    def check(self):
        """place -> processed, duplicate or discarded."""
        for key, places in self.by_key.items():
            holders = [place for place in places if place in self.effects]
            if len(holders) > 1:
                self.findings.add("a key with two effects", f"{key} at " + " and ".join(map(where, holders)) + self.story(holders[0]))
        for place in self.letters:
            if place in self.records:
                self.judge_causes(place)
        return {place: self.judge(place) for place in sorted(self.records)}


# --- order

class _Key:
    """What is known of one ordering key at one moment."""

    def __init__(self):
        self.parked, self.letters, self.made, self.seen = set(), {}, [], set()


def check_order(log, facts, hold, findings):
    """Of each ordering key (here the record key): while a record is parked, none behind it takes effect; while a dead letter holds, neither;
    and what takes effect late was dead when it was passed."""
    keys = {position(record): (record.topic, record.partition, record.key) for record in log if record.key is not None}
    changes = defaultdict(list)
    for row in [dict(row, what="effect") for row in facts.effects] + facts.history:
        if row["what"] != "item" and place_of(row) in keys:
            changes[keys[place_of(row)]].append(row)
    for key, rows in changes.items():
        state, by_transaction = _Key(), defaultdict(list)
        for row in sorted(rows, key=lambda each: each["n"]):
            by_transaction[row["tx"]].append(row)
        for each in sorted(by_transaction.values(), key=lambda of: of[0]["n"]):
            _step(key, state, each, hold, findings)


def _step(key, state, rows, hold, findings):
    made = [row["offset"] for row in rows if row["what"] == "effect"]
    name = f"{key[0]}/{key[1]} {key[2]}"
    if made != sorted(made):
        findings.add("effects of one transaction out of order", f"{name}: {made}")
    passed = max(state.made, default=-1)
    for row in rows:
        offset = row["offset"]
        if offset not in state.seen and offset < passed:
            findings.add("a record that was passed before it was consumed", f"{name}: {offset} after {passed}")
        state.seen.add(offset)
        if row["what"] == "parked":
            (state.parked.add if row["after"] == "there" else state.parked.discard)(offset)
        elif row["what"] == "letter":
            state.letters[offset] = row["after"]
    for offset in made:
        for other in state.parked:
            if other < offset:
                findings.add("an effect before an earlier record of its key that was parked", f"{name}: {offset} before {other}")
        for other, status in state.letters.items():
            if hold and other < offset and status in WAITS:
                findings.add("an effect before an earlier record of its key that was dead and holds", f"{name}: {offset} before {other}")
    state.made += made


# --- replays

def check_replays(log, facts, findings):
    keys = {position(record): (record.topic, record.partition, record.key) for record in log if record.key is not None}
    live, fed = {}, defaultdict(int)
    for row in facts.history:
        name = f"dead letter {row['letter']}, action {row['action']}"
        if row["what"] == "letter":
            if (row["before"], row["after"]) not in LETTER_MOVES and not (row["before"] == row["after"] == "open"):
                findings.add(f"a dead letter that went from {row['before']} to {row['after']}", name)
        elif row["what"] == "item":
            if (row["before"], row["after"]) not in ITEM_MOVES:
                findings.add(f"an item of a replay that went from {row['before']} to {row['after']}", name)
            if row["after"] == "queued":
                if row["letter"] in live:
                    findings.add("a dead letter in two replays at one time", f"{name} and action {live[row['letter']]}")
                live[row["letter"]] = row["action"]
            elif row["after"] == "parked":
                fed[row["letter"]] += 1
            else:
                live.pop(row["letter"], None)
    _check_feeding(keys, facts, findings)
    for row in facts.letters:
        if row["replays"] != fed[row["id"]]:
            findings.add("a dead letter that counts another number of replays", f"{row['id']}: {row['replays']} instead of {fed[row['id']]}")
    for row in facts.items:
        if row["state"] in ("queued", "parked"):
            findings.add(f"an item of a replay that is {row['state']} at the end", f"dead letter {row['dead_letter']}, action {row['action_id']}")
    for row in facts.actions:
        if row["kind"] == "replay" and row["state"] not in ("done", "cancelled", "stopped"):
            findings.add(f"a replay that is {row['state']} at the end", str(row["id"]))
    for row in facts.parked:
        findings.add("a record that is parked at the end", where(place_of(row)))


def _check_feeding(keys, facts, findings):
    """Letters of one ordering key that are replayed together are given to their lane in the order of the log: after each transaction none
    that still waits to be fed is before one that was."""
    queued, by_transaction = defaultdict(set), defaultdict(list)
    for row in facts.history:
        if row["what"] == "item" and place_of(row) in keys:
            by_transaction[row["tx"]].append(row)
    for rows in sorted(by_transaction.values(), key=lambda of: of[0]["n"]):
        for row in rows:
            each = queued[row["action"], keys[place_of(row)]]
            (each.add if row["after"] == "queued" else each.discard)(row["offset"])
        for row in rows:
            if row["after"] == "parked" and any(other < row["offset"] for other in queued[row["action"], keys[place_of(row)]]):
                findings.add("a dead letter that was fed before an earlier one of its key", f"{where(place_of(row))}, action {row['action']}")


# --- what the dead-letter topic is told

def check_told(told, facts, findings):
    """Every death, replay that did well, discard and restore, in order; nothing else."""
    wanted, known = defaultdict(list), set()
    for row in facts.history:
        if row["what"] != "letter":
            continue
        letter, after = row["letter"], row["after"]
        if after == "open" and (row["before"] is None or row["again"]):
            known.add(letter)
            wanted[letter].append((row["cause"], row["replays"]))
        elif letter in known and (after in ("discarded", "replayed") or (row["before"], after) == ("discarded", "open")):
            wanted[letter].append((after, row["replays"]))
    found, keyless = defaultdict(list), set()
    for each in sorted(without_repeats(told, findings, "dead-letter event"), key=lambda event: (event.partition, event.offset)):
        letter = int(header(each, "deja-dlq-id"))
        found[letter].append((header(each, "deja-dlq-status") or header(each, "deja-dlq-cause"), int(header(each, "deja-dlq-replays"))))
        if each.key is None:
            keyless.add(letter)  # its events lie in any partition
    for letter in sorted(set(wanted) | set(found)):
        each = sorted if letter in keyless else list
        if each(found[letter]) != each(wanted[letter]):
            findings.add("a dead letter of which the topic was told otherwise", f"{letter}: {found[letter]} instead of {wanted[letter]}")


def check(log, facts, hold, told, findings):
    outcomes = Dispositions(log, facts, findings).check()
    check_order(log, facts, hold, findings)
    check_replays(log, facts, findings)
    check_told(told, facts, findings)
    return outcomes
