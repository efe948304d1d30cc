"""The fault proxy itself: each fault does what it says and nothing else. On an echo server, and on a real Postgres."""

import os
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.parse

from fault_proxy import FaultProxy
from postgres_protocol import has_commit
from postgres_session import Database, SqlError

SUPPORT = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "support")


class Echo:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    @staticmethod
    def answer(connection):
        try:
            while data := connection.recv(1 << 16):
                connection.sendall(data)
        except OSError:
            pass
        connection.close()


class OnAnyConnection(unittest.TestCase):
    def setUp(self):
        self.echo = Echo()
        self.addCleanup(self.echo.listener.close)
        self.proxy = FaultProxy(self.echo.address, name="echo")
        self.addCleanup(self.proxy.close)

    def connect(self, timeout=20):
        client = socket.create_connection(self.proxy.address, timeout=timeout)
        self.addCleanup(client.close)
        return client

    def ask(self, client, data=b"hello"):
        client.sendall(data)
        return self.read(client, len(data))

    @staticmethod
    def read(client, size):
        found = b""
        while len(found) < size:
            part = client.recv(size - len(found))
            if not part:
                raise EOFError
            found += part
        return found

    def assert_silent(self, client):
        client.settimeout(0.2)
        with self.assertRaises(TimeoutError):
            client.recv(1)
        client.settimeout(20)

    def test_without_a_fault_all_bytes_pass(self):
        data = os.urandom(3_000_000)
        client, got = self.connect(), []
        reader = threading.Thread(target=lambda: got.append(self.read(client, len(data))))
        reader.start()
        client.sendall(data)
        reader.join()
        self.assertEqual(got, [data])

    def test_half_open_passes_nothing_and_closes_nothing_also_on_new_connections(self):
        client, other = self.connect(), self.connect()
        self.ask(client)
        self.ask(other)
        self.proxy.half_open()
        new = self.connect()
        for each in (client, other, new):
            each.sendall(b"lost")
        for each in (client, other, new):
            self.assert_silent(each)
        self.proxy.heal()
        self.assertEqual(self.ask(self.connect()), b"hello")
        self.assert_silent(client)  # dead for ever

    def test_half_open_of_one_connection_leaves_the_others(self):
        client = self.connect()
        self.ask(client)
        (number,) = self.proxy.open_connections()
        other = self.connect()
        self.proxy.half_open(number)
        client.sendall(b"lost")
        self.assertEqual(self.ask(other), b"hello")
        self.assert_silent(client)

    def test_frozen_bytes_arrive_after_the_thaw(self):
        client = self.connect()
        self.ask(client)
        self.proxy.freeze()
        client.sendall(b"later")
        self.assert_silent(client)
        self.proxy.thaw()
        self.assertEqual(self.read(client, 5), b"later")

    def test_delay_holds_in_each_direction(self):
        client = self.connect()
        self.ask(client)
        self.proxy.delay(100)
        begun = time.monotonic()
        self.ask(client)
        self.assertGreaterEqual(time.monotonic() - begun, 0.19)

    def test_reset_is_a_reset_and_cut_is_an_end(self):
        client = self.connect()
        self.ask(client)
        self.proxy.reset()
        with self.assertRaises(ConnectionResetError):
            client.recv(1)
        client = self.connect()
        self.ask(client)
        self.proxy.cut()
        self.assertEqual(client.recv(1), b"")
        self.assertEqual(self.proxy.open_connections(), [])

    def test_refused_until_healed(self):
        client = self.connect()
        self.ask(client)
        self.proxy.refuse()
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(self.proxy.address, timeout=20)
        self.assertEqual(self.ask(client), b"hello")
        self.proxy.heal()
        self.assertEqual(self.ask(self.connect()), b"hello")

    def test_a_target_that_is_away_resets_the_client(self):
        self.echo.listener.close()
        gone = FaultProxy(("127.0.0.1", 1), name="gone")
        self.addCleanup(gone.close)
        with self.assertRaises((ConnectionResetError, EOFError)):  # it may come before connect() has returned
            with socket.create_connection(gone.address, timeout=20) as client:
                self.read(client, 1)
        gone.await_event("unreachable", 20)

    def test_the_server_obeys_lines(self):
        command = [sys.executable, "-B", os.path.join(SUPPORT, "fault_proxy_server.py"), "--target", "{}:{}".format(*self.echo.address)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            say = lambda line: (server.stdin.write(line + "\n"), server.stdin.flush(), server.stdout.readline().strip())[-1]
            host, _, port = server.stdout.readline().split()[1].rpartition(":")
            client = socket.create_connection((host, int(port)), timeout=20)
            self.addCleanup(client.close)
            self.assertEqual(self.ask(client), b"hello")
            self.assertEqual(say("connections"), "ok [1]")
            self.assertEqual(say("reset 1"), "ok")
            with self.assertRaises(ConnectionResetError):
                client.recv(1)
            self.assertTrue(say("await reset 20").startswith("ok "))
            self.assertTrue(say("nonsense").startswith("error unknown command"))
            say("quit")
            self.assertEqual(server.wait(20), 0)


class OnPostgres(unittest.TestCase):
    def setUp(self):
        url = urllib.parse.urlsplit(os.environ["DEJA_POSTGRES"])
        self.proxy = FaultProxy((url.hostname, url.port or 5432), postgres=True, name="postgres")
        self.addCleanup(self.proxy.close)
        user = url.netloc.rpartition("@")[0]
        through = urllib.parse.urlunsplit(url._replace(netloc=(user + "@" if user else "") + "{}:{}".format(*self.proxy.address)))
        self.direct, self.session = Database(os.environ["DEJA_POSTGRES"]), Database(through)
        self.addCleanup(self.direct.close)
        self.addCleanup(self.session.close)
        self.table = f"proxy_test_{os.getpid()}"
        self.direct.run(f"drop table if exists {self.table}; create table {self.table} (n integer)")
        self.addCleanup(self.direct.run, f"drop table if exists {self.table}")

    def insert(self, number):
        self.session.run(f"begin; insert into {self.table} values ({number}); commit")

    def numbers(self):
        return [row["n"] for row in self.direct.rows(f"select n from {self.table} order by n")]

    def test_before_the_commit_nothing_is_kept_and_after_it_everything_is(self):
        self.insert(1)
        self.proxy.cut_commits("before", 1)
        with self.assertRaises(SqlError):
            self.insert(2)
        self.assertEqual(self.proxy.await_event("commit-cut").detail, "before")
        self.proxy.cut_commits("after", 1)
        with self.assertRaises(SqlError):
            self.insert(3)
        self.assertEqual(self.proxy.await_event("commit-cut", count=2).detail, "after")
        self.insert(4)
        self.assertEqual(self.numbers(), [1, 3, 4])

    def test_between_is_one_or_the_other(self):
        self.proxy.cut_commits("between", 1)
        with self.assertRaises(SqlError):
            self.insert(1)
        self.assertIn(self.numbers(), ([], [1]))

    def test_statements_and_commits_can_be_slow(self):
        self.session.run("select 1")
        before = self.proxy.count("statement")
        self.proxy.delay_statements(150)
        begun = time.monotonic()
        self.session.run("select 1;\nselect 2")
        self.assertGreaterEqual(time.monotonic() - begun, 0.3)
        self.assertEqual(self.proxy.count("statement") - before, 2)
        self.proxy.delay_statements(0)
        self.proxy.delay_commits(300)
        begun = time.monotonic()
        self.insert(1)
        self.assertGreaterEqual(time.monotonic() - begun, 0.3)

    def test_commits_are_told_from_texts(self):
        for sql in ("commit", "COMMIT;", "select 1; commit", " end ", "insert into t values (E'it\\'s; commit'); commit", "/* a */ commit"):
            self.assertTrue(has_commit(sql), sql)
        for sql in ("select 'x; commit'", "insert into t values ('it''s; commit')", "commit prepared 'x'", "select 1 as commits", "rollback",
                    "select $$ ; commit; $$", "select \"; commit\" from t", "begin -- ; commit", "set synchronous_commit = on", "select E'\\'; commit'"):
            self.assertFalse(has_commit(sql), sql)


if __name__ == "__main__":
    unittest.main(verbosity=2)
