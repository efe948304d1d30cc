"""Enough of the Postgres protocol (version 3) to see statements and their ends pass by. Standard library only.

The two cutters take bytes as they come and give whole messages back. What is not understood passes as it is.
"""

import re
import struct

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102

_TEXTS = re.compile(r"""\$([A-Za-z_]*)\$.*?\$\1\$|[eE]'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'|'[^']*(?:''[^']*)*'|"[^"]*"|--[^\n]*|/\*.*?\*/""", re.S)
_WORD = re.compile(r"\b(?:commit|end)\b", re.I)
_COMMIT = re.compile(r"\s*(?:commit|end)\b(?!\s+prepared)", re.I)


def has_commit(sql):
    """True when one of the statements in `sql` is a COMMIT."""
    return _WORD.search(sql) is not None and any(_COMMIT.match(statement) for statement in _TEXTS.sub(" ", sql).split(";"))


class ClientMessages:
    """From the client: yields (kind, bytes), kind being `startup`, `encryption`, `cancel` or the message's letter."""

    def __init__(self):
        self.data, self.started = bytearray(), False

    def feed(self, data):
        self.data += data
        while True:
            head = 0 if not self.started else 1
            if len(self.data) < head + 4:
                return
            (length,) = struct.unpack_from(">i", self.data, head)
            size = head + length
            if len(self.data) < size:
                return
            message = bytes(self.data[:size])
            del self.data[:size]
            if self.started:
                yield chr(message[0]), message
                continue
            code = struct.unpack_from(">i", message, 4)[0] if length >= 8 else 0
            if code in (SSL_REQUEST, GSS_REQUEST):
                yield "encryption", message
            elif code == CANCEL_REQUEST:
                yield "cancel", message
            else:
                self.started = True
                yield "startup", message


class ServerMessages:
    """From the server: yields (letter, bytes)."""

    def __init__(self):
        self.data = bytearray()

    def feed(self, data):
        self.data += data
        while len(self.data) >= 5:
            (length,) = struct.unpack_from(">i", self.data, 1)
            if len(self.data) < 1 + length:
                return
            message = bytes(self.data[:1 + length])
            del self.data[:1 + length]
            yield chr(message[0]), message


class Statements:
    """Which client messages start a statement, and whether that is a COMMIT; knows prepared statements by name."""

    def __init__(self):
        self.prepared, self.portals = {}, {}

    def look(self, letter, message):
        """None, `statement` or `commit`."""
        body = message[5:]
        if letter == "Q":
            return "commit" if has_commit(_text(body)) else "statement"
        if letter == "P":
            name, rest = body.split(b"\0", 1)
            self.prepared[name] = _text(rest)
        elif letter == "B":
            portal, statement, _ = body.split(b"\0", 2)
            self.portals[portal] = self.prepared.get(statement, "")
        elif letter == "E":
            return "commit" if has_commit(self.portals.get(body.split(b"\0", 1)[0], "")) else "statement"
        return None


def _text(data):
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")
