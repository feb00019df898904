"""What proves that one fault acted: the readings before and after its onset, and whether it lasted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from chaos_locust.backends.base import Backend, Effect, Reading, Undo
from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault

FIRST_EFFECT_S = 3.0
"""What was seen is told so long after the onset at the latest."""


@dataclass
class Proof:
    """emit(event, ...) must return at once. active_s: the onset, on the monotonic clock; 0 before it."""

    fault: Fault
    backend: Backend
    emit: Callable[..., None]
    active_s: float = 0.0
    _before: list[Reading] = field(default_factory=list)
    _during: list[Reading] = field(default_factory=list)
    _told: bool = False
    _leaves: bool | None = None

    @property
    def seen_after(self) -> bool:
        """Whether it was looked at since its onset."""
        return bool(self._during)

    def look(self, undo: Undo, counts: Callable[[], bool]) -> None:
        """One reading; it is kept if the onset did not come meanwhile and `counts` says that it counts."""
        active_s = self.active_s
        reading = self.backend.observe(self.fault, undo)
        if active_s and self._leaves is None and not self.fault.instant:
            self._leaves = self._is_gone(undo) is False
        if counts() and self.active_s == active_s:
            (self._during if active_s else self._before).append(reading)

    def tell_soon(self) -> None:
        """Once: as soon as it is proved, or after FIRST_EFFECT_S."""
        if self._told:
            return
        effect = self.backend.effect(self.fault, self._before, self._during)
        proved = effect.mechanism is True and effect.use is True
        if proved or time.monotonic() - self.active_s >= FIRST_EFFECT_S:
            self._tell(effect, final=False)

    def tell_all(self, undo: Undo | None = None) -> None:
        """At the end what all readings say. undo: of a fault that is about to be undone; where nothing is
        left to undo it ended by itself, nobody knows when, and what users felt may be of something else."""
        effect = self.backend.effect(self.fault, self._before, self._during)
        if undo is not None and self._leaves and not self.fault.changes and self._is_gone(undo):
            effect = Effect(None, effect.use, f"{effect.detail}; but it had ended before it was undone")
        self._tell(effect, final=True)

    def _is_gone(self, undo: Undo) -> bool | None:
        with contextlib.suppress(BackendError):
            return self.backend.verify(undo)
        return None

    def _tell(self, effect: Effect, final: bool) -> None:
        self._told = True
        self.emit(
            "effect",
            fault=self.fault.name,
            mechanism=effect.mechanism,
            use=effect.use,
            detail=effect.detail,
            final=final,
        )
