"""The run's signs of life, as its guardian hears them."""

from __future__ import annotations

from dataclasses import dataclass, field

from chaos_locust.leases.store import boottime_s


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the run and its guardian wait for each other before the one takes the other for dead.

    The run sends a heartbeat every `beat_every_s`, and takes a guardian that left so many unanswered for
    frozen. The guardian undoes every fault of a run that it has not heard of for `silent_run_s`.
    """

    beat_every_s: float = 2.0
    unanswered_beats: int = 5
    silent_run_s: float = 20.0


@dataclass(slots=True)
class Pulse:
    """heard_s: on CLOCK_BOOTTIME."""

    silent_run_s: float
    heard_s: float = field(default_factory=boottime_s)

    def beat(self) -> None:
        self.heard_s = boottime_s()

    @property
    def runs_out_s(self) -> float:
        return self.heard_s + self.silent_run_s
