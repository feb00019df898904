"""What an origin says it was asked, on a clock of its own: enough to tell calls that met each other."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from invariants.checkers.base import Checked, Violation
from invariants.history import Operation

Call = Mapping[str, Any]
"""{"key", "start_s", "end_s", "ok"}: when it was asked, when it answered (null: unknown), whether it did."""


def judge_log(name: str, lasts_s: float, log: Operation, gets: Sequence[Operation]) -> Checked:
    """name, lasts_s: as in `SingleFlight`. log: its result is a list of calls. gets: what clients wanted; of
    them only those are counted that had their answer before the log was asked for.

    Their clock is another one, so it cannot be told which of them wanted what was under way. But where more
    were served than calls were made, some had what was fetched for others.
    """
    of_key: dict[str, list[Call]] = defaultdict(list)
    for call in log.result:
        of_key[str(call["key"])].append(call)
    served: dict[str, list[Operation]] = defaultdict(list)
    for get in gets:
        if get.happened and get.end_s < log.start_s:
            served[str(get.key)].append(get)
    violations, shared = list[Violation](), 0
    for key, calls in sorted(of_key.items()):
        for before, after in itertools.pairwise(sorted(calls, key=lambda call: float(call["start_s"]))):
            if before["end_s"] is None or after["start_s"] >= _until_s(before, lasts_s):
                continue
            later_s = after["start_s"] - before["start_s"]
            title = (
                f"the origin was asked for {key} again {later_s:.3g} s later, while the answer was under way"
            )
            violations.append(Violation(name, f"{title} or good", (log,), "stampede"))
        if len(served[key]) > len(calls) and (lasts_s or _met(served[key])):
            shared += len(served[key]) - len(calls)
    doubt = ""
    if not of_key or not gets:
        doubt = "nothing was fetched from the origin"
    elif not shared and not violations:
        doubt = "none was served what had been fetched for another"
    seen = {"gets": len(gets), "origin calls": len(log.result), "served what was fetched for others": shared}
    return Checked(tuple(violations), doubt, seen)


def _until_s(call: Call, lasts_s: float) -> float:
    """To here from its start no other may be made."""
    end_s = float(call["end_s"])
    return max(end_s, float(call["start_s"]) + lasts_s) if call["ok"] else end_s


def _met(gets: Iterable[Operation]) -> bool:
    """Whether two of them were surely under way at one time, however far their clocks are off."""
    busy_s = float("-inf")
    for start_s, end_s in sorted((op.start_s + 2 * op.widened_s, op.end_s - 2 * op.widened_s) for op in gets):
        if start_s < min(busy_s, end_s):
            return True
        busy_s = max(busy_s, end_s)
    return False
