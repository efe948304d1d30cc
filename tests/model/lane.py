"""One lane and two processes: take-over, batches, commits of unknown outcome, zombies, publishing from memory and by a new owner.

The log has three records. o0 has an effect; o1 fails at first and is parked, so that a later transaction, which does not move
next_offset, handles it; o2 is a producer's duplicate of o0 (or has a key of its own). Each effect makes one event. Kafka gives the partition
to and fro; a process may act on it late. A COMMIT whose reply is lost stays with its server process, which holds the row's lock
and commits or rolls back at any time.

Rules: L1 (every transaction raises batch_seq; compare-and-set), L2 (settling), L4 (the look at quiet rows, taking over again), and the events' numbers.
Bounds: how often Kafka moves the partition, processes crash and replies get lost.
"""

from collections import namedtuple
from dataclasses import dataclass

from cases import broken, holds
from explorer import STUCK, replaced

RECORDS = 3
PARKS = 1  # the record that is parked first

# effects: offsets in the order of commits; event number n is that of effects[n - 1]. lock: a process, "server", or None
Row = namedtuple("Row", "token batch_seq next_offset published effects dispositions parked lock")
# state: out, owner, open (a transaction), doubt, fenced. sends: numbers of events to be published
Process = namedtuple("Process", "state token batch_seq next_offset sends acknowledged work assigned")
State = namedtuple("State", "row processes kafka holder lost_reply moves crashes losses")
OUT = Process("out", 0, 0, 0, (), 0, None, False)
DRAIN = "drain"


@dataclass(frozen=True)
class Lane:
    settle_by: str = "batch_seq"       # next_offset; or a guess: committed, lost
    compare_token: bool = True
    compare_progress: str = "batch_seq"  # next_offset, nothing
    look_at_rows: bool = True
    take_over_again: bool = True
    new_owner_publishes: bool = True
    publish_after_commit: bool = True
    duplicate: bool = True
    moves: int = 1
    crashes: int = 1
    losses: int = 1

    @property
    def initial(self):
        row = Row(0, 0, 0, 0, (), ("",) * RECORDS, False, None)
        return State(row, (OUT._replace(assigned=True), OUT), (), 0, None, self.moves, self.crashes, self.losses)

    def key(self, offset):
        return 0 if self.duplicate and offset == 2 else offset

    def committed(self, row, work):
        """The row after a batch (offsets) or a drain."""
        effects, dispositions, parked = row.effects, list(row.dispositions), row.parked
        for offset in ((PARKS,) if row.parked else ()) if work == DRAIN else range(*work):
            if work != DRAIN and offset == PARKS:
                word, parked = "parked ", True
            elif self.key(offset) in map(self.key, effects):
                word = "duplicate "
            else:
                word, effects = "processed ", (*effects, offset)
            dispositions[offset] += word
        if work == DRAIN:
            parked = False
        next_offset = row.next_offset if work == DRAIN else work[1]
        return row._replace(batch_seq=row.batch_seq + 1, next_offset=next_offset, effects=effects, dispositions=tuple(dispositions), parked=parked)

    def fits(self, row, p):
        progress = {"batch_seq": row.batch_seq == p.batch_seq, "next_offset": row.next_offset == p.next_offset, "nothing": True}
        return (row.token == p.token or not self.compare_token) and progress[self.compare_progress]

    def steps(self, s):
        row = s.row
        if s.moves:
            other = 1 - s.holder
            yield f"Kafka gives the partition to {other}", s._replace(
                processes=replaced(s.processes, other, s.processes[other]._replace(assigned=True)), holder=other, moves=s.moves - 1)
        if s.lost_reply:
            yield "the server commits after all", s._replace(row=self.committed(row, s.lost_reply)._replace(lock=None), lost_reply=None)
            yield "the server rolls back", s._replace(row=row._replace(lock=None), lost_reply=None)
        for i, p in enumerate(s.processes):
            for label, process, changes in self.steps_of(s, i, p):
                yield f"{i}: {label}", s._replace(processes=replaced(s.processes, i, process), **changes)

    def steps_of(self, s, i, p):
        row, free = s.row, s.row.lock is None
        if p.assigned and free and p.state in ("out", "fenced", "owner"):
            taken = row._replace(token=row.token + 1)
            sends = tuple(range(row.published + 1, len(row.effects) + 1)) if self.new_owner_publishes else ()
            acknowledged = row.published if self.new_owner_publishes else len(row.effects)
            yield "takes the lane over", Process("owner", taken.token, row.batch_seq, row.next_offset, sends, acknowledged, None, False), {"row": taken}
        if s.holder != i and p.state in ("owner", "fenced"):
            yield "learns that the partition is revoked", OUT, {}
        if self.take_over_again and p.state == "fenced" and s.holder == i and not p.assigned:
            yield "is fenced, but holds the partition", p._replace(assigned=True), {}
        if self.look_at_rows and p.state == "owner" and (p.token, p.batch_seq) != (row.token, row.batch_seq):
            yield "looks: the row is not as it was left", p._replace(state="fenced", sends=()), {}
        if p.state == "owner" and free:
            yield from self.begins(row, i, p)
            if p.acknowledged > row.published and self.fits(row, p):
                marked = row._replace(published=p.acknowledged, batch_seq=row.batch_seq + 1)
                yield f"marks events up to {p.acknowledged} as published", p._replace(batch_seq=marked.batch_seq), {"row": marked}
        if p.state == "open":
            yield from self.commits(s, row, p)
        if p.state == "doubt" and free:
            yield self.settles(row, p)
        if p.sends and p.state in ("owner", "open", "doubt"):  # the producer works beside the lane, in a zombie too
            yield from self.publishes(s, p)
        if s.crashes and p.state != "out":
            unlocked = row._replace(lock=None) if row.lock == i else row
            yield "crashes", OUT._replace(assigned=s.holder == i), {"row": unlocked, "crashes": s.crashes - 1}

    def begins(self, row, i, p):
        works = [(p.next_offset, until) for until in {p.next_offset + 1, RECORDS} if p.next_offset < until <= RECORDS]
        for work in works + [DRAIN] * row.parked:
            if not self.fits(row, p):
                yield f"begins {work}, is fenced", p._replace(state="fenced", sends=()), {}
                continue
            made = () if self.publish_after_commit else tuple(range(len(row.effects) + 1, len(self.committed(row, work).effects) + 1))
            yield f"begins {work}", p._replace(state="open", work=work, sends=p.sends + made), {"row": row._replace(lock=i)}

    def commits(self, s, row, p):
        after = self.committed(row, p.work)
        made = tuple(range(len(row.effects) + 1, len(after.effects) + 1)) if self.publish_after_commit else ()
        yield "commits", p._replace(state="owner", work=None, batch_seq=after.batch_seq, next_offset=after.next_offset, sends=p.sends + made), \
            {"row": after._replace(lock=None)}
        if s.losses and not s.lost_reply:
            yield "sends COMMIT, loses the link", p._replace(state="doubt"), \
                {"row": row._replace(lock="server"), "lost_reply": p.work, "losses": s.losses - 1}

    def settles(self, row, p):
        if row.token != p.token and self.compare_token:
            return "settles: fenced", p._replace(state="fenced", sends=(), work=None), {}
        committed = {"batch_seq": row.batch_seq == p.batch_seq + 1, "next_offset": row.next_offset != p.next_offset,
                     "guess committed": True, "guess lost": False}[self.settle_by]
        if not committed:
            return "settles: not committed", p._replace(state="owner", work=None), {}
        known = p.sends[-1] if p.sends else p.acknowledged
        made = tuple(range(known + 1, len(row.effects) + 1))  # read from the table
        if self.settle_by == "guess committed":
            made = () if p.work == DRAIN else (known + 1,)      # as it stands in memory
        next_offset = p.next_offset if p.work == DRAIN else p.work[1]
        return "settles: committed", p._replace(state="owner", work=None, batch_seq=p.batch_seq + 1, next_offset=next_offset, sends=p.sends + made), {}

    def publishes(self, s, p):
        number = p.sends[0]
        offset = s.row.effects[number - 1] if number <= len(s.row.effects) else None
        kafka = s.kafka if (number, offset) in s.kafka else (*s.kafka, (number, offset))  # a repeat under its id changes nothing
        yield f"publishes event {number}", p._replace(sends=p.sends[1:], acknowledged=number), {"kafka": kafka}

    def violation(self, s):
        row = s.row
        if len({self.key(o) for o in row.effects}) < len(row.effects):
            return f"an effect is committed twice: {row.effects}"
        if any(len(words) > 2 or len(words) == 2 and words[0] != "parked" for words in map(str.split, row.dispositions)):
            return f"a record has two dispositions: {row.dispositions}"
        if not all(row.dispositions[:row.next_offset]):
            return f"next_offset {row.next_offset} passed a record without a disposition: {row.dispositions}"
        live = [o for o in row.effects if o != PARKS]
        if live != sorted(live):
            return f"effects out of log order: {row.effects}"
        if any(number > len(row.effects) or row.effects[number - 1] != offset for number, offset in s.kafka):
            return f"an event in Kafka without its committed effect: {s.kafka}, {row.effects}"
        numbers = [number for number, _ in s.kafka]
        if not set(range(1, row.published + 1)) <= set(numbers):
            return f"published_seq {row.published} passed an event that is not in Kafka: {numbers}"
        if numbers != sorted(numbers):
            return f"events out of order: {numbers}"
        return None

    def finished(self, s):
        row = s.row
        return row.next_offset == RECORDS and not row.parked and len(s.kafka) == len(row.effects) == len({self.key(o) for o in range(RECORDS)})


CASES = (
    holds("L1_L2_L4_the_lane_row", Lane(), moves=2),
    holds("L2_a_commit_taken_for_lost_is_caught_by_the_compare_and_set", Lane(settle_by="guess lost", crashes=0), crashes=1, moves=2),
    broken("L1_without_batch_seq_a_drain_cannot_be_settled", Lane(settle_by="next_offset", compare_progress="next_offset", moves=0, crashes=0), STUCK),
    broken("L1_without_batch_seq_an_event_is_lost",
           Lane(settle_by="next_offset", compare_progress="next_offset", moves=0, crashes=0, duplicate=False), "published_seq"),
    broken("L2_a_lost_reply_taken_for_a_commit", Lane(settle_by="guess committed", moves=0, crashes=0), "without its committed effect"),
    broken("L2_settling_without_the_token", Lane(compare_token=False, crashes=0), "two dispositions"),
    broken("L1_without_any_compare", Lane(compare_token=False, compare_progress="nothing", losses=0, crashes=0), "two dispositions"),
    broken("L4_without_the_look_at_quiet_rows", Lane(look_at_rows=False, moves=2, crashes=0, losses=0), STUCK),
    broken("L4_without_taking_over_again", Lane(take_over_again=False, moves=2, crashes=0, losses=0), STUCK),
    broken("L1_a_new_owner_that_does_not_publish", Lane(new_owner_publishes=False, losses=0), "published_seq"),
    broken("L1_events_before_their_commit", Lane(publish_after_commit=False, losses=0), "without its committed effect"),
)
