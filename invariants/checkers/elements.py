"""Sets: an element that was acknowledged stays; how long until it is seen.

The `set-full` of Jepsen.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from invariants.checkers.base import Checked, Violation
from invariants.history import History, Operation


@dataclass(frozen=True, slots=True)
class SetFull:
    """`add` with an element as value, each once; `read` with all elements as result.

    stale_s: an acknowledged element has to be in every read that starts so long after, 0 for at once.
    """

    stale_s: float = 0.0

    @property
    def name(self) -> str:
        return "set-full"

    def check(self, history: History) -> Checked:
        reads = [(op, frozenset(map(repr, op.result or ()))) for op in history.of("read") if op.happened]
        starts = [op.start_s for op, _ in reads]
        adds = {repr(op.value): op for op in history.of("add")}
        violations, unseen = [], 0
        for element, adding in adds.items():
            if adding.outcome == "ok":
                violations += self._missing(element, adding, reads, starts)
                unseen += not any(read.start_s > adding.end_s + self.stale_s for read, _ in reads[-1:])
        for read, elements in reads:
            for element in sorted(elements):
                asked = adds.get(element)
                if asked is None or asked.outcome == "fail" or asked.start_s > read.end_s:
                    why = "nobody added" if asked is None else "had not been added"
                    shown = (*([asked] if asked else []), read)
                    violations.append(
                        Violation(self.name, f"{element} was read, which {why}", shown, "phantom")
                    )
        doubt = ""
        if not violations and unseen:
            doubt = f"no read came after {unseen} of {len(adds)} elements were acknowledged"
        if not any(adding.happened for adding in adds.values()):
            doubt = "nothing was added"
        return Checked(tuple(violations), doubt, {"adds": len(adds), "reads": len(reads)})

    def _missing(
        self,
        element: str,
        adding: Operation,
        reads: Sequence[tuple[Operation, frozenset[str]]],
        starts: Sequence[float],
    ) -> list[Violation]:
        later = reads[bisect_right(starts, adding.end_s + self.stale_s) :]
        without = [read for read, elements in later if element not in elements]
        if not without:
            return []
        if element not in later[-1][1]:
            return [self._of("lost", f"{element} was acknowledged and is gone", adding, without[-1])]
        return [self._of("stale", f"{element} was acknowledged and not yet seen", adding, without[-1])]

    def _of(self, anomaly: str, title: str, *operations: Operation) -> Violation:
        return Violation(self.name, title, operations, anomaly)
