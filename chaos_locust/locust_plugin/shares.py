"""Which of the schedule's arrivals are one worker's. Pure."""

from __future__ import annotations


class Shares:
    """A worker's share of the schedule, which changes when workers are lost or join.

    The share (i, n) means: the arrivals whose index leaves i when divided by n. It counts from an instant
    of the run on until the next one.
    """

    def __init__(self) -> None:
        self._changes: list[tuple[float, int, int]] = []

    def change(self, from_s: float, index: int, count: int) -> None:
        """From `from_s` on the share is (index, count); what was said for later is forgotten."""
        self._changes = [change for change in self._changes if change[0] < from_s]
        self._changes.append((from_s, index, count))

    def mine(self, arrival: int, due_s: float) -> bool:
        """Is the arrival with this index, due at `due_s`, in the share?"""
        for from_s, index, count in reversed(self._changes):
            if due_s >= from_s:
                return arrival % count == index
        return False


def part(total: int, index: int, count: int) -> int:
    """What worker `index` of `count` gets of `total` things, at least one."""
    return max(1, total // count + (index < total % count))
