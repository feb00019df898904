"""What workers say while a run goes on, made into events and windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from locust.env import Environment
from locust.rpc import Message

from chaos_locust.events import HISTORY_TOPIC, Event, GeneratorSample, Note, StepSeen, WorkerEvent
from chaos_locust.locust_plugin.crew import Worker
from chaos_locust.locust_plugin.operations import Row
from chaos_locust.locust_plugin.roll_call import RollCall
from chaos_locust.measure.clock import ClockError
from chaos_locust.measure.histogram import Layout
from chaos_locust.measure.window import Window
from chaos_locust.plan.model import Plan


class Inbox:
    """Receives every message of a run's workers; answers to the roll call are passed on to it."""

    def __init__(
        self,
        roll: RollCall,
        plan: Plan,
        layout: Layout,
        on_event: Callable[[Event], None],
        on_windows: Callable[[Mapping[tuple[int, str], Window]], None],
        on_operations: Callable[[Sequence[Row], ClockError], None],
    ) -> None:
        self._roll = roll
        self._plan = plan
        self._layout = layout
        self._emit = on_event
        self._on_windows = on_windows
        self._on_operations = on_operations

    def receive(self, environment: Environment, msg: Message, **_: Any) -> None:
        """Listener of Locust's. What belongs to another run or comes from who was sent home is ignored."""
        worker, data = self._roll.crew.get(msg.node_id), msg.data
        if worker is None or data["run"] != self._roll.run or worker.state == "refused":
            return
        if worker.state == "lost":
            if not data.get("final"):
                self._roll.send(worker, {"say": "abandon"})  # only silent: what it did since counts as lost
            return
        if data["say"] == "users":
            self._on_users(worker, data["t_s"])
        elif data["say"] == "report":
            self._on_report(worker, data)
        self._roll.hear(worker, data)

    def _on_users(self, worker: Worker, t_s: float) -> None:
        load = self._plan.load
        step = load.step_at(t_s) if load is not None and load.workload == "closed" else None
        if step is not None:
            self._step_seen(worker, step.name, t_s)

    def _on_report(self, worker: Worker, data: Mapping[str, Any]) -> None:
        worker.covered_s, worker.in_flight = data["covered_s"], data["in_flight"]
        changes = worker.read_windows(data["windows"], self._layout)
        if changes:
            self._on_windows(changes)
        self._read_operations(worker, data["t_s"], *data["operations"])
        for step, seen_s in data["steps"]:
            self._step_seen(worker, step, seen_s)
        if data["sample"] is not None:
            self._emit(
                GeneratorSample(data["t_s"], worker.name, in_flight=worker.in_flight, **data["sample"])
            )
        if data["listener_failed"] and not worker.listener_failed:
            self._emit(WorkerEvent(data["t_s"], worker.name, "raised", "a listener or greenlet raised"))
        if data["exceptions"] and not worker.exceptions:
            self._emit(WorkerEvent(data["t_s"], worker.name, "raised", "a task raised"))
        worker.exceptions, worker.listener_failed = data["exceptions"], data["listener_failed"]
        if data["final"]:
            worker.state = "final"
            self._emit(WorkerEvent(data["t_s"], worker.name, "finished"))

    def _read_operations(self, worker: Worker, t_s: float, before: int, rows: Sequence[Row]) -> None:
        """In the order in which they ended there; what went missing on the way is told."""
        if before != worker.operations:
            missing = before - worker.operations
            self._emit(
                Note(t_s, HISTORY_TOPIC, f"{missing} operations of worker {worker.name} never arrived")
            )
        worker.operations = before + len(rows)
        if rows and worker.clock is not None:
            self._on_operations(rows, worker.clock)

    def _step_seen(self, worker: Worker, name: str, seen_s: float) -> None:
        assert self._plan.load is not None
        if name not in worker.steps_seen:
            worker.steps_seen.add(name)
            due_s = next(step.starts_s for step in self._plan.load.steps if step.name == name)
            self._emit(StepSeen(seen_s, name, due_s, seen_s, worker.name))
