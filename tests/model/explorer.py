"""Visits every state that a model can reach, breadth first, and says whether its rules hold in all of them.

A model has  initial            its first state (hashable),
             steps(state)       what can happen next: pairs of a label and a state,
             violation(state)   why this state must not be, in words, or None,
             finished(state)    whether this is a good end.

It is broken when a state violates a rule, or when some state has no way to a good end any more: a record, an event or a lane is stuck
for ever. Every step is optional, so a process may stop in any state and act later; a crash is a step of its own.
"""

from collections import deque
from dataclasses import dataclass

STUCK = "no good end can be reached any more"


@dataclass(frozen=True)
class Found:
    states: int
    steps: int
    violation: str | None = None
    trace: tuple = ()


def explore(model, most_states=5_000_000):
    numbers, reached_by, states, came_from = {model.initial: 0}, [None], [model.initial], [[]]
    queue, steps = deque([0]), 0
    while queue:
        here = queue.popleft()
        wrong = model.violation(states[here])
        if wrong:
            return Found(len(states), steps, wrong, trace(reached_by, here))
        for label, state in model.steps(states[here]):
            steps += 1
            there = numbers.setdefault(state, len(states))
            if there == len(states):
                if there == most_states:
                    raise MemoryError(f"more than {most_states} states: make the model's bounds smaller")
                states.append(state)
                reached_by.append((here, label))
                came_from.append([])
                queue.append(there)
            came_from[there].append(here)
    stuck = first_stuck(model, states, came_from)
    if stuck is not None:
        return Found(len(states), steps, STUCK, trace(reached_by, stuck))
    return Found(len(states), steps)


def first_stuck(model, states, came_from):
    good = [number for number, state in enumerate(states) if model.finished(state)]
    leads_to_good = bytearray(len(states))
    for number in good:
        leads_to_good[number] = 1
    while good:
        for before in came_from[good.pop()]:
            if not leads_to_good[before]:
                leads_to_good[before] = 1
                good.append(before)
    found = leads_to_good.find(0)
    return None if found < 0 else found


def trace(reached_by, number):
    labels = []
    while reached_by[number]:
        number, label = reached_by[number]
        labels.append(label)
    return tuple(reversed(labels))


def replaced(items, index, item):
    """The tuple with one item exchanged."""
    return (*items[:index], item, *items[index + 1:])
