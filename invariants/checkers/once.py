"""Tasks and initialisations that must run once, however many ask for them and whoever takes them over."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from invariants.checkers.base import Checked, Violation
from invariants.history import History, Operation


@dataclass(frozen=True, slots=True)
class RunOnce:
    """`request` with a task as value, as often as one likes; `executions` at the end, when all that was
    accepted has had time to run, with the tasks as result, each as often as it ran.

    same_result: every request of one task has the same answer, that of its one execution.
    """

    same_result: bool = False

    @property
    def name(self) -> str:
        return "run-once"

    def check(self, history: History) -> Checked:
        asked: dict[str, list[Operation]] = defaultdict(list)
        for request in history.of("request"):
            asked[repr(request.value)].append(request)
        logs = [op for op in history.of("executions") if op.happened]
        violations = []
        for log in logs[-1:]:
            ran = Counter(map(repr, log.result))
            for task in sorted({*asked, *ran}):
                found = self._judge(task, ran[task], asked[task], log)
                violations += [] if found is None else [found]
        if self.same_result:
            violations += [found for task in asked.items() if (found := self._answers(*task))]
        accepted = sum(op.happened for ops in asked.values() for op in ops)
        doubt = "" if logs else "it was not told what was executed"
        if not accepted:
            doubt = "no request was accepted"
        return Checked(tuple(violations), doubt, {"requests": accepted, "tasks": len(asked)})

    def _judge(self, task: str, times: int, asked: list[Operation], log: Operation) -> Violation | None:
        before = [op for op in asked if op.start_s <= log.end_s]
        accepted = [op for op in before if op.happened and op.end_s < log.start_s]
        if times > 1:
            return self._of("twice", f"{task} was executed {times} times", before, log)
        if times and not any(op.maybe for op in before):
            return self._of("unasked", f"{task} was executed, which nobody asked for", before, log)
        if not times and accepted:
            return self._of("never", f"{task} was accepted and never executed", accepted, log)
        return None

    def _answers(self, task: str, asked: list[Operation]) -> Violation | None:
        first: dict[Any, Operation] = {}
        for request in asked:
            if request.happened:
                first.setdefault(repr(request.result), request)
        if len(first) < 2:
            return None
        shown = tuple(first.values())
        return Violation(self.name, f"{task} has {len(first)} different results", shown, "two instances")

    def _of(self, anomaly: str, title: str, asked: list[Operation], log: Operation) -> Violation:
        return Violation(self.name, title, (*asked[:4], log), anomaly)
