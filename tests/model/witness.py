"""The log under a lane is replaced: a topic made again, or cut back by a broker that lost its tail, and filled with other records.

Records are named by the log they belong to ("a", later "b"). A lane keeps the name of the last record it consumed as its witness. At a take-over it
fetches from that record on and compares. Retention and compaction may take records away, the witness too; while an owner fetches, the client
reports a log that is replaced, so only a take-over can meet another log unawares. The handler keys its effects by offset.

Rules: L6, and D2 for dead letters of an old incarnation.
"""

from collections import namedtuple
from dataclasses import dataclass

from cases import broken, holds
from explorer import STUCK

MOST = 3  # offsets

# log: names of the records, None where compaction took one; low: the log's first offset
# witness: the offset and name of the last consumed record. keys, effects, dead: (incarnation, offset) or the record's name and offset
State = namedtuple("State", "log low next_offset witness incarnation keys handled dead skipped state position suspicious replaced removed deaths crashes accepted")


@dataclass(frozen=True)
class Witness:
    compare: bool = True
    judge_by_offset_alone: bool = False      # stop only if next_offset is not in the log
    a_missing_witness_is_another_log: bool = False
    new_incarnation: bool = True             # drawn by accept-loss, part of by-offset keys and of dead letters
    replacements: int = 1
    removals: int = 1
    deaths: int = 1
    crashes: int = 2

    @property
    def initial(self):
        return State(("a",), 0, 0, None, 0, frozenset(), (), frozenset(), (), "out", None, False, self.replacements, self.removals, self.deaths,
                     self.crashes, 0)

    def steps(self, s):
        if len(s.log) < MOST:
            yield "a record is produced", s._replace(log=(*s.log, "b" if s.replaced < self.replacements else "a"))
        if s.replaced and s.log:
            for keep in range(len(s.log)):
                yield f"the log is cut back to {keep} and is another one from there", s._replace(
                    log=s.log[:keep], low=min(s.low, keep), replaced=s.replaced - 1, state="error" if s.state == "fetching" else s.state)
        if s.removed and s.low < min(s.next_offset, len(s.log)):
            yield "retention takes the first record", s._replace(low=s.low + 1, removed=s.removed - 1)
        if s.state == "out":
            yield "takes the lane over", s._replace(state="owner")
        if s.state == "error":
            yield "fetches anew", s._replace(state="owner")
        if s.state == "owner":
            yield self.starts(s)
        if s.state == "fetching" and s.position < len(s.log):
            yield from self.consumes(s)
        if s.state == "stopped":
            yield self.accepts_loss(s)
        if s.crashes and s.state not in ("out",):
            yield "crashes", s._replace(state="out", position=None, crashes=s.crashes - 1)

    def starts(self, s):
        inside = s.low <= s.next_offset <= len(s.log)
        if not inside:
            return "the log does not have the offset: stops", s._replace(state="stopped")
        if self.compare and s.witness and not self.judge_by_offset_alone:
            offset, name = s.witness
            there = s.low <= offset < len(s.log)
            if there and s.log[offset] != name or not there and self.a_missing_witness_is_another_log:
                return "the witness is not the record that was consumed: stops", s._replace(state="stopped")
        return f"fetches from {s.next_offset}", s._replace(state="fetching", position=s.next_offset)

    def consumes(self, s):
        offset, record = s.position, (s.log[s.position], s.position)
        after = s._replace(next_offset=offset + 1, position=offset + 1, witness=(offset, s.log[offset]))
        key = (s.incarnation, offset)
        if key in s.dead:
            yield f"{record} has a dead letter already", after
        elif key in s.keys:
            yield f"{record} is a duplicate", after
        else:
            yield f"handles {record}", after._replace(keys=s.keys | {key}, handled=(*s.handled, record))
            if s.deaths:
                yield f"{record} becomes a dead letter", after._replace(dead=s.dead | {key}, handled=(*s.handled, record), deaths=s.deaths - 1)

    def accepts_loss(self, s):
        kept = next((o for o in range(min(s.next_offset, len(s.log))) if s.log[o] == "b"), min(s.next_offset, len(s.log)))
        start = max(s.low, kept)  # from where the log is another one; what is gone is in the audit log
        incarnation = s.incarnation + 1 if self.new_incarnation else s.incarnation
        return f"accept-loss: goes on at {start}", s._replace(state="owner", next_offset=start, witness=None, incarnation=incarnation,
                                                             skipped=(*s.skipped, (start, s.next_offset)), accepted=s.accepted + 1)

    def violation(self, s):
        if len(s.handled) > len(set(s.handled)):
            return f"a record is handled twice: {s.handled}"
        if s.state == "fetching":
            for offset in range(s.low, min(s.position, len(s.log))):
                if (s.log[offset], offset) not in s.handled:
                    return f"record {(s.log[offset], offset)} was passed silently"
        if s.state == "stopped" and s.replaced == self.replacements:
            return "a loss is reported that is none"
        return None

    def finished(self, s):
        return s.state == "fetching" and s.position == len(s.log)


CASES = (
    holds("L6_the_witness", Witness(), removals=2, crashes=3, deaths=2),
    broken("L6_without_the_witness", Witness(compare=False), "passed silently"),
    broken("L6_judged_by_the_offset_alone", Witness(judge_by_offset_alone=True), "passed silently"),
    broken("L6_a_witness_taken_by_retention_held_against_the_log", Witness(a_missing_witness_is_another_log=True), "a loss is reported that is none"),
    broken("L6_accept_loss_without_a_new_incarnation", Witness(new_incarnation=False), "passed silently"),
)
