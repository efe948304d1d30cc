"""What a set of records for deja-probe must lead to, computed from the records alone, and the comparison with what there is.

Records of one idempotency key lie in one partition, or say the same. Standard library only.
"""

import json
from collections import Counter, defaultdict

import record_order
from payments_oracle import (Findings, check_dead_letter_events, header, idempotency_key, position, where, without_repeats)
from postgres_session import as_bytes

# what a record asks for -> the cause of its dead letter; everything else takes effect
DEAD = {"throw": "exhausted", "sql-error": "exhausted", "swallow-sql-error": "exhausted", "commit": "exhausted", "reject": "rejected"}


def script_of(record):
    script = json.loads(record.value)
    word, _, number = script["do"].partition(":")
    return script, word, int(number) if number else None


def events_of(record):
    """Values of the events that the record's effect emits, in order."""
    script, word, number = script_of(record)
    count = number if word == "emit" else 1
    return [{"id": script["id"], "seq": script["seq"], "n": n} for n in range(1, count + 1)]


def _dead(word, number, attempts):
    if word == "throw" and number is not None and number < attempts:
        return None  # it heals
    return DEAD.get(word)


def _outcomes_in_order(records, failed, attempts_of):
    """Records of one key in log order. `failed`: positions where a handler was made to fail from outside until no attempt was left."""
    outcomes, first = {}, None
    for record in records:
        _, word, number = script_of(record)
        attempts = attempts_of(position(record))
        if first is not None:
            outcomes[position(record)] = "duplicate" if record.value == first else "conflict"
        elif position(record) in failed:
            outcomes[position(record)] = "exhausted"
        elif _dead(word, number, attempts):
            outcomes[position(record)] = _dead(word, number, attempts)
        else:
            outcomes[position(record)] = "processed"
            first = record.value
    return outcomes


def expected_outcomes(log, failed, winners, attempts_of):
    """position -> outcome. Where a key lies in several partitions any of its records may rightly be the first: `winners` have an effect."""
    by_key, expected = defaultdict(list), {}
    for record in sorted(log, key=position):
        key = idempotency_key(record)
        if key is None:
            expected[position(record)] = "key_missing"
        else:
            by_key[key].append(record)
    for records in by_key.values():
        if len({record.partition for record in records}) == 1:
            expected |= _outcomes_in_order(records, failed, attempts_of)
            continue
        alive = [record for record in records if position(record) not in failed]
        first = next((record for record in alive if position(record) in winners), alive[0] if alive else None)
        for record in records:
            expected[position(record)] = "processed" if record is first else "exhausted" if position(record) in failed else "duplicate"
    return expected


def check(cluster, database, group, topic, events_topic, dead_topic, injected="", attempts=1):
    """Sentences about what is wrong with a group that has come to its end, and a Counter of outcomes. Letters whose error has the
    words `injected` in it are failures that a test made. `attempts`: retry.max.attempts. probe_effects needs what record_order.COLUMNS adds."""
    findings = Findings()
    log = cluster.read(topic)
    effects_found = database.rows(f"select * from probe_effects where topic = '{topic}'")
    letters_found = database.rows(f"select * from deja.dead_letters where group_id = '{group}' order by id")
    lanes = database.rows(f"select * from deja.lanes where group_id = '{group}'")

    effects, letters = {}, {}
    for rows, found, what in ((effects_found, effects, "doubled effect"), (letters_found, letters, "two dead letters for one record")):
        for row in rows:
            place = (row["topic"], row["partition"], row["offset"])
            if place in found:
                findings.add(what, where(place))
            found[place] = row

    records = {position(record): record for record in log}
    failed = {place for place, row in letters.items() if row["status"] != "replayed" and injected and injected in row["error"]}
    replayed = {place for place, row in letters.items() if row["replays"] > 0}
    letters = {place: row for place, row in letters.items() if row["status"] != "replayed"}
    outcomes = Counter()
    for place, right in expected_outcomes(log, failed, effects.keys(), lambda place: attempts * (2 if place in replayed else 1)).items():
        record = records[place]
        if place in effects and place in letters:
            findings.add("an effect and a dead letter", where(place))
        if place in effects:
            outcome, script = "processed", script_of(record)[0]
            if (effects[place]["id"], effects[place]["seq"]) != (script["id"], script["seq"]):
                findings.add("an effect that differs from its record", where(place))
        elif place in letters:
            outcome = letters[place]["cause"]
            if (as_bytes(letters[place]["record_key"]), as_bytes(letters[place]["value"])) != (record.key, record.value):
                findings.add("a dead letter that differs from its record", where(place))
        else:
            outcome = "duplicate"
        outcomes[outcome] += 1
        if outcome != right:
            findings.add(f"{outcome} instead of {right}", where(place))
    for place in sorted((set(effects) | set(letters) | replayed) - set(records)):
        findings.add("an effect or a dead letter without a record", where(place))

    record_order.parked_at_the_end(database, group, findings)
    moments = {table: {row["id"]: row["at"] for row in database.rows(f"select {name} as id, {record_order.microseconds(at)} from {table} where {which}")}
               for table, name, at, which in (("probe_effects", "n", "at", f"topic = '{topic}'"), ("deja.dead_letters", "id", "dead_at", f"group_id = '{group}'"))}
    in_their_place = lambda rows: [row for row in rows if (row["topic"], row["partition"], row["offset"]) not in replayed]  # noqa: E731
    record_order.check(records, [row | {"at": moments["probe_effects"][row["n"]]} for row in in_their_place(effects_found)],
                       [row | {"at": moments["deja.dead_letters"][row["id"]]} for row in in_their_place(letters_found)], findings)

    # Progress: everything read, everything published, and as many keys as keyed effects.
    ends = cluster.end_offsets(topic)
    for row in lanes:
        if row["next_offset"] != ends.get(row["partition"]):
            findings.add("a lane that is not at the end of its log", f"{row['partition']}: {row['next_offset']} of {ends.get(row['partition'])}")
        if row["published_seq"] != row["next_event_seq"] - 1:
            findings.add("a lane with unpublished events", f"{row['partition']}: {row['published_seq']} of {row['next_event_seq'] - 1}")
        if row["open"]:
            findings.add("a lane that was left open", str(row["partition"]))
    if {row["partition"] for row in lanes} != set(ends):
        findings.add("a partition without its lane", f"{len(lanes)} of {len(ends)}")
    keys = database.value(f"select count(*) from deja.keys_1 k join deja.lanes l on l.id = k.lane where l.group_id = '{group}'")
    if keys != outcomes["processed"]:
        findings.add("keys that differ from the effects", f"{keys} keys, {outcomes['processed']} effects")

    # Events: those of the effects and nothing else, each under one id, in order per record key.
    told = cluster.read(events_topic)
    unique = without_repeats(told, findings, "event")
    by_source = defaultdict(list)
    for event in sorted(unique, key=lambda each: (each.partition, each.offset)):
        by_source[header(event, "deja-source")].append(event)
    for place in effects:
        mine = by_source.pop(where(place), [])
        if place in records:
            if [json.loads(event.value) for event in mine] != events_of(records[place]):
                findings.add("events that differ from their effect", where(place))
            if any(event.key != records[place].key for event in mine):
                findings.add("an event under another key", where(place))
    for source in by_source:
        findings.add("an event without an effect", source)
    last = {}
    for event in sorted(unique, key=lambda each: (each.partition, each.offset)):
        _, partition, offset = (header(event, "deja-source") or "//").rsplit("/", 2)
        if partition and (topic, int(partition), int(offset)) in replayed:
            continue
        at = last.get((event.key, partition), -1)
        if int(offset or 0) < at:
            findings.add("events of a key out of order", f"{event.key}: {partition}/{offset} after {at}")
        last[(event.key, partition)] = int(offset or 0)

    # The numbers that the lanes gave out have no gap: each is an event in Kafka.
    dead_events = cluster.read(dead_topic)
    check_dead_letter_events(dead_events, letters_found, findings, group)
    given = sum(row["next_event_seq"] - 1 for row in lanes)
    there = len(unique) + len({header(event, "deja-event-id") for event in dead_events})
    if given != there:
        findings.add("event numbers without their event", f"{given} numbers, {there} events")
    return findings, outcomes
