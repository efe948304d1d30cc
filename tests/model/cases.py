"""What a model is asked: that it holds, or that without one of its rules it is broken, and in which way."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    name: str                 # RULE_in_words
    model: object
    broken: str | None = None  # words of the violation that has to be found
    deep: dict = field(default_factory=dict)  # larger bounds, for the long run

    @property
    def deeper(self):
        return type(self.model)(**(vars(self.model) | self.deep)) if self.deep else None


def holds(name, model, **deep):
    return Case(name, model, None, deep)


def broken(name, model, because, **deep):
    """The model that lacks a rule: a specification that cannot fail proves nothing."""
    return Case(name, model, because, deep)
