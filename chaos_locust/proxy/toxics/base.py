"""What a toxic is.

A Toxic holds the settings, shared by all connections. A Stage is one toxic at work on one link. It does no
I/O and reads no clock: what arrives is pushed in, what may go on is pulled out, and the time is an argument
(seconds on a monotonic clock). So an edit or a removal is a plain change of state that cannot block.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import deque
from enum import Enum
from typing import ClassVar, NamedTuple


class Chunk(NamedTuple):
    """Bytes and the moment in which they arrived where they are now."""

    data: bytes | memoryview
    at_s: float


class End(Enum):
    """How a stream ends."""

    EOF = "the sender has finished; the other direction goes on"
    CLOSE = "the connection is closed"
    RESET = "the connection is reset (RST to both sides)"


Item = Chunk | End

# What a chunk costs beside its bytes, so that many tiny chunks are bounded as well.
CHUNK_OVERHEAD = 128


class Toxic(ABC):
    """Settings of one toxic, a dataclass of integers named as in Toxiproxy's API."""

    # The names that Toxiproxy's error texts have for this toxic and for its integers.
    go_name: ClassVar[str]
    go_int: ClassVar[str] = "int64"

    @abstractmethod
    def stage(self, rng: random.Random, now_s: float) -> Stage | None:
        """The toxic at work on one link from `now_s` on; None if it has no effect at all."""


class Stage(ABC):
    """One toxic at work on one link: a queue whose `pull` decides what may go on."""

    # The link stops reading while more than this many bytes wait here.
    limit = 256 * 1024

    def __init__(self) -> None:
        self.queue: deque[Item] = deque()
        self.cost = 0

    def push(self, item: Item) -> None:
        self.queue.append(item)
        if isinstance(item, Chunk):
            self.cost += len(item.data) + CHUNK_OVERHEAD

    def take(self) -> Item:
        """Removes and returns the head of the queue."""
        item = self.queue.popleft()
        if isinstance(item, Chunk):
            self.cost -= len(item.data) + CHUNK_OVERHEAD
        return item

    def put_back(self, item: Item) -> None:
        """Makes `item` the head of the queue."""
        self.queue.appendleft(item)
        if isinstance(item, Chunk):
            self.cost += len(item.data) + CHUNK_OVERHEAD

    @abstractmethod
    def pull(self, now_s: float) -> Item | None:
        """The next item that may go on now; None if there is none."""

    def due_s(self) -> float | None:
        """When `pull` may next return something without a push; asked after it returned None."""
        return None

    def edited(self, now_s: float) -> None:  # noqa: B027 - most toxics just go on with the new settings
        """The toxic's settings have changed."""

    def removed(self, now_s: float) -> list[Item]:
        """The toxic is gone: what it held and now goes on at once."""
        return self.bypassed(now_s)

    def bypassed(self, now_s: float) -> list[Item]:
        """The toxic no longer acts on this link: what it held and now goes on at once."""
        held = [Chunk(i.data, now_s) if isinstance(i, Chunk) else i for i in self.queue]
        self.queue.clear()
        self.cost = 0
        return held
