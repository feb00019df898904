from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

from chaos_locust.proxy.toxics.base import End, Item, Stage, Toxic


@dataclass
class ResetPeer(Toxic):
    """Resets the connection (RST to both sides) `timeout` ms after the next data, or end of data, on it."""

    timeout: int = 0
    go_name: ClassVar[str] = "ResetToxic"

    def stage(self, rng: random.Random, now_s: float) -> Stage:
        return _Reset(self)


class _Reset(Stage):
    # What comes after the trigger can wait in the sender: it will never be read.
    limit = 1

    def __init__(self, toxic: ResetPeer) -> None:
        super().__init__()
        self._toxic = toxic
        self._since_s: float | None = None

    def pull(self, now_s: float) -> Item | None:
        if self.queue and self._since_s is None:
            self._since_s = now_s
        due_s = self.due_s()
        return End.RESET if due_s is not None and due_s <= now_s else None

    def due_s(self) -> float | None:
        return None if self._since_s is None else self._since_s + self._toxic.timeout / 1000

    def bypassed(self, now_s: float) -> list[Item]:
        self._since_s = None
        return super().bypassed(now_s)
