"""What an operator does to a Kafka cluster, over the bare protocol: partitions added, records deleted, a group's offsets written and
removed; and transactions. Functions over kafka_wire.Cluster, for one node. Standard library only.
"""

import struct
import time

from kafka_wire import KafkaError, _text

OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR, DELETE_RECORDS = 8, 9, 10, 21
INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, END_TXN, CREATE_PARTITIONS, OFFSET_DELETE = 22, 24, 26, 37, 47
# A coordinator that has just been made, or that still finishes the transaction before.
NOT_YET = {14, 15, 16, 51}


def _settled(cluster, ask):
    """Asks until the coordinator is there; `ask` returns what it got or raises KafkaError."""
    deadline = time.monotonic() + cluster.timeout
    while True:
        try:
            return ask()
        except KafkaError as error:
            if error.code not in NOT_YET or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def _check(where, error):
    if error:
        raise KafkaError(where, error)


def add_partitions(cluster, topic, total):
    _, controller = cluster._metadata(None)
    body = struct.pack(">i", 1) + _text(topic) + struct.pack(">iii?", total, -1, 30000, False)
    reply = cluster._call(controller or cluster.bootstrap, CREATE_PARTITIONS, 0, body)
    reply.take("ii")
    reply.text()
    _check(f"adding partitions to {topic}", reply.take("h"))
    deadline = time.monotonic() + cluster.timeout
    while True:
        cluster.leaders.pop(topic, None)
        try:
            if len(cluster.partitions(topic)) == total:
                return
        except KafkaError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{topic} has no {total} partitions")
        time.sleep(0.05)


def delete_records(cluster, topic, partition, before):
    """As retention would: the log starts at offset `before` from now on."""
    cluster.partitions(topic)
    body = struct.pack(">i", 1) + _text(topic) + struct.pack(">iiqi", 1, partition, before, 30000)
    reply = cluster._call(cluster.leaders[topic][partition], DELETE_RECORDS, 0, body)
    reply.take("ii")
    reply.text()
    reply.take("i")
    _partition, _low, error = reply.take("iqh")
    _check(f"deleting records of {topic}/{partition}", error)


def coordinator(cluster, group):
    def ask():
        reply = cluster._call(cluster.bootstrap, FIND_COORDINATOR, 0, _text(group))
        _check(f"the coordinator of {group}", reply.take("h"))
        reply.take("i")
        return reply.text(), reply.take("i")
    return _settled(cluster, ask)


def commit_offsets(cluster, group, offsets, metadata=""):
    """As a consumer with assigned partitions would; the group must have no members. offsets: {(topic, partition): offset}."""
    body = _text(group) + struct.pack(">i", -1) + _text("") + struct.pack(">qi", -1, len(offsets))
    for (topic, partition), offset in offsets.items():
        body += _text(topic) + struct.pack(">iiq", 1, partition, offset) + _text(metadata)
    address = coordinator(cluster, group)

    def ask():
        reply = cluster._call(address, OFFSET_COMMIT, 2, body)
        for _ in range(reply.take("i")):
            reply.text()
            for _ in range(reply.take("i")):
                _partition, error = reply.take("ih")
                _check(f"committing an offset of {group}", error)
    _settled(cluster, ask)


def committed_offsets(cluster, group, topic):
    """{partition: (offset, metadata)}, of those that have one."""
    address, partitions = coordinator(cluster, group), cluster.partitions(topic)

    def ask():
        body = _text(group) + struct.pack(">i", 1) + _text(topic) + struct.pack(f">i{len(partitions)}i", len(partitions), *partitions)
        reply = cluster._call(address, OFFSET_FETCH, 1, body)
        found = {}
        for _ in range(reply.take("i")):
            reply.text()
            for _ in range(reply.take("i")):
                partition, offset = reply.take("iq")
                metadata, error = reply.text(), reply.take("h")
                _check(f"reading an offset of {group}", error)
                if offset >= 0:
                    found[partition] = (offset, metadata)
        return found
    return _settled(cluster, ask)


def delete_offsets(cluster, group, topic):
    """As expiry would. The group must have no members that subscribe to the topic."""
    address, partitions = coordinator(cluster, group), cluster.partitions(topic)

    def ask():
        body = _text(group) + struct.pack(">i", 1) + _text(topic) + struct.pack(f">i{len(partitions)}i", len(partitions), *partitions)
        reply = cluster._call(address, OFFSET_DELETE, 0, body)
        _check(f"deleting offsets of {group}", reply.take("h"))
        reply.take("i")
        for _ in range(reply.take("i")):
            reply.text()
            for _ in range(reply.take("i")):
                _partition, error = reply.take("ih")
                _check(f"deleting an offset of {group}", error)
    _settled(cluster, ask)


class TransactionalProducer:
    """One at a time under its id. Not for use by two threads."""

    def __init__(self, cluster, transactional_id):
        self.cluster, self.id, self.numbers, self.enlisted = cluster, transactional_id, {}, set()
        self.address = self._coordinator()

        def ask():
            reply = cluster._call(self.address, INIT_PRODUCER_ID, 0, _text(self.id) + struct.pack(">i", 60000))
            reply.take("i")
            _check(f"a producer id for {self.id}", reply.take("h"))
            return reply.take("qh")
        self.producer_id, self.epoch = _settled(cluster, ask)

    def _coordinator(self):
        def ask():
            reply = self.cluster._call(self.cluster.bootstrap, FIND_COORDINATOR, 1, _text(self.id) + struct.pack(">b", 1))
            reply.take("i")
            _check(f"the coordinator of {self.id}", reply.take("h"))
            reply.text()
            reply.take("i")
            return reply.text(), reply.take("i")
        return _settled(self.cluster, ask)

    def produce(self, topic, partition, records):
        place = (topic, partition)
        if place not in self.enlisted:
            body = _text(self.id) + struct.pack(">qhi", self.producer_id, self.epoch, 1) + _text(topic) + struct.pack(">ii", 1, partition)

            def ask():
                reply = self.cluster._call(self.address, ADD_PARTITIONS_TO_TXN, 0, body)
                reply.take("ii")
                reply.text()
                reply.take("i")
                _partition, error = reply.take("ih")
                _check(f"{topic}/{partition} in a transaction", error)
            _settled(self.cluster, ask)
            self.enlisted.add(place)
        number = self.numbers.get(place, 0)
        offset = self.cluster.produce(topic, partition, records, transactional_id=self.id, producer=(self.producer_id, self.epoch, number))
        self.numbers[place] = number + len(records)
        return offset

    def end(self, commit):
        body = _text(self.id) + struct.pack(">qh?", self.producer_id, self.epoch, commit)

        def ask():
            reply = self.cluster._call(self.address, END_TXN, 0, body)
            reply.take("i")
            _check(f"the end of a transaction of {self.id}", reply.take("h"))
        _settled(self.cluster, ask)
        self.enlisted.clear()
