"""What a set of payment records must lead to, computed from the records alone, and the comparison with what there is.

Knows the rules of the example from its description and shares no code with it. Standard library only.
"""

import json
import math
from collections import Counter, defaultdict

from postgres_session import as_bytes

INT64_MAX = (1 << 63) - 1


class _Invalid(Exception):
    pass


def _finite(text):
    number = float(text)
    if math.isinf(number):
        raise _Invalid("number out of range")
    return number


def _whole(text):
    number = int(text) if len(text) <= 400 else None
    if number is None or not -(1 << 63) <= number < 1 << 64:
        return _finite(text)
    return number


def _refuse(text):
    raise _Invalid(text)


def _depth_and_text(value, depth=1):
    if depth > 32 + 1:
        raise _Invalid("too deep")
    if isinstance(value, str):
        value.encode()  # a lone surrogate is no UTF-8
    elif isinstance(value, Pairs):
        for name, each in value.pairs:
            name.encode()
            _depth_and_text(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            _depth_and_text(each, depth + 1)


class Pairs:
    """A JSON object with its repeated names."""

    def __init__(self, pairs):
        self.pairs = pairs
        self.last = dict(pairs)


def parse_payment(value):
    """(payment_id, account, amount_cents), or None for a value that is no payment."""
    try:
        text = (value or b"").removeprefix(b"\xef\xbb\xbf").decode("utf-8", "strict")
        document = json.loads(text, parse_float=_finite, parse_int=_whole, parse_constant=_refuse, object_pairs_hook=Pairs)
        _depth_and_text(document)
    except (ValueError, RecursionError, _Invalid):
        return None
    if not isinstance(document, Pairs):
        return None
    payment_id, account, amount = (document.last.get(name) for name in ("payment_id", "account", "amount_cents"))
    for each in (payment_id, account):
        if not isinstance(each, str) or not 0 < len(each.encode()) <= 2048 or "\0" in each:
            return None
    if not isinstance(amount, int) or isinstance(amount, bool) or not 0 < amount <= INT64_MAX:
        return None
    return payment_id, account, amount


def idempotency_key(record):
    """The last such header, as Kafka reads repeated ones; an empty one counts as none."""
    values = [value for name, value in record.headers if name == "Idempotency-Key"]
    return values[-1] or None if values else None


def position(record):
    return record.topic, record.partition, record.offset


def _outcomes_in_order(records):
    """Records of one key in log order: position -> what it must become."""
    outcomes, first_value = {}, None
    for record in records:
        if first_value is not None:
            outcomes[position(record)] = "duplicate" if record.value == first_value else "conflict"
        elif parse_payment(record.value) is None:
            outcomes[position(record)] = "rejected"
        else:
            outcomes[position(record)] = "processed"
            first_value = record.value
    return outcomes


def expected_outcomes(log, winners=frozenset()):
    """position -> the set of outcomes that are right: processed, duplicate, or the cause of a dead letter.

    Kafka orders the records of a partition only. Where the records of one key lie in several, any of them may rightly be the
    first; `winners` (positions that have an effect) then tells which one was, and everything else is judged by it.
    """
    by_key, expected = defaultdict(list), {}
    for record in sorted(log, key=position):
        key = idempotency_key(record)
        if key is None:
            expected[position(record)] = {"key_missing"}
        else:
            by_key[key].append(record)
    for records in by_key.values():
        if len({record.partition for record in records}) == 1:
            expected |= {place: {outcome} for place, outcome in _outcomes_in_order(records).items()}
            continue
        valid = [record for record in records if parse_payment(record.value)]
        first = next((record for record in valid if position(record) in winners), valid[0] if valid else None)
        for record in records:
            if record is first:
                right = {"processed"}
            elif record.value == first.value if first else False:
                right = {"duplicate"}
            elif parse_payment(record.value):
                right = {"conflict"}
            elif not first:
                right = {"rejected"}
            elif record.partition == first.partition:
                right = {"rejected" if record.offset < first.offset else "conflict"}
            else:
                right = {"rejected", "conflict"}
            expected[position(record)] = right
    return expected


class Findings(list):
    """Sentences about what is wrong; empty is clean. Long lists of the same kind are cut."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def add(self, kind, detail):
        self.counts[kind] += 1
        if self.counts[kind] <= 5:
            self.append(f"{kind}: {detail}")
        elif self.counts[kind] == 6:
            self.append(f"{kind}: and more")


def where(place):
    return "{}/{}/{}".format(*place)


def _each_once(rows):
    """position -> row, and the positions that have more than one."""
    found, twice = {}, set()
    for row in rows:
        place = (row["topic"], row["partition"], row["offset"])
        if place in found:
            twice.add(place)
        found[place] = row
    return found, twice


def check_effects(log, database, findings, group="payments"):
    """Compares ledger, accounts and dead letters with the log. Returns a Counter of outcomes and the ledger's rows in order."""
    ledger = database.rows('select id, payment_id, account, amount_cents, topic, partition, "offset" from ledger order by id')
    dead = database.rows(
        'select id, handler, topic, partition, "offset", record_key, value, cause, status, replays from deja.dead_letters '
        f"where group_id = '{group}' order by id")
    effects, doubled = _each_once(ledger)
    letters, letters_twice = _each_once(dead)
    for place in sorted(doubled):
        findings.add("doubled effect", where(place))
    for place in sorted(letters_twice):
        findings.add("two dead letters for one record", where(place))

    outcomes = Counter()
    records = {position(record): record for record in log}
    for place, right in expected_outcomes(log, frozenset(effects)).items():
        record = records[place]
        if place in effects and place in letters:
            findings.add("an effect and a dead letter", where(place))
        if place in effects:
            outcome, row = "processed", effects[place]
            if (row["payment_id"], row["account"], row["amount_cents"]) != parse_payment(record.value):
                findings.add("an effect that differs from its record", where(place))
        elif place in letters:
            outcome, row = letters[place]["cause"], letters[place]
            if (as_bytes(row["record_key"]), as_bytes(row["value"])) != (record.key, record.value):
                findings.add("a dead letter that differs from its record", where(place))
            if row["handler"] != "settle-payment":
                findings.add("a dead letter of another handler", where(place))
        else:
            outcome = "duplicate"
        outcomes[outcome] += 1
        if outcome not in right:
            findings.add(f"{outcome} instead of {' or '.join(sorted(right))}", where(place))
    for place in sorted(set(effects) - set(records)):
        findings.add("an effect without a record", where(place))
    for place in sorted(set(letters) - set(records)):
        findings.add("a dead letter without a record", where(place))

    balances = defaultdict(lambda: [0, 0])
    for place, right in expected_outcomes(log, frozenset(effects)).items():
        if right == {"processed"}:
            _id, account, amount = parse_payment(records[place].value)
            balances[account][0] += amount
            balances[account][1] += 1
    accounts = {row["account"]: [int(row["balance"]), row["payments"]]
                for row in database.rows("select account, balance_cents::text as balance, payments from accounts")}
    for account in sorted(set(balances) | set(accounts)):
        if balances.get(account) != accounts.get(account):
            findings.add("a wrong balance", f"{account}: {accounts.get(account)} instead of {balances.get(account)}")
    return outcomes, ledger, dead


def header(record, name):
    values = [value for each, value in record.headers if each == name]
    return values[-1].decode("utf-8", "replace") if values and values[-1] is not None else None


def without_repeats(records, findings, what):
    """The first record of each event id, in the order of the log. A repeat must say the same, and lie in the same partition if it has a
    key: what has none goes anywhere."""
    def content(record):
        return record.key, record.value, record.partition if record.key is not None else None
    first = {}
    for record in records:
        event_id = header(record, "deja-event-id")
        if event_id is None:
            findings.add(f"{what} without deja-event-id", where(position(record)))
        elif event_id not in first:
            first[event_id] = record
        elif content(first[event_id]) != content(record):
            findings.add(f"{what} repeated with another content", where(position(record)))
    return list(first.values())


def check_settled_events(events, ledger, findings):
    """One event for each effect, and for each account in the order of the effects. Returns how many were repeated."""
    unique = without_repeats(events, findings, "event")
    told = {}
    for event in unique:
        source = header(event, "deja-source")
        if source in told:
            findings.add("two events for one effect", source)
        told[source] = event
    for row in ledger:
        source = where((row["topic"], row["partition"], row["offset"]))
        event = told.pop(source, None)
        if event is None:
            findings.add("an effect without an event", source)
            continue
        wanted = {name: row[name] for name in ("payment_id", "account", "amount_cents")}
        if json.loads(event.value) != wanted or event.key != row["account"].encode():
            findings.add("an event that differs from its effect", source)
    for source in told:
        findings.add("an event without an effect", source)

    # Order is promised for records of one key in one partition; an account whose records lie in several has no one order.
    orders, sources = defaultdict(list), defaultdict(set)
    for row in ledger:
        orders[row["account"]].append(where((row["topic"], row["partition"], row["offset"])))
        sources[row["account"]].add(row["partition"])
    for event in sorted(unique, key=lambda each: (each.partition, each.offset)):
        account = (event.key or b"").decode("utf-8", "replace")
        if len(sources[account]) == 1:
            wanted = orders[account].pop(0) if orders[account] else None
            if header(event, "deja-source") != wanted:
                findings.add("events of an account out of order", f"{account}: {header(event, 'deja-source')} instead of {wanted}")
                orders[account] = []
                sources[account] = set()
    return len(events) - len(unique)


def check_dead_letter_events(events, dead, findings, group="payments"):
    """One record in the dead-letter topic for each dead letter, and for each replay of it another one or the notice that it went well."""
    unique = without_repeats(events, findings, "dead-letter event")
    told, times, rows = {}, set(), {str(row["id"]): row for row in dead}
    for event in unique:
        letter, replays = header(event, "deja-dlq-id"), int(header(event, "deja-dlq-replays"))
        row = rows.get(letter)
        if row and not 0 <= replays <= row["replays"]:
            findings.add("a dead-letter event of a replay that was not", f"{letter}, {replays}")
        if (letter, replays) in times:
            findings.add("two records in the dead-letter topic for one dead letter", letter)
        times.add((letter, replays))
        if header(event, "deja-dlq-status") is not None:
            if row is None or row["status"] != header(event, "deja-dlq-status"):
                findings.add("a dead letter that is not as the topic was told", letter)
        elif letter not in told or int(header(told[letter], "deja-dlq-replays")) < replays:
            told[letter] = event
    for row in dead:
        if len([each for each, _ in times if each == str(row["id"])]) not in (0, row["replays"] + 1):
            findings.add("a replay that the topic was not told of", str(row["id"]))
    for row in dead:
        event = told.pop(str(row["id"]), None)
        if event is None:
            findings.add("a dead letter that is not in the topic", str(row["id"]))
            continue
        said = tuple(header(event, name) for name in
                     ("__dlq.errors.topic", "__dlq.errors.partition", "__dlq.errors.offset", "__dlq.errors.group", "deja-dlq-cause"))
        if said != (row["topic"], str(row["partition"]), str(row["offset"]), group, row["cause"]):
            findings.add("wrong headers in the dead-letter topic", f"{row['id']}: {said}")
        if (event.key, event.value) != (as_bytes(row["record_key"]), as_bytes(row["value"])):
            findings.add("a record in the dead-letter topic that differs from its dead letter", str(row["id"]))
    for letter in told:
        findings.add("a record in the dead-letter topic without a dead letter", str(letter))
