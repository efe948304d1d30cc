"""The owner before stands still with a transaction open, and holds the lane's row. Two nodes of Postgres: a commit counts once the
standby has it; a session that waits for the standby and is ended shows its commit on the primary at once.

Rule: L10.
"""

from collections import namedtuple
from dataclasses import dataclass

from cases import broken, holds
from explorer import STUCK

# old: the session of the stopped owner: idle (in its transaction), committing (waits for the standby), gone. process: runs, frozen for good
# effect: None, primary (visible there, not yet on the standby), both. new: waits, owner, done. event: published by the new owner
State = namedtuple("State", "old process effect new event link failed_over")


@dataclass(frozen=True)
class Predecessor:
    bounded: bool = True            # an idle session is ended, by the server's own limit or by the successor
    only_idle_ones: bool = True

    initial = State("idle", "runs", None, "waits", False, "up", False)

    def steps(self, s):
        if s.process == "runs":
            yield "the owner is stopped for good", s._replace(process="frozen")
            if s.old == "idle":
                yield "the owner sends COMMIT", s._replace(old="committing")
        if s.old == "committing" and s.link == "up":
            yield "the standby has the commit", s._replace(old="gone", effect="both")
        if s.old == "committing" and s.link == "up" and not s.failed_over:
            yield "the standby is cut off", s._replace(link="down")
        if s.link == "down" and not s.failed_over:
            yield "the standby is back", s._replace(link="up", effect="both" if s.effect else None)
            if s.event or s.old != "gone":
                yield "the standby becomes the primary", s._replace(failed_over=True, link="up", old="gone", effect=s.effect if s.effect == "both" else None,
                                                                   new="waits" if s.new == "owner" else s.new)
        if s.new == "waits":
            if s.old == "gone":
                yield "the successor takes the lane over", s._replace(new="owner")
            elif self.bounded and (s.old == "idle" or not self.only_idle_ones):
                yield f"the session before, {s.old}, is ended", s._replace(old="gone", effect="primary" if s.old == "committing" else None)
        if s.new == "owner" and s.effect and not s.event:
            yield "the successor publishes the event", s._replace(event=True)
        if s.new == "owner" and not s.effect:
            yield "the successor handles the record", s._replace(effect="both")
        if s.new == "owner" and s.event:
            yield "the successor goes on", s._replace(new="done")

    def violation(self, s):
        return "an event in Kafka without its committed effect: the commit was visible before the standby had it" if s.event and not s.effect else None

    def finished(self, s):
        return s.new == "done"


CASES = (
    holds("L10_a_bounded_wait_for_the_owner_before", Predecessor()),
    broken("L10_waiting_for_ever", Predecessor(bounded=False), STUCK),
    broken("L10_ending_a_session_that_commits", Predecessor(only_idle_ones=False), "visible before the standby had it"),
)
