"""A shell beside `deja dev`, fed as a reader would: one block, wait for what it brings about, the next block."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

END_SECONDS = 60


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"did not happen within {seconds} s: {what}")
        time.sleep(0.05)


class Reader(threading.Thread):
    """Keeps what a program says, so that its pipe never fills."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream, self.text = stream, ""
        self.start()

    def run(self):
        for line in self.stream:
            self.text += line


class Sandbox:
    """A folder and an environment of their own; at the end no process of them is left."""

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="deja-docs.")
        self.folder = self._folder.name
        os.chmod(self.folder, 0o711)  # the user postgres passes through when root runs this
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("DEJA_", "PG"))}
        self.environment["HOME"] = self.make("home")
        # The pages use the default port, which another test may have.
        self.environment["DEJA_CONFIG"] = self.write("deja.toml", 'http.address = "127.0.0.1:0"\n')
        self.shells = []
        return self

    def __exit__(self, kind, error, trace):
        for shell in self.shells:
            shell.end()
            if error is not None:
                print(f"--- the shell said:\n{shell.reader.text}", file=sys.stderr)
        self._folder.cleanup()

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def make(self, *parts):
        os.makedirs(self.path(*parts), exist_ok=True)
        return self.path(*parts)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def run(self, script, folder):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, f"ended with {done.returncode}:\n{script}\n{done.stdout}"

    def shell(self, script, folder):
        shell = Shell(script, folder, self.environment)
        self.shells.append(shell)
        return shell


class Shell:
    """`script` ends with `deja dev -- bash`; what is fed goes to that shell."""

    def __init__(self, script, folder, environment):
        self.process = subprocess.Popen(["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.reader = Reader(self.process.stdout)
        wait_until(lambda: "export DEJA_POSTGRES=" in self.reader.text or self.process.poll() is not None, 240, "deja dev is up")
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.reader.text}"
        self.environment = dict(environment)
        for line in self.reader.text.splitlines():
            if line.startswith("export "):
                name, value = line[len("export "):].split("=", 1)
                self.environment[name] = value

    def feed(self, block):
        self.process.stdin.write(block)
        self.process.stdin.flush()

    def said(self, text):
        return text in self.reader.text

    def output(self, *command):
        return subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True).stdout

    def rows(self, sql):
        out = self.output("psql", self.environment["DEJA_POSTGRES"], "-XAtq", "-F", "|", "-c", sql)
        return [line.split("|") for line in out.splitlines()]

    def passed(self):
        """Records that have their disposition."""
        return int(self.rows("select coalesce(sum(next_offset), 0) from deja.lanes")[0][0])

    def close(self):
        """Waits for the programs of the shell, then leaves it; its exit code."""
        self.feed("wait\nexit\n")
        self.process.stdin.close()
        return self.process.wait(END_SECONDS)

    def end(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and self._group_lives():
                self.process.poll()
                time.sleep(0.05)
        self.process.wait(END_SECONDS)

    def _group_lives(self):
        try:
            os.killpg(self.process.pid, 0)
            return True
        except ProcessLookupError:
            return False


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]
