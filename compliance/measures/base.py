"""A measure: looks at one thing of the target, and says what it saw as values. It judges nothing.

A measure is believed only after its positive control: on a target of ours that is bad on purpose, what it
says must make the same check fail. Else a measure that always says `fine` would pass for evidence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal

from chaos_locust.errors import ChaosError
from compliance.site import Site
from compliance.target import Target

SideEffect = Literal["passive", "active", "disruptive"]
"""passive: reads. active: makes things a user makes, such as an order. disruptive: may keep users out, such
as a lock-out: on the canary account only, and only when allowed."""

Beside = Literal["everything", "controls", "nothing"]
"""What may go on while a measure is taken. everything: it looks at what no other one changes, and changes
nothing that another looks at, such as files. controls: positive controls, but no other measure. nothing: what
it says would be disturbed even by those, as by all that takes time when it tells by time."""


class Unsupported(ChaosError):
    """The target has not what the measure needs; the text says what."""


class Measure(ABC):
    """needs: parts of the target's description. fields: what each value means, with its unit."""

    name: ClassVar[str]
    says: ClassVar[str]
    side_effect: ClassVar[SideEffect]
    needs: ClassVar[tuple[str, ...]]
    fields: ClassVar[Mapping[str, str]]
    beside: ClassVar[Beside] = "controls"

    @abstractmethod
    def take(self, site: Site) -> Mapping[str, Any]:
        """All of `fields`; None: could not be seen. Raises Unreachable, Unsupported, ChaosError."""

    def lacks(self, target: Target) -> str:
        """The parts that it needs and the description does not name; empty: none."""
        return ", ".join(part for part in self.needs if not target.has(part))

    @abstractmethod
    def bad(self) -> AbstractContextManager[Target]:
        """A target of ours on which every check over this measure must fail."""
