"""One psql session: SQL in, rows out. psql is what every machine with Postgres has."""

import json
import os
import subprocess
import tempfile
import urllib.parse
import uuid


class SqlError(Exception):
    pass


class Database:
    def __init__(self, url):
        self.url = url
        self.process = None
        self.errors = None

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()
            self.errors.close()
            self.process = None

    def _start(self):
        self.errors = tempfile.TemporaryFile()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        self.process = subprocess.Popen(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=environment, start_new_session=True)

    def lines(self, sql):
        """Runs statements; the lines that psql prints."""
        if not self.process:
            self._start()
        end = uuid.uuid4().hex
        try:
            self.process.stdin.write(f"{sql}\n;\n\\echo {end}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        out = []
        for line in self.process.stdout:
            line = line.decode().rstrip("\n")
            if line == end:
                return out
            out.append(line)
        self.process.wait()
        self.errors.seek(0)
        cause = self.errors.read().decode(errors="replace").strip()
        self.process.stdout.close()
        self.errors.close()
        self.process = None
        raise SqlError(cause or "psql ended")

    run = lines

    def rows(self, sql):
        """The rows of one query, a dict each. bytea arrives as text: see as_bytes."""
        return [json.loads(line) for line in self.lines(f"select row_to_json(each) from ({sql}) each")]

    def value(self, sql):
        (row,) = self.rows(sql)
        (value,) = row.values()
        return value


def as_bytes(text):
    return None if text is None else bytes.fromhex(text.removeprefix("\\x"))


def url_of_database(url, name):
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(path="/" + name))
