"""What records scripted for deja-probe must lead to, computed from the log alone, and the comparison with what there is: each record
one disposition, each key at most one effect, every effect its event, in order. Shares no code with the project.
"""

import json
from collections import Counter, defaultdict

from payments_oracle import header, position, where, without_repeats

KEY = "Idempotency-Key"
BAD = ("throw", "reject", "sql-error", "swallow-sql-error", "commit", "abort", "segv", "exit", "hang")


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


def _is_good(record):
    script = _script(record)
    return script is not None and script[2].partition(":")[0] not in BAD


def check_dispositions(log, database, findings, group):
    """Returns (Counter of outcomes, effects in the order of their records)."""
    rows = database.rows('select id, record_key, seq, topic, partition, "offset", at::text from probe_effects')
    letters_rows = database.rows(f"select topic, partition, \"offset\", cause from deja.dead_letters where group_id = '{group}'")
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

    by_key = defaultdict(list)
    for place in sorted(records):
        by_key[_key(records[place]) or place].append(place)
    for key, places in by_key.items():
        holders = [place for place in places if place in effects]
        if len(holders) > 1:
            findings.add("a key with two effects", f"{key} at " + " and ".join(map(where, holders)))
        good = [place for place in places if _is_good(records[place])]
        if good and _key(records[places[0]]) is not None and not holders:
            findings.add("a key without its effect", f"{key}: {where(good[0])}")
        for place in places:
            if place in effects:
                outcomes["processed"] += 1
                if _script(records[place])[:2] != (effects[place]["id"], effects[place]["seq"]):
                    findings.add("an effect that differs from its record", where(place))
                earlier = [other for other in good if other[:2] == place[:2] and other[2] < place[2]]
                if earlier:
                    findings.add("an effect of a later twin", f"{where(place)} instead of {where(earlier[0])}")
            elif place in letters:
                outcomes[letters[place]] += 1
                if letters[place] == "conflict":
                    if not holders or records[holders[0]].value == records[place].value:
                        findings.add("a conflict with nothing", where(place))
                elif _is_good(records[place]) and _key(records[place]) is not None:
                    findings.add("a record that is dead without a fault", f"{where(place)}: {letters[place]}")
            else:
                outcomes["duplicate"] += 1
                if not holders:
                    findings.add("a record without a disposition", where(place))
                elif records[holders[0]].value != records[place].value:
                    findings.add("a duplicate with another value", where(place))

    ordered = [effects[place] for place in sorted(effects)]
    last = {}
    for row in ordered:
        key = (row["topic"], row["partition"], row["record_key"])
        if row["record_key"] is not None and row["at"] < last.get(key, ""):
            findings.add("effects of a record key out of log order", where((row["topic"], row["partition"], row["offset"])))
        last[key] = row["at"]
    return outcomes, ordered


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
