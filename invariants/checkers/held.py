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
    asked = Counter(repr(op.value) for op in acquired if op.maybe)
    releases: dict[str, list[Operation]] = defaultdict(list)
    for op in operations:
        if op.kind == "release":
            releases[repr(op.value)].append(op)
    return [
        # Who asked again after no answer may have been given it before: when it is back is not known.
        _hold(op, releases[repr(op.value)] if asked[repr(op.value)] == 1 else [])
        for op in acquired
    ]


def _hold(acquire: Operation, releases: Sequence[Operation]) -> tuple[Operation, tuple[Operation, ...]]:
    hold = replace(acquire, kind=KINDS[acquire.kind])
    if not acquire.happened:
        return hold, (acquire,)
    if not releases:  # or under which no answer hid it: it may hold on
        return replace(hold, outcome="info", end_s=math.inf), (acquire,)
    given_back = [op.end_s for op in releases if op.happened]
    held = {
        "from_s": acquire.end_s,
        "until_s": min(op.start_s for op in releases),
        "released": bool(given_back),
    }
    end_s = max(acquire.end_s, min(given_back, default=acquire.end_s))
    return replace(hold, result=held, end_s=end_s), (acquire, releases[0])
