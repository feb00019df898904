"""The live view of a run: recent windows, is the target steady, what is shown while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from chaos_locust.conductor import View
from chaos_locust.events import Event, ProbeRead, Recording, RunStarted
from chaos_locust.judge.live import abort_met, baseline_state, climb_broken, steady_now
from chaos_locust.measure.histogram import Layout
from chaos_locust.measure.window import ARRIVALS, Window
from chaos_locust.plan.model import Plan

MEMORY_S = 900
"""The first and the last windows of so many seconds are kept in memory for live decisions: the baseline and
what is now. The journal keeps them all."""

PROVISIONAL_S = 2.0
"""A window is looked at so long after its end, when most of its requests have been answered."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a person sees while the run goes on, over the last five whole seconds."""

    offered_rps: float
    completed_rps: float
    p99_s: float | None
    error_rate: float | None
    sent: int
    failed: int


@dataclass(slots=True)
class Watch:
    """Folds window changes and answers live questions; a second is looked at once only."""

    plan: Plan
    layout: Layout
    header: RunStarted
    windows: dict[tuple[int, str], Window] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    sent: int = 0
    failed: int = 0
    _looked_at: int = -1
    _forget_at: int = 3 * MEMORY_S
    _steady_since: int | None = None
    _view: View = field(default_factory=View)

    def add(self, changes: Mapping[tuple[int, str], Window]) -> None:
        """Takes in additive changes, and forgets what is too old."""
        for key, change in changes.items():
            self.windows.setdefault(key, Window(self.layout)).add_window(change)
            if key[1] != ARRIVALS:
                self.sent += change.sent
                self.failed += change.failures + change.unanswered
        newest = max((second for second, _ in changes), default=0)
        if newest >= self._forget_at:
            self._forget_at = newest + MEMORY_S
            self.windows = {key: each for key, each in self.windows.items() if _is_kept(key[0], newest)}
            self.events = [e for e in self.events if not isinstance(e, ProbeRead) or _is_kept(e.t_s, newest)]

    def view(self, now_s: float, baseline_wanted: bool) -> View:
        """The state of the target as of `now_s`. baseline_wanted: see `Conductor.wants_baseline`."""
        second = int(now_s - PROVISIONAL_S)
        if second == self._looked_at or second < 0:
            return self._view
        self._looked_at = second
        recording = Recording(self.header, tuple(self.events), self.windows, complete=False)
        baseline = self._view.baseline
        if baseline_wanted:
            baseline, _ = baseline_state(self.plan, recording, second)
        steady = steady_now(self.plan, recording, second)
        if not steady:
            self._steady_since = None
        elif self._steady_since is None:
            self._steady_since = second
        self._view = View(
            steady=steady,
            steady_for_s=0.0 if self._steady_since is None else second - self._steady_since,
            baseline=baseline,
            abort=abort_met(self.plan, self.windows, second, self._probes())
            or self._climb_broken(recording, second),
        )
        return self._view

    def _probes(self) -> tuple[ProbeRead, ...]:
        return tuple(event for event in self.events if isinstance(event, ProbeRead))

    def _climb_broken(self, recording: Recording, second: int) -> str | None:
        """A stress load ends where an objective broke. Each step is looked at once, when it is over."""
        load = self.plan.load
        ended = {step.ends_s for step in load.steps if second - 1 < step.ends_s <= second} if load else None
        return climb_broken(self.plan, recording, second) if ended else None

    def figures(self, now_s: float) -> Figures:
        """Of the five seconds before the last two, which are still being answered."""
        until = int(now_s - PROVISIONAL_S)
        offered, answered, requests = 0, 0, Window(self.layout)
        for (second, name), window in self.windows.items():
            if until - 5 <= second < until:
                if name == ARRIVALS:
                    offered, answered = offered + window.offered, answered + window.ok
                else:
                    requests.add_window(window)
        failed = requests.failures + requests.unanswered
        done = requests.ok + failed
        return Figures(
            offered_rps=offered / 5,
            completed_rps=(answered if offered else requests.ok) / 5,
            p99_s=requests.response.quantile(0.99),
            error_rate=failed / done if done else None,
            sent=self.sent,
            failed=self.failed,
        )


def _is_kept(t_s: float, newest_s: float) -> bool:
    return t_s < MEMORY_S or t_s >= newest_s - MEMORY_S
