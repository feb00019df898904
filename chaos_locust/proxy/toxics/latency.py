from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

from chaos_locust.proxy.toxics.base import Chunk, Item, Stage, Toxic


@dataclass
class Latency(Toxic):
    """Delays every chunk by `latency` +/- `jitter` ms, counted from its arrival. Order is kept."""

    latency: int = 0
    jitter: int = 0
    go_name: ClassVar[str] = "LatencyToxic"

    def stage(self, rng: random.Random, now_s: float) -> Stage:
        return _Delay(self, rng)


class _Delay(Stage):
    # What is on its way does not slow down what follows; only this much of it is held.
    limit = 32 * 1024 * 1024

    def __init__(self, toxic: Latency, rng: random.Random) -> None:
        super().__init__()
        self._toxic = toxic
        self._rng = rng
        self._last_s = 0.0
        self._due_s: float | None = None

    def pull(self, now_s: float) -> Item | None:
        if not self.queue:
            return None
        head = self.queue[0]
        if not isinstance(head, Chunk):
            return self.take()
        if self._due_s is None:
            jitter_ms = max(self._toxic.jitter, 0)
            delay_ms = self._toxic.latency + self._rng.uniform(-jitter_ms, jitter_ms)
            self._due_s = max(head.at_s + delay_ms / 1000, head.at_s, self._last_s)
        if self._due_s > now_s:
            return None
        self.take()
        # The moment in which it should go on, so that a late wake-up does not add up over toxics.
        self._last_s, self._due_s = self._due_s, None
        return Chunk(head.data, self._last_s)

    def due_s(self) -> float | None:
        return self._due_s

    def edited(self, now_s: float) -> None:
        self._due_s = None
