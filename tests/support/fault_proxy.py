"""A TCP proxy that makes faults on demand: in front of Postgres, whose COMMITs it knows, or of anything else, such as Kafka.

    proxy = FaultProxy(("127.0.0.1", 5432), postgres=True)   # proxy.address is where clients connect
    proxy.half_open()                                        # no byte passes any more, nothing is closed
    proxy.heal()
    proxy.cut_commits("after", 1)                            # the next COMMIT happens, its reply never arrives
    proxy.await_event("commit-cut")

Everything runs in a thread of its own; all methods may be called from any thread and return when the fault is in effect. What
happened is in a list of events, for which tests wait. fault_proxy_server.py is the same for a shell. Standard library only.
"""

import asyncio
import collections
import random
import socket
import struct
import threading
import time

from kafka_offset_commits import OffsetCommits
from postgres_protocol import ClientMessages, ServerMessages, Statements

Event = collections.namedtuple("Event", "number time name connection detail")

MOST_QUEUED, MOST_EVENTS, CHUNK = 64, 10_000, 1 << 16


class FaultProxy:
    """postgres: look into the messages, so that commits and statements can be cut or delayed; kafka: so that offset commits can be refused. listen: (host, port), 0 for any."""

    COMMIT_CUTS = ("before", "between", "after")

    def __init__(self, target, listen=("127.0.0.1", 0), postgres=False, name="", kafka=False):
        self.target, self.postgres, self.kafka, self.name = target, postgres, kafka, name
        self.offset_commit_error = 0
        self.delay_ms = self.statement_delay_ms = self.commit_delay_ms = 0
        self.refusing = self.dead = False
        self.commit_cuts = []  # [where, how many are left, share of commits]
        self.dice = random.Random(0)
        self.connections, self.next_connection = {}, 1
        self.events, self.counts, self.news = collections.deque(maxlen=MOST_EVENTS), collections.Counter(), threading.Condition()
        self.loop = asyncio.new_event_loop()
        self.flow = None
        started = threading.Event()
        self.listener = _listening(listen)
        self.address = self.listener.getsockname()
        self.thread = threading.Thread(target=self._run, args=(started,), daemon=True, name=f"proxy {name}")
        self.thread.start()
        started.wait()

    # --- Faults

    def half_open(self, connection=None):
        """What is connected never passes a byte again, and neither does what connects until heal(); nothing is closed.
        With a connection's number: only that one."""
        def act():
            if connection is None:
                self.dead = True
            for each in self._chosen(connection):
                each.dead = True
            self._tell("half-open", connection or 0)
        self._do(act)

    def freeze(self):
        """No byte passes until thaw() or heal(); then everything goes on where it was."""
        self._do(lambda: (self.flow.clear(), self._tell("freeze", 0)))

    def thaw(self):
        self._do(lambda: (self.flow.set(), self._tell("thaw", 0)))

    def delay(self, ms):
        """Every byte arrives so much later, in both directions."""
        self._set("delay_ms", ms, "delay")

    def delay_statements(self, ms):
        """Every statement reaches the server so much later (Postgres)."""
        self._set("statement_delay_ms", ms, "delay-statements")

    def delay_commits(self, ms):
        """Every COMMIT reaches the server so much later (Postgres)."""
        self._set("commit_delay_ms", ms, "delay-commits")

    def reset(self, connection=None):
        """Connections end with a RST on both sides."""
        self._do(lambda: [each.end("reset") for each in self._chosen(connection)])

    def cut(self, connection=None):
        """Connections are closed on both sides."""
        self._do(lambda: [each.end("cut") for each in self._chosen(connection)])

    def refuse(self, on=True):
        """New connections are refused."""
        def act():
            self.refusing = on
            if on:
                self._stop_listening()
            else:
                self._listen_again()
            self._tell("refuse" if on else "accept", 0)
        self._do(act)

    def cut_commits(self, where, times, share=1.0):
        """The next `times` COMMITs (or so many of a random share) lose their connection: `before` the server sees them, `after` it
        answered and before the client sees that, or `between`, sent and not waited for (Postgres)."""
        assert where in self.COMMIT_CUTS and self.postgres
        self._do(lambda: self.commit_cuts.append([where, times, share]))

    def refuse_offset_commits(self, error=12):
        """Kafka only: answers to offset commits say this error (12: the metadata is too large) for each partition, until heal()."""
        self._set("offset_commit_error", error, "refuses-offset-commits")

    def heal(self):
        """No fault any more for what connects; half-open connections stay as they are: close() or cut() ends them."""
        def act():
            self.delay_ms = self.statement_delay_ms = self.commit_delay_ms = 0
            self.dead, self.commit_cuts, self.offset_commit_error = False, [], 0
            self.flow.set()
            if self.refusing:
                self.refusing = False
                self._listen_again()
            self._tell("heal", 0)
        self._do(act)

    def close(self):
        if not self.loop.is_running():
            return
        def act():
            self._stop_listening()
            for each in list(self.connections.values()):
                each.end("closed")
        self._do(act)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    # --- What happened

    def mark(self):
        """The number of the last event: await_event looks at later ones."""
        with self.news:
            return self.events[-1].number if self.events else 0

    def await_event(self, name, seconds=60, after=0, count=1):
        """The `count`th event of that name later than the event numbered `after`."""
        deadline = time.monotonic() + seconds
        with self.news:
            while True:
                found = [event for event in self.events if event.name == name and event.number > after]
                if len(found) >= count:
                    return found[count - 1]
                if not self.news.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    raise AssertionError(f"proxy {self.name}: waited {seconds} s in vain for {count} event(s) {name}: {dict(self.counts)}")

    def count(self, name):
        with self.news:
            return self.counts[name]

    def open_connections(self):
        return self._do(lambda: sorted(self.connections))

    # --- On the loop's thread

    def _run(self, started):
        asyncio.set_event_loop(self.loop)
        self.flow = asyncio.Event()
        self.flow.set()
        self.accepting = self.loop.create_task(self._accept())
        self.loop.call_soon(started.set)
        self.loop.run_forever()
        pending = asyncio.all_tasks(self.loop)
        for task in pending:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        self.loop.close()

    def _do(self, act):
        async def call():
            return act()
        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(30)

    def _set(self, name, value, event):
        self._do(lambda: (setattr(self, name, value), self._tell(event, 0, value)))

    def _tell(self, name, connection, detail=None):
        with self.news:
            self.counts[name] += 1
            number = self.events[-1].number + 1 if self.events else 1
            self.events.append(Event(number, time.time(), name, connection, detail))
            self.news.notify_all()

    def _chosen(self, connection):
        if connection is None:
            return list(self.connections.values())
        return [self.connections[connection]] if connection in self.connections else []

    def _stop_listening(self):
        self.accepting.cancel()
        if self.listener:
            self.loop.remove_reader(self.listener)
            self.listener.close()
        self.listener = None

    def _listen_again(self):
        if not self.listener:
            self.listener = _listening(self.address)
            self.accepting = self.loop.create_task(self._accept())

    async def _accept(self):
        while True:
            client, _ = await self.loop.sock_accept(self.listener)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(self, self.next_connection, client)
            self.next_connection += 1
            self.connections[connection.number] = connection
            connection.dead = self.dead
            self._tell("connected", connection.number)
            connection.task = self.loop.create_task(connection.run())

    def wanted_commit_cut(self):
        for cut in self.commit_cuts:
            if self.dice.random() < cut[2]:
                cut[1] -= 1
                if cut[1] <= 0:
                    self.commit_cuts.remove(cut)
                return cut[0]
        return None


class _Connection:
    def __init__(self, proxy, number, client):
        self.proxy, self.number, self.client, self.server = proxy, number, client, None
        self.loop, self.dead, self.ended, self.task = proxy.loop, False, False, None
        self.swallow = False  # the reply to the COMMIT in flight
        self.tasks = []

    async def run(self):
        try:
            self.server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.server.setblocking(False)
            self.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self.loop.sock_connect(self.server, self.proxy.target)
        except OSError:
            return self.end("unreachable", abrupt=True)
        postgres, kafka = self.proxy.postgres, self.proxy.kafka
        self.tasks = [
            self.loop.create_task(self._direction(self.client, self.server, self._from_client if postgres else self._kafka_requests if kafka else _as_it_is)),
            self.loop.create_task(self._direction(self.server, self.client, self._from_server if postgres else self._kafka_replies if kafka else _as_it_is))]
        if self.proxy.kafka:
            self.commits = OffsetCommits()
        if postgres:
            self.messages, self.statements, self.replies = ClientMessages(), Statements(), ServerMessages()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.end("closed")

    async def _direction(self, source, sink, look):
        queue = asyncio.Queue(MOST_QUEUED)
        writer = self.loop.create_task(self._write(queue, sink))
        self.tasks.append(writer)
        try:
            while not writer.done():
                data = await self.loop.sock_recv(source, CHUNK)
                if not data:
                    break
                due = self.loop.time() + self.proxy.delay_ms / 1000
                async for part in look(data):
                    await queue.put((due, part))
            await queue.put((0, None))
            await writer
        except OSError:
            pass
        finally:
            if self.dead and not self.ended:
                # the peer of a half-open link never learns that the other end is gone
                await asyncio.Event().wait()
            self.end("closed")

    async def _write(self, queue, sink):
        while True:
            due, data = await queue.get()
            wait = due - self.loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            await self.proxy.flow.wait()
            if self.dead:
                await asyncio.Event().wait()  # never
            if data is None:
                return
            try:
                await self.loop.sock_sendall(sink, data)
            except OSError:
                self.end("closed")
                return

    async def _from_client(self, data):
        for kind, message in self.messages.feed(data):
            if kind == "encryption":  # plain text is what can be looked into
                await self.loop.sock_sendall(self.client, b"N")
                continue
            found = self.statements.look(kind, message) if len(kind) == 1 else None
            if found:
                self.proxy._tell(found, self.number)
                if self.proxy.statement_delay_ms:
                    await asyncio.sleep(self.proxy.statement_delay_ms / 1000)
            if found == "commit":
                if self.proxy.commit_delay_ms:
                    await asyncio.sleep(self.proxy.commit_delay_ms / 1000)
                where = self.proxy.wanted_commit_cut()
                if where == "before":
                    self.end("commit-cut", detail=where)
                    return
                if where == "after":
                    self.swallow = True
                elif where == "between":
                    await self.loop.sock_sendall(self.server, message)
                    self.end("commit-cut", detail=where)
                    return
            yield message

    async def _from_server(self, data):
        if not self.swallow:
            yield data
            # to keep in step with the messages: where they begin
            for _ in self.replies.feed(data):
                pass
            return
        for letter, _ in self.replies.feed(data):
            if letter == "Z":  # ready for the next one: the COMMIT is done
                self.end("commit-cut", detail="after")
                return

    async def _kafka_requests(self, data):
        self.commits.requests(data)
        yield data

    async def _kafka_replies(self, data):
        for message in self.commits.replies(data, self.proxy.offset_commit_error):
            yield message

    def end(self, event, abrupt=False, detail=None):
        if self.ended:
            return
        self.ended = True
        self.proxy.connections.pop(self.number, None)
        for each in (self.client, self.server):
            if each is None:
                continue
            if abrupt or event == "reset":
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            for done_with in (self.loop.remove_reader, self.loop.remove_writer):
                done_with(each)
            each.close()
        self.proxy._tell(event, self.number, detail)
        current = asyncio.current_task(self.loop)
        for task in [*self.tasks, self.task]:
            if task and task is not current:
                task.cancel()


async def _as_it_is(data):
    yield data


def _listening(address):
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(128)
    listener.setblocking(False)
    return listener
