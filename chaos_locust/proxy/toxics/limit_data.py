from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

from chaos_locust.proxy.toxics.base import Chunk, End, Item, Stage, Toxic


@dataclass
class LimitData(Toxic):
    """Closes the connection after `bytes` bytes; 0 closes it on the first data."""

    bytes: int = 0
    go_name: ClassVar[str] = "LimitDataToxic"

    def stage(self, rng: random.Random, now_s: float) -> Stage:
        return _Limit(self)


class _Limit(Stage):
    def __init__(self, toxic: LimitData) -> None:
        super().__init__()
        self._toxic = toxic
        self._passed = 0  # survives edits: it is the connection's count
        self._over = False

    def pull(self, now_s: float) -> Item | None:
        if self._over:
            return End.CLOSE
        if not self.queue:
            return None
        head = self.take()
        if not isinstance(head, Chunk):
            return head
        data = head.data[: max(self._toxic.bytes - self._passed, 0)]
        self._passed += len(data)
        self._over = self._passed >= self._toxic.bytes
        return Chunk(data, head.at_s) if data else End.CLOSE
