"""What the tests of broken links share: deja-payments behind fault proxies. Kafka needs listeners that know their proxies:
`scripts/stack up --proxies 2`, whose third line sets $DEJA_KAFKA_PROXIES; one test at a time uses them."""

import os
import urllib.parse

from fault_proxy import FaultProxy
from members import pair, through
from payments_run import TOPIC, PaymentsTest
from programs import free_port, scrape, wait_until


class LinkTest(PaymentsTest):
    # Detection is what is tested: bounds far below the defaults, and a session that the broker ends soon.
    QUICK = {"postgres.lost.ms": 1000, "kafka.consumer.session.timeout.ms": 6000, "kafka.consumer.heartbeat.interval.ms": 500,
             "kafka.consumer.socket.timeout.ms": 5000, "kafka.producer.socket.timeout.ms": 5000, "retry.backoff.base.ms": 20,
             "retry.backoff.max.ms": 500, "batch.max.records": 50}

    def setUp(self):
        super().setUp()
        if not os.environ.get("DEJA_KAFKA_PROXIES"):
            self.fail('DEJA_KAFKA_PROXIES is not set: eval "$(scripts/stack up --proxies 2)"')
        self.pairs = os.environ["DEJA_KAFKA_PROXIES"].split()

    def proxied(self, number=0, more=None):
        """Settings of a process behind proxies of its own, and the proxies: (settings, postgres, kafka)."""
        url = urllib.parse.urlsplit(self.postgres_url)
        postgres = FaultProxy((url.hostname, url.port or 5432), postgres=True, name=f"postgres-{number}")
        self.addCleanup(postgres.close)
        listen, target = pair(self.pairs[number])
        kafka = FaultProxy(target, listen, name=f"kafka-{number}", kafka=True)
        self.addCleanup(kafka.close)
        own = {"postgres.url": through(self.postgres_url, postgres.address), "kafka.bootstrap.servers": "{}:{}".format(*kafka.address)}
        if number:
            own["http.address"] = f"127.0.0.1:{free_port()}"
        return self.payment_settings(self.QUICK | own | (more or {})), postgres, kafka

    @staticmethod
    def port_of(settings):
        return int(settings["http.address"].rpartition(":")[2])

    def metric(self, settings, name, **labels):
        try:
            return scrape(self.port_of(settings)).sum(name, **labels)
        except OSError:
            return -1

    def effects(self):
        return self.database.value("select count(*) from ledger")

    def await_effects(self, more_than, *programs, seconds=90):
        wait_until(lambda: self.effects() > more_than, seconds, f"more than {more_than} effects", *programs)

    def await_effects_of(self, fresh, *programs):
        """New records have their effects: what is there already may all be consumed by the time that one asks."""
        before = self.effects()
        self.produce(TOPIC, fresh)
        self.await_effects(before, *programs)

    def await_lanes(self, settings, count, *programs, seconds=90):
        wait_until(lambda: self.metric(settings, "deja_lanes_owned", topic=TOPIC) == count, seconds, f"{count} lanes", *programs)

    def await_dependency(self, settings, name, up, *programs, seconds=60):
        wait_until(lambda: self.metric(settings, "deja_dependency_up", dependency=name) == up, seconds,
                   f"{name} to be {'there' if up else 'away'}", *programs)
