"""R5, seen from outside: per topic, partition and record key, effects are made in log order, each once what came before it is done.
Shares no code with the project."""

from collections import defaultdict

from payments_oracle import where

# Causes that a record can have only in its place among those of its record key; the others are seen without running it.
IN_TURN = ("exhausted", "rejected", "killed_process", "killed_connection")
COLUMNS = "alter table probe_effects add column n bigserial, alter column at set default now()"  # for tables of effects: see check()


def check(records, effects, letters, findings):
    """records: place -> record of the log. effects: rows with `n`, the order in which they were made, and `at`, when their transaction
    began; letters: rows with `cause` and `at`, too."""
    def key_of(row):
        record = records.get((row["topic"], row["partition"], row["offset"]))
        return None if record is None or record.key is None else (row["topic"], row["partition"], record.key)
    made, dead = defaultdict(list), defaultdict(list)
    for row in effects:
        made[key_of(row)].append(row)
    for row in letters:
        if row["cause"] in IN_TURN:
            dead[key_of(row)].append(row)
    for key in set(made) - {None}:
        last = -1
        for row in sorted(made[key], key=lambda each: each["n"]):
            place = where((row["topic"], row["partition"], row["offset"]))
            if row["offset"] < last:
                findings.add("effects of a record key out of order", f"{place} after {last}")
            last = max(last, row["offset"])
            for letter in dead.get(key, []):
                if letter["offset"] < row["offset"] and row["at"] < letter["at"]:
                    findings.add("an effect before an earlier record of its key was dead", f"{place} before {letter['offset']}")
                if letter["offset"] > row["offset"] and row["at"] > letter["at"]:
                    findings.add("an effect after a later record of its key was dead", f"{place} after {letter['offset']}")


def microseconds(column):
    return f"(extract(epoch from {column}) * 1000000)::bigint as at"


def parked_at_the_end(database, group, findings):
    for row in database.rows(f"select topic, partition, \"offset\" from deja.parked where group_id = '{group}'"):
        findings.add("a record that is parked at the end", where((row["topic"], row["partition"], row["offset"])))
