"""The faults of a chaos run: each a function of (run, dice) that makes it, and either ends it too or asks for that later.

run.later(seconds, what, act) does `act` when the seconds are over, or at the calm end, whichever is first.
"""

FAULTS = {}  # name -> (weight, function)


def fault(weight):
    def add(function):
        FAULTS[function.__name__.replace("_", "-")] = (weight, function)
        return function
    return add


def _victim(run, dice, *, proxied=False):
    members = [member for member in run.members if (member.running() and not member.stopped)]
    return dice.choice(members) if members else None


@fault(10)
def kill(run, dice):
    """SIGKILL; started again after a while."""
    member = _victim(run, dice)
    if not member:
        return None
    member.look()
    member.kill()
    run.counts["kills"] += 1
    pause = dice.choice([0, 0, dice.uniform(0, 3), 8])
    run.later(pause, f"start {member.name}", lambda: run.start(member))
    return f"{member.name}, again after {pause:.1f} s"


@fault(4)
def freeze(run, dice):
    """SIGSTOP, sometimes past the session's end, then SIGCONT."""
    member = _victim(run, dice)
    if not member:
        return None
    seconds = dice.choice([dice.uniform(0.2, 2), dice.uniform(7, 12)])
    member.freeze()
    run.counts["freezes"] += 1
    run.later(seconds, f"continue {member.name}", member.thaw)
    return f"{member.name} for {seconds:.1f} s"


@fault(4)
def terminate(run, dice):
    """SIGTERM, a drain, and a start."""
    member = _victim(run, dice)
    if not member:
        return None
    member.look()
    member.ask_to_end()
    run.draining.add(member)
    run.counts["terminations"] += 1
    return member.name


@fault(3)
def join_or_leave(run, dice):
    """One more member for a while."""
    if run.extra.running():
        run.extra.look()
        run.extra.ask_to_end()
        run.leaving.add(run.extra)
        return "leaves"
    if run.extra in run.members:
        return None
    run.members.append(run.extra)
    run.start(run.extra)
    return "joins"


def _server(run, dice, server, how):
    if run.server_away:
        return None
    run.counts[f"{server} {'kills' if how == 'kill' else 'restarts'}"] += 1
    pause = dice.choice([0, dice.uniform(0, 6)])
    run.server_fault(server, how, pause)
    return f"{server}, away for {pause:.1f} s more"


@fault(2)
def postgres_restart(run, dice):
    return _server(run, dice, "postgres", "stop")


@fault(2)
def postgres_kill(run, dice):
    return _server(run, dice, "postgres", "kill")


@fault(1)
def kafka_restart(run, dice):
    return _server(run, dice, "kafka", "stop")


@fault(1)
def kafka_kill(run, dice):
    return _server(run, dice, "kafka", "kill")


@fault(4)
def backends_terminated(run, dice):
    """All sessions of the group, or one."""
    if run.server_away:
        return None
    limit = dice.choice(["", "order by random() limit 1"])
    killed = run.sql(f"select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity where datname = '{run.database_name}' "
                     f"and application_name like 'deja %' {limit}) a")
    run.counts["backends terminated"] += killed or 0
    return f"{killed} backends"


@fault(8)
def commit_cut(run, dice):
    """Connections lost around COMMITs."""
    member, where, times = dice.choice(run.members), dice.choice(["before", "after", "after", "between"]), dice.choice([1, 1, 3, 10])
    member.postgres.cut_commits(where, times, dice.choice([1.0, 0.3]))
    return f"{member.name}: {times} {where}"


def _link(run, dice):
    member = dice.choice(run.members)
    return dice.choice([(member.postgres, f"{member.name} - postgres"), (member.kafka, f"{member.name} - kafka")])


@fault(4)
def link_cut(run, dice):
    proxy, name = _link(run, dice)
    dice.choice([proxy.cut, proxy.reset])()
    run.counts["links cut"] += 1
    return name


@fault(3)
def link_half_open(run, dice):
    """Silent, and new connections too; then the old ones stay silent for ever."""
    proxy, name = _link(run, dice)
    seconds = dice.choice([0, dice.uniform(1, 5), dice.uniform(6, 14)])
    proxy.half_open()
    run.counts["links half open"] += 1
    run.later(seconds, f"heal {name}", proxy.heal)
    return f"{name} for {seconds:.1f} s"


@fault(3)
def link_frozen(run, dice):
    proxy, name = _link(run, dice)
    seconds = dice.choice([dice.uniform(0.1, 1), dice.uniform(3, 10)])
    proxy.freeze()
    run.counts["links frozen"] += 1
    run.later(seconds, f"thaw {name}", proxy.thaw)
    return f"{name} for {seconds:.1f} s"


@fault(2)
def link_refused(run, dice):
    proxy, name = _link(run, dice)
    seconds = dice.uniform(0.5, 8)
    proxy.refuse()
    proxy.cut()
    run.counts["links cut"] += 1
    run.later(seconds, f"accept {name}", lambda: proxy.refuse(False))
    return f"{name} for {seconds:.1f} s"


@fault(2)
def link_slow(run, dice):
    proxy, name = _link(run, dice)
    ms, seconds = dice.choice([20, 100, 500]), dice.uniform(2, 8)
    proxy.delay(ms)
    run.later(seconds, f"{name} fast again", lambda: proxy.delay(0))
    return f"{name} by {ms} ms for {seconds:.1f} s"
