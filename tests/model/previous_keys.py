"""A key recipe changes in a rolling deploy. A record and its duplicate, in two partitions, are handled at the same time by a program
of the old recipe and one of the new, or two of the new; later a further duplicate comes.

A claim is an insert that waits for an uncommitted twin and finds a committed one. Keys: "old" and "new" are what the two recipes make of
the same record.

Rule: K1.
"""

from collections import namedtuple
from dataclasses import dataclass

from cases import broken, holds
from explorer import replaced

KEYS = ("old", "new")
# held: per key, None, the number of an open transaction, or "committed". work: what each transaction has still to do
State = namedtuple("State", "held transactions effects aborts")
Transaction = namedtuple("Transaction", "state todo fresh")


@dataclass(frozen=True)
class PreviousKeys:
    recipes: tuple = ("old", "both", "both")   # of the three programs; the third starts when the first two are done
    fresh_means: str = "both"                  # or either
    aborts: int = 1

    @property
    def initial(self):
        return State((None, None), (Transaction("waits", (), ()),) * 3, 0, self.aborts)

    @staticmethod
    def claims(recipe):
        return {"old": (("insert", "old"),), "new": (("insert", "new"),), "both": (("insert", "new"), ("insert", "old")),
                "probe old": (("probe", "old"), ("insert", "new")), "probe old late": (("insert", "new"), ("probe", "old"))}[recipe]

    def steps(self, s):
        for i, t in enumerate(s.transactions):
            for label, transaction, changes in self.steps_of(s, i, t):
                yield f"T{i}: {label}", s._replace(transactions=replaced(s.transactions, i, transaction), **changes)

    def steps_of(self, s, i, t):
        if t.state == "waits" and (i < 2 or all(x.state == "done" for x in s.transactions[:2])):
            yield f"begins, recipe {self.recipes[i]}", Transaction("claims", self.claims(self.recipes[i]), ()), {}
        if t.state == "claims" and t.todo:
            (how, key), *rest = t.todo
            held = s.held[KEYS.index(key)]
            if how == "probe":  # sees what is committed, waits for nobody
                yield f"probes {key}", Transaction("claims", tuple(rest), (*t.fresh, held != "committed")), {}
            elif held in (None, "committed"):
                mine = replaced(s.held, KEYS.index(key), i) if held is None else s.held
                yield f"inserts {key}", Transaction("claims", tuple(rest), (*t.fresh, held is None)), {"held": mine}
        if t.state == "claims" and not t.todo:
            fresh = all(t.fresh) if self.fresh_means == "both" else any(t.fresh)
            kept = tuple("committed" if x == i else x for x in s.held)
            yield f"commits, {'its effect' if fresh else 'a duplicate'}", t._replace(state="done"), {"held": kept, "effects": s.effects + fresh}
            if s.aborts:
                yield "rolls back", Transaction("waits", (), ()), {"held": tuple(None if x == i else x for x in s.held), "aborts": s.aborts - 1}

    def violation(self, s):
        return "the effect of one record is committed twice" if s.effects > 1 else None

    def finished(self, s):
        return s.effects == 1 and all(t.state == "done" for t in s.transactions)


CASES = (
    holds("K1_both_keys_while_old_and_new_programs_run", PreviousKeys(), aborts=3),
    holds("K1_both_keys_between_new_programs", PreviousKeys(("both", "both", "old")), aborts=3),
    holds("K1_without_the_old_key_once_both_were_claimed", PreviousKeys(("both", "both", "new")), aborts=3),
    broken("K1_claiming_the_new_key_only", PreviousKeys(("old", "new", "new")), "twice"),
    broken("K1_probing_the_old_key_only", PreviousKeys(("old", "probe old", "new")), "twice"),
    broken("K1_probing_the_old_key_after_the_claim", PreviousKeys(("old", "probe old late", "new")), "twice"),
    broken("K1_fresh_if_either_key_is", PreviousKeys(fresh_means="either"), "twice"),
    broken("K1_keys_previous_taken_away_too_early", PreviousKeys(("old", "old", "new")), "twice"),
)
