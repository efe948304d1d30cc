#!/usr/bin/env python3
"""Asks a Kafka broker for its metadata and ends with 0 if it serves: it is up and every partition has a leader.

usage: ready.py HOST PORT
"""

import socket
import struct
import sys

METADATA, VERSION = 3, 4


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        (value,) = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return value

    def text(self):
        length = self.take("h")
        self.at += max(length, 0)

    def numbers(self):
        return [self.take("i") for _ in range(self.take("i"))]


def receive(connection, size):
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise OSError("connection closed")
        data += part
    return data


def problem(host, port):
    client = b"stack"
    request = struct.pack(">hhih", METADATA, VERSION, 1, len(client)) + client
    request += struct.pack(">i?", -1, False)  # every topic, and do not create any
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.settimeout(5)
        connection.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", receive(connection, 4))
        reply = Reader(receive(connection, size))
    reply.take("i")  # correlation id
    reply.take("i")  # throttle time
    brokers = reply.take("i")
    for _ in range(brokers):
        reply.take("i")
        reply.text()
        reply.take("i")
        reply.text()
    reply.text()  # cluster id
    reply.take("i")  # controller
    if brokers == 0:
        return "no broker has registered"
    for _ in range(reply.take("i")):
        error = reply.take("h")
        reply.text()
        reply.take("?")
        if error:
            return f"a topic has error {error}"
        for _ in range(reply.take("i")):
            error, partition, leader = reply.take("h"), reply.take("i"), reply.take("i")
            reply.numbers()
            reply.numbers()
            if error or leader < 0:
                return f"partition {partition} of a topic has no leader (error {error})"
    return None


def main():
    if len(sys.argv) != 3 or "--help" in sys.argv:
        print(__doc__)
        return 0 if "--help" in sys.argv else 64
    try:
        cause = problem(sys.argv[1], int(sys.argv[2]))
    except OSError as error:
        cause = str(error)
    if cause:
        print(cause, file=sys.stderr)
    return 1 if cause else 0


sys.exit(main())
