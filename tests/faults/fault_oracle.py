"""What records scripted for deja-probe must lead to, computed from the log alone, and the comparison with what there is: each record
one disposition, each key at most one effect, every effect its event, in order. Shares no code with the project.
"""

import json
from collections import Counter, defaultdict

import record_order
from payments_oracle import header, position, where, without_repeats

KEY = "Idempotency-Key"
BAD = ("throw", "reject", "sql-error", "swallow-sql-error", "commit", "abort", "segv", "exit", "hang")
CAUSES = {"throw": "exhausted", "sql-error": "exhausted", "reject": "rejected"}  # where nothing else can become of it
OUTSIDE = ("operator", "overflow", "conflict")  # causes that a record's own script says nothing of


def _key(record):
    values = [value for name, value in record.headers if name == KEY]
    return values[-1] or None if values else None


def _script(record):
    try:
        script = json.loads(record.value)
        return script["id"], script["seq"], script.get("do", "ok")
    except (TypeError, ValueError, KeyError):
        return None


def _events_of(do):
    return int(do.partition(":")[2]) if do.startswith("emit:") else 1


def _heals(do, attempts):
    word, _, number = do.partition(":")
    return word == "throw" and number.isdigit() and int(number) < attempts


def _is_good(record, attempts):
    script = _script(record)
    return script is not None and (script[2].partition(":")[0] not in BAD or _heals(script[2], attempts))


def _was_parked(place, letters, holders):
    """Of a dead letter: it failed, or lost its key to a record that did not wait for it."""
    cause = letters.get(place)
    return cause in record_order.IN_TURN or (cause == "conflict" and not any(other[:2] == place[:2] and other[2] < place[2] for other in holders))


def check_dispositions(log, database, findings, group, attempts=1):
    """Returns (Counter of outcomes, effects in the order of their records). `attempts`: retry.max.attempts. probe_effects
    needs what record_order.COLUMNS adds."""
    rows = database.rows(f'select n, id, record_key, seq, topic, partition, "offset", {record_order.microseconds("at")} from probe_effects')
    letters_rows = database.rows(f'select topic, partition, "offset", cause, {record_order.microseconds("dead_at")} '
                                 f"from deja.dead_letters where group_id = '{group}'")
    record_order.parked_at_the_end(database, group, findings)
    records = {position(record): record for record in log}
    effects, letters, outcomes = {}, {}, Counter()
    for row in rows:
        place = (row["topic"], row["partition"], row["offset"])
        if place in effects:
            findings.add("doubled effect", where(place))
        if place not in records:
            findings.add("an effect without a record", where(place))
        effects[place] = row
    for row in letters_rows:
        place = (row["topic"], row["partition"], row["offset"])
        if place in letters:
            findings.add("two dead letters for one record", where(place))
        if place not in records:
            findings.add("a dead letter without a record", where(place))
        if place in effects:
            findings.add("an effect and a dead letter", where(place))
        letters[place] = row["cause"]
    record_order.check(records, rows, letters_rows, findings)

    by_key = defaultdict(list)
    for place in sorted(records):
        by_key[_key(records[place]) or place].append(place)
    for key, places in by_key.items():
        holders = [place for place in places if place in effects]
        if len(holders) > 1:
            findings.add("a key with two effects", f"{key} at " + " and ".join(map(where, holders)))
        good = [place for place in places if _is_good(records[place], attempts)]
        if good and _key(records[places[0]]) is not None and not holders and not any(letters.get(place) in OUTSIDE for place in good):
            findings.add("a key without its effect", f"{key}: {where(good[0])}")
        for place in places:
            if place in effects:
                outcomes["processed"] += 1
                if _script(records[place])[:2] != (effects[place]["id"], effects[place]["seq"]):
                    findings.add("an effect that differs from its record", where(place))
                if place not in good:
                    findings.add("an effect of a record that can have none", where(place))
                earlier = [other for other in good if other[:2] == place[:2] and other[2] < place[2]]
                if earlier and records[place].key is not None:  # without a record key they may lie in different lanes
                    findings.add("an effect of a later twin", f"{where(place)} instead of {where(earlier[0])}")
            elif place in letters:
                outcomes[letters[place]] += 1
                if letters[place] == "conflict":
                    if not holders or records[holders[0]].value == records[place].value:
                        findings.add("a conflict with nothing", where(place))
                elif _is_good(records[place], attempts) and _key(records[place]) is not None:
                    if letters[place] not in OUTSIDE:
                        findings.add("a record that is dead without a fault", f"{where(place)}: {letters[place]}")
                elif _script(records[place]) and letters[place] not in OUTSIDE:
                    wanted = CAUSES.get(_script(records[place])[2].partition(":")[0], letters[place])
                    if letters[place] != wanted and _key(records[place]) is not None:
                        findings.add(f"dead of {letters[place]} instead of {wanted}", where(place))
            else:
                outcomes["duplicate"] += 1
                waited = [other for other in places if other[:2] == place[:2] and other[2] < place[2] and _was_parked(other, letters, holders)
                          and records[other].value == records[place].value]
                if waited:
                    continue  # a twin of one that was parked then, and is dead since; another one may have the key now
                if not holders:
                    findings.add("a record without a disposition", f"{where(place)}, {_script(records[place])}, of its key {places}")
                elif records[holders[0]].value != records[place].value:
                    findings.add("a duplicate with another value", where(place))

    return outcomes, [effects[place] for place in sorted(effects)]


def check_events(events, log, effects, findings, orphans_allowed=False):
    """Every effect's events once (repeats under the same id aside), those of a record key in the order of its effects. Returns the
    number of repeats. `orphans_allowed`: events of effects that a restored database has lost."""
    unique = without_repeats(events, findings, "event")
    told = defaultdict(list)
    for event in sorted(unique, key=lambda each: (each.partition, each.offset)):
        told[header(event, "deja-source")].append(event)
    records = {where(position(record)): record for record in log}
    wanted = {}
    for row in effects:
        source = where((row["topic"], row["partition"], row["offset"]))
        wanted[source] = _events_of(_script(records[source])[2]) if source in records else 1
    for source, count in wanted.items():
        numbers = [json.loads(event.value)["n"] for event in told.get(source, [])]
        if source in records and records[source].key is None:
            numbers.sort()  # they lie in any partition
        if numbers != list(range(1, count + 1)):
            findings.add("events of an effect missing, doubled or out of order", f"{source}: {numbers[:10]} of {count}")
    if not orphans_allowed:
        for source in set(told) - set(wanted):
            findings.add("an event without an effect", source)
    if orphans_allowed:  # what was published under a past that is gone may lie before what came first
        return len(events) - len(unique)
    orders = defaultdict(list)
    for row in effects:
        if row["record_key"] is not None:
            source = where((row["topic"], row["partition"], row["offset"]))
            orders[(row["topic"], row["partition"], row["record_key"])] += [source] * wanted[source]
    seen = defaultdict(list)
    for event in sorted(unique, key=lambda each: (each.partition, each.offset)):
        source = header(event, "deja-source")
        if event.key is not None and source in wanted:
            topic, partition, _ = source.rsplit("/", 2)
            seen[(topic, int(partition), event.key.decode(errors="replace"))].append(source)
    for key, order in orders.items():
        if seen[key] != order and sorted(seen[key]) == sorted(order):
            first = next(i for i, (a, b) in enumerate(zip(seen[key], order)) if a != b)
            findings.add("events of a record key out of order", f"{key}: {seen[key][first]} instead of {order[first]}")
    return len(events) - len(unique)
