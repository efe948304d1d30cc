"""A small Kafka client over the bare protocol: what the checks need to see a broker from outside, with no library of the project.

Standard library only. Uncompressed and gzip batches of format 2. One connection per broker, no retries but for leaders that are
still being elected.
"""

import gzip
import socket
import struct
import time
from collections import namedtuple

PRODUCE, FETCH, LIST_OFFSETS, METADATA, OFFSET_FETCH, CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS = 0, 1, 2, 3, 9, 19, 20, 21
CREATE_ACLS, DELETE_ACLS, ALTER_CONFIGS = 30, 31, 44
NO_ERROR, UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, NOT_LEADER, TOPIC_EXISTS = 0, 3, 5, 6, 36
TOO_FEW_BROKERS = 38  # for one replica: the only broker missed its heartbeats, on a busy machine
LATEST, EARLIEST = -1, -2

# headers: a list of (name, value or None); key and value: bytes or None
Record = namedtuple("Record", "topic partition offset timestamp key value headers")


class KafkaError(Exception):
    def __init__(self, where, code):
        super().__init__(f"{where}: Kafka error {code}")
        self.code = code


def _make_crc_table():
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ 0x82F63B78 if number & 1 else number >> 1
        table.append(number)
    return table


_CRC_TABLE = _make_crc_table()


def crc32c(data):
    crc, table = 0xFFFFFFFF, _CRC_TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def varint(number):
    number = (number << 1) ^ (number >> 63)
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _var_bytes(data):
    return varint(-1) if data is None else varint(len(data)) + data


def _text(text):
    if text is None:
        return struct.pack(">h", -1)
    data = text.encode()
    return struct.pack(">h", len(data)) + data


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return values[0] if len(values) == 1 else values

    def raw(self, size):
        self.at += size
        return self.data[self.at - size:self.at]

    def text(self):
        size = self.take("h")
        return None if size < 0 else self.raw(size).decode()

    def blob(self):
        size = self.take("i")
        return b"" if size < 0 else self.raw(size)

    def varint(self):
        shift = number = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (number >> 1) ^ -(number & 1)
            shift += 7

    def var_bytes(self):
        size = self.varint()
        return None if size < 0 else bytes(self.raw(size))


# A producer's id, its epoch and the number of its next record to the partition; see kafka_admin.TransactionalProducer.
NO_PRODUCER, TRANSACTIONAL = (-1, -1, -1), 0x10


def encode_batch(records, timestamp, producer=NO_PRODUCER, attributes=0):
    """records: (key, value, headers) each."""
    body = bytearray()
    for index, (key, value, headers) in enumerate(records):
        record = b"\0" + varint(0) + varint(index) + _var_bytes(key) + _var_bytes(value) + varint(len(headers))
        record += b"".join(_var_bytes(name if isinstance(name, bytes) else name.encode()) + _var_bytes(data) for name, data in headers)
        body += varint(len(record)) + record
    checked = struct.pack(">hiqqqhii", attributes, len(records) - 1, timestamp, timestamp, *producer, len(records)) + bytes(body)
    tail = struct.pack(">ibI", -1, 2, crc32c(checked)) + checked
    return struct.pack(">qi", 0, len(tail)) + tail


def decode_batches(topic, partition, data):
    """Yields the records, and ("next", offset) after each batch, so that empty and control batches are passed too."""
    reader = _Reader(memoryview(data))
    while len(data) - reader.at >= 61:
        start, length = reader.take("qi")
        if len(data) - reader.at < length:
            return  # cut off: the broker sends what fits
        end = reader.at + length
        _epoch, magic, _crc, attributes, last, first_time, _max, _pid, _pepoch, _seq, count = reader.take("ibIhiqqqhii")
        if magic != 2:
            raise ValueError(f"{topic}/{partition}: batch format {magic}")
        if attributes & 7 == 1:
            batch = _Reader(memoryview(gzip.decompress(bytes(reader.data[reader.at:end]))))
        elif attributes & 7:
            raise ValueError(f"{topic}/{partition}: compression {attributes & 7} is not known here")
        else:
            batch = reader
        if not attributes & 0x20:
            for _ in range(count):
                batch.varint()
                batch.take("b")
                timestamp = first_time + batch.varint()
                offset = start + batch.varint()
                key, value = batch.var_bytes(), batch.var_bytes()
                headers = []
                for _ in range(batch.varint()):
                    name = batch.var_bytes() or b""
                    headers.append((name.decode("utf-8", "surrogateescape"), batch.var_bytes()))
                yield Record(topic, partition, offset, timestamp, key, value, headers)
        reader.at = end
        yield ("next", start + last + 1)


def _while_electing(method):
    """Asks again while the partition has no leader that knows of it, as just after its topic was made."""
    def call(self, topic, *arguments, **named):
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                return method(self, topic, *arguments, **named)
            except KafkaError as error:
                if error.code not in (UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, NOT_LEADER, TOO_FEW_BROKERS) or time.monotonic() > deadline:
                    raise
            self.leaders.pop(topic, None)
            time.sleep(0.05)
    return call


class Cluster:
    def __init__(self, bootstrap, timeout=30):
        host, _, port = bootstrap.split(",")[0].rpartition(":")
        self.bootstrap = (host.strip("[]"), int(port))
        self.timeout = timeout
        self.connections, self.leaders = {}, {}

    def close(self):
        for connection in self.connections.values():
            connection.close()
        self.connections = {}

    def _call(self, address, api, version, body, answer=True):
        connection = self.connections.get(address)
        if connection is None:
            connection = self.connections[address] = socket.create_connection(address, timeout=self.timeout)
        try:
            request = struct.pack(">hhi", api, version, 7) + _text("outside") + body
            connection.sendall(struct.pack(">i", len(request)) + request)
            (size,) = struct.unpack(">i", self._receive(connection, 4))
            reply = _Reader(self._receive(connection, size))
        except OSError:
            self.connections.pop(address).close()
            raise
        reply.take("i")
        return reply

    @staticmethod
    def _receive(connection, size):
        data = bytearray()
        while len(data) < size:
            part = connection.recv(min(size - len(data), 1 << 20))
            if not part:
                raise ConnectionError("the broker closed the connection")
            data += part
        return bytes(data)

    @_while_electing
    def metadata(self, topic):
        """({partition: address of its leader}, address of the controller); raises KafkaError for a topic that is not there."""
        return self._metadata(topic)

    def _metadata(self, topic):
        topics = [] if topic is None else [topic]
        reply = self._call(self.bootstrap, METADATA, 1, struct.pack(">i", len(topics)) + b"".join(map(_text, topics)))
        brokers = {}
        for _ in range(reply.take("i")):
            node, host, port = reply.take("i"), reply.text(), reply.take("i")
            reply.text()
            brokers[node] = (host, port)
        controller = brokers.get(reply.take("i"))
        leaders = {}
        for _ in range(reply.take("i")):
            error = reply.take("h")
            reply.text()
            reply.take("b")
            if error:
                raise KafkaError(topic, error)
            for _ in range(reply.take("i")):
                error, partition, leader = reply.take("hii")
                for _ in range(2):
                    for _ in range(reply.take("i")):
                        reply.take("i")
                if error not in (NO_ERROR, 9) or leader not in brokers:
                    raise KafkaError(f"{topic}/{partition}", LEADER_NOT_AVAILABLE)
                leaders[partition] = brokers[leader]
        return leaders, controller

    @_while_electing
    def create_topic(self, topic, partitions, **settings):
        body = struct.pack(">i", 1) + _text(topic) + struct.pack(">ihi", partitions, 1, 0)
        body += struct.pack(">i", len(settings))
        for name, value in settings.items():
            body += _text(name.replace("_", ".")) + _text(str(value))
        reply = self._call(self._controller(), CREATE_TOPICS, 2, body + struct.pack(">i?", 30000, False))
        reply.take("ii")
        reply.text()
        error = reply.take("h")
        message = reply.text()
        if error:
            raise KafkaError(f"creating {topic} ({message})", error)
        self.metadata(topic)

    def delete_topic(self, topic):
        """Does nothing when it is not there; returns when it is gone."""
        body = struct.pack(">i", 1) + _text(topic) + struct.pack(">i", 30000)
        reply = self._call(self._controller(), DELETE_TOPICS, 1, body)
        reply.take("ii")
        reply.text()
        error = reply.take("h")
        if error not in (NO_ERROR, UNKNOWN_TOPIC):
            raise KafkaError(f"deleting {topic}", error)
        self.leaders.pop(topic, None)
        deadline = time.monotonic() + self.timeout
        while topic in self.topics():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} is still there")
            time.sleep(0.05)

    def alter_topic(self, topic, **settings):
        body = struct.pack(">ib", 1, 2) + _text(topic) + struct.pack(">i", len(settings))
        for name, value in settings.items():
            body += _text(name.replace("_", ".")) + struct.pack(">b", 0) + _text(str(value))
        reply = self._call(self._controller(), ALTER_CONFIGS, 0, body + struct.pack(">?", False))
        reply.take("ii")
        error = reply.take("h")
        if error:
            raise KafkaError(f"altering {topic} ({reply.text()})", error)

    def forbid_writes(self, topic):
        """To everybody, until allow_writes(); all else stays allowed, which a single rule would end."""
        body = struct.pack(">i", 2)
        for operation, permission in ((2, 3), (4, 2)):  # all: allowed; writing: denied
            body += struct.pack(">b", 2) + _text(topic) + struct.pack(">b", 3) + _text("User:ANONYMOUS") + _text("*") + struct.pack(">bb", operation, permission)
        reply = self._call(self._controller(), CREATE_ACLS, 1, body)
        reply.take("ii")
        for _ in range(2):
            error, words = reply.take("h"), reply.text()
            if error:
                raise KafkaError(f"forbidding writes to {topic} ({words})", error)

    def allow_writes(self, topic):
        body = struct.pack(">ib", 1, 2) + _text(topic) + struct.pack(">b", 3) + _text(None) + _text(None) + struct.pack(">bb", 1, 1)
        reply = self._call(self._controller(), DELETE_ACLS, 1, body)
        reply.take("ii")
        error = reply.take("h")
        if error:
            raise KafkaError(f"allowing writes to {topic} ({reply.text()})", error)

    def _controller(self):
        return self._metadata(None)[1] or self.bootstrap

    def topics(self):
        reply = self._call(self.bootstrap, METADATA, 1, struct.pack(">i", -1))
        for _ in range(reply.take("i")):
            reply.take("i")
            reply.text()
            reply.take("i")
            reply.text()
        reply.take("i")
        names = set()
        for _ in range(reply.take("i")):
            reply.take("h")
            names.add(reply.text())
            reply.take("b")
            for _ in range(reply.take("i")):
                reply.take("hii")
                for _ in range(2):
                    for _ in range(reply.take("i")):
                        reply.take("i")
        return names

    def partitions(self, topic):
        if topic not in self.leaders:
            self.leaders[topic] = self.metadata(topic)[0]
        return sorted(self.leaders[topic])

    @_while_electing
    def offset(self, topic, partition, when=LATEST):
        self.partitions(topic)
        body = struct.pack(">ii", -1, 1) + _text(topic) + struct.pack(">iiq", 1, partition, when)
        reply = self._call(self.leaders[topic][partition], LIST_OFFSETS, 1, body)
        reply.take("i")
        reply.text()
        reply.take("i")
        _partition, error, _timestamp, offset = reply.take("ihqq")
        if error:
            raise KafkaError(f"{topic}/{partition}", error)
        return offset

    def delete_records(self, topic, partition, before):
        """As retention does: offsets below `before` are gone."""
        self.partitions(topic)
        body = struct.pack(">i", 1) + _text(topic) + struct.pack(">iiqi", 1, partition, before, 30000)
        reply = self._call(self.leaders[topic][partition], DELETE_RECORDS, 0, body)
        reply.take("ii")
        reply.text()
        reply.take("i")
        _partition, _low, error = reply.take("iqh")
        if error:
            raise KafkaError(f"deleting records of {topic}/{partition}", error)

    def committed(self, group, topic, partition):
        """(offset, metadata) as the group's coordinator knows it, which is any broker of a cluster of one; offset -1: none."""
        body = _text(group) + struct.pack(">i", 1) + _text(topic) + struct.pack(">ii", 1, partition)
        reply = self._call(self.bootstrap, OFFSET_FETCH, 1, body)
        reply.take("i")
        reply.text()
        reply.take("i")
        _partition, offset = reply.take("iq")
        metadata = reply.text()
        error = reply.take("h")
        if error:
            raise KafkaError(f"offset of {group} in {topic}/{partition}", error)
        return offset, metadata

    def end_offsets(self, topic):
        return {p: self.offset(topic, p) for p in self.partitions(topic)}

    @_while_electing
    def produce(self, topic, partition, records, timestamp=None, transactional_id=None, producer=NO_PRODUCER):
        """records: (key, value, headers) each, in one batch. `timestamp` in ms, now by default. Returns the first offset."""
        self.partitions(topic)
        batch = encode_batch(records, int(time.time() * 1000) if timestamp is None else timestamp, producer,
                             TRANSACTIONAL if transactional_id else 0)
        body = _text(transactional_id) + struct.pack(">hii", -1, 30000, 1) + _text(topic) + struct.pack(">iii", 1, partition, len(batch)) + batch
        reply = self._call(self.leaders[topic][partition], PRODUCE, 3, body)
        reply.take("i")
        reply.text()
        reply.take("i")
        _partition, error, offset, _time = reply.take("ihqq")
        if error:
            raise KafkaError(f"producing to {topic}/{partition}", error)
        return offset

    @_while_electing
    def read_partition(self, topic, partition):
        """Everything between the log's start and its end of now."""
        at, end = self.offset(topic, partition, EARLIEST), self.offset(topic, partition)
        records, size = [], 8 << 20
        while at < end:
            body = struct.pack(">iiiib", -1, 500, 1, size, 0) + struct.pack(">i", 1) + _text(topic)
            body += struct.pack(">iiqi", 1, partition, at, size)
            reply = self._call(self.leaders[topic][partition], FETCH, 4, body)
            reply.take("ii")
            reply.text()
            reply.take("i")
            _partition, error, _high, _stable = reply.take("ihqq")
            for _ in range(max(reply.take("i"), 0)):
                reply.take("qq")
            if error:
                raise KafkaError(f"reading {topic}/{partition}", error)
            before = at
            for each in decode_batches(topic, partition, reply.blob()):
                if each[0] == "next":
                    at = max(at, each[1])
                elif at <= each.offset < end:
                    records.append(each)
            if at == before:
                size *= 4  # a batch larger than what was asked for
                if size > 1 << 30:
                    raise ValueError(f"{topic}/{partition}: stuck at {at} of {end}")
        return records

    def read(self, topic):
        return [record for partition in self.partitions(topic) for record in self.read_partition(topic, partition)]
