"""Records that are written in a Kafka transaction, over the bare protocol: committed, or aborted and so no records at all."""

import struct
import time

from kafka_wire import PRODUCE, KafkaError, _text, crc32c, encode_batch

FIND_COORDINATOR, INIT_PRODUCER_ID, ADD_PARTITIONS, END_TRANSACTION = 10, 22, 24, 26
NOT_YET = (14, 15, 16, 51)  # the coordinator is loading, not there, another one, or busy with the transaction before


class Transaction:
    """One transaction on one partition."""

    def __init__(self, cluster, name):
        self.cluster, self.name, self.sequence = cluster, name, 0
        self.coordinator = cluster.bootstrap
        self._until_ready(self._find)
        self._until_ready(self._begin)

    def _until_ready(self, ask):
        deadline = time.monotonic() + self.cluster.timeout
        while (error := ask()) != 0:
            if error not in NOT_YET or time.monotonic() > deadline:
                raise KafkaError(f"transaction {self.name}", error)
            time.sleep(0.05)

    def _find(self):
        reply = self.cluster._call(self.cluster.bootstrap, FIND_COORDINATOR, 1, _text(self.name) + struct.pack(">b", 1))
        reply.take("i")
        error = reply.take("h")
        reply.text()
        reply.take("i")
        host, port = reply.text(), reply.take("i")
        if not error:
            self.coordinator = (host, port)
        return error

    def _begin(self):
        reply = self.cluster._call(self.coordinator, INIT_PRODUCER_ID, 0, _text(self.name) + struct.pack(">i", 60000))
        reply.take("i")
        error, self.producer, self.epoch = reply.take("hqh")
        return error

    def produce(self, topic, partition, records):
        self.cluster.partitions(topic)

        def add():
            reply = self.cluster._call(self.coordinator, ADD_PARTITIONS, 0, _text(self.name) + struct.pack(">qhi", self.producer, self.epoch, 1) +
                                       _text(topic) + struct.pack(">ii", 1, partition))
            reply.take("ii")
            reply.text()
            return reply.take("iih")[2]

        self._until_ready(add)
        batch = bytearray(encode_batch(records, int(time.time() * 1000)))
        struct.pack_into(">h", batch, 21, struct.unpack_from(">h", batch, 21)[0] | 0x10)
        struct.pack_into(">qhi", batch, 43, self.producer, self.epoch, self.sequence)
        struct.pack_into(">I", batch, 17, crc32c(batch[21:]))
        self.sequence += len(records)
        body = _text(self.name) + struct.pack(">hii", -1, 30000, 1) + _text(topic) + struct.pack(">iii", 1, partition, len(batch)) + batch
        reply = self.cluster._call(self.cluster.leaders[topic][partition], PRODUCE, 3, bytes(body))
        reply.take("i")
        reply.text()
        reply.take("i")
        _partition, error, offset, _time = reply.take("ihqq")
        if error:
            raise KafkaError(f"producing to {topic}/{partition}", error)
        return offset

    def end(self, committed):
        def finish():
            reply = self.cluster._call(self.coordinator, END_TRANSACTION, 0, _text(self.name) + struct.pack(">qh?", self.producer, self.epoch, committed))
            reply.take("i")
            return reply.take("h")

        self._until_ready(finish)
