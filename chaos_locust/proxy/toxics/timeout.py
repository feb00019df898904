from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

from chaos_locust.proxy.toxics.base import Chunk, End, Item, Stage, Toxic


@dataclass
class Timeout(Toxic):
    """Lets no data pass, and closes the connection once `timeout` ms went by without any; never if that is 0.

    Removing it closes the connections that it held, since what they carried is lost.
    """

    timeout: int = 0
    go_name: ClassVar[str] = "TimeoutToxic"

    def stage(self, rng: random.Random, now_s: float) -> Stage:
        return _Hold(self, now_s)


class _Hold(Stage):
    def __init__(self, toxic: Timeout, now_s: float) -> None:
        super().__init__()
        self._toxic = toxic
        self._since_s = now_s

    def push(self, item: Item) -> None:
        if isinstance(item, Chunk):
            self._since_s = max(self._since_s, item.at_s)
        else:
            super().push(item)

    def pull(self, now_s: float) -> Item | None:
        if self.queue:
            return self.take()
        due_s = self.due_s()
        return End.CLOSE if due_s is not None and due_s <= now_s else None

    def due_s(self) -> float | None:
        return self._since_s + self._toxic.timeout / 1000 if self._toxic.timeout > 0 else None

    def edited(self, now_s: float) -> None:
        self._since_s = now_s

    def removed(self, now_s: float) -> list[Item]:
        return [End.CLOSE]
