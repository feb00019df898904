"""Locks, semaphores and pools; locks that readers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from invariants.checkers.exclusion import Exclusion
from invariants.machine import Machine, Refused, rule


@dataclass
class LocksExclude(Machine):
    """hold_s: how long a lock is held. capacity: so many may hold at once, as in a semaphore or a pool.
    most_overtaken: nobody is passed over by more than so many that asked later; None: no promise."""

    name = "locks_exclude"
    reason = (
        "What a lock protects is broken without a word when two hold it, and stands still when nobody may."
    )
    needs = "acquire, release"

    hold_s: float = 0.0
    capacity: int = 1
    most_overtaken: int | None = None

    @property
    def statement(self) -> str:
        many = "one" if self.capacity == 1 else str(self.capacity)
        return f"At most {many} hold{'s' if self.capacity == 1 else ''} it at a time{self._in_turn}."

    @property
    def checker(self) -> Exclusion:
        return Exclusion(self.capacity, self.most_overtaken)

    @property
    def _in_turn(self) -> str:
        if self.most_overtaken is None:
            return ", and it is given while it is free"
        if self.most_overtaken == 0:
            return ", and who asked first is served first"
        return f", and nobody is passed over by more than {self.most_overtaken} that asked later"

    @rule()
    def hold(self, client: Any) -> dict[str, Any]:
        """`acquire` raises Refused("held") when it was not given in time because others held it, and may
        tell {"arrived_s", "waiting_s"}: since when the request surely stood in line, and until when it surely
        still did. `release` raises Refused when it was this client's no more."""
        return self._while_held(client.acquire, client.release)

    def _while_held(
        self, acquire: Callable[[], dict[str, float] | None], release: Callable[[], None]
    ) -> dict[str, Any]:
        stood = acquire() or {}
        from_s = self.target.clock()
        self.target.sleep(self.hold_s)
        until_s = self.target.clock()
        try:
            release()
            released = True
        except Refused:
            released = False
        return {**stood, "from_s": from_s, "until_s": until_s, "released": released}


@dataclass
class WritersAreAlone(LocksExclude):
    name = "writers_are_alone"
    reason = (
        "A reader beside a writer sees half of what is written; a writer that waits for ever writes nothing."
    )
    needs = "acquire, release, acquire_shared, release_shared"

    @property
    def statement(self) -> str:
        return f"Nobody reads or writes while another writes{self._in_turn}."

    @rule(weight=3)
    def share(self, client: Any) -> dict[str, Any]:
        return self._while_held(client.acquire_shared, client.release_shared)
