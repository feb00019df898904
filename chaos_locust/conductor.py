"""Decides what is done when. `tick(now, view)` returns the actions that are due; never sleeps, does no I/O.

An executor carries the actions out (in a run: the guardian process, with a deadline for each) and reports
what happened by `note`. So a plan can be rehearsed with a fake clock: see `chaos_locust.testing`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from chaos_locust.events import EndReason, FaultEvent, FaultState
from chaos_locust.faults.base import Fault
from chaos_locust.judge.verdict import Outcome
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
    """Where one fault stands."""

    fault: Fault
    onset_s: float | None
    observing: bool = False
    injected_s: float | None = None
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
        for state in self._faults.values():
            actions += self._fault_actions(state, now_s, view)
            if self.ended:
                return actions
        return actions

    def note(self, event: FaultEvent) -> None:
        """Takes in what the executor says of a fault."""
        state = self._faults.get(event.fault)
        if state is not None and state.state not in _OVER:
            state.state = event.state

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
        waiting = [s.onset_s for s in self._faults.values() if s.injected_s is None and s.state not in _OVER]
        soon = any(onset_s is None or onset_s - now_s < BASELINE_AHEAD_S for onset_s in waiting)
        return soon and not self._any_injected

    @property
    def active(self) -> tuple[str, ...]:
        """Names of the faults that act now."""
        return tuple(name for name, state in self._faults.items() if state.active)

    @property
    def all_over(self) -> bool:
        """Nothing is left to inject or to revert."""
        return not any(state.open for state in self._faults.values())

    def finish(self, why: str = "the run ended before it was due") -> list[Action]:
        """The load is over or the run is interrupted: what was not injected is skipped, the rest reverted."""
        self.ended = True
        actions = []
        for name, state in self._faults.items():
            if state.injected_s is None and state.state not in _OVER:
                state.state = "skipped"
                actions.append(Action("skip", name, why))
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
        if not state.observing and (state.onset_s is None or now_s >= state.onset_s - OBSERVE_AHEAD_S):
            state.observing = True
            actions.append(Action("observe", fault.name))
        if not self._is_due(state, now_s, view):
            return actions
        if view.baseline is Outcome.DEVIATED and not self._any_injected:
            return actions + self._end("baseline_deviated", "the baseline deviated, so nothing was injected")
        others = [name for name in self.active if name != fault.name]
        if not others and view.steady is False:
            state.state = "skipped"
            return [*actions, Action("skip", fault.name, "the target was not steady when it was due")]
        state.injected_s = state.onset_s
        lease_s = (fault.duration_s or 0.0) + LEASE_MARGIN_S
        return [*actions, Action("inject", fault.name, lease_s=lease_s)]

    def _is_due(self, state: _State, now_s: float, view: View) -> bool:
        if state.onset_s is not None:
            return now_s >= state.onset_s
        assert state.fault.when is not None
        fits = now_s + (state.fault.duration_s or 0.0) <= self.duration_s
        long_enough = view.steady_for_s >= state.fault.when.steady_for_s
        if fits and view.steady and view.baseline is not None and long_enough:
            state.onset_s = now_s
            return True
        return False

    @property
    def _any_injected(self) -> bool:
        return any(state.injected_s is not None for state in self._faults.values())

    def _end(self, reason: EndReason, detail: str) -> list[Action]:
        return [*self.finish(detail), Action("end", reason=reason, detail=detail)]
