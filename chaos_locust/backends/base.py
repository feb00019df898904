"""What a backend does: all input and output of one family of faults. Plain blocking code.

The run, the guardian and `cleanup` use the same backends. Whatever undoing needs is data (`Undo`), so
that somebody who was not there when the fault was made can undo it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chaos_locust.errors import Problem
from chaos_locust.faults.base import Fault
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target

MARK = "chaos-"
"""Whatever is made in the target begins with this, so that it is known as ours without a lease."""


def mark(run_id: str, *parts: str, longest: int = 200) -> str:
    """The name of something that a run makes: `chaos-RUN-PART-...`; a digest of it where that is too long."""
    name = MARK + "-".join((run_id, *parts))
    return name if len(name) <= longest else MARK + hashlib.sha256(name.encode()).hexdigest()[:16]


Undo = dict[str, Any]
"""How to undo one fault, as JSON data; `backend` names who can. `mark`, where the fault leaves one in the
target, is how `scan` tells what belongs to a run that is alive."""

Reading = dict[str, Any]
"""What was seen at one moment, as JSON data; `at_s` is on a monotonic clock."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What readings prove of a fault: see `events.EffectSeen`."""

    mechanism: bool | None
    use: bool | None
    detail: str


class Backend(Protocol):
    """Every method may block for a few seconds at most, and may be called from several threads."""

    name: str

    def preflight(self, plan: Plan, fault: Fault, target: Target) -> list[Problem]:
        """Every reason why this fault could not be injected now. Changes nothing."""

    def open(self, run_id: str, plan: Plan, target: Target) -> Undo | None:
        """What has to be made before the load starts, as the Undo that removes it; None: nothing."""

    def build(self, undo: Undo, target: Target) -> None:
        """Makes what `open` told. Raises BackendError."""

    def prepare(self, run_id: str, plan: Plan, fault: Fault, target: Target) -> Undo:
        """Reads what undoing will need. Changes nothing. Raises BackendError."""

    def inject(self, fault: Fault, undo: Undo) -> None:
        """Returns when the fault is confirmed. Raises BackendError; then a part of it may act."""

    def adjust(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        """To where a fault that changes with time is `elapsed_s` after its onset. Raises BackendError."""

    def observe(self, fault: Fault, undo: Undo) -> Reading:
        """Looks at the fault's mechanism and at its use, now. Never raises for what it cannot see."""

    def effect(self, fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        """What the readings before and after the onset prove. Pure."""

    def revert(self, undo: Undo) -> None:
        """Idempotent. Raises BackendError when it could not."""

    def verify(self, undo: Undo) -> bool:
        """Whether nothing of the fault is left. Raises BackendError when it cannot be told."""

    def describe(self, undo: Undo) -> str:
        """What is undone, for people."""

    def scan(self, place: str) -> list[Undo]:
        """Everything at `place` that carries our mark: a proxy API or a server by its URL, a folder by its
        path; empty: this machine, as far as the backend can look at it without being told where.
        Raises BackendError: PartlyLooked with what was found where we may not look at the rest."""
