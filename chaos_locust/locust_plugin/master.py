"""The part of the load that lives in the master or in the local process: starts, watches and ends it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import gevent
from gevent import Greenlet, getcurrent
from gevent.event import Event as Signal
from locust.env import Environment
from locust.runners import MasterRunner, Runner

from chaos_locust.errors import ChaosError, PreflightFailed, Problem
from chaos_locust.events import ClockOffset, Event, LoadStopped, SharesChanged, WorkerEvent
from chaos_locust.locust_plugin.crew import Worker
from chaos_locust.locust_plugin.inbox import Inbox
from chaos_locust.locust_plugin.messages import TO_MASTER, TO_WORKER, Clock, epoch_clock
from chaos_locust.locust_plugin.operations import Row
from chaos_locust.locust_plugin.roll_call import LOCAL, LOOK_S, RollCall
from chaos_locust.locust_plugin.shapes import user_changes
from chaos_locust.locust_plugin.shares import part
from chaos_locust.locust_plugin.users import first_users
from chaos_locust.locust_plugin.worker import LoadWorker
from chaos_locust.measure.clock import ClockError
from chaos_locust.measure.histogram import Layout
from chaos_locust.measure.window import Window
from chaos_locust.plan.model import Plan
from chaos_locust.plan.schedule import Schedule

LEAD_S = {False: 1.0, True: 2.0}
"""The start instant is so far ahead, locally and distributed: the first users are made meanwhile."""
SHARES_LEAD_S = 1.0
SILENT_S = 3.0
"""A worker that has sent nothing for so long is lost. Reports come every half second; Locust itself needs
4 to 5 s to call a worker missing."""
FINAL_LIMIT_S = 5.0
DRIFT = 500e-6
"""So much at most two clocks move apart: the fastest that a clock is slewed by NTP."""
SPAWN_RATE = 10_000


class LoadMaster:
    """The load of one run; made anew for each.

    on_event: WorkerEvent, ClockOffset, SharesChanged, StepSeen, GeneratorSample, LoadStopped.
    on_windows: additive changes by (due second, name), as they come. on_operations: those of one worker, with
    the error of its clock. All are called from `begin` on.
    """

    def __init__(
        self,
        environment: Environment,
        plan: Plan,
        layout: Layout,
        on_event: Callable[[Event], None],
        on_windows: Callable[[Mapping[tuple[int, str], Window]], None],
        on_operations: Callable[[Sequence[Row], ClockError], None],
        clock: Clock | None = None,
    ) -> None:
        assert environment.runner is not None
        self._environment = environment
        self._runner: Runner = environment.runner
        self._plan = plan
        self._layout = layout
        self._emit = on_event
        self._on_windows = on_windows
        self._on_operations = on_operations
        self._clock = clock or epoch_clock()
        self._roll = RollCall(self._runner, plan, self._clock, self._on_sent_home)
        self._start_epoch_s: float | None = None
        self._stop_at_s: float | None = None
        self._stopped = Signal()
        self._greenlets: list[Greenlet[..., Any]] = []
        self._starting: Greenlet[..., Any] | None = None
        self._users_wanted = 0
        self._restore = ExitStack()
        self._schedule: Schedule | None = None
        if plan.load is not None and plan.load.workload == "open":
            self._schedule = Schedule(plan.load, plan.seed)

    # -- what others may ask ------------------------------------------------------------------------

    @property
    def workers(self) -> tuple[str, ...]:
        """Names of the workers that take part, or took part until they were lost."""
        return tuple(worker.name for worker in self._roll.of_state("active", "final", "lost"))

    @property
    def workers_alive(self) -> int:
        return len(self._roll.of_state("active", "final"))

    @property
    def exceptions(self) -> int:
        """Tasks that raised, on all workers."""
        return sum(worker.exceptions for worker in self._roll.crew.values())

    @property
    def listener_failed(self) -> bool:
        """A listener or greenlet raised on some worker since the run was prepared."""
        return any(worker.listener_failed for worker in self._roll.crew.values())

    @property
    def now_s(self) -> float:
        """Seconds of the run; negative before the start instant."""
        return self._clock() - self._start_epoch_s if self._start_epoch_s is not None else 0.0

    # -- the run --------------------------------------------------------------------------------------

    def begin(self) -> float:
        """Greets the workers, agrees on one start instant with them and starts the plan's users.

        Returns the start instant, in seconds since the epoch on this process's clock: 1 to 2 s ahead for a
        load of the plan, now for a load of Locust's own. Raises PreflightFailed when no worker can take part.
        """
        distributed = isinstance(self._runner, MasterRunner)
        sinks = self._emit, self._on_windows, self._on_operations
        inbox = Inbox(self._roll, self._plan, self._layout, *sinks)
        self._runner.custom_messages[TO_MASTER] = (inbox.receive, False)
        if not distributed and TO_WORKER not in self._runner.custom_messages:
            LoadWorker(self._environment).listen()
        self._change_settings()
        ready = self._roll.prepare(self._roll.connected())
        if self._stop_at_s is not None:
            raise ChaosError("the run was stopped before it began")
        if not ready:
            reasons = [Problem(worker.name, worker.detail) for worker in self._roll.crew.values()]
            raise PreflightFailed(reasons or [Problem("workers", "none is connected")])
        self._start_epoch_s = self._clock() + (0.0 if self._plan.load is None else LEAD_S[distributed])
        self._go(ready, 0.0)
        self._greenlets.append(gevent.spawn(self._watch))
        if self._plan.load is not None:
            self._greenlets.append(gevent.spawn(self._lead_users))
        return self._start_epoch_s

    def stop_load(self) -> None:
        """No arrivals from now on. Waits for what is under way, at most the time-out, and for each worker's
        last report. Can be called in any state and again: it then waits for the same end."""
        if self._stop_at_s is not None:
            self._stopped.wait()
            return
        end_s = self._plan.load.duration_s if self._plan.load is not None else float("inf")
        self._stop_at_s = min(self.now_s, end_s)
        try:
            self._stop_workers()
        finally:
            mine = [*self._greenlets, *([self._starting] if self._starting is not None else [])]
            gevent.killall([greenlet for greenlet in mine if greenlet is not getcurrent()])
            self._restore.close()
            self._stopped.set()

    # -- while it runs --------------------------------------------------------------------------------

    def _change_settings(self) -> None:
        """Until the end of the run: users that Locust stops may end their request; workers may join."""
        environment = self._environment
        if environment.stop_timeout < self._plan.timeout_s:
            self._restore.callback(setattr, environment, "stop_timeout", environment.stop_timeout)
            environment.stop_timeout = self._plan.timeout_s
        runner_log = logging.getLogger("locust.runners")
        runner_log.addFilter(_wanted)
        self._restore.callback(runner_log.removeFilter, _wanted)
        if isinstance(self._runner, MasterRunner):
            joins = environment.events.worker_connect
            joins.add_listener(self._on_connect)
            self._restore.callback(joins.remove_listener, self._on_connect)

    def _go(self, workers: list[Worker], from_s: float) -> None:
        """They take part from `from_s` on; the schedule is shared among all that do."""
        assert self._start_epoch_s is not None
        for worker in workers:
            drift = 0.0 if worker.node_id == LOCAL else DRIFT
            error_s = worker.agree_clock(drift, self._start_epoch_s, self._clock())
            worker.state, worker.heard_s, worker.covered_s = "active", self._clock(), from_s
            self._emit(WorkerEvent(self.now_s, worker.name, "joined"))
            self._emit(ClockOffset(self.now_s, worker.name, worker.offset_s, error_s))
        self._share(from_s, new=workers)

    def _share(self, from_s: float, new: Iterable[Worker] = (), lost: int = 0) -> None:
        """Deals the schedule anew among all active workers."""
        assert self._start_epoch_s is not None
        active = self._roll.of_state("active")
        most = self._plan.load.max_users if self._plan.load is not None else 0
        for index, worker in enumerate(active):
            worker.shares.change(from_s, index, len(active))
            data = {
                "say": "go" if worker in new else "share",
                "from_s": from_s,
                "share": [index, len(active)],
                "max_users": part(most, index, len(active)),
                "start_epoch_s": self._start_epoch_s + worker.offset_s,
            }
            self._roll.send(worker, data)
        self._emit(SharesChanged(from_s, from_s, tuple(worker.name for worker in active), lost))

    def _lead_users(self) -> None:
        """Starts the pool of an open workload; carries out the steps of a closed one."""
        load = self._plan.load
        assert load is not None
        if load.workload == "open":
            self._set_users(first_users(load, self._runner.user_classes))
            return
        for due_s, users in user_changes(load):
            gevent.sleep(max(0.0, due_s - self.now_s))
            self._set_users(users)

    def _set_users(self, users: int) -> None:
        """In a greenlet of its own: with a lost worker Locust blocks there for a second."""
        self._users_wanted = users
        if self._starting is not None:
            self._starting.kill()
        self._starting = gevent.spawn(self._runner.start, users, SPAWN_RATE)

    def _watch(self) -> None:
        """Looks for workers that are gone. Our own standstill is not taken for theirs."""
        looked_s = self._clock()
        while True:
            gevent.sleep(LOOK_S)
            stood_still_s = max(0.0, self._clock() - looked_s - LOOK_S)
            looked_s = self._clock()
            if self._plan.invariants:
                self._roll.ask_clocks(self._roll.of_state("active"))
            for worker in self._roll.of_state("active"):
                worker.heard_s += stood_still_s
                silent_s = self._clock() - worker.heard_s
                if not self._roll.is_connected(worker):
                    self._lose(worker, "it left")
                elif silent_s > SILENT_S:
                    self._lose(worker, f"nothing was heard of it for {silent_s:.1f} s")
            for worker in self._roll.of_state("lost"):
                if not worker.replaced and not self._roll.is_connected(worker):
                    worker.replaced = True
                    self._replace_users()

    def _replace_users(self) -> None:
        """Closed workload: the others get the users of a worker that Locust knows by now to be gone."""
        closed = self._plan.load is not None and self._schedule is None
        if closed and self._stop_at_s is None and self._roll.of_state("active"):
            self._set_users(self._users_wanted)

    def _lose(self, worker: Worker, detail: str) -> None:
        """What it has sent is unanswered, what it owes until the others take over is lost."""
        worker.state, worker.in_flight = "lost", 0
        from_s = max(0.0, self.now_s + SHARES_LEAD_S)
        if self._plan.load is not None:
            from_s = min(from_s, self._plan.load.duration_s)
        if self._stop_at_s is not None:
            from_s = self._stop_at_s
        changes, lost = worker.settle(self._layout, self._schedule, from_s)
        self._on_windows(changes)
        others = self._roll.of_state("active")
        if others and self._stop_at_s is None:
            self._share(from_s, lost=lost)
        else:
            self._emit(SharesChanged(from_s, from_s, tuple(other.name for other in others), lost))
        self._emit(WorkerEvent(self.now_s, worker.name, "lost", detail))

    # -- what workers say -----------------------------------------------------------------------------

    def _on_connect(self, client_id: str, **_: Any) -> None:
        """A worker joins while the load runs."""
        known = self._roll.crew.get(client_id)
        if (
            self._start_epoch_s is not None
            and self._stop_at_s is None
            and (known is None or known.state == "lost")
        ):
            self._greenlets.append(gevent.spawn(self._admit, client_id))

    def _admit(self, client_id: str) -> None:
        ready = self._roll.prepare([client_id])
        if ready and self._stop_at_s is None:
            self._go(ready, max(0.0, self.now_s + SHARES_LEAD_S))

    def _on_sent_home(self, worker: Worker) -> None:
        state = "refused" if worker.state == "refused" else "silent"
        self._emit(WorkerEvent(self.now_s, worker.name, state, worker.detail))  # type: ignore[arg-type]

    # -- the end --------------------------------------------------------------------------------------

    def _stop_workers(self) -> None:
        stopped_s = self.now_s
        for worker in self._roll.of_state("ready", "active"):
            message: dict[str, Any] = {"say": "stop", "at_s": self._stop_at_s}
            if worker.node_id == LOCAL:
                message["spare"] = getcurrent()  # a user may have ended the run
            self._roll.send(worker, message)
        limit_s = 2 * self._plan.timeout_s + FINAL_LIMIT_S
        self._roll.wait(lambda: not self._roll.of_state("ready", "active"), limit_s)
        for worker in self._roll.of_state("active"):
            self._lose(worker, "its last report did not come")
        if self._start_epoch_s is not None:
            self._emit(LoadStopped(stopped_s, drained_s=self.now_s))


def _wanted(record: logging.LogRecord) -> bool:
    """Locust warns of high spawn rates, which is how a step is carried out at once."""
    return "spawn rate is very high" not in record.getMessage()
