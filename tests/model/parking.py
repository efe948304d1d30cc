"""Records that fail are parked and redelivered: in what order, how often, and what an operator may do meanwhile.

A live batch runs the next records of a lane. One that fails is parked in that transaction, or is dead when it has no attempt left; later ones of
its ordering key are parked behind it, without being run. The first row of an ordering key is marked as its head, and whatever changes which row is
the first moves the mark. A drain runs heads of different ordering keys in one transaction, each with some of the rows behind it, one after the
other, for as long as they leave. After an owner that did not hand over in order the heads and what a drain may have run with them are
suspects: each runs alone, its start committed before, until it has an outcome. What an operator wants of a parked row stands in the
row, and a drain does it. The owner keeps the blocked ordering keys in memory. Delays and budgets only say when a drain may be, and a
drain may be at any time here. A handler that may fail does so any number of times, or for ever.

What a transaction may do is decided under its lane's lock, by compare-and-set: the token is `mine`, batch_seq is not `behind`, and next_offset goes
with it. That the row's parked_version is not the one that the owner knows stands as `stale`. Transactions that claim one key exclude each other,
as inserts of it do.

Rules: B3, B4 (keys), D1 (operators), L1 and L2 as far as parked records need them, R1 (starts), R5 (order).
Not here: windows and `expired` (K6), outages (R2), other lanes of the process (model crash), log resets (D2).
"""

from collections import namedtuple
from dataclasses import dataclass
from itertools import chain, combinations

from cases import broken, holds
from explorer import STUCK, replaced

# order: ordering key. fails: may fail whenever it runs. kills: ends the process whenever it is redelivered
Record = namedtuple("Record", "order key payload fails kills lane", defaults=(False, False, 0))
# head: the mark. suspect: an owner before may have died of it. starts: committed while it is one. wanted: by an operator, dead or discarded
Parked = namedtuple("Parked", "attempt starts suspect head wanted", defaults=(0, 0, False, False, None))
# The tables, by offset. keys: who claimed each. history: effects as offset, discards as ~offset, in commit order. ends: final dispositions
# failed: failures that were committed, since the last replay. deaths: processes that ended by it. orders: dlq.order, by which a lane's heads are marked
# wrong: what a transaction must not have done
Tables = namedtuple("Tables", "parked dead ends keys history failed deaths orders wrong")
Lane = namedtuple("Lane", "next lock lost_reply holder clean")  # next: position in the lane's records. lost_reply: a commit that is with its server
# verbs: None (run it), or dead, discarded, killed, by offset. left: rows that the drain left out, as far as a fault needs them
Work = namedtuple("Work", "kind offsets verbs left", defaults=((), ()))
# state: out, owner, picked (rows to drain), open (a transaction), doubt, counting. then: what is blocked if the commit in doubt came through
Worker = namedtuple("Worker", "state mine behind blocked stale work then assigned")
State = namedtuple("State", "tables lanes workers moves crashes losses actions stops")
OUT = Worker("out", False, 0, frozenset(), False, None, None, False)
LIVE, DRAIN, ALONE = "live", "drain", "alone"

PAIR = (Record("a", 0, "x", True), Record("a", 1, "x"))
ONE_KEY = (Record("a", 0, "x", True), Record("a", 1, "x", True), Record("a", 2, "x"))
TWO_KEYS = (Record("a", 0, "x", True), Record("b", 1, "x", True), Record("a", 2, "x"))
DUPLICATE = (Record("a", 0, "x", True), Record("a", 0, "x", True), Record("b", 1, "x"))
CONFLICT = (Record("a", 0, "x", True), Record("a", 0, "y", True), Record("a", 0, "y"))
OTHER_ORDER = (Record("a", 0, "x", True), Record("b", 0, "y", True), Record("b", 1, "x"))
ELSEWHERE = (Record("a", 0, "x", True), Record("b", 0, "x", True, lane=1), Record("a", 0, "x"), Record("b", 0, "y", lane=1))
KILLER = (Record("a", 0, "x", True, True), Record("a", 1, "x", True), Record("b", 2, "x"))
FOUR = (Record("a", 0, "x", True), Record("b", 1, "x", True), Record("a", 2, "x"), Record("b", 3, "x"))
NEIGHBOURS = (Record("a", 0, "x", True, True), Record("b", 1, "x", True))
LATER_KILLER = (Record("a", 0, "x", True), Record("a", 1, "x", True, True))


@dataclass(frozen=True)
class Parking:
    log: tuple = TWO_KEYS
    workers: tuple = (0, 0)               # the lane of each
    order: str = "continue"               # dlq.order; or hold
    orders: tuple = ()                    # of each worker, where they differ
    max_attempts: int = 2
    max_starts: int = 4                   # more than what crashes and hand-overs can leave of a record that kills nobody
    moves: int = 1
    crashes: int = 1
    losses: int = 0                       # of the reply to a COMMIT
    actions: int = 1                      # of an operator
    stops: int = 0                        # in order
    claim_of_failed_released: bool = True
    claim_of_follower_released: bool = True
    claims_of_a_drain: str = "in turn"    # all before the first runs
    left_out_claims_released: bool = True  # of rows that the drain leaves out
    twins_looked_up: bool = True          # in the parked rows, by key
    dead_known_as_twins: bool = False     # a twin of a dead record is a duplicate as well
    conflict_waits: bool = False          # a twin with another payload is parked behind a record of another ordering key as well
    followers: str = "wait"               # behind what was blocked before the batch only; run; all: of any key
    drain_takes: str = "runs"             # heads, each with rows behind it; heads; any; two of one key, whatever becomes of the first
    runs_look: str = "at all before"      # in its transaction, at all rows before those of a run; at what was picked; at themselves
    run_ends_at_what_stays: bool = True   # by the run's own outcomes
    followers_marked: bool = True         # as suspects, with their heads
    drain_looks_again: bool = True        # in its transaction
    drain_looks_for_what_is_wanted: bool = True  # again
    drain_compares: bool = True
    start_committed_before: bool = True   # of a suspect
    suspects_run: str = "alone"           # together; beside others
    suspects_marked_by: str = "row"       # owner: only who took over uncleanly knows them
    clean_taken_away: bool = True         # by a take-over
    clean_compares: bool = True           # the mark of who hands over
    demoted_head_marked: bool = True      # as a suspect, by a replay that goes before it
    start_taken_back: bool = True         # with an attempt that failed
    unused_start_taken_back: bool = True  # by a drain that did not come to its end, by an owner that did
    hand_over_takes_start_back: bool = True
    attempt_in_the_same_commit: bool = True
    next_row: str = "promoted"            # never; not by the dead; past dead letters
    replayed_row: str = "takes the mark"  # leaves the old head marked; goes behind
    discarded_dead_letter_promotes: bool = True  # dlq.order = hold
    retry_marks: str = "heads"            # any
    heads_marked_anew: bool = True        # at a take-over with another dlq.order
    memory_after_commit: bool = True
    memory_by_rows: bool = True           # a key is free when no row of it is left; else when its head is gone
    take_over_reads: str = "under the lock"  # before it, never
    version_compared: bool = True
    settling: str = "as committed"        # and takes the version that it reads for known; memory stays
    operator_locks: bool = True
    operator_wants: bool = True           # something of parked rows
    cancels_and_restores: bool = False    # a replay that is cancelled makes its row a dead letter again; one that was discarded is open again
    cancelled_replay_promotes: bool = True
    restore_gives_the_key_back: bool = True
    restore_takes_the_mark: bool = True   # dlq.order = hold: of what is behind it
    wanted_of: str = "any row"            # heads
    discard_claims: str = "if free"       # never; always
    hold_remembered: bool = True          # dlq.order = hold: dead letters block their key for the owner as well

    def of_lane(self, lane):
        return tuple(o for o, r in enumerate(self.log) if r.lane == lane)

    def order_of(self, worker):
        return self.orders[worker] if self.orders else self.order

    @property
    def initial(self):
        records, lanes = len(self.log), range(max(self.workers) + 1)
        holders = tuple(self.workers.index(lane) for lane in lanes)
        tables = Tables((None,) * records, frozenset(), ("",) * records, (None,) * (1 + max(r.key for r in self.log)), (), (0,) * records, (0,) * records,
                        tuple(self.order_of(i) for i in holders), None)
        workers = tuple(OUT._replace(assigned=i in holders) for i in range(len(self.workers)))
        return State(tables, tuple(Lane(0, None, None, i, True) for i in holders), workers, self.moves, self.crashes, self.losses, self.actions, self.stops)

    # --- what the tables say

    def same_order(self, o, offsets):
        return [q for q in offsets if self.log[q].order == self.log[o].order and self.log[q].lane == self.log[o].lane]

    def holding(self, t):
        """Offsets that later records of their ordering key wait for."""
        return [o for o, r in enumerate(self.log) if t.parked[o] or o in t.dead and t.orders[r.lane] == "hold"]

    def blocked(self, t, lane):
        if not self.hold_remembered:
            t = t._replace(dead=frozenset())
        return frozenset(self.log[o].order for o in self.holding(t) if self.log[o].lane == lane)

    def is_first(self, t, o):
        return bool(t.parked[o]) and min(self.same_order(o, self.holding(t))) == o

    def parked_twins(self, t, o, dead=frozenset()):
        """The payloads of parked records of this lane with this key."""
        mine = self.log[o]
        return {r.payload for q, r in enumerate(self.log) if (t.parked[q] or q in dead) and q != o and (r.key, r.lane) == (mine.key, mine.lane)}

    # --- what a transaction does

    def row(self, t, o, **changes):
        return t._replace(parked=replaced(t.parked, o, t.parked[o]._replace(**changes)))

    def leaves(self, t, o, dead=False):
        """Its row goes, and where it was the head, the next one of its ordering key is."""
        row = t.parked[o]
        t = t._replace(parked=replaced(t.parked, o, None), dead=t.dead | {o} if dead else t.dead)
        return self.promotes(t, o, dead) if row and row.head else t

    def promotes(self, t, o, dead=False):
        rows = self.same_order(o, range(len(self.log)))
        past_dead_letters = self.next_row == "past dead letters"
        first = min((q for q in rows if t.parked[q]) if past_dead_letters else self.same_order(o, self.holding(t)), default=None)
        if first is None or not t.parked[first] or self.next_row == "never" or dead and self.next_row == "not by the dead":
            return t
        return self.row(t, first, head=True)

    def ends(self, t, o, word):
        return self.leaves(t._replace(ends=replaced(t.ends, o, t.ends[o] + word + " ")), o)

    def known(self, t, o):
        """After a claim that found the key: a duplicate of what claimed it, or in conflict with it."""
        return self.ends(t, o, "duplicate" if self.log[o].payload == self.log[t.keys[self.log[o].key]].payload else "conflict")

    def takes_effect(self, t, o):
        late = [q for q in self.same_order(o, range(o)) if not t.ends[q] and (q not in t.dead or t.orders[self.log[o].lane] == "hold")]
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
        return t._replace(parked=replaced(t.parked, o, Parked()), wrong=wrong)

    def fails(self, t, o):
        row = t.parked[o] or Parked(head=True)  # a live record
        t = t._replace(failed=replaced(t.failed, o, t.failed[o] + 1))
        if not self.claim_of_failed_released:
            t = t._replace(keys=replaced(t.keys, self.log[o].key, o))
        if row.attempt + 1 == self.max_attempts:
            return self.leaves(t, o, dead=True)
        outlived = dict(starts=0, suspect=False) if self.start_taken_back else {}
        return t._replace(parked=replaced(t.parked, o, row._replace(attempt=row.attempt + 1, **outlived)))

    def discards(self, t, o):
        claimed = t.keys[self.log[o].key] is not None
        t = self.ends(t, o, "discarded")._replace(dead=t.dead - {o}, history=(*t.history, ~o))
        if self.discard_claims == "always" or self.discard_claims == "if free" and not claimed:
            t = t._replace(keys=replaced(t.keys, self.log[o].key, o))
        return t

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
                t = self.fails(t, o)
                blocked |= {r.order} & self.blocked(t, lane)
            else:
                t = self.takes_effect(t, o)
        return t, blocked

    def drain(self, t, work, failing):
        """The tables after the drain, and whose run ended the process."""
        judged = {}
        for o, verb in zip(work.offsets, work.verbs):
            r = self.log[o]
            if verb is None and self.drain_takes == "runs" and self.run_ends_at_what_stays and self.stays_before(t, o, work.offsets):
                continue
            row = t.parked[o] or Parked(head=True)  # gone only if the drain did not look again
            judged.setdefault(r.key, o)
            if verb == "killed":
                if not r.kills:
                    t = t._replace(wrong=f"record {o} is dead, killed_process, and kills nobody")
                t = self.leaves(t, o, dead=True)
            elif verb == "dead":
                t = self.leaves(t, o, dead=True)
            elif verb == "discarded":
                t = self.discards(t, o)
            elif t.keys[r.key] is not None:
                t = self.known(t, o)
            elif judged[r.key] != o and self.claims_of_a_drain == "all before the first runs":
                t = self.ends(t, o, "duplicate" if r.payload == self.log[judged[r.key]].payload else "conflict")
            elif row.wanted:
                t = t._replace(wrong=f"record {o} is run, and an operator wants it {row.wanted}")
            elif r.kills:
                return t, o
            elif o not in failing:
                t = self.takes_effect(t, o)
            elif self.attempt_in_the_same_commit:
                t = self.fails(t, o)
            else:
                t = t._replace(failed=replaced(t.failed, o, t.failed[o] + 1))
        for o in work.left:
            t = t._replace(keys=replaced(t.keys, self.log[o].key, o))
        return t, None

    def stays_before(self, t, o, offsets):
        """A row of the same drain and ordering key that it goes behind is still there, or holds the key now."""
        return any(q < o for q in self.same_order(o, self.holding(t)) if q in offsets)

    def after_drain(self, t, lane, offsets, blocked):
        for o in offsets:
            order = {self.log[o].order}
            free = not order & self.blocked(t, lane) if self.memory_by_rows else not t.parked[o]
            blocked = blocked - order if free else blocked
        return blocked

    def outcome(self, s, lane, work, failing, blocked):
        """Tables, lane and blocked keys after the transaction, and whose run ended the process instead."""
        row = s.lanes[lane]
        if work.kind == LIVE:
            t, then = self.live(s.tables, lane, work.offsets, failing, blocked)
            return t, row._replace(next=row.next + len(work.offsets)), then, None
        t, died = self.drain(s.tables, work, failing)
        return t, row, self.after_drain(t, lane, work.offsets, blocked), died

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
        t, row, _, _ = self.outcome(s, lane, work, failing, blocked)
        workers = tuple(w._replace(behind=w.behind + 1) if self.workers[j] == lane and w.mine else w for j, w in enumerate(s.workers))
        lock = None if row.lock in (i, "server") else row.lock
        return s._replace(tables=t, lanes=replaced(s.lanes, lane, row._replace(lock=lock, lost_reply=None)), workers=workers)

    def operator(self, s, lane):
        t = s.tables
        at_work = self.claimed(s)
        for o in self.of_lane(lane):
            row = t.parked[o]
            if row and (row.head or self.retry_marks == "any"):
                yield f"operator: retries {o} now", self.acted(s, lane, self.row(t, o, head=True))
            for word in ("dead", "discarded") if self.operator_wants else ():
                if row and row.wanted != word:
                    yield f"operator: wants {o} {word}", self.acted(s, lane, self.row(t, o, wanted=word))
            if o in t.dead:
                yield f"operator: replays {o}", self.acted(s, lane, self.replayed(t, o))
            if o in t.dead and self.log[o].key not in at_work:
                gone = self.discards(t, o)
                if t.orders[lane] == "hold" and self.discarded_dead_letter_promotes:
                    gone = self.promotes(gone, o)
                yield f"operator: discards the dead letter {o}", self.acted(s, lane, gone)
            if self.cancels_and_restores and row:
                yield f"operator: takes {o} back", self.acted(s, lane, self.taken_back(t, o))
            if self.cancels_and_restores and ~o in t.history and self.log[o].key not in at_work:
                yield f"operator: restores {o}", self.acted(s, lane, self.restored(t, o))

    def replayed(self, t, o):
        t = t._replace(parked=replaced(t.parked, o, Parked()), dead=t.dead - {o}, failed=replaced(t.failed, o, 0), deaths=replaced(t.deaths, o, 0))
        heads = [q for q in self.same_order(o, range(len(self.log))) if t.parked[q] and t.parked[q].head]
        if not self.is_first(t, o) or heads and self.replayed_row == "goes behind":
            return t
        for q in heads if self.replayed_row == "takes the mark" else ():
            t = self.row(t, q, head=False, suspect=t.parked[q].suspect or self.demoted_head_marked)
        return self.row(t, o, head=True)

    def taken_back(self, t, o):
        if self.cancelled_replay_promotes:
            return self.leaves(t, o, dead=True)
        return t._replace(parked=replaced(t.parked, o, None), dead=t.dead | {o})

    def restored(self, t, o):
        key = self.log[o].key
        if t.keys[key] == o and self.restore_gives_the_key_back:
            t = t._replace(keys=replaced(t.keys, key, None))
        t = t._replace(ends=replaced(t.ends, o, ""), dead=t.dead | {o}, history=tuple(h for h in t.history if h != ~o))
        if t.orders[self.log[o].lane] == "hold" and self.restore_takes_the_mark:
            for q in self.same_order(o, range(len(self.log))):
                if q > o and t.parked[q] and t.parked[q].head:
                    t = self.row(t, q, head=False, suspect=t.parked[q].suspect or self.demoted_head_marked)
        return t

    def acted(self, s, lane, t):
        workers = tuple(w._replace(stale=w.state != "out") if self.workers[j] == lane else w for j, w in enumerate(s.workers))
        return s._replace(tables=t, workers=workers, actions=s.actions - 1)

    def claimed(self, s):
        """The keys of transactions under way."""
        works = [w.work for w in s.workers if w.state == "open"] + [row.lost_reply[1] for row in s.lanes if row.lost_reply]
        return {self.log[o].key for work in works for o in work.offsets}

    def steps_of(self, s, i, w, lane):
        row, t = s.lanes[lane], s.tables
        free, fits = row.lock is None, w.mine and not w.behind
        fenced = OUT._replace(assigned=row.holder == i)
        if w.state == "out" and w.assigned and self.take_over_reads == "before the lock":
            yield "reads the blocked keys", self.put(s, i, w._replace(then=self.blocked(t, lane)))
        if w.state in ("out", "owner") and w.assigned and free and (w.then is not None or self.take_over_reads != "before the lock"):
            others = tuple(o._replace(mine=False, behind=0) if self.workers[j] == lane else o for j, o in enumerate(s.workers))
            marked = self.taken_over(t, lane, self.order_of(i), row.clean)
            blocked = {"under the lock": self.blocked(marked, lane), "before the lock": w.then, "never": frozenset()}[self.take_over_reads]
            yield f"takes the lane over{'' if row.clean else ', which was not handed over'}", self.put(
                s._replace(workers=others), i, OUT._replace(state="owner", mine=True, blocked=blocked), tables=marked,
                lane=row._replace(clean=row.clean and not self.clean_taken_away))
        if w.state in ("owner", "picked") and (row.holder != i or not fits):
            yield "is revoked, or finds the row not as it was left", self.put(s, i, fenced)
        if w.state in ("owner", "picked") and free and (fits or not self.clean_compares) and (row.holder != i or s.stops):
            back = self.starts_back(t, w.work, self.hand_over_takes_start_back) if w.work else t
            yield "hands over in order", self.put(s, i, fenced, lane=row._replace(clean=True), tables=back, stops=s.stops - (row.holder == i))
        if w.state == "owner" and free and (fits or not self.drain_compares):
            yield from self.picks(s, i, w, lane)
        if w.state == "owner" and free and fits:
            records = self.of_lane(lane)
            for until in sorted({row.next + 1, len(records)}):
                if row.next < until <= len(records):
                    yield from self.begins(s, i, w, lane, Work(LIVE, records[row.next:until]))
        if w.state == "picked" and (free and fits or not self.drain_compares):
            yield from self.begins(s, i, w, lane, w.work)
        if w.state == "counting" and free and fits:
            counted = t
            for o in w.work.offsets:
                counted = self.fails(counted, o) if t.parked[o] else counted
            counted = counted._replace(failed=t.failed)
            done = w._replace(state="owner", work=None, blocked=self.blocked(counted, lane))
            yield f"counts the attempts of {self.words(w.work)}", self.put(s, i, done, tables=counted)
        if w.state == "open":
            yield from self.ends_transaction(s, i, w, lane)
        if w.state == "doubt" and free:
            yield self.settles(s, i, w, fenced)
        if s.crashes and w.state != "out":
            yield "crashes", self.put(s, i, fenced, lane=row._replace(lock=None if row.lock == i else row.lock), crashes=s.crashes - 1)

    def taken_over(self, t, lane, order, clean):
        anew = t.orders[lane] != order and self.heads_marked_anew
        t = t._replace(orders=replaced(t.orders, lane, order))
        for o in self.of_lane(lane):
            if t.parked[o] and anew:
                t = self.row(t, o, head=self.is_first(t, o))
            if t.parked[o]:
                kept = t.parked[o].suspect and self.suspects_marked_by == "row"
                under_way = t.parked[o].head or self.drain_takes == "runs" and self.followers_marked
                t = self.row(t, o, suspect=kept or not clean and under_way)
        return t

    def picks(self, s, i, w, lane):
        """Rows to drain, in a look before the transaction; the starts of suspects are committed."""
        t = s.tables
        settled, run, suspects = {}, [], []
        for o in self.of_lane(lane):
            row = t.parked[o]
            if row and row.wanted and (row.head or self.wanted_of == "any row"):
                settled[o] = row.wanted
            elif row and not row.wanted and (row.head or self.drain_takes in ("any", "two of one key") or self.drain_takes == "runs" and not row.suspect):
                suspect = row.suspect and self.start_committed_before
                if suspect and row.starts >= self.max_starts:
                    settled[o] = "killed"
                else:
                    (suspects if suspect else run).append(o)
        for offsets in self.choices(t, (*settled, *run)):
            work = Work(DRAIN, offsets, tuple(settled.get(o) for o in offsets))
            yield f"picks {self.words(work)}", self.put(s, i, w._replace(state="picked", work=work))
        for offsets in self.choices(t, (*suspects, *(run if self.suspects_run == "beside others" else ()))):
            started = set(offsets) & set(suspects)
            if len(offsets) == 1 and started or self.suspects_run == "together" or self.suspects_run == "beside others" and len(started) == 1:
                for o in started:
                    t = self.row(t, o, starts=s.tables.parked[o].starts + 1)
                work = Work(ALONE, offsets, (None,) * len(offsets))
                yield f"commits the start of {self.words(work)}", self.put(s, i, w._replace(state="picked", work=work), tables=t)
                t = s.tables

    def choices(self, t, offsets):
        """Some of these, and of each ordering key one, or its head and what is right behind it."""
        for some in chain.from_iterable(combinations(sorted(offsets), n) for n in range(1, len(offsets) + 1)):
            of_one_key = [self.same_order(o, some) for o in some]
            if self.drain_takes == "two of one key":
                fits = all(t.parked[rows[0]].head for rows in of_one_key)
            elif self.drain_takes == "runs":
                fits = all(len(rows) == 1 and (t.parked[rows[0]].head or t.parked[rows[0]].wanted) or self.is_run(t, rows) for rows in of_one_key)
            else:
                fits = all(len(rows) == 1 for rows in of_one_key)
            if fits:
                yield some

    def is_run(self, t, rows):
        before = self.same_order(rows[0], self.holding(t))[:len(rows)]
        return before == rows and all(not t.parked[o].wanted and not t.parked[o].suspect for o in rows)

    def starts_back(self, t, work, taken_back):
        for o in work.offsets if work.kind == ALONE and taken_back else ():
            if t.parked[o] and t.parked[o].starts:
                t = self.row(t, o, starts=t.parked[o].starts - 1)
        return t

    def looks(self, t, work):
        """What the transaction finds of what was picked."""
        verbs = {}
        for o, verb in zip(work.offsets, work.verbs):
            row = t.parked[o]
            if row and row.wanted and self.drain_looks_for_what_is_wanted:
                verbs[o] = row.wanted
            elif row and (row.head or self.drain_takes in ("any", "two of one key") or self.drain_takes == "runs" and verb is None and self.in_its_turn(t, o, work)):
                verbs[o] = verb
        left = tuple(o for o in work.offsets if o not in verbs)
        return Work(work.kind, tuple(verbs), tuple(verbs.values()), () if self.left_out_claims_released else left)

    def in_its_turn(self, t, o, work):
        """What is before it is before it in this drain as well."""
        before = [q for q in self.same_order(o, self.holding(t)) if q < o]
        if self.runs_look == "at themselves":
            return len(self.same_order(o, work.offsets)) > 1
        if self.runs_look == "at what was picked":
            return bool(before) and set(before) <= set(work.offsets)
        return bool(before) and all(t.parked[q] and q in work.offsets for q in before)

    def begins(self, s, i, w, lane, work):
        """The compare-and-set, and after it the look at what an operator changed."""
        if self.claimed(s) & {self.log[o].key for o in work.offsets} and self.drain_compares:
            return  # a claim waits
        if w.stale and self.version_compared:
            w = w._replace(blocked=self.blocked(s.tables, lane), stale=False)
        t = s.tables
        if work.kind != LIVE and self.drain_looks_again:
            found = self.looks(t, work)
            if not found.offsets and not found.left:
                t = self.starts_back(t, work, self.unused_start_taken_back)
                yield f"begins {self.words(work)}: nothing is as it was picked", self.put(s, i, w._replace(state="owner", work=None), tables=t)
                return
            work = found
        locked = s.lanes[lane] if work.kind != LIVE and not self.drain_compares else s.lanes[lane]._replace(lock=i)
        yield f"begins {self.words(work)}, blocked: {''.join(sorted(w.blocked)) or '-'}", self.put(s, i, w._replace(state="open", work=work), lane=locked)

    def ends_transaction(self, s, i, w, lane):
        row, seen = s.lanes[lane], set()
        may_fail = [o for o in w.work.offsets if self.log[o].fails]
        for failing in chain.from_iterable(combinations(may_fail, n) for n in range(len(may_fail) + 1)):
            t, _, then, died = self.outcome(s, lane, w.work, failing, w.blocked)
            if died is not None:
                t = s.tables._replace(deaths=replaced(s.tables.deaths, died, s.tables.deaths[died] + 1))
            if t in seen:
                continue  # who would fail is not run
            seen.add(t)
            if died is not None:
                yield f"ends by {died}", self.put(s, i, OUT._replace(assigned=row.holder == i), lane=row._replace(lock=None), tables=t)
                continue
            words = self.words(w.work) + "".join(f", {o} fails" for o in failing)
            after = self.commit(s, lane, i, w.work, failing, w.blocked)
            counting = w.work.kind != LIVE and failing and not self.attempt_in_the_same_commit
            done = w._replace(state="counting" if counting else "owner", blocked=then, work=Work(DRAIN, failing) if counting else None)
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
            t = self.starts_back(s.tables, w.work, self.unused_start_taken_back)
            return "settles: not committed", self.put(s, i, w._replace(state="owner", work=None, then=None), tables=t)
        blocked = w.blocked if self.settling == "memory stays" else w.then
        stale = w.stale and self.settling != "takes the version for known"
        return "settles: committed", self.put(s, i, w._replace(state="owner", behind=0, blocked=blocked, stale=stale, work=None, then=None))

    @staticmethod
    def words(work):
        verbs = work.verbs or (None,) * len(work.offsets)
        return f"{work.kind} {', '.join(f'{o} {verb}' if verb else str(o) for o, verb in zip(work.offsets, verbs))}"

    # --- what must hold

    def violation(self, s):
        t = s.tables
        if t.wrong:
            return t.wrong
        passed = {o for lane, row in enumerate(s.lanes) for o in self.of_lane(lane)[:row.next]}
        for o, r in enumerate(self.log):
            dispositions = t.ends[o].split() + ["parked"] * bool(t.parked[o]) + ["dead"] * (o in t.dead)
            if len(dispositions) != (o in passed):
                return f"record {o} was {'' if o in passed else 'not '}passed and is: {', '.join(dispositions) or 'nowhere'}"
            if t.failed[o] > self.max_attempts:
                return f"record {o} failed {t.failed[o]} times, and may {self.max_attempts} times"
            if t.deaths[o] > self.max_starts + 1:
                return f"record {o} ended {t.deaths[o]} processes"
            if "duplicate" in dispositions and not any(self.is_kept(t, q) for q, twin in enumerate(self.log) if q != o and twin[1:3] == r[1:3]):
                return f"record {o} is called a duplicate of what is nowhere"
            if "conflict" in dispositions and t.keys[r.key] is None:
                return f"record {o} is called a conflict with what never took effect"
            if t.parked[o] and t.parked[o].head != self.is_first(t, o):
                return f"record {o} is {'marked as head, and not the first' if t.parked[o].head else 'the first, and not marked as head'} of its ordering key"
        for key, winner in enumerate(t.keys):
            if winner is not None and winner not in t.history and ~winner not in t.history:
                return f"key {key} is claimed by record {winner}, which had no effect"
            story = [o for o in t.history if self.log[max(o, ~o)].key == key]
            if sum(o >= 0 for o in story) > 1:
                return f"key {key} took effect twice"
            if any(o >= 0 for o in story) and story[0] < 0:
                return f"key {key} took effect after it was discarded"
            if winner is not None and winner not in (story[0], ~story[0]):
                return f"key {key} is claimed by record {winner}, and record {max(story[0], ~story[0])} was before it"
        return None

    @staticmethod
    def is_kept(t, o):
        return o in t.history or ~o in t.history or t.parked[o] or o in t.dead or "conflict" in t.ends[o]

    def finished(self, s):
        t = s.tables
        waits = any(row and (row.wanted or min(self.same_order(o, self.holding(t))) not in t.dead) for o, row in enumerate(t.parked))
        return all(row.next == len(self.of_lane(lane)) for lane, row in enumerate(s.lanes)) and not waits


QUIET = dict(workers=(0,), moves=0, crashes=0, actions=0)  # one process, and nothing from outside
OPERATED, HANDED_OVER = QUIET | dict(actions=1), dict(crashes=0, actions=0)

CASES = (
    holds("R5_D1_an_operator_and_a_hand_over", Parking(ONE_KEY, crashes=0), log=TWO_KEYS, actions=2),
    holds("R5_D1_an_operator_and_a_hand_over_while_dead_letters_hold_their_key", Parking(ONE_KEY, order="hold", crashes=0), log=TWO_KEYS, actions=2),
    holds("R5_D1_L2_all_at_once", Parking(PAIR, losses=1, crashes=0), crashes=1),
    holds("R5_a_crash_at_any_step", Parking(moves=0), crashes=2),
    holds("L2_commits_in_doubt_while_an_operator_acts", Parking(**OPERATED | dict(losses=1)), losses=2, actions=2),
    holds("L2_commits_in_doubt_over_a_hand_over", Parking(ONE_KEY, **HANDED_OVER | dict(losses=1)), log=TWO_KEYS, losses=2),
    holds("B4_duplicates_of_parked_records", Parking(DUPLICATE, crashes=0), crashes=1),
    holds("B4_other_payloads_under_a_parked_key", Parking(CONFLICT, crashes=0), crashes=1),
    holds("B4_a_parked_key_under_another_ordering_key", Parking(OTHER_ORDER, moves=0), moves=1),
    holds("B4_twins_in_another_lane", Parking(ELSEWHERE, (0, 1), moves=0, crashes=0), crashes=1, losses=1),
    holds("B4_twins_in_another_lane_over_a_hand_over", Parking(ELSEWHERE[:3], (0, 0, 1), crashes=0, actions=0), actions=1),
    holds("R5_D1_drains_of_several_records", Parking(FOUR, **OPERATED), actions=2),
    holds("R5_L2_drains_of_several_records_in_doubt", Parking(FOUR, **QUIET | dict(losses=1)), workers=(0, 0), moves=1),
    holds("R5_another_order_at_a_rolling_deploy", Parking(PAIR, orders=("hold", "continue"), crashes=0, max_attempts=1), log=ONE_KEY, actions=2),
    holds("R5_another_order_back", Parking(PAIR, orders=("continue", "hold"), crashes=0, max_attempts=1), log=ONE_KEY, actions=2),
    holds("R1_a_parked_record_that_ends_the_process", Parking(KILLER, **OPERATED | dict(max_starts=2)), actions=2),
    holds("R1_a_parked_record_that_ends_the_process_over_hand_overs", Parking(NEIGHBOURS, (0,), stops=1, moves=0), workers=(0, 0), moves=1),
    holds("R1_a_killer_behind_what_is_replayed", Parking(LATER_KILLER, (0,), max_starts=2, moves=0), actions=2, stops=1),
    holds("D1_replays_that_are_cancelled_and_discards_that_are_taken_back", Parking(ONE_KEY, operator_wants=False, cancels_and_restores=True, **OPERATED), actions=2),
    holds("D1_the_same_while_dead_letters_hold_their_key", Parking(ONE_KEY, order="hold", operator_wants=False, cancels_and_restores=True, **OPERATED), actions=2),
    holds("B4_a_discard_that_is_taken_back_and_its_twins", Parking(DUPLICATE, operator_wants=False, cancels_and_restores=True, max_attempts=1, **OPERATED | dict(actions=2)), actions=3),
    broken("R5_a_run_behind_what_is_a_dead_letter_again", Parking(ONE_KEY, order="hold", operator_wants=False, cancels_and_restores=True, runs_look="at what was picked", **OPERATED), "takes effect before record"),
    broken("D1_a_cancelled_replay_that_leaves_what_is_behind_it", Parking(operator_wants=False, cancels_and_restores=True, cancelled_replay_promotes=False, **OPERATED), "the first, and not marked"),
    broken("B4_a_restore_that_keeps_the_key", Parking(PAIR, operator_wants=False, cancels_and_restores=True, restore_gives_the_key_back=False, max_attempts=1, **OPERATED | dict(actions=2)), "claimed by record 0"),
    broken("R5_a_restore_that_leaves_the_mark_behind_it", Parking(PAIR, order="hold", operator_wants=False, cancels_and_restores=True, restore_takes_the_mark=False, max_attempts=1, **OPERATED | dict(actions=2)), "and not the first"),
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
    broken("R5_followers_of_a_dead_record_that_wait_for_ever", Parking(ONE_KEY, next_row="not by the dead", **QUIET), "the first, and not marked"),
    broken("R5_the_next_row_is_not_promoted", Parking(next_row="never", **QUIET), "the first, and not marked"),
    broken("R5_the_next_row_is_behind_a_dead_letter_that_holds", Parking(ONE_KEY, order="hold", next_row="past dead letters", **OPERATED), "and not the first"),
    broken("R5_a_discarded_dead_letter_that_held_its_key", Parking(order="hold", discarded_dead_letter_promotes=False, **OPERATED), "the first, and not marked"),
    broken("R5_another_order_and_the_heads_of_before", Parking(PAIR, orders=("hold", "continue"), heads_marked_anew=False, max_attempts=1, **HANDED_OVER),
           "the first, and not marked"),
    broken("R5_another_order_and_a_head_behind_a_dead_letter",
           Parking(PAIR, orders=("continue", "hold"), heads_marked_anew=False, **HANDED_OVER), "and not the first"),
    holds("R5_runs_of_one_key_in_a_drain", Parking(ONE_KEY, **OPERATED), actions=2),
    holds("R5_runs_of_one_key_while_dead_letters_hold_it", Parking(ONE_KEY, order="hold", **OPERATED), actions=2),
    holds("R5_L2_runs_of_one_key_in_doubt", Parking(ONE_KEY, **QUIET | dict(losses=1)), workers=(0, 0), moves=1),
    holds("R1_a_killer_in_a_run", Parking(LATER_KILLER, (0,), max_starts=2, moves=0, actions=0), crashes=2),
    broken("R5_a_run_that_goes_on_past_what_failed", Parking(ONE_KEY, run_ends_at_what_stays=False, **QUIET), "takes effect before record"),
    broken("R5_a_run_that_looks_at_its_own_rows_alone", Parking(ONE_KEY, runs_look="at themselves", **OPERATED), "takes effect before record"),
    broken("R1_followers_in_a_run_that_are_no_suspects", Parking(LATER_KILLER, followers_marked=False, **QUIET | dict(max_starts=1)), "ended 3 processes"),
    broken("R5_two_of_one_key_in_a_drain", Parking(ONE_KEY, drain_takes="two of one key", **QUIET), "takes effect before record"),
    broken("R5_a_replay_that_leaves_the_old_head_marked", Parking(ONE_KEY, replayed_row="leaves the old head marked", **OPERATED), "and not the first"),
    broken("R5_a_replay_that_goes_behind", Parking(ONE_KEY, replayed_row="goes behind", **OPERATED), "the first, and not marked"),
    broken("R5_a_retry_now_that_marks_a_follower", Parking(retry_marks="any", **OPERATED), "and not the first"),
    broken("B3_a_twin_judged_by_a_claim_that_fails", Parking(OTHER_ORDER, claims_of_a_drain="all before the first runs", **QUIET), "what never took effect"),
    broken("B3_the_claim_of_a_row_that_is_left_out", Parking(ONE_KEY, left_out_claims_released=False, **OPERATED), "which had no effect"),
    broken("L1_a_drain_that_does_not_compare", Parking(PAIR[:1], drain_compares=False, **HANDED_OVER), "processed, duplicate"),
    broken("L2_a_memory_changed_before_the_commit_is_known", Parking(ONE_KEY, memory_after_commit=False, **QUIET | dict(losses=1)), "the first, and not marked"),
    broken("L2_a_settled_commit_that_the_memory_does_not_follow", Parking(settling="memory stays", **QUIET | dict(losses=1)), "takes effect before record"),
    broken("D1_settling_takes_a_version_for_known", Parking(ONE_KEY, settling="takes the version for known", **OPERATED | dict(losses=1)), "takes effect before record"),
    broken("D1_parked_version_not_compared", Parking(ONE_KEY, version_compared=False, **OPERATED), "takes effect before record"),
    broken("D1_an_operator_without_the_lanes_lock", Parking(ONE_KEY, operator_locks=False, operator_wants=False, **OPERATED), "takes effect before record"),
    broken("D1_a_drain_that_does_not_look_again", Parking(ONE_KEY, drain_looks_again=False, operator_wants=False, **OPERATED), "takes effect before record"),
    broken("D1_what_is_wanted_not_looked_for_again", Parking(drain_looks_for_what_is_wanted=False, **OPERATED), "an operator wants it"),
    broken("D1_what_is_wanted_of_heads_alone", Parking(order="hold", wanted_of="heads", **OPERATED), STUCK),
    broken("B4_a_discard_that_does_not_claim", Parking(DUPLICATE, discard_claims="never", **OPERATED), "after it was discarded"),
    broken("B4_a_discard_that_takes_a_claim_away", Parking(OTHER_ORDER, discard_claims="always", **OPERATED), "was before it"),
    broken("R1_a_start_in_the_drains_own_transaction", Parking(KILLER, start_committed_before=False, **QUIET | dict(max_starts=1)), "ended 3 processes"),
    broken("R1_suspects_that_only_their_owner_knows", Parking(KILLER, suspects_marked_by="owner", **QUIET | dict(max_starts=1, stops=1)), "ended 3 processes"),
    broken("R1_clean_that_stays_from_the_owner_before", Parking(KILLER, clean_taken_away=False, **QUIET | dict(max_starts=1)), "ended 3 processes"),
    broken("R1_a_clean_mark_that_does_not_compare", Parking(KILLER[:1], clean_compares=False, **HANDED_OVER | dict(max_starts=1)), "ended 3 processes"),
    broken("R1_a_head_that_a_replay_makes_innocent", Parking(LATER_KILLER, demoted_head_marked=False, followers_marked=False, **OPERATED | dict(max_starts=1)), "ended 3 processes"),
    broken("R1_suspects_that_run_together", Parking(NEIGHBOURS, suspects_run="together", **QUIET | dict(max_starts=1)), "kills nobody"),
    broken("R1_a_suspect_beside_others", Parking(NEIGHBOURS, suspects_run="beside others", **OPERATED | dict(max_starts=1)), "kills nobody"),
    broken("R1_a_start_that_stays_with_a_failed_attempt", Parking(start_taken_back=False, **QUIET | dict(max_starts=1, max_attempts=3, crashes=1)), "kills nobody"),
    broken("R1_a_start_that_stays_when_the_record_is_no_head_any_more", Parking(ONE_KEY, unused_start_taken_back=False, **QUIET | dict(max_starts=1, actions=2)),
           "kills nobody"),
    broken("R1_a_start_that_stays_over_a_hand_over_in_order",
           Parking(hand_over_takes_start_back=False, **QUIET | dict(max_starts=1, crashes=1, stops=1)), "kills nobody"),
    broken("R1_a_limit_to_starts_that_unclean_hand_overs_use_up", Parking(PAIR, max_starts=2, actions=0), "kills nobody"),
    broken("R1_an_attempt_counted_in_a_commit_of_its_own", Parking(attempt_in_the_same_commit=False, **QUIET | dict(crashes=1)), "failed 3 times"),
)
