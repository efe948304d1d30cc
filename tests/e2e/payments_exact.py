"""20,000 payments with duplicates, conflicts and values that are none: ledger, balances, events, dead letters and metrics exact."""

from collections import Counter

import sandbox
from payments_run import TOPIC, PaymentsTest, payments
from programs import wait_until


class WhenPaymentsAreSettled(PaymentsTest):
    def test_every_record_has_its_one_disposition_and_the_metrics_say_so(self):
        self.produce(TOPIC, payments(20_000, seed=11, duplicates=0.05, invalid=0.01))
        program = self.start(self.payment_settings())
        self.await_done([TOPIC], program)
        # Gauges are sampled about once a second.
        wait_until(lambda: self.scrape().sum("deja_outbox_unpublished_events") == 0 and self.scrape().sum("deja_consumer_lag_records") == 0
                   and self.scrape().by("deja_dependency_up", "dependency") == {"postgres": 1, "kafka": 1}, 30, "the gauges of the outbox and of the lag to be 0, and of dependencies to be 1", program)
        metrics = self.scrape()
        self.drain(program)

        outcomes, log, ledger, dead, repeats = self.check()
        self.assertEqual(len(log), 21_010)
        self.assertEqual(repeats, 0, "nothing was killed, so no event has a reason to come twice")
        causes = Counter(row["cause"] for row in dead)
        self.assertGreater(causes["rejected"], 100)
        self.assertGreater(causes["key_missing"], 10)
        self.assertEqual(causes["conflict"], 10)

        labels = {"topic": TOPIC, "handler": "settle-payment", "group": self.group}
        wanted = {"processed": len(ledger), "duplicate": outcomes["duplicate"], "conflict": causes["conflict"],
                  "dead": causes["rejected"] + causes["key_missing"]}
        self.assertEqual(metrics.by("deja_records_total", "disposition"), wanted)
        for disposition, count in wanted.items():
            self.assertEqual(metrics.sum("deja_records_total", disposition=disposition, **labels), count)
        self.assertEqual(metrics.by("deja_duplicates_total", "cause"), {"producer": outcomes["duplicate"]})
        self.assertEqual(metrics.sum("deja_duplicates_total", cause="producer", **labels), outcomes["duplicate"])
        self.assertEqual(metrics.sum("deja_duplicate_age_seconds_count", cause="producer"), outcomes["duplicate"])
        for cause in ("rejected", "key_missing"):
            self.assertEqual(metrics.sum("deja_dead_lettered_total", cause=cause, **labels), causes[cause])
        self.assertEqual(metrics.sum("deja_attempts_total", result="rejected", **labels), causes["rejected"])
        self.assertEqual(metrics.sum("deja_outbox_published_total"), len(ledger) + len(dead))
        self.assertEqual(metrics.sum("deja_lanes_owned", topic=TOPIC), 4)

        # What the recording rule deja:dedup_hit_ratio:rate5m divides.
        ratio = metrics.sum("deja_duplicates_total", cause="producer") / (
            metrics.sum("deja_records_total", disposition="processed") + metrics.sum("deja_records_total", disposition="duplicate"))
        self.assertAlmostEqual(ratio, outcomes["duplicate"] / (outcomes["processed"] + outcomes["duplicate"]))

    def test_odd_values_are_judged_as_the_description_says(self):
        base = b'{"payment_id": "p", "account": "a", "amount_cents": %s}'
        values = [base % number for number in (
            b"1", b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"-1", b"-0", b"0", b"1.0", b"1e2", b"true",
            b"null", b'"5"', b"[5]", b"NaN", b"Infinity", b"01", b"+1", b"0x5", b"5 ", b"5,", b'5, "x": 1e999', b'5, "x": 1e300',
            b'5, "amount_cents": 0', b'0, "amount_cents": 5', b'5, "x": "\\ud800"', b'5, "x": "\\ud83d\\ude00"', b'5, "x": "\x01"')]
        texts = [b'""', b'"\\u0000"', b'"\\ud800"', b'"\xff"', b'"\xc3\xa4"', b'"' + b"x" * 2048 + b'"', b'"' + b"x" * 2049 + b'"', b"5", b"null", b'" "',
                 b"\"'; drop table ledger; --\"", b'"\\\\"']
        values += [b'{"payment_id": %s, "account": "a", "amount_cents": 5}' % text for text in texts]
        values += [b'{"payment_id": "p", "account": %s, "amount_cents": 5}' % text for text in texts]
        values += [b'{"x": ' + b"[" * depth + b"1" + b"]" * depth + b", " + (base % b"5")[1:] for depth in (30, 31, 32, 33, 100_000)]
        values += [b"\xef\xbb\xbf" + base % b"5", base % b"5" + b"\0", base % b"5" + b" \n", b"\0", b" ", b"null", b"[]", b'"x"', b"{}",
                   b"[" * 200_000, b'{"a":' * 100_000, None]
        self.produce(TOPIC, [(b"a", value, [("Idempotency-Key", str(n).encode())]) for n, value in enumerate(values)])
        # More than a bigint holds: the sum must not overflow.
        self.produce(TOPIC, [(b"rich", b'{"payment_id": "p", "account": "rich", "amount_cents": 9223372036854775807}', [("Idempotency-Key", key)])
                             for key in (b"r1", b"r2", b"r3")])
        program = self.start(self.payment_settings())
        self.await_done([TOPIC], program)
        self.drain(program)
        outcomes, _, _, dead, _ = self.check()
        self.assertGreater(outcomes["processed"], 15)
        self.assertEqual({row["cause"] for row in dead}, {"rejected"})
        told = self.database.rows("select distinct error from deja.dead_letters")
        self.assertFalse([row for row in told if "xxx" in row["error"]], "a reason shows nothing of the value")


if __name__ == "__main__":
    sandbox.main()
