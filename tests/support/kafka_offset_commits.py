"""The offset commits among the messages of one connection to Kafka, and their answers with another error. Standard library only."""

import struct

OFFSET_COMMIT, FLEXIBLE_SINCE, THROTTLED_SINCE, LATEST_KNOWN = 8, 8, 3, 9


class _Frames:
    def __init__(self):
        self.buffer = bytearray()

    def feed(self, data):
        self.buffer += data
        while len(self.buffer) >= 4:
            end = 4 + struct.unpack_from(">i", self.buffer)[0]
            if len(self.buffer) < end:
                return
            frame, self.buffer = self.buffer[:end], self.buffer[end:]
            yield frame


class OffsetCommits:
    def __init__(self):
        self.asked, self.answered, self.versions = _Frames(), _Frames(), {}

    def requests(self, data):
        for frame in self.asked.feed(data):
            api, version, number = struct.unpack_from(">hhi", frame, 4)
            if api == OFFSET_COMMIT:
                if version > LATEST_KNOWN:
                    raise ValueError(f"offset commits of version {version} are not known here")
                self.versions[number] = version

    def replies(self, data, error):
        """Whole messages, those to offset commits with this error, if it is one."""
        for frame in self.answered.feed(data):
            version = self.versions.pop(struct.unpack_from(">i", frame, 4)[0], None)
            if version is not None and error:
                _say(frame, version, error)
            yield bytes(frame)


def _say(frame, version, error):
    at, flexible = 8, version >= FLEXIBLE_SINCE

    def uvarint():
        nonlocal at
        number = shift = 0
        while True:
            byte = frame[at]
            at += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    def count():
        nonlocal at
        if flexible:
            return uvarint() - 1
        (number,) = struct.unpack_from(">i", frame, at)
        at += 4
        return number

    def skip_text():
        nonlocal at
        if flexible:
            size = uvarint() - 1
        else:
            (size,) = struct.unpack_from(">h", frame, at)
            at += 2
        at += size

    def skip_tags():
        nonlocal at
        if flexible:
            for _ in range(uvarint()):
                uvarint()
                at += uvarint()

    skip_tags()
    if version >= THROTTLED_SINCE:
        at += 4
    for _ in range(count()):
        skip_text()
        for _ in range(count()):
            struct.pack_into(">h", frame, at + 4, error)
            at += 6
            skip_tags()
        skip_tags()
