"""What updates are based on: the read before each, and which of them cannot both have been accepted.

Two ways to tell, each certain however far clocks are off. By time: both had read before either of them wrote.
By what was read: both read, after it was surely there, the value that one update alone has set.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from invariants.history import Operation

CONFLICT = "conflict"
"""The error of an update that was refused because somebody else had changed what it was based on."""


@dataclass(frozen=True, slots=True)
class Based:
    """An update that was accepted, or refused for a conflict. found: what was read before, from_s: when that
    had been; until_s: when the write was sent. read: the operation that read it, if it is one of its own."""

    update: Operation
    found: Any
    from_s: float
    until_s: float
    read: tuple[Operation, ...] = ()


def based_on(operations: Sequence[Operation]) -> list[Based]:
    """Those of one key of which it is known what they are based on, in order of their reads."""
    return sorted(_based_on(operations), key=lambda based: based.from_s)


def _based_on(operations: Sequence[Operation]) -> Iterator[Based]:
    read: dict[str, Operation] = {}
    for op in sorted(operations, key=lambda op: op.number):
        if op.kind == "read" and op.happened:
            read[op.process] = op
        elif op.kind == "update":
            # What comes after it may be based on its answer.
            before, told = read.pop(op.process, None), op.result
            if op.happened and isinstance(told, dict) and {"read", "from_s", "until_s"} <= told.keys():
                yield Based(op, told["read"], float(told["from_s"]), float(told["until_s"]))
            elif before is not None and (op.happened or op.error == CONFLICT):
                yield Based(op, before.result, before.end_s, op.start_s, (before,))


def by_state(based: Sequence[Based], operations: Sequence[Operation]) -> Mapping[str, list[Based]]:
    """By the value that they read, where only one update has set it, and they read it when that was over."""
    makers: dict[str, list[Operation]] = defaultdict(list)
    for op in operations:
        if op.kind == "update" and op.maybe and op.value is not None:
            makers[repr(op.value)].append(op)
    states: dict[str, list[Based]] = defaultdict(list)
    for each in based:
        made = makers.get(repr(each.found), [])
        if each.read and len(made) == 1 and made[0].end_s < each.read[0].start_s:
            states[repr(each.found)].append(each)
    return states


def together_in_time(accepted: Sequence[Based]) -> Iterator[tuple[Based, Based]]:
    """accepted: in order of their reads. For each the next that had read before either of them wrote."""
    for place, based in enumerate(accepted):
        for other in accepted[place + 1 :]:
            if other.from_s >= based.until_s:
                break  # as all that follow
            if based.from_s < other.until_s:
                first, last = sorted([based, other], key=ended_s)
                yield first, last
                break


def together_in_state(accepted: Mapping[str, Sequence[Based]]) -> Iterator[tuple[Based, Based]]:
    for same in accepted.values():
        yield from pairwise(sorted(same, key=ended_s))


def would_be_found(based: Sequence[Based], states: Mapping[str, Sequence[Based]]) -> int:
    """How many were refused that would show something wrong if they had been accepted. based, states: with
    these."""
    accepted = [each for each in based if each.update.happened]
    starts_s = [each.from_s for each in accepted]
    latest_s = list(accumulate((each.until_s for each in accepted), max))
    taken = {state for state, same in states.items() if any(each.update.happened for each in same)}
    found = {_id(each) for state in taken for each in states[state] if not each.update.happened}
    for each in based:
        place = bisect_left(starts_s, each.until_s)
        if not each.update.happened and place and each.from_s < latest_s[place - 1]:
            found.add(_id(each))
    return len(found)


def ended_s(based: Based) -> float:
    return based.update.end_s


def _id(based: Based) -> tuple[str, int]:
    return based.update.process, based.update.number
