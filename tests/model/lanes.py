"""Two lanes of one partition, and two processes whose settings may map records to lanes differently.

The log has three records with the ordering keys a, b, a. A process takes the lanes over one by one, reads the log once for all of them from
the smallest next_offset, and each lane drops what it has behind it. From time to time the lanes with nothing to do move to the
consumed position; retention removes what was consumed before that. A stop drains: the lanes work until one common offset and stand there.

Rules: L5 (a record's lane), L7 (idle lanes), and per lane L1 and L4. Tokens stand as "is the row's", since they are never drawn twice.
"""

from collections import namedtuple
from dataclasses import dataclass

from cases import broken, holds
from explorer import STUCK, replaced

KEYS = "aba"
RECORDS = len(KEYS)
TWO, ONE, SWAPPED = {"a": 0, "b": 1}, {"a": 0, "b": 0}, {"a": 1, "b": 0}  # ordering key -> lane

# map: by which lanes were worked last. offsets: of events not yet in Kafka, in order
Row = namedtuple("Row", "next_offset unpublished")
# as_left: the row has my token and is as I left it. queue: offsets; running: a batch of the first n of them
Lane = namedtuple("Lane", "owned as_left next_offset expected queue running advance")
# state: out, owner, draining, refused
Process = namedtuple("Process", "state lanes position until assigned")
State = namedtuple("State", "map rows processes holder results kafka log_start quiet moves failures")
NO_LANE = Lane(False, False, 0, 0, (), 0, None)
FENCED = Lane(False, False, -1, 0, (), 0, None)  # taken again only by who holds the partition
OUT = Process("out", (NO_LANE, NO_LANE), None, None, False)


@dataclass(frozen=True)
class Lanes:
    maps: tuple = (TWO, TWO)
    ask_for_one_offset: bool = True    # before a changed map is accepted
    ask_for_published: bool = True
    changed_map_fences: bool = True
    look_at_map_under_lock: bool = True
    drain_to_one_offset: bool = True
    drain_only_where_read: bool = True
    start_at_the_smallest: bool = True
    idle_lanes_advance: bool = True
    advance_compares: bool = True
    idle_means_nothing_running: bool = True
    position_before_queue: bool = True
    events: bool = True
    slow_batches: bool = False         # a batch may be under way while other threads act; else it is one step
    retention: bool = False
    upgrade: bool = False              # the old program drains and does not come back
    moves: int = 1
    failures: int = 0

    def __hash__(self):
        return id(self)

    @property
    def initial(self):
        rows = (Row(0, ()), Row(0, ()))
        return State(0, rows, (OUT._replace(assigned=True), OUT), 0, ("",) * RECORDS, (), 0, 0, self.moves, self.failures)

    def lane_of(self, offset, which):
        return self.maps[which][KEYS[offset]]

    def used(self, which):
        return sorted(set(self.maps[which].values()))

    def steps(self, s):
        if s.moves:
            other = 1 - s.holder
            yield f"Kafka gives the partition to {other}", s._replace(
                processes=replaced(s.processes, other, s.processes[other]._replace(assigned=True)), holder=other, moves=s.moves - 1)
        if self.retention and s.log_start < s.quiet:
            yield f"retention removes what is below {s.quiet}", s._replace(log_start=s.quiet)
        for i, p in enumerate(s.processes):
            for label, process, changes in self.steps_of(s, i, p):
                yield f"{i}: {label}", s._replace(processes=replaced(changes.pop("processes", s.processes), i, process), **changes)

    def steps_of(self, s, i, p):
        if p.state == "out" and p.assigned:
            yield from self.starts(s, i, p)
        if p.state in ("out", "refused") and s.holder == i and not p.assigned:
            yield "is started again", p._replace(state="out", assigned=True), {}
        if p.state == "refused" and s.holder == i and not self.upgrade:  # the operator gives the work back, so that the other drains it
            other = 1 - i
            yield f"is stopped in favour of {other}", OUT, {"processes": replaced(s.processes, other, s.processes[other]._replace(assigned=True)), "holder": other}
        if p.state not in ("owner", "draining"):
            return
        if p.state == "owner" and (s.holder != i or s.moves == 0):  # revoked, or stopped by its operator
            yield "begins to drain", *self.begins_to_drain(p)
        if s.holder != i and not self.upgrade:
            yield "is gone without a drain", OUT, {}
        if p.state == "draining" and all(not lane.owned for lane in p.lanes):
            yield "has drained", OUT._replace(assigned=p.assigned), {}
        if p.state == "owner" and self.ready(i, p) and s.log_start <= p.position < RECORDS:
            yield "fetches", self.fetched(p, i), {}
        for number in self.used(i):
            for label, lane, process, changes in self.steps_of_lane(s, i, p, number, p.lanes[number]):
                process = process._replace(lanes=replaced(process.lanes, number, lane))
                yield f"lane {number} {label}", process, changes
        yield from self.advances(s, i, p)

    def starts(self, s, i, p):
        """Looks at the map, under the locks of all the partition's rows."""
        changed = self.maps[s.map] != self.maps[i]
        if changed and any(self.held(s, i, number) for number in (0, 1)):
            return  # waits for the locks
        at_one_offset = len({row.next_offset for number, row in enumerate(s.rows) if number in self.used(s.map)}) == 1
        published = not any(row.unpublished for row in s.rows)
        if changed and (self.ask_for_one_offset and not at_one_offset or self.ask_for_published and not published):
            yield "finds another map, lanes apart or events unpublished: refused", p._replace(state="refused", assigned=False), {}
            return
        rows = s.rows
        if changed:  # a lane that was not used stands where the others stand
            rows = tuple(row if number in self.used(s.map) else row._replace(next_offset=s.rows[self.used(s.map)[0]].next_offset)
                         for number, row in enumerate(rows))
        changes = {"map": i, "rows": rows} if changed else {}
        if changed and self.changed_map_fences:
            changes["processes"] = tuple(q._replace(lanes=tuple(map(self.fenced, q.lanes))) for q in s.processes)
        yield "may work with its map", OUT._replace(state="owner"), changes

    def begins_to_drain(self, p):
        """The common offset is the furthest that a lane has begun, or all that was read when nothing is left to do. It is one only if the log
        was read that far for every lane: after a take-over a lane may stand where nobody has looked for the others' records yet."""
        owned = [lane for lane in p.lanes if lane.owned]
        position = p.position or 0
        until = max((lane.queue[lane.running - 1] + 1 if lane.running else lane.next_offset for lane in owned), default=0)
        if not any(lane.queue for lane in owned):
            until = max(until, position)
        if not self.drain_to_one_offset or self.drain_only_where_read and until > position:
            until = 0
        lanes = tuple(lane._replace(queue=tuple(o for n, o in enumerate(lane.queue) if o < until or n < lane.running)) for lane in p.lanes)
        return p._replace(state="draining", until=until, lanes=lanes), {}

    def fetched(self, p, i):
        number = self.lane_of(p.position, i)
        lane = p.lanes[number]
        if lane.owned and p.position >= lane.expected:
            lane = lane._replace(queue=(*lane.queue, p.position), expected=p.position + 1)
        lanes = replaced(p.lanes, number, lane)
        return p._replace(lanes=lanes, position=p.position + 1)

    def steps_of_lane(self, s, i, p, number, lane):
        row = s.rows[number]
        held = self.held(s, i, number)
        if not lane.owned and lane != NO_LANE and s.holder != i:
            return
        if not lane.owned and p.state == "owner" and not held and self.look_at_map_under_lock and self.maps[s.map] != self.maps[i]:
            yield "is of another map now", lane, OUT._replace(assigned=s.holder == i), {}
        elif not lane.owned and p.state == "owner" and not held:
            # another process finds the row changed, wherever it stands
            others = tuple(q if j == i else q._replace(lanes=replaced(q.lanes, number, self.fenced(q.lanes[number]))) for j, q in enumerate(s.processes))
            starts = [x.expected for x in p.lanes if x.owned] + [row.next_offset]
            position = min(starts) if self.start_at_the_smallest else max(starts)
            yield "is taken over", Lane(True, True, row.next_offset, row.next_offset, (), 0, None), p._replace(position=position), {"processes": others}
        if not lane.owned:
            return
        if not lane.as_left and not lane.running:
            yield "sees that it is fenced", FENCED, p, {}
        if lane.queue and not lane.running and lane.as_left and not held:
            begun = lane._replace(running=1)
            if self.slow_batches:
                yield f"begins {lane.queue[0]}", begun, p, {}
            else:
                yield f"commits {lane.queue[0]}", *self.commits(s, i, p, number, begun)
        if lane.running:
            yield "commits", *self.commits(s, i, p, number, lane)
            if s.failures:
                yield "rolls back", lane._replace(running=0), p, {"failures": s.failures - 1}
        if row.unpublished and lane.as_left and not lane.running:
            yield f"publishes the event of {row.unpublished[0]}", lane, p, \
                {"rows": replaced(s.rows, number, row._replace(unpublished=row.unpublished[1:])), "kafka": (*s.kafka, row.unpublished[0])}
        if p.state == "draining" and not lane.queue and not lane.running and lane.as_left and not held and not row.unpublished:
            moved = max(row.next_offset, p.until)
            yield f"stands at {moved}", NO_LANE, p, {"rows": replaced(s.rows, number, row._replace(next_offset=moved))}

    def fenced(self, lane):
        """What its owner has in memory counts no more, unless a batch is under way or it does not compare."""
        return lane._replace(as_left=False) if lane.running or not self.advance_compares else FENCED if lane.owned else lane

    def ready(self, i, p):
        return all(p.lanes[number].owned for number in self.used(i))

    @staticmethod
    def held(s, i, number):
        """Another process has a transaction open on the lane's row."""
        return any(other.lanes[number].running and other.lanes[number].as_left for j, other in enumerate(s.processes) if j != i)

    def commits(self, s, i, p, number, lane):
        if not lane.as_left:
            return FENCED, p, {}
        done, rest = lane.queue[:lane.running], lane.queue[lane.running:]
        row = s.rows[number]
        results = tuple(word + "processed " if offset in done else word for offset, word in enumerate(s.results))
        row = row._replace(next_offset=done[-1] + 1, unpublished=row.unpublished + done if self.events else ())
        return lane._replace(queue=rest, running=0, next_offset=row.next_offset), p, {"rows": replaced(s.rows, number, row), "results": results}

    def advances(self, s, i, p):
        """Idle lanes move to the consumed position, all in one statement that compares each."""
        if p.state != "owner" or not self.ready(i, p):
            return
        idle = [number for number in self.used(i) if p.lanes[number].owned and not p.lanes[number].queue or
                not self.idle_means_nothing_running and p.lanes[number].owned and len(p.lanes[number].queue) == p.lanes[number].running]
        all_done = len(idle) == len(self.used(i)) and all(p.lanes[n].as_left for n in idle)
        quiet = p.position if all_done else s.quiet
        if not self.idle_lanes_advance:
            if all_done and quiet > s.quiet:
                yield "lets some seconds pass", p, {"quiet": quiet}
            return
        if not self.position_before_queue:  # looks at the queue first, and at the position later
            for number in idle:
                if p.lanes[number].advance is None:
                    yield f"lane {number} is found idle", p._replace(lanes=replaced(p.lanes, number, p.lanes[number]._replace(advance=True))), {}
            idle = [number for number in self.used(i) if p.lanes[number].advance]
        fits = [n for n in idle if p.lanes[n].next_offset < p.position and (p.lanes[n].as_left or not self.advance_compares)
                and (not p.lanes[n].running or not self.idle_means_nothing_running)]
        if not fits:
            if quiet > s.quiet and all_done and all(s.rows[n].next_offset == p.position for n in idle):
                yield "all lanes stand at the position", p, {"quiet": quiet}
            return
        rows, lanes, others = list(s.rows), list(p.lanes), s.processes
        for n in fits:
            rows[n] = rows[n]._replace(next_offset=p.position)
            lanes[n] = lanes[n]._replace(next_offset=p.position, expected=p.position, advance=None)
            if not p.lanes[n].as_left:  # who was right finds its row changed
                others = tuple(q if j == i else q._replace(lanes=replaced(q.lanes, n, q.lanes[n]._replace(as_left=False))) for j, q in enumerate(others))
        yield f"moves idle lanes {fits} to {p.position}", p._replace(lanes=tuple(lanes)), {"rows": tuple(rows), "quiet": quiet, "processes": others}

    def violation(self, s):
        if any(word.count("processed") > 1 for word in s.results):
            return f"a record is handled twice: {s.results}"
        for offset, word in enumerate(s.results):
            lane = self.lane_of(offset, s.map)
            if not word and s.rows[lane].next_offset > offset:
                return f"record {offset} was passed without a disposition: its lane {lane} stands at {s.rows[lane].next_offset}"
        for p in s.processes:
            if any(lane.owned and lane.as_left and row.next_offset < s.log_start for lane, row in zip(p.lanes, s.rows)):
                return f"a loss is reported that is none: lanes at {[row.next_offset for row in s.rows]}, log from {s.log_start}"
        for key in set(KEYS):
            events = [offset for offset in s.kafka if KEYS[offset] == key]
            if events != sorted(events):
                return f"events of key {key} out of order: {events}"
        return None

    def finished(self, s):
        return all(s.results) and (len(s.kafka) == RECORDS or not self.events)


CASES = (
    holds("L5_L7_two_lanes_and_a_take_over_of_each", Lanes(events=False), slow_batches=True),
    holds("L5_one_lane_after_two", Lanes(maps=(TWO, ONE), events=False), events=True),
    holds("L5_another_ordering", Lanes(maps=(TWO, SWAPPED), events=False), events=True),
    holds("L5_a_drain_brings_the_lanes_together", Lanes(maps=(TWO, ONE), upgrade=True)),
    holds("L7_retention_behind_quiet_lanes", Lanes(retention=True, events=False, upgrade=True), upgrade=False),
    broken("L5_a_changed_map_accepted_with_lanes_apart", Lanes(maps=(TWO, SWAPPED), ask_for_one_offset=False), "passed without a disposition"),
    broken("L5_a_changed_map_that_leaves_owners_at_work", Lanes(maps=(TWO, SWAPPED), changed_map_fences=False), "passed without a disposition"),
    broken("L5_a_map_looked_at_before_the_lock", Lanes(maps=(TWO, SWAPPED), look_at_map_under_lock=False), "passed without a disposition"),
    broken("L5_fewer_lanes_with_events_unpublished", Lanes(maps=(TWO, ONE), ask_for_published=False, upgrade=True), STUCK),
    broken("L5_another_ordering_with_events_unpublished", Lanes(maps=(TWO, SWAPPED), ask_for_published=False), "out of order"),
    broken("L5_a_drain_that_leaves_lanes_apart", Lanes(maps=(TWO, ONE), upgrade=True, drain_to_one_offset=False), STUCK),
    broken("L5_a_drain_beyond_what_was_read", Lanes(drain_only_where_read=False), "passed without a disposition"),
    broken("L5_fetching_from_the_largest_offset", Lanes(start_at_the_smallest=False), "passed without a disposition"),
    broken("L7_lanes_that_stay_where_their_last_record_was", Lanes(retention=True, idle_lanes_advance=False, events=False), "a loss is reported"),
    broken("L7_an_advance_over_a_batch_in_flight", Lanes(idle_means_nothing_running=False, slow_batches=True), "passed without a disposition"),
    broken("L7_an_advance_that_reads_the_position_late", Lanes(position_before_queue=False), "passed without a disposition"),
    broken("L7_an_advance_that_does_not_compare", Lanes(advance_compares=False, events=False), "twice"),
)
