"""What every fault has: a name, a target, when it comes and how long it stays. Data, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import AliasChoices, Field

from chaos_locust.data import Data, Name, PositiveSeconds, Seconds, Share
from chaos_locust.errors import Problem
from chaos_locust.faults.conditions import WhenField

Direction = Literal["downstream", "upstream", "both"]


class Fault(Data):
    """Base of all faults. Exactly one of `at` (seconds from the start of the run) and `when`.

    kind: its name in a plan. family: which backend does it. needs: the keys of a target that it needs,
    where `link` is `proxy` or `upstream` and `listen`. instant: it happens at once, and has no `for`.
    changes: its strength changes while it acts, so the backend's `adjust` is called. undo: how it ends when
    everything of ours dies. effect_text: what proves that it acted.

    anyway: it comes into a target that is not steady too; without it such a fault is skipped, unless another
    fault acts then or it waits for one.
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
    when: WhenField = None
    duration_s: PositiveSeconds | None = Field(
        default=None, validation_alias=AliasChoices("for", "duration"), serialization_alias="for"
    )
    anyway: bool = False

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

    def warnings(self) -> list[str]:
        """What its author should know, though it can be done."""
        return []

    def next_change_s(self, elapsed_s: float) -> float:
        """When one that `changes` does so next, in seconds after its onset."""
        return elapsed_s + 0.5

    def clashes_with(self, other: Fault) -> str:
        """Why it cannot act together with `other` on the same target; empty when it can.

        Asked both ways, so each class need only know the faults that it stands in the way of.
        """
        return f"both are {self.kind}" if self.kind == other.kind else ""

    def to_json(self) -> dict[str, Any]:
        """As in a plan, `kind` included; `registry.parse_fault` reads it back."""
        left_out = None if self.anyway else {"anyway"}
        return {"kind": self.kind, **self.model_dump(mode="json", exclude_none=True, exclude=left_out)}


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
