"""Events that Kafka refuses are set aside, and come back.

One lane, its owner and perhaps one before it that does not know yet. An event is of a (topic, key), and that pair has a place of its own in Kafka:
what one producer sends of it arrives in order, and nothing behind one that is refused (`overtakes` lets it, as a broker does that knows nothing of
the producer yet). Kafka is the set of events that it has, for only the first time that it takes one matters; repeats are allowed. What is under
way when a producer ends may arrive late, or never. The outbox table is cut off right below published_seq. A lane's own transactions go by its row's
compare-and-set, so that they are the owner's alone. Delays only say when a try may be, and a try may be at any time here. That the row's version
is not the one that the owner knows stands as `changed`, that it is not the one of the time when a page was read as `stale`.

Rules: O1, O2, D1 as far as they are about events.
Not here: events without a key; more than one event a batch; what does not fit into memory; segments (O3).
"""

from collections import namedtuple
from dataclasses import dataclass

from cases import broken, holds
from explorer import STUCK

A, B, OTHER = ("T", "a"), ("T", "b"), ("U", "a")  # the topic T is the one that may be refused

# entries: of all numbers: - not known, W waits, S sent, E and T refused for its own or its topic's sake, F follows another one, D done
# state: loading, owner, doubt (of what it set aside). keys, topics: set aside, refused. tries: topics with something to try. page: rows on their way once more
Owner = namedtuple("Owner", "state entries probing keys topics tries page")
Page = namedtuple("Page", "rows sent acknowledged refused over stale")  # refused: number and whose fault
# rows: of outbox_stuck by number: - none, w waiting, s stuck, d discarded. late: what ended producers have under way, of one (topic, key) each
# ever: was discarded once. banned: must not come any more. asked: keys that an operator retried when nothing was wrong with them. loose: overtook
State = namedtuple("State", "published committed rows changed owner before kafka late refused large left ever banned asked loose wrong")
# how often what happens: neighbours: an event is refused for one of another lane that goes with it. lost: replies. early: retries that mend nothing
Left = namedtuple("Left", "crashes fences handovers refusals discards early neighbours lost timeouts", defaults=(0,) * 9)
ABANDONED = "neither in Kafka nor in a table"
FORGOTTEN = Owner("loading", (), False, frozenset(), frozenset(), frozenset(), None)


def put(items, number, item):
    return items[:number - 1] + (item,) + items[number:]


@dataclass(frozen=True)
class Outbox:
    log: tuple = (A, A, OTHER)
    large: int = 1                       # the event that is too large; 0: none
    left: Left = Left()
    mends: bool = True                   # rights and limits are given and operators act; else the others have to come through all the same
    only_discards: bool = False          # the limit is not raised: an operator discards the event
    overtakes: bool = False              # what was under way behind a refused one may arrive, in the order of the producer
    overtakes_page: bool = False         # the same, of events that are tried again
    overtaking_is_allowed: bool = False
    # the rules
    alone_before: bool = True            # set aside only when it was refused alone
    followers_at_refusal: bool = True    # what waits in memory follows
    followers_at_commit: bool = True     # what is committed later follows
    earlier_first: bool = True           # nothing is set aside while an earlier one of its topic is on its way
    pass_after_commit: bool = True       # published_seq goes over what is set aside once that is committed
    skip_rows: bool = True               # a take-over does not send what has a row, a discarded one neither
    load_keys: bool = True
    keys_known: str = "release"          # of what is set aside for its topic's sake alone: when the topic is released; or aside, at once; or never
    as_its_key: bool = True              # what is set aside behind a stuck one of its key is stuck
    whole_key_is_stuck: bool = True
    whole_key_is_retried: bool = True
    alone_for_its_own_fault: bool = True
    result_by_version: bool = True       # an operator acted since the page was read: nothing of it becomes stuck
    release_when_none_is_left: bool = True
    release_unflags: bool = True
    repeat_what_is_in_doubt: bool = True  # what may have been set aside is set aside again before anything else
    refused_keep_their_key: bool = True  # a key that is given back stays aside for what was refused and has no row yet
    delete_acknowledged_only: bool = True
    version_raised: bool = True
    discard_sets_followers_free: bool = True
    one_page: bool = True                # the next page is read when the one before is settled
    discarded_in_order: bool = False     # more than is promised: a discarded one that comes all the same comes in order
    discarded_never_comes: bool = False  # more than is promised

    @property
    def initial(self):
        n = len(self.log)
        none = frozenset()
        return State(0, 0, ("-",) * n, False, None, None, none, none, False, bool(self.large), self.left, none, none, none, none, None)

    # What Kafka does

    def key(self, number):
        return self.log[number - 1]

    def refuses(self, s, number):
        return "T" if s.refused and self.key(number)[0] == "T" else "E" if s.large and number == self.large else None

    def takes(self, s, number):
        if number in s.kafka:
            return s
        wrong = s.wrong
        later = [m for m in s.kafka if m > number and self.key(m) == self.key(number) and not (self.overtaking_is_allowed and m in s.loose)]
        if later and (number not in s.ever or self.discarded_in_order):
            wrong = wrong or f"{later[0]} was published before {number}"
        if number in s.banned or number in s.ever and self.discarded_never_comes:
            wrong = wrong or f"{number} was published after it was discarded"
        late = frozenset(q for q in (tuple(m for m in q if m != number) for q in s.late) if q)
        return s._replace(kafka=s.kafka | {number}, late=late, wrong=wrong)

    def under_way(self, s, numbers):
        """They may arrive late, those of a key in order."""
        queues = {}
        for n in numbers:
            if n not in s.kafka:
                queues.setdefault(self.key(n), []).append(n)
        return s._replace(late=s.late | {tuple(q) for q in queues.values()})

    def after_refusal(self, s, number, numbers, overtakes):
        """What else was under way in the producer that was refused."""
        behind = [n for n in numbers if n > number and self.key(n) == self.key(number)]
        s = self.under_way(s, [n for n in numbers if n != number and n not in behind])
        if overtakes and behind:
            s = self.under_way(s, behind)
            s = s._replace(loose=s.loose | frozenset(behind))
        return s

    def ended(self, s, owner):
        """Its process ends, or drops the lane."""
        if not owner:
            return s
        s = self.under_way(s, self.sent(owner))
        if owner.page and owner.page.sent and not owner.page.over:
            s = self.under_way(s, [n for n in owner.page.rows if n not in owner.page.acknowledged])
        return s

    # What an owner has in memory

    def sent(self, owner):
        return [n for n, e in enumerate(owner.entries, 1) if e == "S"]

    def first(self, number, numbers):
        return not any(n < number and self.key(n) == self.key(number) for n in numbers)

    def follows(self, owner, number):
        key = self.key(number)
        return key in owner.keys or key[0] in owner.topics

    def looked(self, owner, unflag=True):
        entries = []
        for n, e in enumerate(owner.entries, 1):
            if e == "W" and self.follows(owner, n) and self.followers_at_refusal:
                e = "F"
            elif e == "F" and not self.follows(owner, n) and unflag:
                e = "W"
            entries.append(e)
        return owner._replace(entries=tuple(entries))

    def flagged(self, owner, number, fault):
        key = self.key(number)
        owner = self.looked(owner._replace(entries=put(owner.entries, number, fault), keys=owner.keys | {key},
                                           topics=owner.topics | {key[0]} if fault == "T" else owner.topics))
        return owner._replace(probing=owner.probing and any(e in "WS" for e in owner.entries))

    def started_over(self, owner):
        return self.looked(owner._replace(entries=tuple("W" if e == "S" else e for e in owner.entries)))

    def released(self, owner, keys, topic, rows):
        left = frozenset(self.key(n) for n, r in enumerate(rows, 1) if r in "ws" and self.key(n)[0] == topic and self.keys_known == "release")
        owner = owner._replace(keys=owner.keys - keys | left, topics=owner.topics - {topic})
        return self.looked(self.still_refused(owner), self.release_unflags)

    def still_refused(self, owner):
        for n, e in enumerate(owner.entries, 1):
            if e in "ET" and self.refused_keep_their_key:
                key = self.key(n)
                owner = owner._replace(keys=owner.keys | {key}, topics=owner.topics | {key[0]} if e == "T" else owner.topics)
        return owner

    def to_set_aside(self, owner):
        found, on_their_way = [], set()
        for n, e in enumerate(owner.entries, 1):
            topic = self.key(n)[0]
            if e in "WS" and self.earlier_first:
                on_their_way.add(topic)
            if e in "ETF" and topic not in on_their_way:
                found.append(n)
        return found

    def acknowledged(self, owner):
        passes = "D" if self.pass_after_commit else "DETF"
        return next((n for n, e in enumerate(owner.entries) if e not in passes), len(owner.entries))

    # Steps

    def steps(self, s):
        yield from self.environment(s)
        if s.rows.count("-") < len(s.rows):
            yield from self.operator(s)
        if s.before:
            for label, after, owner in self.relay(s, s.before, s.owner is None):
                yield "the owner before: " + label, after._replace(before=owner)
            yield "the owner before notices", self.ended(s, s.before)._replace(before=None)
        if s.owner is None:
            yield "the lane is taken over", s._replace(owner=FORGOTTEN, changed=False)
            return
        if s.left.fences and not s.before and s.owner.state != "loading":
            yield "another one takes the lane over", s._replace(owner=FORGOTTEN, before=s.owner, changed=False, left=s.left._replace(fences=s.left.fences - 1))
        if s.left.crashes:
            yield "the owner crashes", self.ended(s, s.owner)._replace(owner=None, left=s.left._replace(crashes=s.left.crashes - 1))
        if s.owner.state == "loading":
            yield "the owner loads", s._replace(owner=self.loaded(s))
            return
        for label, after, owner in self.relay(s, s.owner, True):
            yield label, after._replace(owner=owner)
        yield from self.transactions(s)

    def environment(self, s):
        for q in s.late:
            if not self.refuses(s, q[0]):
                yield f"{q[0]} arrives late", self.takes(s, q[0])
        if s.refused and self.mends:
            yield "the topic is no longer refused", s._replace(refused=False)
        if not s.refused and s.left.refusals:
            yield "the topic is refused", s._replace(refused=True, left=s.left._replace(refusals=s.left.refusals - 1))
        if s.large and self.mends and not self.only_discards:
            yield "the limit is raised", s._replace(large=False)

    def changed(self, s):
        """An operator raised the row's version."""
        if not self.version_raised:
            return s
        owner = s.owner
        if owner and owner.page:
            owner = owner._replace(page=owner.page._replace(stale=True))
        return s._replace(owner=owner, changed=owner is not None)

    def operator(self, s):
        if not self.mends:
            return
        for key in {self.key(n) for n, r in enumerate(s.rows, 1) if r in "ws"}:
            stuck = any(r == "s" and self.key(n) == key for n, r in enumerate(s.rows, 1))
            well = not s.refused and not s.large
            if stuck and well or s.left.early:
                one = None if self.whole_key_is_retried else max(n for n, r in enumerate(s.rows, 1) if r in "ws" and self.key(n) == key)
                rows = tuple("w" if r == "s" and self.key(n) == key and one in (None, n) else r for n, r in enumerate(s.rows, 1))
                after = self.changed(s._replace(rows=rows, asked=s.asked | {key} if not s.large else s.asked))
                if not (stuck and well):
                    after = after._replace(left=s.left._replace(early=s.left.early - 1))
                yield f"an operator retries {key}", after
        for n, r in enumerate(s.rows, 1):
            if r in "ws" and (s.left.discards or self.only_discards and n == self.large):
                yield f"an operator discards {n}", self.changed(self.discarded(s, n))

    def discarded(self, s, number):
        rows = put(s.rows, number, "d")
        behind_another = any(r == "s" and n < number and self.key(n) == self.key(number) for n, r in enumerate(rows, 1))
        if self.discard_sets_followers_free and not behind_another:
            rows = tuple("w" if r == "s" and self.key(n) == self.key(number) else r for n, r in enumerate(rows, 1))
        on_its_way = number in s.kafka or any(number in q for q in s.late)
        for o in (s.owner, s.before):
            if o and o.state != "loading":
                on_its_way |= o.entries[number - 1] == "S" or bool(o.page and number in o.page.rows)
        for_good = s.before is None or s.before.entries[number - 1] not in "WS"  # an owner before sends what it has
        return s._replace(rows=rows, ever=s.ever | {number}, banned=s.banned if on_its_way or not for_good else s.banned | {number},
                          left=s.left._replace(discards=max(s.left.discards - 1, 0)))

    def relay(self, s, o, current):
        """What needs no transaction: label, state, owner."""
        sent = self.sent(o)
        waiting = next((n for n, e in enumerate(o.entries, 1) if e == "W"), None)
        if waiting and not (o.probing and sent):
            yield f"{waiting} is sent", s, o._replace(entries=put(o.entries, waiting, "S"))
            if self.refuses(s, waiting):
                yield f"{waiting} is refused before it leaves", s, self.flagged(o, waiting, self.refuses(s, waiting))
        for n in sent:
            if n not in s.kafka and not self.refuses(s, n) and self.first(n, [m for m in sent if m not in s.kafka]):
                yield f"Kafka takes {n}", self.takes(s, n), o
            if n in s.kafka and self.first(n, sent):
                probing = o.probing and len(sent) > 1
                yield f"{n} is acknowledged", s, o._replace(entries=put(o.entries, n, "D"), probing=probing)
            if self.first(n, sent):
                if self.refuses(s, n):
                    yield f"{n} is refused", *self.refused(s, o, n, self.refuses(s, n))
                elif s.left.neighbours and len(sent) == 1:
                    yield f"{n} is refused for one beside it", *self.refused(s._replace(left=s.left._replace(neighbours=s.left.neighbours - 1)), o, n, "E")
        if o.page and o.page.sent and not o.page.over:
            yield from self.page_steps(s, o)
        elif o.page and not o.page.sent:
            yield f"{o.page.rows} are sent again", s, o._replace(page=o.page._replace(sent=True))

    def refused(self, s, o, number, fault):
        sent = self.sent(o)
        aside = not self.alone_before or o.probing and len(sent) == 1
        o = o._replace(probing=True)
        if aside:
            o = self.flagged(o, number, fault)
        return self.after_refusal(s, number, sent, self.overtakes), self.started_over(o)

    def page_steps(self, s, o):
        page = o.page
        under_way = [n for n in page.rows if n not in page.acknowledged]
        for n in under_way:
            if n not in s.kafka and not self.refuses(s, n) and self.first(n, [m for m in under_way if m not in s.kafka]):
                yield f"Kafka takes {n}, again", self.takes(s, n), o
            if n in s.kafka and self.first(n, under_way):
                acknowledged = page.acknowledged | {n}
                yield f"{n} is acknowledged, again", s, o._replace(page=page._replace(acknowledged=acknowledged, over=len(acknowledged) == len(page.rows)))
            if self.refuses(s, n):
                after = self.after_refusal(s, n, under_way, self.overtakes_page)
                for blamed in (m for m in under_way if m <= n):  # one request
                    yield f"{blamed} is refused again", after, o._replace(page=page._replace(refused=(blamed, self.refuses(s, n)), over=True))
        if s.left.timeouts:
            after = self.under_way(s, under_way)._replace(left=s.left._replace(timeouts=s.left.timeouts - 1))
            yield "no answer about those sent again", after, o._replace(page=page._replace(over=True))

    def loaded(self, s):
        keys = frozenset(self.key(n) for n, r in enumerate(s.rows, 1) if r in "ws") if self.load_keys else frozenset()
        tries = frozenset(self.key(n)[0] for n, r in enumerate(s.rows, 1) if r == "w")
        owner = FORGOTTEN._replace(state="owner", keys=keys, tries=tries)
        entries = tuple("-" if n > s.committed else "D" if n <= s.published or s.rows[n - 1] != "-" and self.skip_rows else
                        "F" if self.follows(owner, n) else "W" for n in range(1, len(self.log) + 1))
        return owner._replace(entries=entries)

    def transactions(self, s):
        o = s.owner
        if o.state == "doubt":
            yield from self.sets_aside(s)
            return
        if s.committed < len(self.log):
            n = s.committed + 1
            follows = self.follows(o, n) and self.followers_at_commit
            yield f"{n} is committed", s._replace(committed=n, owner=o._replace(entries=put(o.entries, n, "F" if follows else "W")))
        done = self.acknowledged(o)
        if done > s.published:
            yield f"published_seq is {done}", s._replace(published=done)
        if done == s.committed and not o.page and s.left.handovers:
            yield "the owner hands over", s._replace(published=done, owner=None, left=s.left._replace(handovers=s.left.handovers - 1))
        if s.changed:
            yield "the owner reloads", self.reloaded(s)
        yield from self.sets_aside(s)
        if o.page and o.page.over:
            yield from self.settled(s)
        if not o.page or not self.one_page and o.page.sent and not o.page.over:
            yield from self.tries_again(s)

    def sets_aside(self, s):
        o, aside = s.owner, self.to_set_aside(s.owner)
        if aside:
            after = s._replace(rows=self.written(s, aside))
            yield f"{aside} are set aside", after._replace(owner=o._replace(
                state="owner", entries=tuple("D" if n in aside else e for n, e in enumerate(o.entries, 1)), tries=o.tries | {self.key(n)[0] for n in aside},
                keys=o.keys | {self.key(n) for n in aside} if self.keys_known == "aside" else o.keys))
            if s.left.lost:
                yield f"{aside} are set aside, and the owner is not told", after._replace(
                    left=s.left._replace(lost=s.left.lost - 1), owner=o._replace(state="doubt") if self.repeat_what_is_in_doubt else o)

    def written(self, s, numbers):
        rows = list(s.rows)
        for n in numbers:
            if rows[n - 1] == "-":
                rows[n - 1] = "w"
        if self.as_its_key:
            stuck = {self.key(n) for n, r in enumerate(rows, 1) if r == "s"}
            rows = ["s" if r == "w" and self.key(n) in stuck else r for n, r in enumerate(rows, 1)]
        return tuple(rows)

    def reloaded(self, s):
        keys = frozenset(self.key(n) for n, r in enumerate(s.rows, 1) if r in "ws")
        tries = frozenset(self.key(n)[0] for n, r in enumerate(s.rows, 1) if r == "w")
        o = self.still_refused(s.owner._replace(keys=keys, topics=s.owner.topics & tries, tries=tries))
        return s._replace(changed=False, owner=self.looked(o))

    def tries_again(self, s):
        o = s.owner
        for topic in o.tries:
            due = tuple(n for n, r in enumerate(s.rows, 1) if r == "w" and self.key(n)[0] == topic)
            if not self.one_page and o.page:
                if due := tuple(n for n in due if n not in o.page.rows):  # a second page beside the first, which goes its way
                    yield f"{due} are read while others are under way", self.under_way(s, [n for n in o.page.rows if n not in o.page.acknowledged])._replace(
                        owner=o._replace(page=Page(due, False, frozenset(), None, False, False)))
                continue
            if not due:
                yield "nothing is left to try", s._replace(owner=self.released(o._replace(tries=o.tries - {topic}), frozenset(), topic, s.rows))
            for size in range(1, len(due) + 1):
                yield f"{due[:size]} are read", s._replace(owner=o._replace(page=Page(due[:size], False, frozenset(), None, False, False)))

    def settled(self, s):
        page, o = s.owner.page, s.owner
        topic = self.key(page.rows[0])[0]
        gone = page.acknowledged if self.delete_acknowledged_only else frozenset(page.rows)
        rows = tuple("-" if n in gone else r for n, r in enumerate(s.rows, 1))
        wrong = s.wrong
        own_fault = page.refused and page.refused[1] == "E" and (len(page.rows) == 1 or not self.alone_for_its_own_fault)
        if own_fault and not (page.stale and self.result_by_version) and rows[page.refused[0] - 1] == "w":
            number = page.refused[0]
            key = self.key(number)
            rows = tuple("s" if r == "w" and (n == number or self.key(n) == key and self.whole_key_is_stuck) else r for n, r in enumerate(rows, 1))
            if number != self.large:
                wrong = wrong or f"{number} is stuck, and nothing is wrong with it"
            if key in s.asked:
                wrong = wrong or f"what an operator said about {key} is lost"
        keys = frozenset(self.key(n) for n in gone if s.rows[n - 1] != "-")
        if self.release_when_none_is_left:
            keys -= {self.key(n) for n, r in enumerate(rows, 1) if r in "ws"}
        topic_free = not any(r == "w" and self.key(n)[0] == topic for n, r in enumerate(rows, 1))
        owner = self.released(o._replace(page=None, tries=o.tries - {topic} if topic_free else o.tries | {topic}), keys, topic if topic_free else None, rows)
        after = s._replace(rows=rows, wrong=wrong)
        yield f"{sorted(gone)} are deleted", after._replace(owner=owner)
        if s.left.lost:
            yield f"{sorted(gone)} are deleted, and the owner is not told", after._replace(left=s.left._replace(lost=s.left.lost - 1))

    def violation(self, s):
        if s.wrong:
            return s.wrong
        for n in range(1, s.published + 1):
            if n not in s.kafka and s.rows[n - 1] == "-":
                return f"{n} is {ABANDONED}"
        stuck = set()
        for n, r in enumerate(s.rows, 1):
            if r == "s":
                stuck.add(self.key(n))
            elif r == "w" and self.key(n) in stuck:
                return f"{n} is tried, and an earlier one of its key is stuck"
        return None

    def finished(self, s):
        if s.committed < len(self.log) or s.published < s.committed or not s.owner or s.owner.state != "owner" or "s" in s.rows and self.mends:
            return False
        if self.mends:
            return all(n in s.kafka or s.rows[n - 1] == "d" for n in range(1, s.committed + 1)) and "w" not in s.rows and not s.changed
        waits = {self.key(n) for n in range(1, s.committed + 1) if self.refuses(s, n)}
        return all(n in s.kafka or self.key(n) in waits for n in range(1, s.committed + 1))


PAIR, TRIPLE, TWO_KEYS, TWO_TOPICS, BEHIND = (A, A), (A, A, A), (A, B, A), (A, B, OTHER), (B, A, A)


def case(log, large=1, rules=None, **left):
    return Outbox(log, large, Left(**left), **(rules or {}))


def lacks(name, log, because, rule, large=1, **left):
    return broken("O2_" + name, case(log, large, {rule: False}, **left), because)


def deeper(**left):
    return {"left": Left(**left)}


BEFORE = "was published before"

CASES = (
    holds("O2_one_too_large", case(TWO_KEYS, crashes=1, timeouts=1), **deeper(crashes=1, timeouts=1, refusals=1)),
    holds("O2_a_topic_refused_and_one_too_large_in_it", case(BEHIND, 2, refusals=1), **deeper(crashes=1, refusals=1)),
    holds("O2_keys_known_at_once", case(BEHIND, 2, {"keys_known": "aside"}, refusals=1), **deeper(crashes=1, refusals=1)),
    holds("O2_an_owner_before_that_does_not_know", case(PAIR, fences=1, timeouts=1), **deeper(fences=1, refusals=1, discards=1)),
    holds("O2_operators_meanwhile", case(TWO_KEYS, early=1, discards=1), **deeper(early=1, discards=1, refusals=1)),
    holds("O2_operators_and_a_crash", case(PAIR, crashes=1, early=1, discards=1), **deeper(crashes=1, fences=1, discards=1)),
    holds("O2_replies_that_are_lost", case(TRIPLE, lost=2, neighbours=1), **deeper(lost=2, refusals=1, discards=1)),
    holds("O2_handed_over_in_order", case(TRIPLE, handovers=1, lost=1), **deeper(handovers=1, crashes=1, lost=1)),
    holds("O2_too_large_for_ever_and_discarded", case(TRIPLE, 1, {"only_discards": True}), **deeper(crashes=1, refusals=1)),
    holds("O2_others_pass_one_too_large_that_nobody_mends", case(TWO_TOPICS, 1, {"mends": False}, crashes=1), log=(A, B, A, OTHER)),
    holds("O2_others_pass_a_topic_that_nobody_mends", case((A, OTHER, A), 0, {"mends": False}, refusals=1, crashes=1), log=(A, B, A, OTHER)),
    # not needed for order or completeness, only to keep the detour small
    holds("O2_set_aside_when_it_was_not_alone", case(PAIR, 1, {"alone_before": False}, neighbours=1, refusals=1)),
    holds("O2_what_arrives_behind_a_refused_one_is_all_that_overtakes",
          case(TRIPLE, 1, {"overtakes": True, "overtakes_page": True, "overtaking_is_allowed": True}), **deeper(refusals=1)),
    broken("O2_a_producer_that_has_more_under_way_than_one_request", case(PAIR, 1, {"overtakes": True}), BEFORE),
    broken("O2_tries_that_have_more_under_way_than_one_request", case(PAIR, 1, {"overtakes_page": True}), BEFORE),
    broken("O2_a_discarded_event_that_never_comes", case(PAIR[:1], 1, {"discarded_never_comes": True}, discards=1), "after it was discarded"),
    broken("O2_a_discarded_event_that_comes_in_order", case(PAIR, 1, {"discarded_in_order": True}, discards=1), BEFORE),
    lacks("followers_in_memory_are_sent", PAIR, BEFORE, "followers_at_refusal"),
    lacks("followers_committed_later_are_sent", PAIR, BEFORE, "followers_at_commit"),
    lacks("set_aside_while_an_earlier_one_is_on_its_way", PAIR, BEFORE, "earlier_first", 2),
    lacks("passed_before_it_is_set_aside", PAIR[:1], ABANDONED, "pass_after_commit"),
    lacks("a_take_over_that_sends_what_was_discarded", PAIR[:1], "after it was discarded", "skip_rows", crashes=1, discards=1),
    lacks("a_take_over_that_does_not_load_the_keys", PAIR, BEFORE, "load_keys", crashes=1),
    broken("O2_keys_set_aside_for_their_topic_are_not_known", case(BEHIND, 2, {"keys_known": "never"}, refusals=1), BEFORE),
    lacks("set_aside_as_waiting_behind_a_stuck_one", PAIR, "is tried, and an earlier one", "as_its_key"),
    lacks("a_stuck_one_without_those_behind_it", PAIR, "is tried, and an earlier one", "whole_key_is_stuck"),
    lacks("a_retry_without_the_earlier_ones_of_the_key", PAIR, "is tried, and an earlier one", "whole_key_is_retried"),
    lacks("stuck_though_it_did_not_go_alone", PAIR, "nothing is wrong with it", "alone_for_its_own_fault", 2, neighbours=1),
    lacks("a_result_from_before_the_operators_retry", PAIR[:1], "said about", "result_by_version", early=1),
    lacks("a_key_released_while_rows_of_it_are_left", TRIPLE, BEFORE, "release_when_none_is_left"),
    lacks("a_key_released_while_one_follows_in_memory", TRIPLE, BEFORE, "release_unflags"),
    lacks("a_key_released_while_one_is_refused_in_memory", TRIPLE, BEFORE, "refused_keep_their_key", refusals=1, early=1),
    lacks("a_reply_lost_and_not_looked_after_first", BEHIND[1:], "after it was discarded", "repeat_what_is_in_doubt", lost=1, discards=1, early=1),
    lacks("deleted_without_an_acknowledgement", PAIR[:1], ABANDONED, "delete_acknowledged_only"),
    lacks("a_retry_that_does_not_raise_the_version", PAIR[:1], STUCK, "version_raised"),
    broken("O2_followers_of_a_discarded_one_stay_stuck", case(PAIR, 1, {"only_discards": True, "discard_sets_followers_free": False}), STUCK),
    lacks("a_second_page_while_one_is_under_way", PAIR, BEFORE, "one_page"),
)
