"""Tasks that workers take over from each other; what is made when it is first wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers.once import RunOnce
from invariants.machine import Machine, fresh, rule


@dataclass
class TasksRunOnce(Machine):
    name = "tasks_run_once"
    reason = "A task that two workers take pays twice; one that both leave to the other is never done."
    needs = "request, work, executions"

    @property
    def statement(self) -> str:
        return "Each task that was accepted is executed once."

    @property
    def checker(self) -> RunOnce:
        return RunOnce()

    @rule(weight=2, value=fresh())
    def request(self, client: Any, value: int) -> None:
        client.request(value)

    @rule(weight=2)
    def work(self, client: Any) -> bool:
        """Executes one task, its own or another worker's; whether there was one."""
        return bool(client.work())

    @rule(closing=True)
    def executions(self, client: Any) -> list[int]:
        """Executes what is left, and tells each task as often as it was executed."""
        return list(client.executions())


@dataclass
class InitialisedOnce(Machine):
    name = "initialised_once"
    reason = (
        "Two that find nothing there both make it: twice the work, and half the program uses the other one."
    )
    needs = "get, executions"

    @property
    def statement(self) -> str:
        return "What many want for the first time is made once, and all get that one."

    @property
    def checker(self) -> RunOnce:
        return RunOnce(same_result=True)

    @rule(value=st.sampled_from(["a", "b"]))
    def request(self, client: Any, value: str) -> Any:
        """What tells one instance from another."""
        return client.get(value)

    @rule(closing=True)
    def executions(self, client: Any) -> list[str]:
        """Each name as often as it was made."""
        return list(client.executions())
