"""An operator moves a group's offset under a running owner, to an earlier or a later place. Two records; the second fails and becomes a
dead letter. The handler keys its effects, or not (by offset).

Rules: D2 (a record has one disposition, also when it is read again; re-running effects asks first), L1 (the owner notices), and that
what is skipped stands in the audit log.
"""

from collections import namedtuple
from dataclasses import dataclass

from cases import broken, holds
from explorer import replaced

RECORDS, FAILS = 2, 1

Row = namedtuple("Row", "batch_seq next_offset effects dead audited again wanted")  # wanted: to be read again
Owner = namedtuple("Owner", "state batch_seq next_offset queue")
State = namedtuple("State", "row owner resets reset pending healed")


@dataclass(frozen=True)
class Operator:
    keys: bool = True                       # else by offset
    dead_letters_stay: bool = True          # a record that has a dead letter is left to it
    ask_before_effects_run_again: bool = True
    owner_starts_afresh: bool = True        # fenced: drops its queue and reads from the row's offset
    audit_in_the_same_transaction: bool = True
    resets: int = 2

    @property
    def initial(self):
        return State(Row(0, 0, (0,) * RECORDS, frozenset(), frozenset(), frozenset(), frozenset()), Owner("out", 0, 0, ()), self.resets, None, None, False)

    def steps(self, s):
        row, owner = s.row, s.owner
        if not s.healed:
            yield "the cause of the failure is mended", s._replace(healed=True)
        if s.resets:
            for to in range(RECORDS + 1):
                if to != row.next_offset:
                    yield from self.resets_to(s, to)
        if s.pending:
            yield "the audit entry is written", s._replace(row=row._replace(audited=row.audited | s.pending), pending=None)
            yield "the operator's command is killed", s._replace(pending=None)
        if owner.state in ("out", "fenced"):
            queue = owner.queue if owner.queue and not self.owner_starts_afresh else tuple(range(row.next_offset, RECORDS))
            yield "the owner takes the lane over", s._replace(owner=Owner("owner", row.batch_seq, row.next_offset, queue))
        if owner.state == "owner":
            fits = (owner.batch_seq, owner.next_offset) == (row.batch_seq, row.next_offset)
            if not fits:
                yield "the owner is fenced", s._replace(owner=owner._replace(state="fenced"))
            elif owner.queue:
                yield self.handles(s)

    def resets_to(self, s, to):
        row = s.row
        again = frozenset(o for o in range(to, row.next_offset) if not self.keys and row.effects[o])
        if again and self.ask_before_effects_run_again:
            yield f"reset to {to} is refused without --rerun-effects", s._replace(resets=s.resets - 1)
            yield f"reset to {to} with --rerun-effects", self.moved(s, to, row.again | again)
        else:
            yield f"reset to {to}", self.moved(s, to, row.again)

    def moved(self, s, to, again):
        row = s.row
        skipped = frozenset(range(row.next_offset, to))
        wanted = frozenset(o for o in row.wanted | set(range(to, row.next_offset)) if o >= to)
        row = row._replace(next_offset=to, batch_seq=row.batch_seq + 1, again=again, wanted=wanted)
        if self.audit_in_the_same_transaction:
            return s._replace(row=row._replace(audited=row.audited | skipped), resets=s.resets - 1, reset=to)
        return s._replace(row=row, resets=s.resets - 1, pending=skipped or None, reset=to)

    def handles(self, s):
        row, offset = s.row, s.owner.queue[0]
        if offset in row.dead and self.dead_letters_stay:
            done, word = row, "is left to its dead letter"
        elif offset == FAILS and not s.healed:
            done, word = row._replace(dead=row.dead | {offset}), "is dead"
        elif self.keys and row.effects[offset]:
            done, word = row, "is a duplicate (replay)"
        else:
            done, word = row._replace(effects=replaced(row.effects, offset, row.effects[offset] + 1)), "is processed"
        done = done._replace(batch_seq=row.batch_seq + 1, next_offset=offset + 1, wanted=row.wanted - {offset})
        return f"record {offset} {word}", s._replace(row=done, owner=Owner("owner", done.batch_seq, done.next_offset, s.owner.queue[1:]))

    def violation(self, s):
        row = s.row
        if missed := [o for o in row.wanted if o < row.next_offset]:
            return f"the reset wanted records {missed} read again, and they were passed"
        for offset in range(RECORDS):
            if row.effects[offset] and offset in row.dead:
                return f"record {offset} is processed and dead"
            if row.effects[offset] > 1 and offset not in row.again:
                return f"the effect of record {offset} was repeated, and nobody was asked"
            passed = row.next_offset > offset and not row.effects[offset] and offset not in row.dead
            if passed and offset not in row.audited and not s.pending:
                return f"record {offset} was passed without a disposition, and the audit log does not have it"
        return None

    def finished(self, s):
        return s.row.next_offset == RECORDS


CASES = (
    holds("D2_moving_a_group_with_keys", Operator(), resets=3),
    holds("D2_moving_a_group_by_offset", Operator(keys=False), resets=3),
    broken("D2_a_dead_letter_that_does_not_stay", Operator(dead_letters_stay=False), "processed and dead"),
    broken("D2_effects_that_run_again_unasked", Operator(keys=False, ask_before_effects_run_again=False), "nobody was asked"),
    broken("D2_an_owner_that_keeps_its_queue", Operator(owner_starts_afresh=False), "wanted records"),
    broken("D2_an_audit_entry_of_its_own_transaction", Operator(audit_in_the_same_transaction=False), "audit log does not have it"),
)
