"""The check that the demo and the payment tests rely on: clean for a right outcome, and a finding for each way it can be wrong.
Needs no server."""

import copy
import unittest

import payments_oracle as oracle
from kafka_wire import Record

KEY = "Idempotency-Key"


def value(number, account="a", amount=5):
    return f'{{"payment_id": "p{number}", "account": "{account}", "amount_cents": {amount}}}'.encode()


def record(partition, offset, data, key="k", account=b"a"):
    return Record("payments", partition, offset, 0, account, data, [(KEY, key.encode())] if key is not None else [])


class FakeDatabase:
    def __init__(self, ledger, dead, accounts):
        self.tables = {"from ledger": ledger, "from deja.dead_letters": dead, "from accounts": accounts}

    def rows(self, sql):
        (found,) = [rows for words, rows in self.tables.items() if words in sql]
        return copy.deepcopy(found)


def ledger_row(number, partition, offset, account="a", amount=5):
    return {"id": number, "payment_id": f"p{number}", "account": account, "amount_cents": amount, "topic": "payments",
            "partition": partition, "offset": offset}


def dead_row(number, source, cause):
    def as_hex(data):
        return None if data is None else "\\x" + data.hex()
    return {"id": number, "handler": "settle-payment", "topic": "payments", "partition": source.partition, "offset": source.offset,
            "record_key": as_hex(source.key), "value": as_hex(source.value), "cause": cause}


def event(offset, row, identity):
    headers = [("deja-event-id", identity.encode()), ("deja-source", f"payments/{row['partition']}/{row['offset']}".encode())]
    return Record("payments.settled", 0, offset, 0, row["account"].encode(),
                  f'{{"payment_id": "{row["payment_id"]}", "account": "{row["account"]}", "amount_cents": {row["amount_cents"]}}}'.encode(), headers)


class WhatTheCheckNotices(unittest.TestCase):
    def setUp(self):
        self.log = [record(0, 0, value(1), "k1"), record(0, 1, value(1), "k1"), record(0, 2, value(1, amount=6), "k1"),
                    record(0, 3, b"{", "k2"), record(0, 4, value(2), "k2"), record(0, 5, value(9), None), record(0, 6, value(3), "k3")]
        self.ledger = [ledger_row(1, 0, 0), ledger_row(2, 0, 4), ledger_row(3, 0, 6)]
        self.dead = [dead_row(1, self.log[2], "conflict"), dead_row(2, self.log[3], "rejected"), dead_row(3, self.log[5], "key_missing")]
        self.accounts = [{"account": "a", "balance": "15", "payments": 3}]
        self.events = [event(n, row, f"e{n}") for n, row in enumerate(self.ledger)]

    def findings(self):
        findings = oracle.Findings()
        self.outcomes, ledger, _ = oracle.check_effects(self.log, FakeDatabase(self.ledger, self.dead, self.accounts), findings)
        oracle.check_settled_events(self.events, ledger, findings)
        return findings

    def assert_found(self, words):
        self.assertIn(words, " | ".join(self.findings()))

    def test_a_right_outcome_is_clean(self):
        self.assertEqual(self.findings(), [])
        self.assertEqual(self.outcomes, {"processed": 3, "duplicate": 1, "conflict": 1, "rejected": 1, "key_missing": 1})

    def test_a_lost_effect(self):
        del self.ledger[1]
        self.assert_found("duplicate instead of processed: payments/0/4")

    def test_a_doubled_effect_of_one_record(self):
        self.ledger.append(dict(self.ledger[0], id=4))
        self.assert_found("doubled effect: payments/0/0")

    def test_a_doubled_effect_of_a_duplicate(self):
        self.ledger.append(dict(self.ledger[0], id=4, offset=1))
        self.assert_found("processed instead of duplicate: payments/0/1")

    def test_an_effect_of_another_record(self):
        self.ledger[0]["amount_cents"] = 6
        self.assert_found("an effect that differs from its record")

    def test_an_effect_and_a_dead_letter(self):
        self.dead.append(dead_row(4, self.log[0], "rejected"))
        self.assert_found("an effect and a dead letter: payments/0/0")

    def test_a_wrong_cause(self):
        self.dead[0]["cause"] = "rejected"
        self.assert_found("rejected instead of conflict: payments/0/2")

    def test_a_dead_letter_with_other_bytes(self):
        self.dead[1]["value"] = "\\x7b7d"
        self.assert_found("a dead letter that differs")

    def test_a_dead_letter_without_a_record(self):
        self.dead.append(dict(self.dead[0], id=9, offset=99))
        self.assert_found("a dead letter without a record: payments/0/99")

    def test_a_wrong_balance(self):
        self.accounts[0]["balance"] = "20"
        self.assert_found("a wrong balance: a")

    def test_a_lost_event(self):
        del self.events[1]
        self.assert_found("an effect without an event: payments/0/4")

    def test_an_event_too_many(self):
        self.events.append(event(9, dict(self.ledger[0], offset=1), "e9"))
        self.assert_found("an event without an effect: payments/0/1")

    def test_an_event_twice_under_two_ids(self):
        self.events.append(event(9, self.ledger[0], "other"))
        self.assert_found("two events for one effect")

    def test_an_event_twice_under_one_id_is_no_finding(self):
        self.events.append(event(9, self.ledger[0], "e0"))
        self.assertEqual(self.findings(), [])

    def test_a_repeat_with_another_content(self):
        self.events.append(event(9, dict(self.ledger[0], amount_cents=7), "e0"))
        self.assert_found("event repeated with another content")

    def test_events_out_of_order(self):
        self.events = [event(0, self.ledger[1], "e1"), event(1, self.ledger[0], "e0"), event(2, self.ledger[2], "e2")]
        self.assert_found("events of an account out of order")

    def test_one_key_in_two_partitions_has_any_first(self):
        self.log += [record(1, 0, value(7), "k7"), record(2, 0, value(7, amount=8), "k7")]
        self.accounts = [{"account": "a", "balance": "23", "payments": 4}]
        self.ledger.append(dict(ledger_row(4, 2, 0, amount=8), payment_id="p7"))
        self.dead.append(dead_row(4, self.log[-2], "conflict"))
        self.events.append(event(3, self.ledger[-1], "e3"))
        self.assertEqual(self.findings(), [])
        self.dead.pop()
        self.assert_found("duplicate instead of conflict: payments/1/0")

    def test_what_is_a_payment(self):
        for good in (value(1), b"\xef\xbb\xbf" + value(1), b' {"amount_cents":9223372036854775807,"account":"\\u00e4","payment_id":"x","more":[{}]}',
                     b'{"payment_id":"x","account":"a","amount_cents":0,"amount_cents":1}'):
            self.assertIsNotNone(oracle.parse_payment(good), good)
        for bad in (None, b"", b"{", b"[]", b"null", value(1)[:-1], value(1, amount="0"), value(1, amount="-1"), value(1, amount="1.0"),
                    value(1, amount="1e2"), value(1, amount="true"), value(1, amount='"5"'), value(1, amount="9223372036854775808"),
                    value(1, account=""), value(1, account="\\u0000"), value(1, account="\\ud800"), value(1, account="x" * 2049),
                    value(1) + b"\0", value(1) + b"x", value(1, amount="NaN"), value(1, amount="1, \"x\": 1e999"), b"\xff" + value(1),
                    b'{"a":' + b"[" * 40 + b"]" * 40 + b"," + value(1)[1:], b"[" * 100_000):
            self.assertIsNone(oracle.parse_payment(bad), bad)


if __name__ == "__main__":
    unittest.main(verbosity=1)
