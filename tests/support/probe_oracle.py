"""What records for deja-probe must lead to, computed from the log alone, and the comparison with what there is: effects, their
order, dead letters and events. Shares no code with the project. Standard library only.

A handler that fails by attempts (`throw:N`) is tried again until it has none left, and the records of one key are in one partition
under one record key: so nothing rests on chance.
"""

import json
from collections import Counter, defaultdict

import record_order
from payments_oracle import Findings, as_bytes, header, idempotency_key, position, where, without_repeats

WORDS = {"ok", "unavailable", "sleep", "slow-sql", "emit", "emit-big"}
FAILING = {"throw": "exhausted", "sql-error": "exhausted", "swallow-sql-error": "exhausted", "commit": "exhausted", "reject": "rejected"}


class Script:
    """fate: `processed`, or the cause of its dead letter."""

    def __init__(self, value, attempts=3):
        self.fate, self.id, self.seq, self.events = "rejected", None, None, 0
        try:
            told = json.loads((value or b"").decode())
            self.id, self.seq = told["id"], told["seq"]
            word, _, number = told["do"].partition(":")
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if word in WORDS:
            self.fate = "processed"
            self.events = int(number) if word == "emit" else 1
        elif word == "throw" and number:
            heals = int(number) < attempts
            self.fate, self.events = ("processed", 1) if heals else ("exhausted", 0)
        elif word in FAILING:
            self.fate = FAILING[word]


def _each_once(rows, what, findings):
    found = {}
    for row in rows:
        place = (row["topic"], row["partition"], row["offset"])
        if place in found:
            findings.add(what, where(place))
        found[place] = row
    return found


def _judge_key(records, scripts, effects, letters, findings):
    """Records of one key, of one partition, in log order."""
    winner, failed = None, set()
    for record in records:
        place, script = position(record), scripts[position(record)]
        has = "processed" if place in effects else letters[place]["cause"] if place in letters else "duplicate"
        if winner is not None:
            right = {"duplicate" if record.value == winner.value else "conflict"}
        else:
            right = {script.fate}
        if winner is None and record.value in failed:
            right.add("duplicate")  # of one that was parked, and is dead since
        if has not in right:
            findings.add(f"{has} instead of {' or '.join(sorted(right))}", where(place))
        if has == "processed":
            if winner is not None:
                findings.add("two effects under one key", f"{where(position(winner))} and {where(place)}")
            winner = winner or record
        elif winner is None and has in record_order.IN_TURN:
            failed.add(record.value)
        yield has


def check_effects(log, database, group, findings, attempts=3):
    """Returns a Counter of dispositions, the effects in the order in which they were made, the dead letters, and the scripts.
    probe_effects needs what record_order.COLUMNS adds. `attempts`: retry.max.attempts."""
    rows = database.rows(f'select n, id, record_key, seq, topic, partition, "offset", attempt, {record_order.microseconds("at")} from probe_effects order by n')
    dead = database.rows(f'select id, topic, partition, "offset", record_key, value, cause, status, replays, {record_order.microseconds("dead_at")} from deja.dead_letters '
                         f"where group_id = '{group}' order by id")
    record_order.parked_at_the_end(database, group, findings)
    effects, letters = _each_once(rows, "doubled effect", findings), _each_once(dead, "two dead letters for one record", findings)
    records = {position(record): record for record in log}
    scripts = {place: Script(record.value, attempts) for place, record in records.items()}
    outcomes, by_key = Counter(), defaultdict(list)
    for place, record in sorted(records.items()):
        key = idempotency_key(record)
        if key is not None:
            by_key[key, record.topic].append(record)
            continue
        cause = letters[place]["cause"] if place in letters else None
        outcomes[cause] += 1
        if cause != "key_missing" or place in effects:
            findings.add(f"{cause or 'nothing'} instead of key_missing", where(place))
    for each in by_key.values():
        outcomes.update(_judge_key(each, scripts, effects, letters, findings))
    for place in sorted(set(effects) & set(letters)):
        findings.add("an effect and a dead letter", where(place))
    for place in sorted((set(effects) | set(letters)) - set(records)):
        findings.add("an effect or a dead letter without a record", where(place))
    for place, row in effects.items():
        record = records.get(place)
        if record and (row["id"], row["seq"], (row["record_key"] or "").encode()) != (scripts[place].id, scripts[place].seq, record.key or b""):
            findings.add("an effect that differs from its record", where(place))
    for place, row in letters.items():
        record = records.get(place)
        if record and (as_bytes(row["record_key"]), as_bytes(row["value"])) != (record.key, record.value):
            findings.add("a dead letter that differs from its record", where(place))
    record_order.check(records, rows, dead, findings)
    return outcomes, rows, dead, scripts


def check_events(events, effects, scripts, findings):
    """Every event of every effect once under a stable id, per record key in the order of the log. Returns how many came again."""
    unique = without_repeats(events, findings, "event")
    told, order = defaultdict(list), {}
    for event in sorted(unique, key=lambda each: (each.partition, each.offset)):
        source = header(event, "deja-source") or ""
        topic, partition, offset = (source.rsplit("/", 2) + ["", "", ""])[:3]
        told[source].append(event)
        if event.key is not None:
            n = json.loads(event.value)["n"]
            at = (int(offset), n)
            if at <= order.get((event.key, topic, partition), (-1, 0)):
                findings.add("events of a record key out of order", f"{source} n={n} after {order[event.key, topic, partition]}")
            order[event.key, topic, partition] = at
    for row in effects:
        place = (row["topic"], row["partition"], row["offset"])
        found = told.pop(where(place), [])
        script = scripts.get(place)
        wanted = [(script.id, script.seq, n) for n in range(1, script.events + 1)] if script else []
        said = sorted((value["id"], value["seq"], value["n"]) for value in (json.loads(event.value) for event in found))
        if said != wanted:
            findings.add("events that differ from their effect", f"{where(place)}: {len(found)} instead of {len(wanted)}")
    for source in told:
        findings.add("an event without an effect", source)
    return len(events) - len(unique)


__all__ = ["Findings", "Script", "check_effects", "check_events"]
