"""The database goes back to an earlier state (a restore, or a fail-over that lost its tail) while processes run; and a group that
another consumer worked in.

Two records, handled one by one; each may emit an event, or become a dead letter without one (handlers may decide otherwise when they run again). A process
sleeps in any state. Kafka's committed offset carries the mark of who committed it. A receiver of events drops repeats by their id.

Rules: L3 (tokens are drawn, not counted), L9 (Kafka's committed offset), O4 and D3 (events from before the restore).
"""

from collections import namedtuple
from dataclasses import dataclass

from cases import broken, holds
from explorer import STUCK, replaced

RECORDS = 2

# done: per record handled ("event", "dead"), in order. A token is drawn (never seen before) or the epoch.
Row = namedtuple("Row", "token batch_seq next_offset published done")
Process = namedtuple("Process", "state token batch_seq next_offset sends acknowledged assigned")
# kafka: (number, record, which run) of events; committed: Kafka's offset and mark; foreign: records another consumer handled
State = namedtuple("State", "row processes holder kafka run committed drawn backup restored moves foreign alarms")
OUT = Process("out", None, 0, 0, (), 0, False)


@dataclass(frozen=True)
class Restore:
    random_token: bool = True
    resume_from: str = "database"        # or Kafka
    look_at_mark: bool = True
    our_mark_is_trusted: bool = True
    event_ids: str = "by record"         # or drawn at each run
    restores: int = 1
    moves: int = 1
    foreign: int = 0                     # records that another consumer of the group handled before

    @property
    def initial(self):
        return State(Row(0, 0, 0, 0, ()), (OUT._replace(assigned=True), OUT), 0, (), 0, (self.foreign, "foreign") if self.foreign else (0, None), 0, None,
                     self.restores, self.moves, self.foreign, 0)

    def steps(self, s):
        if s.backup is None and s.restored:
            yield "a backup is taken", s._replace(backup=s.row)
        if s.backup is not None and s.restored and s.backup != s.row:
            yield "the database is restored", s._replace(row=s.backup, restored=s.restored - 1, run=s.run + 1)
        if s.moves:
            other = 1 - s.holder
            yield f"Kafka gives the partition to {other}", s._replace(
                processes=replaced(s.processes, other, s.processes[other]._replace(assigned=True)), holder=other, moves=s.moves - 1)
        for i, p in enumerate(s.processes):
            for label, process, changes in self.steps_of(s, i, p):
                yield f"{i}: {label}", s._replace(processes=replaced(s.processes, i, process), **changes)

    def steps_of(self, s, i, p):
        row = s.row
        if p.assigned and p.state in ("out", "fenced", "owner"):
            yield self.takes_over(s, p)
        if p.state == "fenced" and s.holder == i and not p.assigned:
            yield "is fenced, but holds the partition", p._replace(assigned=True), {}
        if p.state == "owner" and (p.token, p.batch_seq) != (row.token, row.batch_seq):
            yield "looks: the row is not as it was left", p._replace(state="fenced", sends=()), {}
        fits = (p.token, p.batch_seq, p.next_offset) == (row.token, row.batch_seq, row.next_offset)
        if p.state == "owner" and fits and p.next_offset < RECORDS:
            for kind in ("event", "dead"):
                after = row._replace(batch_seq=row.batch_seq + 1, next_offset=row.next_offset + 1, done=(*row.done, kind),
                                     published=max(row.published, p.acknowledged))
                number = after.done.count("event")
                sends = (*p.sends, (number, p.next_offset)) if kind == "event" else p.sends
                yield f"commits record {p.next_offset} ({kind})", \
                    p._replace(batch_seq=after.batch_seq, next_offset=after.next_offset, sends=sends), {"row": after}
        if p.state == "owner" and fits and p.acknowledged > row.published:
            marked = row._replace(batch_seq=row.batch_seq + 1, published=p.acknowledged)
            yield "marks events as published", p._replace(batch_seq=marked.batch_seq), {"row": marked}
        if p.sends and p.state == "owner":
            number, record = p.sends[0]
            event = (number, record, s.run if self.event_ids == "drawn" else 0)
            yield f"publishes event {number}", p._replace(sends=p.sends[1:], acknowledged=number), {"kafka": s.kafka if event in s.kafka else (*s.kafka, event)}
        if p.state == "owner" and s.holder == i and p.next_offset != s.committed[0] and fits:
            yield "commits its offset to Kafka", p, {"committed": (p.next_offset, "deja")}

    def takes_over(self, s, p):
        row = s.row
        offset, mark = s.committed
        alarms = s.alarms
        if self.look_at_mark and offset > row.next_offset:
            if mark == "foreign" or not self.our_mark_is_trusted:
                return "sees an offset of somebody else ahead: stops", p._replace(state="stopped", assigned=False), {}
            alarms = 1
        next_offset = max(row.next_offset, offset) if self.resume_from == "Kafka" else row.next_offset
        drawn = s.drawn + 1
        token = drawn if self.random_token else (row.token or 0) + 1
        taken = row._replace(token=token, next_offset=next_offset)
        events = [record for record, kind in enumerate(row.done) if kind == "event"]
        sends = tuple((number, record) for number, record in enumerate(events, 1) if number > row.published)
        process = Process("owner", token, row.batch_seq, next_offset, sends, row.published, False)
        return "takes the lane over", process, {"row": taken, "alarms": alarms, "drawn": drawn if self.random_token else 0}

    def violation(self, s):
        row = s.row
        if s.foreign and row.done:
            return "a record that another consumer handled is handled again"
        if row.next_offset > len(row.done):
            return f"next_offset {row.next_offset} passed a record that has no disposition in the database as it is"
        events = [record for record, kind in enumerate(row.done) if kind == "event"]
        there = {(number, record) for number, record, _ in s.kafka}
        if any((number, record) not in there for number, record in enumerate(events[:row.published], 1)):
            return f"published_seq {row.published} passed an event that is not in Kafka: {events}, {s.kafka}"
        applied = [record for _, record, _ in s.kafka]
        seen = {(record, run) for _, record, run in s.kafka}
        if len(seen) > len(set(applied)):
            return f"a receiver that drops repeats by id applies an event twice: {s.kafka}"
        return None

    def finished(self, s):
        if s.foreign:
            return any(p.state == "stopped" for p in s.processes)
        events = [record for record, kind in enumerate(s.row.done) if kind == "event"]
        there = {(number, record) for number, record, _ in s.kafka}
        return s.row.next_offset == RECORDS and all(each in there for each in enumerate(events, 1))


CASES = (
    holds("L3_L9_O4_a_restore_under_running_owners", Restore()),
    holds("L9_another_consumer_in_the_group", Restore(restores=0, foreign=1)),
    broken("L3_a_token_that_is_counted", Restore(random_token=False), "published_seq"),
    broken("L9_resuming_at_kafkas_offset", Restore(resume_from="Kafka", look_at_mark=False), "passed a record that has no disposition"),
    broken("L9_our_own_mark_taken_for_somebody_else", Restore(our_mark_is_trusted=False, moves=0), STUCK),
    broken("L9_without_a_look_at_the_mark", Restore(restores=0, foreign=1, look_at_mark=False), "that another consumer handled"),
    broken("O4_event_ids_drawn_at_each_run", Restore(event_ids="drawn"), "applies an event twice"),
)
