"""Histories that clients of a correct store see, drawn by a seed."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from operator import attrgetter

from invariants.history import History, Operation


def register(operations: int, processes: int, seed: int, unanswered: float) -> list[Operation]:
    """What clients of a correct register see: each operation takes effect at an instant within its time."""
    rng = random.Random(seed)
    free_s = [0.0] * processes
    names = [f"p{each}" for each in range(processes)]
    numbers = [0] * processes
    planned = []
    for count in range(operations):
        who = min(range(processes), key=free_s.__getitem__)
        start_s = free_s[who] + rng.random() * 0.2
        lasts_s = rng.random()
        info = rng.random() < unanswered
        planned.append(
            (start_s + lasts_s * rng.random(), start_s, start_s + lasts_s, names[who], numbers[who], info)
        )
        free_s[who], numbers[who] = start_s + lasts_s, numbers[who] + 1
        if info:
            names[who], numbers[who] = f"p{who}-{count}", 0
    state, made = None, []
    for _, start_s, end_s, name, number, info in sorted(planned):
        end_s = math.inf if info else end_s
        if rng.random() < 0.5:
            value = rng.randrange(10**6)
            if not info or rng.random() < 0.5:
                state = value
            made.append(
                Operation(name, number, "write", "k", value, "info" if info else "ok", None, start_s, end_s)
            )
        else:
            result = None if info else state
            made.append(
                Operation(name, number, "read", "k", None, "info" if info else "ok", result, start_s, end_s)
            )
    return sorted(made, key=attrgetter("start_s"))


def transactions(count: int, processes: int, keys: int, seed: int) -> History:
    """Each appends to a list and reads another, of a store that takes them one after the other; a key gets a
    new name after 100 elements, as a test that goes on for long has to do it."""
    rng = random.Random(seed)
    lists: dict[str, list[int]] = defaultdict(list)
    made = []
    for number in range(count):
        first, second = rng.sample(range(keys), 2)
        names = [f"{key}-{number // (100 * keys)}" for key in (first, second)]
        lists[names[0]].append(number)
        asked = [["append", names[0], number], ["r", names[1], None]]
        result = [asked[0], ["r", names[1], list(lists[names[1]])]]
        who = f"p{number % processes}"
        at_s = float(number)
        # it takes effect in the middle, while those of the other processes are under way too
        began_s, ended_s = at_s - rng.random() * processes / 2, at_s + rng.random() * processes / 2
        made.append(Operation(who, number // processes, "txn", None, asked, "ok", result, began_s, ended_s))
    return History(tuple(sorted(made, key=attrgetter("start_s"))))
