"""What has to go on for a step to be reached. Every step is tried in the first scenario that reaches it."""

import time

from programs import wait_until
from world import Broken, PARTITIONS, PATIENCE

DAY = 86_400_000


class Scenario:
    """A group that has run before gets one more set of records, works it off and is asked to end."""
    name, fresh, extra, quiet_seconds, instance = "plain", False, [], 0.0, "one"
    more = {}
    reaches = ()  # steps that others come to by chance only

    def before(self, world):
        pass

    def begin(self, world, arms):
        """Returns the process with the arms."""
        self.before(world)
        world.produce()
        return world.start(self.extra + list(arms), self.instance)

    def ready(self, world, program):
        """A condition for asking the process to end, beside that everything is read."""
        begun = time.monotonic()
        return lambda: (program.arms and program.fired()) or time.monotonic() > begun + self.quiet_seconds


class Fresh(Scenario):
    name, fresh = "first start", True


class Quiet(Scenario):
    """It has nothing to do for a while: what happens once a second, and every five."""
    name, quiet_seconds = "quiet", 7.0


class Lingering(Scenario):
    """Events are not published yet when the supervisor looks, every five seconds."""
    name, more, reaches = "events that linger", {"kafka.producer.linger.ms": 6000}, ("after-event-age",)

    def ready(self, world, program):
        return lambda: program.report.hits()["after-event-age"] > 0 or (program.arms and program.fired())


class Moved(Scenario):
    """The process before died between a commit and its events."""
    name = "events left behind"

    def before(self, world):
        world.produce()
        program = world.start(["after-commit=kill@1"])
        if world.watch(program) != "killed":
            raise Broken(f"{program.name} was not killed\n{program.log_end()}")


class Doubt(Scenario):
    """The reply to a COMMIT is lost."""
    name, extra = "a commit in doubt", ["after-commit-sent=throw@2"]


class Added(Scenario):
    """The group has a row for one partition of the topic: the other was added later."""
    name, fresh, reaches = "an added partition", True, ("after-row-created",)

    def before(self, world):
        world.database.run(f"insert into deja.lanes (group_id, topic, partition, lane, next_offset) values ('{world.group}', '{world.topic}', 0, 0, 0)")


class Fenced(Scenario):
    """Somebody else took the lanes' rows meanwhile, and does nothing with them."""
    name = "fenced"

    def ready(self, world, program):
        state = {"taken": False}

        def condition():
            if not state["taken"]:
                world.database.run(f"update deja.lanes set owner_token = gen_random_uuid(), owner_epoch = owner_epoch + 1 where group_id = '{world.group}'")
                world.produce()
                state["taken"] = True
                return False
            return True
        return condition


def await_outage(world, program):
    """The pause shown is the one for the dependency: a process that starts may show others."""
    def shown():
        return bool(world.database.rows(f"select 1 from deja.lanes where group_id = '{world.group}' and paused_cause like '%says the handler%'"))
    wait_until(lambda: (program.report.hits()["after-pause-shown"] and shown()) or not program.alive() or program.stopped(), PATIENCE, "the shown pause")


def park_for_a_day(world, *doings):
    """The first record fails, and the others wait behind it, until somebody makes it due."""
    usual = dict(world.settings)
    world.settings |= {"retry.backoff.base.ms": DAY, "retry.backoff.max.ms": DAY, "retry.deadline.ms": 20 * DAY}
    world.produce_doing(*doings)
    program = world.start()
    wait_until(lambda: not program.alive() or program.report.hits()["after-subscribe"] and world.left() == len(doings) == world.followers() + 1, PATIENCE, "parked records")
    world.stop(program)
    world.settings = usual


class Paused(Scenario):
    """A handler waits for a dependency: the cause is shown in the lane row."""
    name = "paused"

    def begin(self, world, arms):
        world.database.run("insert into probe_switches values ('down', true) on conflict (name) do update set value = true")
        try:
            world.produce_doing("ok", "unavailable", "ok")
            program = super().begin(world, arms)
            await_outage(world, program)
        finally:
            world.database.run("update probe_switches set value = false")
        return program


class Rotated(Scenario):
    """The open segment of the outbox is full, and everything in it is published."""
    name, quiet_seconds = "rotation", 7.0

    def before(self, world):
        world.database.run(
            "do $$ declare s int; begin select open_segment into s from deja.outbox_state; "
            "execute format('insert into deja.outbox_%s (lane, seq, event_id, topic, key, value, headers) select 0, n, gen_random_uuid(), ''none'', null, "
            "repeat(''x'', 1900)::bytea, ''[]'' from generate_series(1, 35000) n "
            "on conflict do nothing', s); end $$")  # a process that died before it opened the next one leaves it full


class Touched(Scenario):
    """Handlers that together take longer than the session may be idle."""
    name, more = "slow handlers", {"handler.timeout.ms": 1500}

    def before(self, world):
        world.produce_doing("sleep:800", "sleep:800", "ok")


class Refunded(Paused):
    """As before, with a record that is a suspect: the process before died."""
    name = "a suspect that waits"

    def before(self, world):
        Moved.before(self, world)


class Restored(Scenario):
    """The database is behind what was committed to Kafka: the last two records of each partition are read again."""
    name, columns = "a database that went back", "next_offset = {}"

    def before(self, world):
        for partition, end in enumerate(world.ends):
            world.database.run(f"update deja.lanes set {self.columns.format(end - 2, end)} "
                               f"where group_id = '{world.group}' and partition = {partition} and next_offset = {end}")


class Reset(Restored):
    """As before, because an operator wants it so."""
    name, columns = "read again", "next_offset = {}, reread_until = {}"


class Gapped(Scenario):
    """The lanes stand before a transaction's marker, and know no record before it: the first that comes is not the wanted one."""
    name = "a gap at the start"

    def before(self, world):
        world.produce_in_transaction()
        program = world.start()
        how = world.watch(program)
        if how != "ended with 0":
            raise Broken(f"{program.name} {how}\n{program.log_end()}")
        for partition, end in enumerate(world.ends):
            world.database.run(f"update deja.lanes set next_offset = {end - 1}, witness_offset = null where group_id = '{world.group}' and partition = {partition}")


class Marked(Scenario):
    """The log ends in the marker of a transaction."""
    name = "a marker at the end"

    def begin(self, world, arms):
        world.produce()
        world.produce_in_transaction()
        return world.start(list(arms), self.instance)


class Parked(Scenario):
    """Records that fail are tried again; those of their record key wait behind them."""
    name, more = "redelivery", {"retry.max.attempts": 3}

    def before(self, world):
        world.produce_doing("throw:1", "ok", "emit:2", "throw:2", "sql-error", "ok", "throw", "reject", "slow-sql:1")


class ParkedSuspect(Parked):
    """The process before died with records that were due."""
    name = "a parked suspect"

    def before(self, world):
        super().before(world)
        program = world.start(["after-parked-read=kill@1"])
        if world.watch(program) != "killed":
            raise Broken(f"{program.name} was not killed\n{program.log_end()}")


class ParkedRefunded(Parked):
    """A parked record waits for a dependency, and the process before was killed while it did."""
    name, fresh, reaches = "a parked suspect that waits", True, ("after-parked-refund",)

    def begin(self, world, arms):
        park_for_a_day(world, "throw:1", "unavailable", "ok", "ok", "ok", "ok")
        world.database.run("insert into probe_switches values ('down', true) on conflict (name) do update set value = true")
        try:
            world.make_due()
            first = world.start()
            await_outage(world, first)
            first.kill()
            world.database.run(f"update deja.lanes set paused_cause = null where group_id = '{world.group}'")
            world.produce()
            program = world.start(self.extra + list(arms), self.instance)
            await_outage(world, program)
        finally:
            world.database.run("update probe_switches set value = false")
        return program


class ParkedReset(Parked):
    """The log is read again from before records that are parked for a day, until somebody makes them due."""
    name, fresh, reaches = "parked records read again", True, ("after-parked-look",)

    def begin(self, world, arms):
        park_for_a_day(world, "throw:1", "ok", "ok")
        world.database.run(f"update deja.lanes set next_offset = {world.ends[0] - 3}, reread_until = {world.ends[0]} where group_id = '{world.group}' and partition = 0")
        program = world.start(self.extra + list(arms), self.instance)
        wait_until(lambda: program.report.hits()["after-parked-look"] or not program.alive() or program.stopped(), PATIENCE, "the look at what is parked")
        if program.stopped():  # in its transaction, which has the lane's lock
            world.end_transactions(world.backends())
        world.make_due()
        return program


class Operated(Parked):
    """An operator changed parked records: seen by the look at the rows, in every lane."""
    name = "parked records changed"

    def ready(self, world, program):
        wanted = None

        def condition():
            nonlocal wanted
            seen = program.report.hits()["after-parked-version"]
            if wanted is None:
                wanted = seen + PARTITIONS
                world.change_as_operators_do()
            return seen >= wanted or (program.arms and program.fired())
        return condition


class OperatedLive(Parked):
    """As before, and the next batch sees it first."""
    name = "parked records changed before a batch"

    def ready(self, world, program):
        state = {"rounds": 0}

        def condition():
            if state["rounds"] < 3:
                world.change_as_operators_do()
                world.produce_doing("ok", "throw:1", "ok")
                state["rounds"] += 1
                return False
            return True
        return condition


class Flooded(Scenario):
    """Most records fail with one cause, after some of them were parked for it."""
    name, more = "flood", {"flood.ratio": 0.5, "retry.max.attempts": 20, "retry.backoff.base.ms": 500, "retry.backoff.max.ms": 500}

    def begin(self, world, arms):
        world.database.run("alter table probe_effects add constraint broken check (false) not valid")
        try:
            world.produce_doing(*["ok"] * 80, key=lambda n: f"f{world.sets}-{n}".encode())
            program = world.start(list(arms), self.instance)
            wait_until(lambda: (program.report.hits()["after-attempts-given-back"] and program.report.hits()["after-flood-sync"])
                       or not program.alive() or program.stopped(), PATIENCE, "the flood")
        finally:
            world.database.run("alter table probe_effects drop constraint broken")
        return program


class Reordered(Scenario):
    """The lanes come from an owner whose dead letters held their ordering keys: its parked records are marked anew."""
    name, reaches = "another dlq.order", ("after-heads-marked",)

    def before(self, world):
        world.settings["dlq.order"] = "hold"
        world.produce_doing("reject", "ok", "emit:2", "reject", "ok")
        program = world.start()
        wait_until(lambda: not program.alive() or program.report.hits()["after-subscribe"] and world.left() == world.followers() > 0, PATIENCE, "records behind the dead letter")
        world.stop(program)
        world.settings["dlq.order"] = "continue"


class Replayed(Scenario):
    """An operator replays dead letters: some heal, some fail again, and one replay stops itself."""
    name = "replay"
    reaches = ("after-open-again", "after-replays-ended", "after-replay-turn", "after-replay-items", "after-replay-lock", "after-replay-parked", "after-replay-fed",
               "after-replay-step", "after-replay-stopped", "after-replay-end")

    def before(self, world):
        world.produce_doing("throw:1", "ok", "reject", "throw", "throw:1", "sql-error", "throw:1", "reject")
        program = world.start()
        wait_until(lambda: not program.alive() or program.report.hits()["after-subscribe"] and world.left() == 0, PATIENCE, "dead letters")
        world.stop(program)
        world.replay("--canary", "1", "--rate", "20", cause="rejected", record_key="s")
        world.replay("--rate", "50", cause="exhausted", record_key="s")


class ReplayedHeld(Scenario):
    """A dead letter that holds its ordering key is replayed."""
    name, reaches = "replay of what holds", ("after-held-look",)

    def begin(self, world, arms):
        world.settings["dlq.order"] = "hold"
        world.produce_doing("throw:1", "ok", "ok")
        program = world.start()
        wait_until(lambda: not program.alive() or program.report.hits()["after-subscribe"] and world.left() == world.followers() == 2, PATIENCE, "records behind the dead letter")
        world.stop(program)
        world.replay("--rate", "20", cause="exhausted", record_key="s")
        world.produce_doing("ok", "emit:2")
        return world.start(self.extra + list(arms), self.instance)


class Refused(Scenario):
    """Nobody may write to the topic of the events for a while: they are set aside, and come back."""
    name = "refused events"
    reaches = ("after-producer-rebuilt", "after-aside-written", "after-set-aside", "after-aside-read", "after-tried-again", "after-aside-settled", "after-aside-done")

    def begin(self, world, arms):
        world.cluster.forbid_writes(world.events)
        try:
            world.produce_doing("ok", "emit:3", "reject", "ok", key=lambda number: b"s%d" % (number % 2))
            program = world.start(self.extra + list(arms), self.instance)
            wait_until(lambda: world.aside() and program.report.hits()["after-aside-done"] or not program.alive() or program.stopped(), PATIENCE, "events set aside")
            world.produce()
        finally:
            world.cluster.allow_writes(world.events)
        return program


class Rebalanced(Scenario):
    """A second member joins."""
    name, instance = "rebalance", None

    def ready(self, world, program):
        def condition():
            if not world.second:
                world.second = world.start([], None)
                world.produce()
                return False
            return program.report.hits()["after-give-up"] > 0
        return condition


SCENARIOS = [Scenario(), Fresh(), Moved(), Doubt(), Quiet(), Added(), Rebalanced(), Fenced(), Rotated(), Touched(), Paused(), Refunded(), Marked(), Restored(),
             Reset(), Gapped(), Refused(), Parked(), ParkedSuspect(), ParkedRefunded(), ParkedReset(), Operated(), OperatedLive(), Flooded(), Reordered(),
             Lingering(), Replayed(), ReplayedHeld()]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
