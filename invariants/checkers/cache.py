"""Caches: nothing older than allowed is served after a write, and one miss makes one call to the origin."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from invariants.checkers.base import Checked, Violation
from invariants.checkers.origin_log import judge_log
from invariants.history import History, Operation


@dataclass(frozen=True, slots=True)
class CacheConsistency:
    """`write` and `read` of a key. stale_s: so long after an acknowledged write an older value may be read.

    A read is wrong when its value was overwritten by a write that was acknowledged stale_s before the read
    began, and no other write of that value may have come later.
    """

    stale_s: float = 0.0

    @property
    def name(self) -> str:
        return "cache-consistency"

    def check(self, history: History) -> Checked:
        violations, reads, writes = list[Violation](), 0, 0
        for operations in history.by_key().values():
            written = [op for op in operations if op.kind == "write" and op.maybe]
            read = [op for op in operations if op.kind == "read" and op.happened]
            reads, writes = reads + len(read), writes + len(written)
            violations += [violation for op in read if (violation := self._judge(op, written))]
        doubt = "" if reads and writes else "no value was both written and read"
        return Checked(tuple(violations), doubt, {"reads": reads, "writes": writes})

    def _judge(self, read: Operation, written: Sequence[Operation]) -> Violation | None:
        """A value that nobody wrote is what was there before, or a default: older than all writes."""
        sources = [op for op in written if op.value == read.result and op.start_s <= read.end_s]
        ended_s = max((op.end_s for op in sources), default=-math.inf)
        # Surely overwritten: by a write that began after every write of this value had ended.
        over = [
            op
            for op in written
            if op.happened and op.start_s > ended_s and op.end_s + self.stale_s < read.start_s
        ]
        if not over:
            return None
        age_s = read.start_s - min(op.end_s for op in over)
        title = (
            f"a value was served {age_s:.3g} s after it was overwritten ({self.stale_s:g} s allowed): {read}"
        )
        return Violation(self.name, title, (*sources[-1:], over[0], read), "stale read")


@dataclass(frozen=True, slots=True)
class SingleFlight:
    """`get` of a key by clients, `origin` of a key: the calls that the origin got, as it logged them. Without
    these: `origin_calls`, of which the last has that log as result, with times on any clock of its own; see
    `invariants.checkers.origin_log`.

    lasts_s: how long what was fetched is good for; one key may be fetched once in that time, and only one
    call may be under way.
    """

    lasts_s: float = 0.0

    @property
    def name(self) -> str:
        return "single-flight"

    def check(self, history: History) -> Checked:
        violations, told = list[Violation](), 0
        calls, gets = history.of("origin"), history.of("get")
        logs = [op for op in history.of("origin_calls") if op.happened]
        if logs and not calls:
            return judge_log(self.name, self.lasts_s, logs[-1], gets)
        for key in sorted({call.key for call in calls}, key=str):
            operations = [call for call in calls if call.key == key]
            wanted = [get for get in gets if get.key == key]
            for before, after in itertools.pairwise(operations):
                if after.start_s < self._until_s(before):
                    title = f"the origin was asked for {key} again while the answer was under way or good"
                    violations.append(Violation(self.name, title, (before, after), "stampede"))
            told += sum(self._wanted_again(call, wanted) for call in operations)
        doubt = ""
        if not calls or not gets:
            doubt = "nothing was fetched from the origin"
        elif not told and not violations:
            doubt = "nothing was wanted by two while the answer was under way or good"
        seen = {"gets": len(gets), "origin calls": len(calls), "wanted again": told}
        return Checked(tuple(violations), doubt, seen)

    def _until_s(self, call: Operation) -> float:
        """From its start to here no other call may start."""
        return max(call.end_s, call.start_s + self.lasts_s) if call.happened else call.end_s

    def _wanted_again(self, call: Operation, gets: Sequence[Operation]) -> bool:
        """One get makes the call; another one could have made one more."""
        during = [get for get in gets if get.start_s < self._until_s(call) and get.end_s > call.start_s]
        return len(during) > 1
