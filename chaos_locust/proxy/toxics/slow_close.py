from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

from chaos_locust.proxy.toxics.base import Chunk, End, Item, Stage, Toxic


@dataclass
class SlowClose(Toxic):
    """Holds back the end of the stream for `delay` ms; data passes."""

    delay: int = 0
    go_name: ClassVar[str] = "SlowCloseToxic"

    def stage(self, rng: random.Random, now_s: float) -> Stage:
        return _HoldEnd(self)


class _HoldEnd(Stage):
    def __init__(self, toxic: SlowClose) -> None:
        super().__init__()
        self._toxic = toxic
        self._since_s: float | None = None

    def pull(self, now_s: float) -> Item | None:
        if not self.queue:
            return None
        head = self.queue[0]
        if isinstance(head, Chunk) or head is End.RESET:
            return self.take()
        if self._since_s is None:
            self._since_s = now_s
        due_s = self.due_s()
        return self.take() if due_s is not None and due_s <= now_s else None

    def due_s(self) -> float | None:
        return None if self._since_s is None else self._since_s + self._toxic.delay / 1000

    def edited(self, now_s: float) -> None:
        if self._since_s is not None:
            self._since_s = now_s
