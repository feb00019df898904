"""One run, from its start to its end: wires load, conductor, guardian and journal."""

from __future__ import annotations

import logging
import platform
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import gevent
import locust
from gevent.event import Event as Signal
from locust import log as locust_log
from locust.env import Environment

from chaos_locust import __version__
from chaos_locust.conductor import Action, Conductor
from chaos_locust.errors import ChaosError
from chaos_locust.events import (
    EffectSeen,
    EndReason,
    Event,
    FaultEvent,
    Note,
    RunEnded,
    RunStarted,
    SteadyState,
    WorkerEvent,
)
from chaos_locust.journal import HISTORY_NAME, JOURNAL_NAME, Journal
from chaos_locust.judge.layout import plan_layout
from chaos_locust.judge.verdict import Verdict
from chaos_locust.leases.client import Guardian
from chaos_locust.locust_plugin.auditing import Auditing
from chaos_locust.locust_plugin.ending import UNDO_LIMIT_S, discard, judged, left_dirty, tell, undo
from chaos_locust.locust_plugin.history import HistoryFile
from chaos_locust.locust_plugin.master import LoadMaster
from chaos_locust.locust_plugin.messages import epoch_clock
from chaos_locust.locust_plugin.operations import Row
from chaos_locust.locust_plugin.probing import Probing
from chaos_locust.measure.clock import ClockError
from chaos_locust.measure.window import Window
from chaos_locust.plan.model import Plan
from chaos_locust.plan.probes import probes_of
from chaos_locust.watch import PROVISIONAL_S, Watch

logger = logging.getLogger("chaos_locust")


class ChaosRun:
    """A run is made anew each time the test starts, and has a folder, a journal and a verdict of its own.

    duration_s: of the load, inf when it is Locust's own and has no limit. on_figures: called about once
    a second with this run while it goes on. ended_s: when it was decided that the load ends.
    """

    def __init__(
        self,
        environment: Environment,
        plan: Plan,
        folder: Path,
        duration_s: float,
        on_figures: Callable[[ChaosRun], None],
    ) -> None:
        self.plan, self.folder = plan, folder
        self.run_id = f"{folder.name.replace('_', '-')}-{uuid4().hex[:6]}"
        self.duration_s = duration_s
        self.verdict: Verdict | None = None
        self.ended_s: float | None = None
        self.fault_states: dict[str, FaultEvent] = {}
        self.effects: dict[str, EffectSeen] = {}
        self.watch: Watch | None = None
        self._clock = epoch_clock()
        self._on_figures = on_figures
        self._layout = plan_layout(plan)
        self._journal = Journal(folder / JOURNAL_NAME, self._layout, lambda: self.now_s)
        self._history = HistoryFile(folder / HISTORY_NAME) if plan.invariants else None
        self._auditing = Auditing(plan.compliance, folder) if plan.compliance else None
        probes = probes_of(plan)
        self._probing = Probing(plan, probes, folder, self._on_event) if probes else None
        self._guardian = Guardian(self.run_id, plan, folder, self._on_guardian)
        sinks = self._on_event, self._on_windows, self._on_operations
        self._load = LoadMaster(environment, plan, self._layout, *sinks)
        self._conductor = Conductor(plan, duration_s)
        self._start_epoch_s: float | None = None
        self._early: list[Event] = []
        self._ending: tuple[EndReason, str] | None = None
        self._over = Signal()
        self._finished = Signal()
        self._finishing = False
        self._recovery: gevent.Greenlet[[float], bool] | None = None  # after the guardian was lost
        self._flag_before = bool(locust_log.unhandled_greenlet_exception)  # Locust never takes it back

    @property
    def now_s(self) -> float:
        """Seconds since the start instant; 0 as long as it is not agreed, negative just before it."""
        return 0.0 if self._start_epoch_s is None else self._clock() - self._start_epoch_s

    @property
    def active_faults(self) -> tuple[str, ...]:
        return self._conductor.active

    @property
    def all_faults_over(self) -> bool:
        return self._conductor.all_over

    # -- the run --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Starts the guardian and the load. Raises LeaseError or PreflightFailed; `finish` has to follow."""
        if self.plan.faults:
            self._guardian.start()
        if self._probing is not None:
            self._probing.open()
        self._start_epoch_s = self._load.begin()
        header = self._header(self._start_epoch_s)
        self._journal.write(header)
        self.watch = Watch(self.plan, self._layout, header)
        for event in self._early:
            self._on_event(event)
        if self.plan.faults:
            self._guardian.begin(self._start_epoch_s)
        if self._auditing is not None:
            self._auditing.begin(self._start_epoch_s)
        if self._probing is not None:
            self._probing.begin(self._start_epoch_s)

    def conduct(self) -> None:
        """Carries out the faults until the load's end or `interrupt`; `finish` has to follow."""
        second = -1
        while not self._over.is_set():
            now_s = self.now_s
            if now_s >= self.duration_s:
                self.interrupt("finished", "")
                break
            assert self.watch is not None
            view = self.watch.view(now_s, self._conductor.wants_baseline(now_s))
            for action in self._conductor.tick(now_s, view):
                self._carry_out(action)
            if int(now_s) != second:
                second = int(now_s)
                self._journal.write(SteadyState(max(0.0, now_s - PROVISIONAL_S), view.steady))
                self._on_figures(self)
            self._over.wait(max(0.0, min(self._conductor.next_due_s(now_s), self.duration_s) - self.now_s))

    def interrupt(self, reason: EndReason, detail: str) -> None:
        """Ends the load early; the first reason counts."""
        if self._ending is None:
            self._ending = (reason, detail)
            self.ended_s = min(self.now_s, self.duration_s)
        self._over.set()

    def finish(self) -> Verdict | None:
        """Undoes what still acts, drains the load, judges and reports. May be called from several places.

        None when the run never began.
        """
        if self._finishing:
            self._finished.wait()
            return self.verdict
        self._finishing = True
        try:
            self._end()
        finally:
            self._finished.set()
        return self.verdict

    def _carry_out(self, action: Action) -> None:
        if action.do == "end":
            assert action.reason is not None
            self.interrupt(action.reason, action.detail)
        elif action.do == "skip":
            self._on_event(FaultEvent(self.now_s, action.fault, "skipped", action.detail))
        elif self._recovery is not None:
            return  # the guardian died with all that it knew: another one undoes every lease of this run
        elif action.do == "observe":
            self._guardian.observe(action.fault)
        elif action.do == "inject":
            self._on_event(FaultEvent(self.now_s, action.fault, "due"))
            self._guardian.inject(action.fault, action.lease_s)
        elif action.do == "revert":
            self._guardian.revert(action.fault)

    # -- what is reported to us -----------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if self.watch is None:
            self._early.append(event)
            return
        if isinstance(event, FaultEvent):
            self.fault_states[event.fault] = event
            self._conductor.note(event)
        elif isinstance(event, EffectSeen):
            self.effects[event.fault] = event
        self.watch.events.append(event)
        self._write(partial(self._journal.write, event))
        if isinstance(event, WorkerEvent) and event.state == "lost" and not self._load.workers_alive:
            self.interrupt("workers_lost", "the last worker was lost")

    def _on_windows(self, changes: Mapping[tuple[int, str], Window]) -> None:
        if self.watch is None:
            raise ChaosError("a window came before the run's start")
        self.watch.add(changes)
        for (second, name), change in changes.items():
            self._write(partial(self._journal.write_window, second, name, change))

    def _on_operations(self, rows: Sequence[Row], clock: ClockError) -> None:
        if self._history is not None:
            self._write(partial(self._history.add, rows, clock))

    def _write(self, write: Callable[[], None]) -> None:
        try:
            write()
        except ChaosError as error:  # a full disk must not leave faults behind: the run ends at once
            if self._ending is None:
                logger.error("%s", error)
            self.interrupt("crashed", str(error))

    def _on_guardian(self, message: Mapping[str, Any]) -> None:
        name = message["event"]
        t_s = float(message.get("epoch_s", time.time())) - (self._start_epoch_s or time.time())
        if name == "guardian_lost":
            self._recovery = gevent.spawn(self._guardian.recover, UNDO_LIMIT_S)
            self._on_event(
                Note(t_s, "guardian", "the guardian died; the run ends and a new one undoes its faults")
            )
            self.interrupt("guardian_lost", "the guardian process died")
        elif name == "effect":
            self._on_event(
                EffectSeen(t_s, message["fault"], message["mechanism"], message["use"], message["detail"])
            )
        elif name == "note":
            self._on_event(Note(t_s, "guardian", message["detail"]))
        else:
            self._on_event(FaultEvent(t_s, message["fault"], name, message.get("detail", "")))

    # -- the end --------------------------------------------------------------------------------------

    def _end(self) -> None:
        began = self.watch is not None
        reason, detail = self._ending or ("interrupted", "stopped")
        self.interrupt(reason, detail)
        for action in self._conductor.finish():
            self._carry_out(action)
        self._load.stop_load()
        if self._auditing is not None:
            self._auditing.stop()
        if self.plan.faults:
            undo(self._guardian, self._recovery)
            for event in left_dirty(self.plan, self.fault_states, self.now_s):
                self._on_event(event)
        if self._auditing is not None:
            self._auditing.join()
        if self._probing is not None:
            self._probing.end()
        if not began:
            self._journal.close()
            discard(self.folder)
            return
        if self._history is not None:
            self._write(self._history.close)
        self._on_event(self._ended(*(self._ending or (reason, detail))))
        self._journal.close()
        self.verdict, recording = judged(self.plan, self.folder)
        tell(self.folder, self.verdict, recording)

    def _header(self, start_epoch_s: float) -> RunStarted:
        return RunStarted(
            t_s=0.0,
            run_id=self.run_id,
            started_epoch_s=start_epoch_s,
            plan=self.plan.to_json(),
            seed=self.plan.seed,
            command=_command(sys.argv),
            versions={
                "chaos-locust": __version__,
                "locust": locust.__version__,
                "python": platform.python_version(),
            },
            workers_expected=len(self._load.workers),
        )

    def _ended(self, reason: EndReason, detail: str) -> RunEnded:
        here = bool(locust_log.unhandled_greenlet_exception) and not self._flag_before
        return RunEnded(
            self.now_s,
            reason,
            detail,
            locust_exceptions=self._load.exceptions,
            listener_failed=here or self._load.listener_failed,
        )


def _command(argv: list[str]) -> str:
    """What a person types to run it again."""
    ours = Path(__file__).parent
    if "--chaos-plan" in argv and any(str(ours) in argument for argument in argv):  # by `chaos-locust run`
        return shlex.join(["chaos-locust", "run", argv[argv.index("--chaos-plan") + 1]])
    return shlex.join(["locust", *argv[1:]])
