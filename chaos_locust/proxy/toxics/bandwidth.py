from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

from chaos_locust.proxy.toxics.base import Chunk, Item, Stage, Toxic


@dataclass
class Bandwidth(Toxic):
    """Passes `rate` KB (1000 bytes) a second; nothing if that is 0 or less."""

    rate: int = 0
    go_name: ClassVar[str] = "BandwidthToxic"

    def stage(self, rng: random.Random, now_s: float) -> Stage:
        return _Throttle(self, now_s)


class _Throttle(Stage):
    def __init__(self, toxic: Bandwidth, now_s: float) -> None:
        super().__init__()
        self._toxic = toxic
        self._free_s = now_s
        self._due_s: float | None = None

    def pull(self, now_s: float) -> Item | None:
        if not self.queue:
            return None
        head = self.queue[0]
        if not isinstance(head, Chunk):
            return self.take()
        if self._toxic.rate <= 0:
            return None
        # At most 100 ms worth of bytes go on at a time, and only when their time on the wire is over.
        size = min(len(head.data), self._toxic.rate * 100)
        if self._due_s is None:
            self._due_s = max(self._free_s, head.at_s) + size / (self._toxic.rate * 1000)
        if self._due_s > now_s:
            return None
        self.take()
        view = memoryview(head.data)
        if size < len(view):
            self.put_back(Chunk(view[size:], head.at_s))
        self._free_s, self._due_s = self._due_s, None
        return Chunk(view[:size], self._free_s)

    def due_s(self) -> float | None:
        return self._due_s

    def edited(self, now_s: float) -> None:
        self._free_s, self._due_s = now_s, None
