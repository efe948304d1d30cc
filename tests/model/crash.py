"""Records that may end the process, and the start that is committed before one runs alone. One process at a time, which is started again
whenever it ends; two lanes, each with one record. The killer ends the process whenever it runs; the innocent one does nothing wrong, but
may wait for a dependency, during which somebody ends the process for reasons of his own.

Rule: R1.
"""

from collections import namedtuple
from dataclasses import dataclass

from cases import broken, holds
from explorer import STUCK

KILLER, INNOCENT = 0, 1

# starts: committed, for each record. run: '-' not, 'runs', 'waits' for its dependency. end: '-', 'processed', 'dead'. kills: by somebody, left
State = namedtuple("State", "starts run end kills")


def changed(values, at, value):
    return values[:at] + (value,) + values[at + 1:]


@dataclass(frozen=True)
class Crash:
    alone_in_process: bool = True
    taken_back: bool = True         # the start, once the process outlived it without a result
    max_starts: int = 2
    kills: int = 2

    @property
    def initial(self):
        return State((0, 0), ("-", "-"), ("-", "-"), self.kills)

    def steps(self, s):
        for i in (KILLER, INNOCENT):
            if s.end[i] != "-":
                continue
            if s.run[i] == "-":
                if s.starts[i] >= self.max_starts:
                    yield f"record {i} is dead, killed_process", s._replace(end=changed(s.end, i, "dead"))
                elif not self.alone_in_process or "runs" not in s.run:
                    yield f"the start of record {i} is committed", s._replace(starts=changed(s.starts, i, s.starts[i] + 1), run=changed(s.run, i, "runs"))
            elif i == KILLER:
                yield "the process ends", s._replace(run=("-", "-"))
            elif s.run[i] == "runs":
                yield "record 1 takes effect", s._replace(run=changed(s.run, i, "-"), end=changed(s.end, i, "processed"))
                yield "record 1 waits for its dependency", s._replace(run=changed(s.run, i, "waits"),
                                                                      starts=changed(s.starts, i, s.starts[i] - 1) if self.taken_back else s.starts)
            elif not self.alone_in_process or "runs" not in s.run:
                yield "the dependency is back", s._replace(run=changed(s.run, i, "runs"),
                                                           starts=changed(s.starts, i, s.starts[i] + 1) if self.taken_back else s.starts)
        if "waits" in s.run and "runs" not in s.run and s.kills:
            yield "somebody ends the process", s._replace(run=("-", "-"), kills=s.kills - 1)

    def violation(self, s):
        return "the innocent record is dead with cause killed_process" if s.end[INNOCENT] == "dead" else None

    def finished(self, s):
        return s.end == ("dead", "processed")


@dataclass(frozen=True)
class Unbounded(Crash):
    """Without a limit to the starts."""

    def steps(self, s):
        for label, after in super().steps(s._replace(starts=(0, 0))):
            yield label, after._replace(starts=(0, 0))


CASES = (
    holds("R1_suspects_run_alone_in_the_process", Crash(), max_starts=4, kills=6),
    broken("R1_one_by_one_in_each_lane", Crash(alone_in_process=False), "the innocent record is dead"),
    broken("R1_a_start_that_is_never_taken_back", Crash(taken_back=False), "the innocent record is dead"),
    broken("R1_without_a_limit", Unbounded(), STUCK),
)
