"""A machine: what may be done to a target, and what must hold whatever is done.

    @dataclass
    class Queue(Machine):
        name = "queue_keeps_all"

        @rule(value=fresh())
        def enqueue(self, client, value):
            client.push(value)

        @rule(closing=True)
        def drain(self, client):
            return client.pop_all()

        checker = TotalQueue()

Each call of a rule is one operation of the history: its kind is the rule's name, its key the argument `key`,
its value the argument `value` (or all arguments by name, where there is no such one), its result what the
rule returns. What it raises tells what came of it: Refused, it did not happen; NoAnswer, nobody knows; a
failed `assert`, the invariant is broken.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from hypothesis.strategies import SearchStrategy

from chaos_locust.errors import ChaosError
from invariants.checkers.base import Checker


class Refused(Exception):
    """The target said no, or could not be reached: the operation certainly did not happen."""


class NoAnswer(Exception):
    """The operation was sent and nothing came back, so it may or may not have happened."""


class TargetDown(ChaosError):
    """The target does not work although nothing was done to it, so nothing can be learned from it."""


class InvalidMachine(ChaosError):
    """A machine that cannot be run; the message names it and what is wrong."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """An argument that no other step of the sequence has; see `fresh`."""

    make: Callable[[int], Any]


def fresh(make: Callable[[int], Any] = lambda number: number) -> Fresh:
    """A value of its own for each step: its number in the sequence, or what `make` makes of that; where that
    is a strategy, what is drawn from it."""
    return Fresh(make)


@dataclass(frozen=True, slots=True)
class OfTarget:
    """An argument that only the target knows; see `of_target`."""

    make: Callable[[Any], SearchStrategy[Any]]


def of_target(make: Callable[[Any], SearchStrategy[Any]]) -> OfTarget:
    """Values that the target names: `of_target(lambda target: st.sampled_from(target.inputs))`."""
    return OfTarget(make)


Argument = SearchStrategy[Any] | Fresh | OfTarget


@dataclass(frozen=True, slots=True)
class Rule:
    """weight: how often it is drawn, against 1 of the others; 0: never. closing: done once at the end of each
    sequence, when all faults are healed."""

    name: str
    action: Callable[..., Any]
    arguments: Mapping[str, Argument]
    weight: int
    closing: bool


F = TypeVar("F", bound=Callable[..., Any])


def rule(*, weight: int | None = None, closing: bool = False, **arguments: Argument) -> Callable[[F], F]:
    """Makes a method a rule, which is called with the connection of its lane and the arguments. These are
    drawn for each step, and must be what JSON can say. A closing rule takes none, and is drawn too if it is
    given a weight. Raises InvalidMachine: the method takes others."""

    def mark(method: F) -> F:
        taken = list(inspect.signature(method).parameters)[2:]
        if sorted(taken) != sorted(arguments):
            raise InvalidMachine(
                f"rule {method.__name__} takes {', '.join(taken) or 'nothing'} besides its client; "
                f"given are {', '.join(arguments) or 'none'}"
            )
        if closing and arguments:
            raise InvalidMachine(f"rule {method.__name__} is closing, so it can take nothing but its client")
        drawn = weight if weight is not None else 0 if closing else 1
        method.__dict__["rule"] = Rule(method.__name__, method, arguments, drawn, closing)
        return method

    return mark


@dataclass
class Machine:
    """Made anew for each sequence. Its fields after `acting` are options, and have defaults.

    target: an `invariants.targets.base.Target`. scope: names what belongs to this sequence, so that sequences
    do not meet. acting: the faults that act now.
    """

    name: ClassVar[str] = ""
    reason: ClassVar[str] = ""
    """Why it matters, in one sentence."""
    needs: ClassVar[str] = ""
    """What the target has to offer, in a few words."""
    must_reach: ClassVar[tuple[str, ...]] = ()
    """Words of `state` that have to be met, or nothing can be said."""
    pooled: ClassVar[bool] = False
    """The checker judges the operations of all sequences at once, because few tell nothing."""

    target: Any
    scope: str = ""
    acting: set[str] = field(default_factory=set)

    @property
    def statement(self) -> str:
        """What holds, in one sentence, with the numbers that the checker uses."""
        return (self.__doc__ or "").strip().split("\n")[0]

    @property
    def checker(self) -> Checker:
        raise InvalidMachine(f"{type(self).__name__} has no checker")

    def start(self) -> None:
        """Makes what a sequence needs, while no fault acts. Raises TargetDown."""
        self.target.begin(self.scope)

    def connect(self) -> Any:
        """A connection for one lane, which does one thing at a time. Raises TargetDown."""
        return self.target.connect(self.scope)

    def disconnect(self, client: Any) -> None:
        """Closes what `connect` gave."""
        close = getattr(client, "close", None)
        if close is not None:
            close()

    def state(self) -> str:
        """A word for the state that the target is in, for the paths that are exercised."""
        return "+".join(sorted(self.acting))

    def end(self) -> None:
        """Takes away what the sequence made."""
        self.target.forget(self.scope)

    @classmethod
    def rules(cls) -> dict[str, Rule]:
        """By name, in the order of the class. Raises InvalidMachine when there is none to draw, and for a
        machine without a name."""
        if not cls.name.isidentifier():
            raise InvalidMachine(
                f"{cls.__name__} has the name '{cls.name}'; allowed are letters, digits and _"
            )
        found: dict[str, Rule] = {}
        for base in reversed(cls.__mro__):
            for member in vars(base).values():
                made = getattr(member, "__dict__", {}).get("rule")
                if isinstance(made, Rule):
                    found[made.name] = made
        if not any(each.weight for each in found.values()):
            raise InvalidMachine(
                f"{cls.__name__} has no rule that could be drawn; mark its methods with @rule"
            )
        return found
