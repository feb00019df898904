"""What you need to test a plan of your own, without a server, a proxy or a second of waiting.

    from chaos_locust.testing import Answer, run_plan

    def shop(t_s: float, faults: tuple[str, ...]) -> Answer:
        return Answer(latency_s=0.02 if "slow-db" not in faults else 0.22)

    verdict = run_plan(plan, shop)
    assert verdict.exit_code == 0

Conductor, windows and judge are those of a real run; target, backend and clock are in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from chaos_locust.conductor import MAX_WAIT_S, Action, Conductor
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.events import (
    EffectSeen,
    EndReason,
    Event,
    FaultEvent,
    LoadStopped,
    Recording,
    RunEnded,
    RunStarted,
    WorkerEvent,
)
from chaos_locust.faults.base import Fault
from chaos_locust.judge.judge import judge
from chaos_locust.judge.layout import plan_layout
from chaos_locust.judge.verdict import Verdict
from chaos_locust.measure.window import ARRIVALS, Window
from chaos_locust.plan.model import Plan
from chaos_locust.plan.schedule import Schedule
from chaos_locust.watch import Watch


@dataclass(slots=True)
class FakeClock:
    """A clock that goes only when told to. Call it for the time in seconds."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Moves on. ValueError: backwards."""
        if seconds < 0:
            raise ValueError(f"a clock does not go back ({seconds} s)")
        self.now_s += seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """What the target does with one request. error: its kind, such as `HTTP 503`; None is success."""

    latency_s: float
    error: str | None = None


@dataclass(slots=True)
class MemoryBackend:
    """Faults that act in memory only. delay_s: between asking and acting. Unseen faults have no effect."""

    delay_s: float = 0.0
    unseen: frozenset[str] = frozenset()
    active: dict[str, float] = field(default_factory=dict)

    def inject(self, fault: Fault, now_s: float) -> list[Event]:
        """Says what the guardian would say."""
        if not fault.instant:
            self.active[fault.name] = now_s + self.delay_s
        seen = fault.name not in self.unseen
        return [
            FaultEvent(now_s, fault.name, "asked"),
            FaultEvent(now_s + self.delay_s, fault.name, "active"),
            EffectSeen(now_s + self.delay_s, fault.name, seen, seen, "in memory"),
        ]

    def revert(self, fault: Fault, now_s: float) -> list[Event]:
        self.active.pop(fault.name, None)
        return [
            FaultEvent(now_s, fault.name, "revert_asked"),
            FaultEvent(now_s + self.delay_s, fault.name, "reverted"),
        ]

    def acting(self, now_s: float) -> tuple[str, ...]:
        """Names of the faults that act at `now_s`."""
        return tuple(name for name, since_s in self.active.items() if since_s <= now_s)


Target = Callable[[float, tuple[str, ...]], Answer]


def run_plan(
    plan: Plan, target: Target, backend: MemoryBackend | None = None, name: str = "GET /"
) -> Verdict:
    """Rehearses `plan` against `target(due_s, names of the faults that act)`, and judges it.

    Every arrival is one request called `name`. Raises InvalidPlan for a plan without an open workload.
    """
    return _Rehearsal(plan, target, backend or MemoryBackend(), name).run()


class _Rehearsal:
    def __init__(self, plan: Plan, target: Target, backend: MemoryBackend, name: str) -> None:
        if plan.load is None or plan.load.workload != "open":
            raise InvalidPlan([Problem("load", "a rehearsal needs a load with rates, such as rate: 50/s")])
        self._plan, self._load, self._target, self._backend, self._name = (
            plan,
            plan.load,
            target,
            backend,
            name,
        )
        self._layout = plan_layout(plan)
        self._clock = FakeClock()
        self._conductor = Conductor(plan, plan.load.duration_s)
        self._header = RunStarted(0.0, "rehearsal", 0.0, plan.to_json(), plan.seed, "run_plan", {}, 1)
        self._watch = Watch(plan, self._layout, self._header)
        self._events: list[Event] = [self._header, WorkerEvent(0.0, "local", "joined")]
        self._windows: dict[tuple[int, str], Window] = {}
        self._ended: tuple[EndReason, str] = ("finished", "")

    def run(self) -> Verdict:
        schedule = Schedule(self._load, self._plan.seed)
        while self._clock() < self._load.duration_s and not self._conductor.ended:
            view = self._watch.view(self._clock(), self._conductor.wants_baseline(self._clock()))
            for action in self._conductor.tick(self._clock(), view):
                self._carry_out(action)
            until_s = min(self._clock() + MAX_WAIT_S, self._load.duration_s)
            for _, due_s in schedule.due_times(self._clock(), until_s):
                self._arrive(due_s)
            self._clock.advance(until_s - self._clock())
        for action in self._conductor.finish():
            self._carry_out(action)
        now_s = self._clock()
        self._events += [
            LoadStopped(now_s, now_s),
            WorkerEvent(now_s, "local", "finished"),
            RunEnded(now_s, *self._ended),
        ]
        ordered = tuple(sorted(self._events, key=lambda event: event.t_s))
        return judge(self._plan, Recording(self._header, ordered, self._windows))

    def _carry_out(self, action: Action) -> None:
        now_s, said = self._clock(), list[Event]()
        if action.do == "end":
            assert action.reason is not None
            self._ended = (action.reason, action.detail)
        elif action.do == "skip":
            said = [FaultEvent(now_s, action.fault, "skipped", action.detail)]
        elif action.do == "inject":
            said = self._backend.inject(self._plan.fault(action.fault), now_s)
        elif action.do == "revert":
            said = self._backend.revert(self._plan.fault(action.fault), now_s)
        self._events += said
        self._watch.events += said
        for event in said:
            if isinstance(event, FaultEvent):
                self._conductor.note(event)

    def _arrive(self, due_s: float) -> None:
        answer = self._target(due_s, self._backend.acting(due_s))
        changes = {(int(due_s), name): Window(self._layout) for name in (self._name, ARRIVALS)}
        changes[int(due_s), ARRIVALS].offer(due_s)
        for key, window in changes.items():
            window.send(due_s)
            window.answer(due_s, 0, round(answer.latency_s * 1e9), answer.error)
            self._windows.setdefault(key, Window(self._layout)).add_window(window)
        self._watch.add(changes)
