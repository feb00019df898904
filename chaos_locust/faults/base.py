"""What every fault has: a name, a target, when it comes and how long it stays. Data, no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from chaos_locust.data import Data, Name, PositiveSeconds, Seconds, Share
from chaos_locust.errors import Problem
from chaos_locust.units import format_duration, parse_duration

Direction = Literal["downstream", "upstream", "both"]
_WHEN = re.compile(r"steady\s+for\s+(\S+(?:\s*[a-zµ]+)?)")


@dataclass(frozen=True, slots=True)
class When:
    """A condition in place of a time: the target was steady for so long."""

    steady_for_s: float

    def __str__(self) -> str:
        return f"steady for {format_duration(self.steady_for_s)}"


def parse_when(text: object) -> When:
    """`steady for 10s`. Raises ValueError."""
    if isinstance(text, When):
        return text
    match = _WHEN.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"'{text}' is no condition; allowed: steady for DURATION, such as steady for 10s")
    return When(parse_duration(match[1]))


class Fault(Data):
    """Base of all faults. Exactly one of `at` (seconds from the start of the run) and `when`.

    kind: its name in a plan. family: which backend does it. needs: the keys of a target that it needs,
    where `link` is `proxy` or `upstream` and `listen`. instant: it happens at once, and has no `for`.
    changes: its strength changes while it acts, so the backend's `adjust` is called. undo: how it ends when
    everything of ours dies. effect_text: what proves that it acted.
    """

    kind: ClassVar[str]
    summary: ClassVar[str]
    family: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    instant: ClassVar[bool] = False
    changes: ClassVar[bool] = False
    undo: ClassVar[str]
    effect_text: ClassVar[str]

    name: Name
    target: Name
    at_s: Seconds | None = Field(default=None, alias="at")
    when: Annotated[
        When | None,
        BeforeValidator(lambda value: value if value is None else parse_when(value)),
        PlainSerializer(lambda value: None if value is None else str(value)),
        WithJsonSchema({"type": "string", "pattern": r"^\s*steady\s+for\s+\S+"}),
    ] = None
    duration_s: PositiveSeconds | None = Field(
        default=None, validation_alias=AliasChoices("for", "duration"), serialization_alias="for"
    )

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        def given(*keys: str) -> bool:
            return any(data.get(key) is not None for key in keys)

        problems: list[Problem] = []
        timed = given("at", "at_s")
        if timed == given("when"):
            which = "both are given" if timed else "neither is given"
            problems.append(
                Problem("at", f"{which}; give at: (such as 40s) or when: (such as steady for 10s)")
            )
        lasting = given("for", "duration", "duration_s")
        if cls.instant and lasting:
            problems.append(Problem("for", f"a {cls.kind} happens at once and takes no for:"))
        if not cls.instant and not lasting:
            problems.append(Problem("for", f"is missing; say how long the {cls.kind} lasts, such as 15s"))
        return problems

    @property
    def ends_s(self) -> float | None:
        """When it is due to end; None: instant, or started by a condition."""
        return None if self.at_s is None or self.duration_s is None else self.at_s + self.duration_s

    def clashes_with(self, other: Fault) -> str:
        """Why it cannot act together with `other` on the same target; empty when it can.

        Asked both ways, so each class need only know the faults that it stands in the way of.
        """
        return f"both are {self.kind}" if self.kind == other.kind else ""

    def to_json(self) -> dict[str, Any]:
        """As in a plan, `kind` included; `registry.parse_fault` reads it back."""
        return {"kind": self.kind, **self.model_dump(mode="json", exclude_none=True)}


class ProxyFault(Fault):
    """Base of the faults that a proxy does on a link.

    direction: `downstream` is what the target sends, `upstream` what is sent to it.
    share: of the connections, drawn for each connection.
    """

    family: ClassVar[str] = "proxy"
    needs: ClassVar[tuple[str, ...]] = ("link",)
    undo: ClassVar[str] = "the guardian takes it off the proxy, or `chaos-locust cleanup` does"

    direction: Direction = "downstream"
    share: Share = 1.0

    @property
    def directions(self) -> frozenset[str]:
        return frozenset(("downstream", "upstream") if self.direction == "both" else (self.direction,))

    def clashes_with(self, other: Fault) -> str:
        if isinstance(other, ProxyFault) and other.kind == self.kind and self.directions & other.directions:
            return f"both are {self.kind} in the same direction"
        return ""
