"""Decides what is done when. `tick(now, view)` returns the actions that are due; never sleeps, does no I/O.

An executor carries the actions out (in a run: the guardian process, with a deadline for each) and reports
what happened by `note`. So a plan can be rehearsed with a fake clock: see `chaos_locust.testing`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from chaos_locust.events import EndReason, FaultEvent, FaultState
from chaos_locust.faults.base import Fault
from chaos_locust.faults.conditions import When
from chaos_locust.judge.verdict import Outcome
from chaos_locust.plan.expected import HOLD_S, RECOVERY_SEEN_S
from chaos_locust.plan.model import Plan

OBSERVE_AHEAD_S = 10.0
"""How long before its onset a fault's link or process is watched, so that a use of it can be proved."""

LEASE_MARGIN_S = 15.0
"""A lease runs out this long after the fault should have ended."""

BASELINE_AHEAD_S = 3.0
"""How long before the first onset the baseline is judged, again each second: it is costly when it is long."""

MAX_WAIT_S = 0.05
"""The conductor wakes at least so often, for conditions have no due time."""

_OVER: frozenset[FaultState] = frozenset({"reverted", "failed", "skipped", "dirty"})


@dataclass(frozen=True, slots=True)
class View:
    """What is known of the target at this moment. None: not known (yet).

    steady_for_s: how long the target has been steady without a break. baseline: the outcome of the
    baseline's objectives so far. abort: the text of an abort condition that is met.
    """

    steady: bool | None = None
    steady_for_s: float = 0.0
    baseline: Outcome | None = None
    abort: str | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """observe, inject, revert, skip: of `fault`. end: the run ends early because of `reason`."""

    do: Literal["observe", "inject", "revert", "skip", "end"]
    fault: str = ""
    detail: str = ""
    lease_s: float = 0.0
    reason: EndReason | None = None


@dataclass(slots=True)
class _State:
    """Where one fault stands. active_s, over_s: when it was confirmed to act and to be undone."""

    fault: Fault
    onset_s: float | None
    observing: bool = False
    injected_s: float | None = None
    active_s: float | None = None
    over_s: float | None = None
    revert_asked: bool = False
    state: FaultState | None = None

    @property
    def active(self) -> bool:
        return self.injected_s is not None and self.state not in _OVER and not self.fault.instant

    @property
    def open(self) -> bool:
        """It still has to be injected or reverted."""
        return (
            self.state not in _OVER
            if not self.fault.instant
            else self.injected_s is None and self.state not in _OVER
        )


@dataclass(slots=True)
class Conductor:
    """Holds the state of every fault of one run. `plan.faults` need not be in order of time."""

    plan: Plan
    duration_s: float
    ended: bool = False
    _faults: dict[str, _State] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._faults = {f.name: _State(f, f.at_s) for f in self.plan.faults}

    def tick(self, now_s: float, view: View) -> list[Action]:
        """What is due at `now_s` seconds of the run, however late. Each action is returned once."""
        if self.ended:
            return []
        if view.abort is not None:
            return self._end("aborted", view.abort)
        actions: list[Action] = []
        # at the same instant, what ends makes room for what begins
        for state in sorted(self._faults.values(), key=lambda state: state.injected_s is None):
            actions += self._fault_actions(state, now_s, view)
            if self.ended:
                return actions
        return actions

    def note(self, event: FaultEvent) -> None:
        """Takes in what the executor says of a fault."""
        state = self._faults.get(event.fault)
        if state is None or state.state in _OVER:
            return
        state.state = event.state
        if event.state == "active":
            state.active_s = event.t_s
        if event.state == ("active" if state.fault.instant else "reverted"):
            state.over_s = event.t_s

    def next_due_s(self, now_s: float) -> float:
        """When to wake again: at the next due moment, at most MAX_WAIT_S from now."""
        moments = [now_s + MAX_WAIT_S]
        for state in self._faults.values():
            due = self._due(state)
            if due is not None and due > now_s:
                moments.append(due)
        return min(moments)

    def wants_baseline(self, now_s: float) -> bool:
        """Whether the baseline's outcome may soon decide if the first fault is injected."""
        waiting = [s for s in self._faults.values() if s.injected_s is None and s.state not in _OVER]
        soon = any(
            state.onset_s - now_s < BASELINE_AHEAD_S
            if state.onset_s is not None
            else state.fault.when is not None and state.fault.when.fault is None
            for state in waiting
        )
        return soon and not self._any_injected

    @property
    def active(self) -> tuple[str, ...]:
        """Names of the faults that act now."""
        return tuple(name for name, state in self._faults.items() if state.active)

    @property
    def all_over(self) -> bool:
        """Nothing is left to inject or to revert."""
        return not any(state.open for state in self._faults.values())

    def finish(self, why: str = "") -> list[Action]:
        """The load is over or the run is interrupted: what was not injected is skipped, the rest reverted."""
        self.ended = True
        actions = []
        for name, state in self._faults.items():
            if state.injected_s is None and state.state not in _OVER:
                actions.append(self._skip(state, why or _never_due(state.fault)))
            elif state.active and not state.revert_asked:
                state.revert_asked = True
                actions.append(Action("revert", name))
        return actions

    def _due(self, state: _State) -> float | None:
        if state.state in _OVER:
            return None
        if state.injected_s is None:
            return state.onset_s
        if state.fault.duration_s is None or state.revert_asked:
            return None
        return state.injected_s + state.fault.duration_s

    def _fault_actions(self, state: _State, now_s: float, view: View) -> list[Action]:
        if state.state in _OVER:
            return []
        if state.injected_s is None:
            return self._before_onset(state, now_s, view)
        due = self._due(state)
        if due is not None and now_s >= due:
            state.revert_asked = True
            return [Action("revert", state.fault.name)]
        return []

    def _before_onset(self, state: _State, now_s: float, view: View) -> list[Action]:
        fault, actions = state.fault, []
        if not state.observing and self._is_near(state, now_s):
            state.observing = True
            actions.append(Action("observe", fault.name))
        if (reason := self._hopeless(state, now_s)) is not None:
            return [*actions, self._skip(state, reason)]
        if not self._is_due(state, now_s, view):
            return actions
        if view.baseline is Outcome.DEVIATED and not self._any_injected:
            return actions + self._end("baseline_deviated", "the baseline deviated, so nothing was injected")
        if view.steady is False and not self._comes_anyway(fault):
            return [*actions, self._skip(state, "the target was not steady when it was due")]
        state.injected_s = state.onset_s
        lease_s = (fault.duration_s or 0.0) + LEASE_MARGIN_S
        return [*actions, Action("inject", fault.name, lease_s=lease_s)]

    def _is_near(self, state: _State, now_s: float) -> bool:
        """Whether it may come within OBSERVE_AHEAD_S; one that waits for a fault: when that one may."""
        if state.onset_s is not None:
            return now_s >= state.onset_s - OBSERVE_AHEAD_S
        other = self._waits_for(state)
        return other is None or other.observing

    def _is_due(self, state: _State, now_s: float, view: View) -> bool:
        if state.onset_s is not None:
            return now_s >= state.onset_s
        when = state.fault.when
        assert when is not None
        if self._fits(state, now_s) and self._is_met(when, self._waits_for(state), now_s, view):
            state.onset_s = now_s
            return True
        return False

    def _is_met(self, when: When, other: _State | None, now_s: float, view: View) -> bool:
        if other is None:
            return bool(view.steady) and view.baseline is not None and view.steady_for_s >= when.for_s
        if when.state == "active":
            return other.active_s is not None and now_s - other.active_s >= when.for_s
        if other.over_s is None:
            return False
        if when.state == "over":
            return now_s - other.over_s >= when.for_s
        # so long after it no window among the steady ones is of the fault's own time
        seen = now_s - other.over_s >= RECOVERY_SEEN_S
        return seen and bool(view.steady) and view.steady_for_s >= HOLD_S

    def _hopeless(self, state: _State, now_s: float) -> str | None:
        """Why a condition can no longer come, where it waits for another fault."""
        other = self._waits_for(state)
        if other is None or state.onset_s is not None:
            return None
        when, name = state.fault.when, other.fault.name
        assert when is not None
        if other.state in ("skipped", "failed"):
            return f"it waits for {name}, which was not injected"
        if other.state == "dirty":
            return f"it waits for {name}, which could not be undone"
        if when.state == "active" and other.over_s is not None and not other.fault.instant:
            return f"{name} was over before its condition came: {when}"
        if not self._fits(state, now_s):
            return f"too little of the load was left before its condition came: {when}"
        return None

    def _fits(self, state: _State, now_s: float) -> bool:
        return now_s + (state.fault.duration_s or 0.0) <= self.duration_s

    def _waits_for(self, state: _State) -> _State | None:
        when = state.fault.when
        return self._faults[when.fault] if when is not None and when.fault is not None else None

    def _comes_anyway(self, fault: Fault) -> bool:
        """An unsteady target is expected while a fault acts, and by a fault that follows another one."""
        follows = fault.when is not None and fault.when.state in ("active", "over")
        return fault.anyway or follows or any(name != fault.name for name in self.active)

    def _skip(self, state: _State, why: str) -> Action:
        state.state = "skipped"
        return Action("skip", state.fault.name, why)

    @property
    def _any_injected(self) -> bool:
        return any(state.injected_s is not None for state in self._faults.values())

    def _end(self, reason: EndReason, detail: str) -> list[Action]:
        return [*self.finish(detail), Action("end", reason=reason, detail=detail)]


def _never_due(fault: Fault) -> str:
    if fault.when is None:
        return "the run ended before it was due"
    return f"the run ended before its condition came: {fault.when}"
