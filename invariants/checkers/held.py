"""Locks as their users can write them down: `acquire`, later `release`, each one thing that a user does.

From the answer to the one to the beginning of the other it is held for certain. On clocks that are off both
are widened, so what is left between them only gets shorter.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from invariants.history import Operation

KINDS = {"acquire": "hold", "acquire_shared": "share"}


def holds_of(operations: Sequence[Operation]) -> list[tuple[Operation, tuple[Operation, ...]]]:
    """(as a `hold` or `share` of the checker `exclusion`, what it stands for) for each `acquire` and
    `acquire_shared` of one key, in their order. Value of these and of `release`: the holder's token, another
    one for each time that the lock is given. Raises ValueError."""
    acquired = [op for op in operations if op.kind in KINDS]
    given = Counter(repr(op.value) for op in acquired if op.happened)
    if twice := [token for token, times in given.items() if times > 1]:
        raise ValueError(
            f"the token {twice[0]} was given the lock {given[twice[0]]} times; each needs its own"
        )
    releases: dict[str, list[Operation]] = defaultdict(list)
    for op in operations:
        if op.kind == "release":
            releases[repr(op.value)].append(op)
    return [_hold(op, releases[repr(op.value)]) for op in acquired]


def _hold(acquire: Operation, releases: Sequence[Operation]) -> tuple[Operation, tuple[Operation, ...]]:
    hold = replace(acquire, kind=KINDS[acquire.kind])
    if not acquire.happened:
        return hold, (acquire,)
    if not releases:  # nobody knows until when it held
        return replace(hold, outcome="info", end_s=math.inf), (acquire,)
    given_back = [op.end_s for op in releases if op.happened]
    held = {
        "from_s": acquire.end_s,
        "until_s": min(op.start_s for op in releases),
        "released": bool(given_back),
    }
    end_s = max(acquire.end_s, min(given_back, default=acquire.end_s))
    return replace(hold, result=held, end_s=end_s), (acquire, releases[0])


def surely_met(asked: Sequence[Operation], capacity: int) -> int:
    """How many came while others surely held what excludes them, so that it would show if they were let in.
    asked: as `holds_of` has them."""
    held = sorted((op for op in asked if op.happened), key=lambda op: float(op.result["from_s"]))
    met, place, active = 0, 0, list[Operation]()
    for op in sorted(asked, key=lambda op: op.start_s):
        while place < len(held) and held[place].result["from_s"] <= op.start_s:
            active.append(held[place])
            place += 1
        came_s = op.start_s + 2 * op.widened_s  # at the latest
        active = [each for each in active if each.result["until_s"] > op.start_s]
        others = [each for each in active if each.result["until_s"] > came_s]
        alone = sum(each.kind == "hold" for each in others)
        met += alone > 0 if op.kind == "share" else alone >= capacity or alone < len(others)
    return met
