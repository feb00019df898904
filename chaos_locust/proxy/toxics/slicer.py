from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import ClassVar

from chaos_locust.proxy.toxics.base import Chunk, Item, Stage, Toxic


@dataclass
class Slicer(Toxic):
    """Cuts data into packets of `average_size` +/- `size_variation` bytes, `delay` microseconds apart."""

    average_size: int = 0
    size_variation: int = 0
    delay: int = 0
    go_name: ClassVar[str] = "SlicerToxic"
    go_int: ClassVar[str] = "int"

    def stage(self, rng: random.Random, now_s: float) -> Stage:
        return _Slices(self, rng)

    def cut(self, size: int, rng: random.Random) -> list[int]:
        """Sizes of the packets, in order, that `size` bytes become: halves of halves, until small enough."""
        largest = max(self.average_size + max(self.size_variation, 0), 1)
        sizes: list[int] = []
        left = [size]
        while left:
            part = left.pop()
            if part <= largest:
                sizes.append(part)
                continue
            middle = part // 2
            if self.size_variation > 0:
                middle += rng.randrange(-self.size_variation, self.size_variation)
            middle = min(max(middle, 1), part - 1)
            left += (part - middle, middle)
        return sizes


class _Slices(Stage):
    def __init__(self, toxic: Slicer, rng: random.Random) -> None:
        super().__init__()
        self._toxic = toxic
        self._rng = rng
        self._sizes: deque[int] = deque()  # of the packets that the head of the queue will become
        self._free_s = 0.0

    def pull(self, now_s: float) -> Item | None:
        if not self.queue or self._free_s > now_s:
            return None
        head = self.take()
        if not isinstance(head, Chunk):
            return head
        if not self._sizes:
            self._sizes.extend(self._toxic.cut(len(head.data), self._rng))
        size = self._sizes.popleft()
        view = memoryview(head.data)
        if self._sizes:
            self.put_back(Chunk(view[size:], head.at_s))
        # Counted from when this packet should have gone, so that late wake-ups do not add up.
        self._free_s = max(self._free_s, head.at_s) + max(self._toxic.delay, 0) / 1e6
        return Chunk(view[:size], now_s)

    def due_s(self) -> float | None:
        return self._free_s if self.queue else None

    def edited(self, now_s: float) -> None:
        self._sizes.clear()
        self._free_s = now_s

    def bypassed(self, now_s: float) -> list[Item]:
        self._sizes.clear()
        return super().bypassed(now_s)
