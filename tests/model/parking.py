"""Records that fail are parked and redelivered: in what order, how often, and what an operator may do meanwhile.

A live batch runs the next records of a lane. One that fails is parked in that transaction, or is dead when it has no attempt left; later ones of
its ordering key are parked behind it, without being run. A drain runs one parked record, the head of its ordering key, after its start
was committed. The owner keeps the blocked ordering keys in memory. Delays and budgets only say when a drain may be, and a drain may be at any
time here; so "retry now" is a change of the version and nothing else. A handler that may fail does so any number of times, or for ever.

What a transaction may do is decided under its lane's lock, by compare-and-set: the token is `mine`, batch_seq is not `behind`, and next_offset goes
with it. That the row's parked_version is not the one that the owner knows stands as `stale`. Transactions that claim one key exclude each other,
as inserts of it do.

Rules: B3, B4 (keys), D1 (operators), L1 and L2 as far as parked records need them, R1 (starts), R5 (order).
Not here: windows and `expired` (K6), outages (R2), several drains at once, log resets (D2), `restore` of what was discarded.
"""

from collections import namedtuple
from dataclasses import dataclass
from itertools import chain, combinations

from cases import broken, holds
from explorer import STUCK, replaced

# order: ordering key. fails: may fail whenever it runs. kills: ends the process whenever it is redelivered
Record = namedtuple("Record", "order key payload fails kills lane", defaults=(False, False, 0))
Parked = namedtuple("Parked", "attempt starts")
# The tables, by offset. keys: who claimed each. history: effects as offset, discards as ~offset, in commit order. ends: final dispositions
# failed: failures that were committed, since the last replay. deaths: processes that ended by it. wrong: what a transaction must not have done
Tables = namedtuple("Tables", "parked dead ends keys history failed deaths wrong")
Lane = namedtuple("Lane", "next lock lost_reply holder")  # next: position in the lane's records. lost_reply: a commit that is with its server
# state: out, owner, started (a start is committed), open (a transaction), doubt, counting. then: what is blocked if the commit in doubt came through
Worker = namedtuple("Worker", "state mine behind blocked stale work then assigned")
State = namedtuple("State", "tables lanes workers moves crashes losses actions")
OUT = Worker("out", False, 0, frozenset(), False, None, None, False)
LIVE, DRAIN, KILLED = "live", "drain", "killed"

PAIR = (Record("a", 0, "x", True), Record("a", 1, "x"))
ONE_KEY = (Record("a", 0, "x", True), Record("a", 1, "x", True), Record("a", 2, "x"))
TWO_KEYS = (Record("a", 0, "x", True), Record("b", 1, "x", True), Record("a", 2, "x"))
DUPLICATE = (Record("a", 0, "x", True), Record("a", 0, "x", True), Record("b", 1, "x"))
CONFLICT = (Record("a", 0, "x", True), Record("a", 0, "y", True), Record("a", 0, "y"))
OTHER_ORDER = (Record("a", 0, "x", True), Record("b", 0, "y", True), Record("b", 1, "x"))
ELSEWHERE = (Record("a", 0, "x", True), Record("b", 0, "x", True, lane=1), Record("a", 0, "x"), Record("b", 0, "y", lane=1))
KILLER = (Record("a", 0, "x", True, True), Record("a", 1, "x", True), Record("b", 2, "x"))


@dataclass(frozen=True)
class Parking:
    log: tuple = TWO_KEYS
    workers: tuple = (0, 0)               # the lane of each
    order: str = "continue"               # dlq.order; or hold
    max_attempts: int = 2
    max_starts: int = 4                   # more than what crashes and hand-overs can leave of a record that kills nobody
    moves: int = 1
    crashes: int = 1
    losses: int = 0                       # of the reply to a COMMIT
    actions: int = 1                      # of an operator
    claim_of_failed_released: bool = True
    claim_of_follower_released: bool = True
    twins_looked_up: bool = True          # in the parked rows, by key
    dead_known_as_twins: bool = False     # a twin of a dead record is a duplicate as well
    conflict_waits: bool = False          # a twin with another payload is parked behind a record of another ordering key as well
    followers: str = "wait"               # behind what was blocked before the batch only; run; all: of any key
    drain_takes: str = "head"             # any
    drain_looks_again: bool = True        # in its transaction
    drain_looks_for_its_start: bool = True  # which a replayed row does not have
    drain_compares: bool = True
    start_committed_before: bool = True
    start_taken_back: bool = True         # with an attempt that failed
    unused_start_taken_back: bool = True  # by a drain that did not come to its end, by an owner that did
    attempt_in_the_same_commit: bool = True
    memory_after_commit: bool = True
    memory_by_rows: bool = True           # a key is free when no row of it is left; else when its head is gone
    take_over_reads: str = "under the lock"  # before it, never
    version_compared: bool = True
    settling: str = "as committed"        # and takes the version that it reads for known; memory stays
    operator_locks: bool = True
    discard_claims: bool = True
    hold_remembered: bool = True          # dlq.order = hold: dead letters block their key for the owner as well
    dead_give_up_their_place: bool = True  # dlq.order = continue, for those that are parked behind

    def of_lane(self, lane):
        return tuple(o for o, r in enumerate(self.log) if r.lane == lane)

    @property
    def initial(self):
        records, lanes = len(self.log), range(max(self.workers) + 1)
        tables = Tables((None,) * records, frozenset(), ("",) * records, (None,) * (1 + max(r.key for r in self.log)), (), (0,) * records, (0,) * records, None)
        workers = tuple(OUT._replace(assigned=lane not in self.workers[:i]) for i, lane in enumerate(self.workers))
        return State(tables, tuple(Lane(0, None, None, self.workers.index(lane)) for lane in lanes), workers, self.moves, self.crashes, self.losses, self.actions)

    # --- what the tables say

    def same_order(self, o, offsets):
        return [q for q in offsets if self.log[q].order == self.log[o].order and self.log[q].lane == self.log[o].lane]

    def holding(self, t):
        """Offsets that later records of their ordering key wait for."""
        return [o for o in range(len(self.log)) if t.parked[o] or self.order == "hold" and o in t.dead]

    def blocked(self, t, lane):
        if not self.hold_remembered:
            t = t._replace(dead=frozenset())
        return frozenset(self.log[o].order for o in self.holding(t) if self.log[o].lane == lane)

    def is_head(self, t, o):
        before = self.same_order(o, self.holding(t) if self.dead_give_up_their_place else [q for q in range(o + 1) if t.parked[q] or q in t.dead])
        return bool(t.parked[o]) and (self.drain_takes == "any" or min(before) == o)

    def parked_twins(self, t, o, dead=frozenset()):
        """The payloads of parked records of this lane with this key."""
        mine = self.log[o]
        return {r.payload for q, r in enumerate(self.log) if (t.parked[q] or q in dead) and q != o and (r.key, r.lane) == (mine.key, mine.lane)}

    # --- what a transaction does

    def ends(self, t, o, word):
        return t._replace(ends=replaced(t.ends, o, t.ends[o] + word + " "), parked=replaced(t.parked, o, None))

    def known(self, t, o):
        """After a claim that found the key: a duplicate of what claimed it, or in conflict with it."""
        return self.ends(t, o, "duplicate" if self.log[o].payload == self.log[t.keys[self.log[o].key]].payload else "conflict")

    def takes_effect(self, t, o):
        late = [q for q in self.same_order(o, range(o)) if not t.ends[q] and (q not in t.dead or self.order == "hold")]
        if late:
            t = t._replace(wrong=t.wrong or f"record {o} takes effect before record {late[0]} of its ordering key")
        t = self.ends(t, o, "processed")
        return t._replace(keys=replaced(t.keys, self.log[o].key, o), history=(*t.history, o))

    def parked_behind(self, t, o):
        wrong = t.wrong
        if self.holding(t) and not self.same_order(o, self.holding(t)):
            wrong = wrong or f"record {o} waits, and no record of its ordering key failed"
        if self.log[o].payload in self.parked_twins(t, o):
            wrong = wrong or f"record {o} is parked, and a duplicate of one that is"
        return t._replace(parked=replaced(t.parked, o, Parked(0, 0)), wrong=wrong)

    def fails(self, t, o, attempt, starts):
        t = t._replace(failed=replaced(t.failed, o, t.failed[o] + 1))
        if not self.claim_of_failed_released:
            t = t._replace(keys=replaced(t.keys, self.log[o].key, o))
        if attempt < self.max_attempts:
            return t._replace(parked=replaced(t.parked, o, Parked(attempt, starts)))
        return t._replace(parked=replaced(t.parked, o, None), dead=t.dead | {o})

    def live(self, t, lane, offsets, failing, blocked):
        """The tables and the blocked keys after a batch of live records."""
        before = blocked
        for o in offsets:
            r = self.log[o]
            behind = {"wait": r.order in blocked, "behind what was blocked before": r.order in before, "run": False, "all": bool(blocked)}[self.followers]
            twins = self.parked_twins(t, o, t.dead if self.dead_known_as_twins else frozenset()) if self.twins_looked_up else ()
            if t.keys[r.key] is not None:
                t = self.known(t, o)
            elif r.payload in twins:
                if not self.parked_twins(t, o):
                    t = t._replace(wrong=t.wrong or f"record {o} is called a duplicate of a dead record")
                t = self.ends(t, o, "duplicate")
            elif behind or twins and self.conflict_waits:
                t = self.parked_behind(t, o)
                if not self.claim_of_follower_released and r.order not in before:
                    t = t._replace(keys=replaced(t.keys, r.key, o))
                blocked |= {r.order}
            elif o in failing:
                t = self.fails(t, o, 1, 0)
                blocked |= {r.order} & self.blocked(t, lane)
            else:
                t = self.takes_effect(t, o)
        return t, blocked

    def drain(self, t, lane, o, failing, blocked):
        row = t.parked[o] or Parked(0, 0)  # gone only if the drain did not look again
        if t.keys[self.log[o].key] is not None:
            t = self.known(t, o)
        elif o in failing:
            if self.attempt_in_the_same_commit:
                t = self.fails(t, o, row.attempt + 1, 0 if self.start_taken_back else row.starts)
            else:
                t = t._replace(failed=replaced(t.failed, o, t.failed[o] + 1))
        else:
            t = self.takes_effect(t, o)
        return t, self.after_drain(t, lane, o, blocked)

    def after_drain(self, t, lane, o, blocked):
        order = {self.log[o].order}
        free = not order & self.blocked(t, lane) if self.memory_by_rows else not t.parked[o]
        return blocked - order if free else blocked

    def killed(self, t, lane, o, blocked):
        if not self.log[o].kills:
            t = t._replace(wrong=f"record {o} is dead, killed_process, and kills nobody")
        t = t._replace(parked=replaced(t.parked, o, None), dead=t.dead | {o})
        return t, self.after_drain(t, lane, o, blocked)

    def outcome(self, s, lane, work, failing, blocked):
        """Tables, lane and blocked keys after the transaction."""
        kind, offsets = work
        if kind == LIVE:
            t, then = self.live(s.tables, lane, offsets, failing, blocked)
            return t, s.lanes[lane]._replace(next=s.lanes[lane].next + len(offsets)), then
        t, then = self.drain(s.tables, lane, *offsets, failing, blocked) if kind == DRAIN else self.killed(s.tables, lane, *offsets, blocked)
        return t, s.lanes[lane], then

    # --- steps

    def steps(self, s):
        for lane, row in enumerate(s.lanes):
            others = [i for i, l in enumerate(self.workers) if l == lane and i != row.holder]
            for i in others if s.moves else ():
                yield f"Kafka gives lane {lane} to {i}", self.put(s, i, s.workers[i]._replace(assigned=True), lane=row._replace(holder=i), moves=s.moves - 1)
            if row.lost_reply:
                yield "the server commits after all", self.commit(s, lane, *row.lost_reply)
                yield "the server rolls back", s._replace(lanes=replaced(s.lanes, lane, row._replace(lock=None, lost_reply=None)))
            if s.actions and (row.lock is None or not self.operator_locks):
                yield from self.operator(s, lane)
        for i, w in enumerate(s.workers):
            for label, after in self.steps_of(s, i, w, self.workers[i]):
                yield f"{i}: {label}", after

    def put(self, s, i, worker, lane=None, **changes):
        lanes = replaced(s.lanes, self.workers[i], lane) if lane else s.lanes
        return s._replace(workers=replaced(s.workers, i, worker), lanes=lanes, **changes)

    def commit(self, s, lane, i, work, failing, blocked):
        t, row, _ = self.outcome(s, lane, work, failing, blocked)
        workers = tuple(w._replace(behind=w.behind + 1) if self.workers[j] == lane and w.mine else w for j, w in enumerate(s.workers))
        lock = None if row.lock in (i, "server") else row.lock
        return s._replace(tables=t, lanes=replaced(s.lanes, lane, row._replace(lock=lock, lost_reply=None)), workers=workers)

    def operator(self, s, lane):
        t = s.tables
        at_work = self.claimed(s)
        for o in self.of_lane(lane):
            if t.parked[o]:
                yield f"operator: retries {o} now", self.acted(s, lane, t)
                yield f"operator: makes {o} a dead letter", self.acted(s, lane, t._replace(parked=replaced(t.parked, o, None), dead=t.dead | {o}))
            if o in t.dead:
                back = t._replace(parked=replaced(t.parked, o, Parked(0, 0)), dead=t.dead - {o}, failed=replaced(t.failed, o, 0), deaths=replaced(t.deaths, o, 0))
                yield f"operator: replays {o}", self.acted(s, lane, back)
            if (t.parked[o] or o in t.dead) and self.log[o].key not in at_work:
                gone = self.ends(t, o, "discarded")._replace(dead=t.dead - {o}, history=(*t.history, ~o))
                if self.discard_claims and t.keys[self.log[o].key] is None:
                    gone = gone._replace(keys=replaced(t.keys, self.log[o].key, o))
                yield f"operator: discards {o}", self.acted(s, lane, gone)

    def acted(self, s, lane, t):
        workers = tuple(w._replace(stale=w.state != "out") if self.workers[j] == lane else w for j, w in enumerate(s.workers))
        return s._replace(tables=t, workers=workers, actions=s.actions - 1)

    def claimed(self, s):
        """The keys of transactions under way."""
        works = [w.work for w in s.workers if w.state == "open"] + [row.lost_reply[1] for row in s.lanes if row.lost_reply]
        return {self.log[o].key for _, offsets in works for o in offsets}

    def steps_of(self, s, i, w, lane):
        row, t = s.lanes[lane], s.tables
        free, fits = row.lock is None, w.mine and not w.behind
        fenced = OUT._replace(assigned=row.holder == i)
        if w.state == "out" and w.assigned and self.take_over_reads == "before the lock":
            yield "reads the blocked keys", self.put(s, i, w._replace(then=self.blocked(t, lane)))
        if w.state in ("out", "owner") and w.assigned and free and (w.then is not None or self.take_over_reads != "before the lock"):
            blocked = {"under the lock": self.blocked(t, lane), "before the lock": w.then, "never": frozenset()}[self.take_over_reads]
            others = tuple(o._replace(mine=False, behind=0) if self.workers[j] == lane else o for j, o in enumerate(s.workers))
            yield "takes the lane over", self.put(s._replace(workers=others), i, OUT._replace(state="owner", mine=True, blocked=blocked))
        if w.state in ("owner", "started") and (row.holder != i or not fits):
            yield "is revoked, or finds the row not as it was left", self.put(s, i, fenced)
        if w.state == "owner" and free and (fits or not self.drain_compares):
            yield from self.picks(s, i, w, lane)
        if w.state == "owner" and free and fits:
            records = self.of_lane(lane)
            for until in sorted({row.next + 1, len(records)}):
                if row.next < until <= len(records):
                    yield from self.begins(s, i, w, lane, (LIVE, records[row.next:until]))
        if w.state == "started" and (free and fits or not self.drain_compares):
            yield from self.begins(s, i, w, lane, w.work)
        if w.state == "counting" and free and fits:
            (o,) = w.work[1]
            t = t if t.parked[o] is None else self.fails(t, o, t.parked[o].attempt + 1, 0)
            t = t._replace(failed=s.tables.failed)
            yield f"counts the attempt of {o}", self.put(s, i, w._replace(state="owner", work=None, blocked=self.blocked(t, lane)), tables=t)
        if w.state == "open":
            yield from self.ends_transaction(s, i, w, lane)
        if w.state == "doubt" and free:
            yield self.settles(s, i, w, fenced)
        if s.crashes and w.state != "out":
            yield "crashes", self.put(s, i, fenced, lane=row._replace(lock=None if row.lock == i else row.lock), crashes=s.crashes - 1)

    def picks(self, s, i, w, lane):
        t = s.tables
        for o in self.of_lane(lane):
            if self.is_head(t, o):
                attempt, starts = t.parked[o]
                if starts >= self.max_starts:
                    yield f"{o} was started too often", self.put(s, i, w._replace(state="started", work=(KILLED, (o,))))
                    continue
                marked = t._replace(parked=replaced(t.parked, o, Parked(attempt, starts + self.start_committed_before)))
                yield f"commits the start of {o}", self.put(s, i, w._replace(state="started", work=(DRAIN, (o,))), tables=marked)

    def has_start(self, t, o):
        return t.parked[o].starts > 0 or not self.drain_looks_for_its_start or not self.start_committed_before

    def start_back(self, t, o):
        if not t.parked[o] or not self.unused_start_taken_back:
            return t
        return t._replace(parked=replaced(t.parked, o, t.parked[o]._replace(starts=max(0, t.parked[o].starts - 1))))

    def begins(self, s, i, w, lane, work):
        """The compare-and-set, and after it the look at what an operator changed."""
        if self.claimed(s) & {self.log[o].key for o in work[1]} and self.drain_compares:
            return  # a claim waits
        if w.stale and self.version_compared:
            w = w._replace(blocked=self.blocked(s.tables, lane), stale=False)
        if work[0] != LIVE and self.drain_looks_again and not (self.is_head(s.tables, *work[1]) and self.has_start(s.tables, *work[1])):
            t = self.start_back(s.tables, *work[1]) if work[0] == DRAIN else s.tables
            yield f"begins {self.words(work)}: not as it was picked", self.put(s, i, w._replace(state="owner", work=None), tables=t)
            return
        locked = s.lanes[lane] if work[0] != LIVE and not self.drain_compares else s.lanes[lane]._replace(lock=i)
        yield f"begins {self.words(work)}, blocked: {''.join(sorted(w.blocked)) or '-'}", self.put(s, i, w._replace(state="open", work=work), lane=locked)

    def ends_transaction(self, s, i, w, lane):
        (kind, offsets), row = w.work, s.lanes[lane]
        if kind == DRAIN and self.log[offsets[0]].kills:
            died = s.tables._replace(deaths=replaced(s.tables.deaths, offsets[0], s.tables.deaths[offsets[0]] + 1))
            yield f"ends by {offsets[0]}", self.put(s, i, OUT._replace(assigned=row.holder == i), lane=row._replace(lock=None), tables=died)
            return
        may_fail = [o for o in offsets if self.log[o].fails and kind != KILLED]
        seen = set()
        for failing in chain.from_iterable(combinations(may_fail, n) for n in range(len(may_fail) + 1)):
            t, _, then = self.outcome(s, lane, w.work, failing, w.blocked)
            if t in seen:
                continue  # who would fail is not run
            seen.add(t)
            words = self.words(w.work) + "".join(f", {o} fails" for o in failing)
            after = self.commit(s, lane, i, w.work, failing, w.blocked)
            counting = kind == DRAIN and failing and not self.attempt_in_the_same_commit
            done = w._replace(state="counting" if counting else "owner", blocked=then, work=w.work if counting else None)
            yield f"commits {words}", self.put(after, i, done)
            if s.losses and not row.lost_reply:
                blocked = w.blocked if self.memory_after_commit else then
                yield f"sends the COMMIT of {words}, loses the link", self.put(
                    s, i, w._replace(state="doubt", blocked=blocked, then=then), lane=row._replace(lock="server", lost_reply=(i, w.work, failing, w.blocked)),
                    losses=s.losses - 1)

    def settles(self, s, i, w, fenced):
        """By batch_seq, under the lock. What an operator changed since the commit is still not known."""
        if not w.mine or w.behind > 1:
            return "settles: fenced", self.put(s, i, fenced)
        if w.behind == 0:
            t = self.start_back(s.tables, w.work[1][0]) if w.work[0] == DRAIN else s.tables
            return "settles: not committed", self.put(s, i, w._replace(state="owner", work=None, then=None), tables=t)
        blocked = w.blocked if self.settling == "memory stays" else w.then
        stale = w.stale and self.settling != "takes the version for known"
        return "settles: committed", self.put(s, i, w._replace(state="owner", behind=0, blocked=blocked, stale=stale, work=None, then=None))

    @staticmethod
    def words(work):
        return f"{work[0]} {', '.join(map(str, work[1]))}"

    # --- what must hold

    def violation(self, s):
        t = s.tables
        if t.wrong:
            return t.wrong
        for o, r in enumerate(self.log):
            passed = self.of_lane(r.lane).index(o) < s.lanes[r.lane].next
            dispositions = t.ends[o].split() + ["parked"] * bool(t.parked[o]) + ["dead"] * (o in t.dead)
            if len(dispositions) != passed:
                return f"record {o} was {'' if passed else 'not '}passed and is: {', '.join(dispositions) or 'nowhere'}"
            if t.failed[o] > self.max_attempts:
                return f"record {o} failed {t.failed[o]} times, and may {self.max_attempts} times"
            if t.deaths[o] > self.max_starts:
                return f"record {o} ended {t.deaths[o]} processes"
            if "duplicate" in dispositions and not any(self.is_kept(t, q) for q, twin in enumerate(self.log) if q != o and twin[1:3] == r[1:3]):
                return f"record {o} is called a duplicate of what is nowhere"
        for key, winner in enumerate(t.keys):
            if winner is not None and winner not in t.history and ~winner not in t.history:
                return f"key {key} is claimed by record {winner}, which had no effect"
            story = [o for o in t.history if self.log[max(o, ~o)].key == key]
            if sum(o >= 0 for o in story) > 1:
                return f"key {key} took effect twice"
            if any(o >= 0 for o in story) and story[0] < 0:
                return f"key {key} took effect after it was discarded"
        return None

    @staticmethod
    def is_kept(t, o):
        return o in t.history or ~o in t.history or t.parked[o] or o in t.dead or "conflict" in t.ends[o]

    def finished(self, s):
        t = s.tables
        waits = [o for o in range(len(self.log)) if t.parked[o] and not (self.order == "hold" and min(self.same_order(o, self.holding(t))) in t.dead)]
        return all(row.next == len(self.of_lane(lane)) for lane, row in enumerate(s.lanes)) and not waits


QUIET = dict(workers=(0,), moves=0, crashes=0, actions=0)  # one process, and nothing from outside
OPERATED, HANDED_OVER = QUIET | dict(actions=1), dict(crashes=0, actions=0)

CASES = (
    holds("R5_D1_an_operator_and_a_hand_over", Parking(ONE_KEY, crashes=0), log=TWO_KEYS, actions=2),
    holds("R5_D1_an_operator_and_a_hand_over_while_dead_letters_hold_their_key", Parking(ONE_KEY, order="hold", crashes=0), log=TWO_KEYS, actions=2),
    holds("R5_D1_L2_all_at_once", Parking(PAIR, losses=1, max_starts=6), actions=2),
    holds("R5_a_crash_at_any_step", Parking(moves=0), crashes=2),
    holds("L2_commits_in_doubt_while_an_operator_acts", Parking(**OPERATED | dict(losses=1)), losses=2, actions=2),
    holds("L2_commits_in_doubt_over_a_hand_over", Parking(ONE_KEY, **HANDED_OVER | dict(losses=1)), log=TWO_KEYS, losses=2),
    holds("B4_duplicates_of_parked_records", Parking(DUPLICATE, crashes=0), crashes=1),
    holds("B4_other_payloads_under_a_parked_key", Parking(CONFLICT, crashes=0), crashes=1),
    holds("B4_a_parked_key_under_another_ordering_key", Parking(OTHER_ORDER, moves=0), moves=1),
    holds("B4_twins_in_another_lane", Parking(ELSEWHERE, (0, 1), moves=0, crashes=0), crashes=1, losses=1),
    holds("B4_twins_in_another_lane_over_a_hand_over", Parking(ELSEWHERE[:3], (0, 0, 1), crashes=0, actions=0), actions=1),
    holds("R1_a_parked_record_that_ends_the_process", Parking(KILLER, **OPERATED | dict(max_starts=2)), actions=2),
    broken("B3_a_claim_kept_when_parking", Parking(claim_of_failed_released=False, **QUIET), "claimed by record 0, which had no effect"),
    broken("B3_the_claim_of_a_follower_kept", Parking(claim_of_follower_released=False, **QUIET), "claimed by record 2, which had no effect"),
    broken("B4_twins_of_dead_records_called_duplicates", Parking(DUPLICATE, dead_known_as_twins=True, **QUIET), "duplicate of a dead record"),
    broken("B4_parked_twins_not_looked_up", Parking(DUPLICATE, twins_looked_up=False, **QUIET), "a duplicate of one that is"),
    broken("B4_a_conflict_that_waits_for_another_ordering_key", Parking(OTHER_ORDER, conflict_waits=True, **QUIET), "no record of its ordering key failed"),
    broken("R5_followers_that_are_run", Parking(followers="run", **QUIET), "takes effect before record"),
    broken("R5_followers_in_the_batch_of_their_head", Parking(followers="behind what was blocked before", **QUIET), "takes effect before record"),
    broken("R5_a_parked_record_that_blocks_its_lane", Parking(followers="all", **QUIET), "no record of its ordering key failed"),
    broken("R5_a_drain_that_does_not_take_the_head", Parking(drain_takes="any", **QUIET), "takes effect before record"),
    broken("R5_a_key_that_is_free_with_its_head", Parking(ONE_KEY, memory_by_rows=False, **QUIET), "takes effect before record"),
    broken("R5_a_take_over_that_does_not_read_what_is_parked", Parking(take_over_reads="never", **HANDED_OVER), "takes effect before record"),
    broken("B1_a_take_over_that_reads_before_its_lock", Parking(take_over_reads="before the lock", **HANDED_OVER), "takes effect before record"),
    broken("R5_dead_letters_that_the_owner_forgets_to_hold", Parking(order="hold", hold_remembered=False, **HANDED_OVER), "takes effect before record"),
    broken("R5_followers_of_a_dead_record_that_wait_for_ever", Parking(ONE_KEY, dead_give_up_their_place=False, **QUIET), STUCK),
    broken("L1_a_drain_that_does_not_compare", Parking(ONE_KEY, drain_compares=False, **HANDED_OVER), "processed, duplicate"),
    broken("L2_a_memory_changed_before_the_commit_is_known", Parking(ONE_KEY, memory_after_commit=False, **QUIET | dict(losses=1)), "takes effect before record"),
    broken("L2_a_settled_commit_that_the_memory_does_not_follow", Parking(settling="memory stays", **QUIET | dict(losses=1)), "takes effect before record"),
    broken("D1_settling_takes_a_version_for_known", Parking(ONE_KEY, settling="takes the version for known", **OPERATED | dict(losses=1)), "takes effect before record"),
    broken("D1_parked_version_not_compared", Parking(ONE_KEY, version_compared=False, **OPERATED), "takes effect before record"),
    broken("D1_an_operator_without_the_lanes_lock", Parking(ONE_KEY, operator_locks=False, **OPERATED), "processed, dead"),
    broken("D1_a_drain_that_does_not_look_again", Parking(ONE_KEY, drain_looks_again=False, **OPERATED), "processed, dead"),
    broken("B4_a_discard_that_does_not_claim", Parking(DUPLICATE, discard_claims=False, **OPERATED), "after it was discarded"),
    broken("R1_a_start_in_the_drains_own_transaction", Parking(KILLER, start_committed_before=False, **QUIET | dict(max_starts=2)), "ended 3 processes"),
    broken("R1_a_drain_that_does_not_look_for_its_start", Parking(KILLER, drain_looks_for_its_start=False, **OPERATED | dict(max_starts=2, actions=2)),
           "ended 3 processes"),
    broken("R1_a_start_that_stays_with_a_failed_attempt", Parking(start_taken_back=False, **QUIET | dict(max_starts=1, max_attempts=3)), "kills nobody"),
    broken("R1_a_start_that_stays_when_the_record_is_no_head_any_more", Parking(ONE_KEY, unused_start_taken_back=False, **OPERATED | dict(max_starts=1)), "kills nobody"),
    broken("R1_a_limit_to_starts_that_unclean_hand_overs_use_up", Parking(max_starts=2, **HANDED_OVER), "kills nobody"),
    broken("R1_an_attempt_counted_in_a_commit_of_its_own", Parking(attempt_in_the_same_commit=False, **QUIET | dict(crashes=1)), "failed 3 times"),
)
