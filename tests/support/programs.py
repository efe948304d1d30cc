"""Starting, watching and ending the project's programs; reading their metrics. Standard library only."""

import os
import random
import re
import signal
import socket
import subprocess
import time
import urllib.request


class TimedOut(AssertionError):
    pass


def wait_until(condition, seconds, what, *programs, every=0.05):
    """Asks again and again until `condition` gives something true, and returns that. A program that ends meanwhile is an error."""
    deadline = time.monotonic() + seconds
    while True:
        ended = [program for program in programs if not program.alive()]
        found = condition()
        if found:
            return found
        if ended:
            raise AssertionError(f"{ended[0].name} ended with {ended[0].process.returncode} while waiting for {what}:\n{ended[0].log_end()}")
        if time.monotonic() > deadline:
            logs = "\n".join(f"--- {program.name}\n{program.log_end()}" for program in programs)
            raise TimedOut(f"waited {seconds} s in vain for {what}\n{logs}")
        time.sleep(every)


def free_port():
    """Below the range of outgoing connections, so that nobody takes it before its server does."""
    for port in random.sample(range(15000, 32000), 1000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


class Program:
    """A process in a session of its own; its output is added to a file, and what is read of that is its own."""

    def __init__(self, name, command, environment, log, folder):
        self.name, self.log = name, log
        with open(log, "ab") as out:
            self.log_begins = out.tell()
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment,
                                            cwd=folder, start_new_session=True)

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        if self.alive():
            self.process.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self, seconds=60):
        """SIGTERM; its exit code. Killed, and an error, when it does not end in time."""
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimedOut(f"{self.name} did not end within {seconds} s of SIGTERM\n{self.log_end()}") from None

    def log_text(self):
        with open(self.log, "rb") as file:
            file.seek(self.log_begins)
            return file.read().decode(errors="replace")

    def log_end(self, lines=25):
        return "\n".join(self.log_text().splitlines()[-lines:])


def http_get(port, path, timeout=10):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout) as reply:
        return reply.read().decode()


def http_ok(port, path):
    try:
        http_get(port, path)
        return True
    except OSError:
        return False


_SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$')
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """One scrape."""

    def __init__(self, text):
        self.samples = []
        for line in text.splitlines():
            found = _SAMPLE.match(line)
            if found and not line.startswith("#"):
                self.samples.append((found[1], dict(_LABEL.findall(found[2] or "")), float(found[3])))

    def sum(self, name, **labels):
        return sum(value for each, has, value in self.samples
                   if each == name and all(has.get(label) == wanted for label, wanted in labels.items()))

    def by(self, name, label):
        """label value -> sum, without zeros."""
        found = {}
        for each, has, value in self.samples:
            if each == name and value:
                found[has.get(label)] = found.get(has.get(label), 0) + value
        return found


def scrape(port):
    return Metrics(http_get(port, "/metrics"))


def clean_environment(**more):
    """Without settings of a surrounding deja or Postgres."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DEJA_", "PG"))}
    return kept | more
