"""One run in one process that has users: hands out arrivals, records, reports, drains."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gevent
from gevent import Greenlet
from gevent.event import Event
from locust import log
from locust.env import Environment
from locust.runners import Runner
from locust.user.task import LOCUST_STATE_STOPPING

from chaos_locust.errors import InvalidPlan
from chaos_locust.judge.layout import plan_layout
from chaos_locust.locust_plugin.clients import Clients, default_timeouts
from chaos_locust.locust_plugin.health import Health
from chaos_locust.locust_plugin.messages import Clock
from chaos_locust.locust_plugin.operations import Operations
from chaos_locust.locust_plugin.pool import Pool
from chaos_locust.locust_plugin.recorder import Recorder
from chaos_locust.locust_plugin.shares import Shares
from chaos_locust.locust_plugin.users import (
    arrivals_drive_tasks,
    grow,
    undrivable,
    users_drive_tasks,
)
from chaos_locust.plan.model import Plan
from chaos_locust.plan.schedule import Schedule

REPORT_EVERY_S = 0.5
REPORTS_PER_SAMPLE = 2
LOOK_EVERY_S = 0.02
AHEAD_S = 1.0
"""The schedule is drawn in pieces of this length."""
RESERVE_S = 0.05
"""So many seconds of the peak rate are to find an idle user at once."""


class Workload:
    """Made when a run is prepared; `go` starts it, `stop` ends it for good.

    name: of this worker. send: sends a message to the master. Raises InvalidPlan when users of this
    locustfile cannot be driven.
    """

    def __init__(
        self,
        environment: Environment,
        plan: Plan,
        name: str,
        clock: Clock,
        send: Callable[[dict[str, Any]], None],
    ) -> None:
        assert environment.runner is not None
        self.started = Event()
        self.raised = 0
        self._environment = environment
        self._runner: Runner = environment.runner
        self._plan = plan
        self._clock = clock
        self._send = send
        self._start_epoch_s = clock()
        self._recorder = Recorder(plan_layout(plan), self.now)
        self._clients = Clients(self._recorder, plan.timeout_s)
        self._operations = Operations(name, self.now)
        self._health = Health()
        self._shares = Shares()
        self._max_users = 0
        self._covered_s = 0.0
        self._redraw = False
        self._stop_at_s: float | None = None
        self._drained = Event()
        self._stopped = Event()
        self._reporter: Greenlet[..., Any] | None = None
        self._steps_seen: list[tuple[str, float]] = []
        self._users_spared = 0
        self._greenlets: list[Greenlet[..., Any]] = []
        self._dispatcher: Greenlet[..., Any] | None = None
        self._pool: Pool | None = None
        self._changes = ExitStack()
        self._enter()
        self._flag_before = log.unhandled_greenlet_exception
        log.unhandled_greenlet_exception = False

    def now(self) -> float:
        """Seconds of the run."""
        return self._clock() - self._start_epoch_s

    @property
    def open(self) -> bool:
        return self._pool is not None

    @property
    def stopping(self) -> bool:
        return self._stop_at_s is not None

    def _enter(self) -> None:
        load, user_classes = self._plan.load, self._environment.user_classes
        self._changes.enter_context(default_timeouts(user_classes, self._plan.timeout_s))
        self._changes.enter_context(self._clients.watch(self._environment))
        if self._plan.invariants:
            self._changes.enter_context(self._operations.write())
        if load is not None and load.workload == "open":
            problems = undrivable(user_classes)
            if problems:
                self._changes.close()
                raise InvalidPlan(problems)
            reserve = max(5, round(load.peak * RESERVE_S))
            self._pool = Pool(self._recorder, load.drop_after_s, reserve, self.now)
            self._changes.enter_context(arrivals_drive_tasks(self._pool, self._recorder, self._clients))
        else:
            self._changes.enter_context(users_drive_tasks(self._clients))

    # -- the run --------------------------------------------------------------------------------------

    def go(self, start_epoch_s: float, from_s: float, share: tuple[int, int], max_users: int) -> None:
        """The start instant is agreed, on this process's clock; who joins takes part from `from_s` on."""
        self._start_epoch_s = start_epoch_s
        self._covered_s = from_s
        self._shares.change(from_s, *share)
        self._max_users = max_users
        self._reporter = gevent.spawn(self._report_regularly)
        self._greenlets = [gevent.spawn(self._health.watch)]
        if self._pool is not None:
            self._dispatcher = gevent.spawn(self._dispatch, self._pool)
            self._greenlets.append(
                gevent.spawn(grow, self._runner, self._pool, lambda: self._max_users, self._spawn)
            )
        self.started.set()

    def change_share(self, from_s: float, share: tuple[int, int], max_users: int) -> None:
        """From `from_s` on, normally a second ahead, other arrivals are ours."""
        late: list[tuple[int, float]] = []
        if self._pool is not None and self._plan.load is not None:  # the message may have come too late
            schedule = Schedule(self._plan.load, self._plan.seed)
            passed = schedule.due_times(from_s, max(from_s, self._covered_s))
            late = [(index, due_s) for index, due_s in passed if not self._shares.mine(index, due_s)]
        self._shares.change(from_s, *share)
        for index, due_s in late:
            if self._shares.mine(index, due_s):
                self._recorder.lose(due_s)
        self._max_users = max_users
        self._redraw = True

    def users_changed(self) -> None:
        """Locust has started or stopped users in this process."""
        self._send({"say": "users", "t_s": self.now()})

    def stop(self, at_s: float | None = None, spare: object = None) -> None:
        """No arrivals due after `at_s` (None: now). Waits for what is under way, at most the time-out; stops
        the users, but for the greenlet `spare`; sends the last report. Called again, it waits for that."""
        if self._stop_at_s is not None:
            self._stopped.wait()
            return
        self._stop_at_s = self.now() if at_s is None else at_s
        try:
            if self.started.is_set():
                self._drain(spare)
        finally:
            self.started.set()
            self._drained.set()
            gevent.killall(self._greenlets)
            gc.unfreeze()
            if self._reporter is not None:
                self._reporter.join()
            self._changes.close()
            self._operations.give_up()
            self._report(final=True)
            log.unhandled_greenlet_exception = self._flag_before or log.unhandled_greenlet_exception
            self._stopped.set()

    # -- arrivals -------------------------------------------------------------------------------------

    def _dispatch(self, pool: Pool) -> None:
        """Hands every arrival to the pool when it is due, until the load ends or is stopped."""
        assert self._plan.load is not None
        end_s = self._plan.load.duration_s
        steps = iter(self._plan.load.steps)
        step = next(steps, None)
        due_times = self._mine(self._covered_s)
        due_s = next(due_times, end_s)
        while True:
            until_s = self.now() if self._stop_at_s is None else min(self.now(), self._stop_at_s)
            if self._redraw:
                self._redraw = False
                due_times = self._mine(self._covered_s)
                due_s = next(due_times, end_s)
            while due_s < until_s and due_s < end_s:
                pool.offer(due_s)
                due_s = next(due_times, end_s)
            self._covered_s = max(self._covered_s, min(until_s, end_s))
            while step is not None and step.starts_s <= until_s:
                self._steps_seen.append((step.name, self.now()))
                step = next(steps, None)
            if until_s >= end_s or (self._stop_at_s is not None and until_s >= self._stop_at_s):
                return
            if pool.waiting:
                pool.hand_out()
            next_s = min(due_s, step.starts_s) if step is not None else due_s
            gevent.sleep(max(0.0, min(next_s - self.now(), LOOK_EVERY_S)))

    def _mine(self, since_s: float) -> Iterator[float]:
        """Due times of this worker's arrivals from `since_s` on."""
        assert self._plan.load is not None
        schedule, end_s = Schedule(self._plan.load, self._plan.seed), self._plan.load.duration_s
        while since_s < end_s:
            until_s = min(since_s + AHEAD_S, end_s)
            for index, due_s in schedule.due_times(since_s, until_s):
                if self._shares.mine(index, due_s):
                    yield due_s
            since_s = until_s

    def _spawn(self, counts: dict[str, int]) -> None:
        if not self.stopping:
            Runner.spawn_users(self._runner, counts)

    # -- reports --------------------------------------------------------------------------------------

    def _report_regularly(self) -> None:
        count = 0
        while not self._drained.wait(REPORT_EVERY_S):
            count += 1
            self._spare_users()
            self._report(sample=self._health.sample() if count % REPORTS_PER_SAMPLE == 0 else None)

    def _spare_users(self) -> None:
        """Takes what the users consist of out of the garbage collection: a full one looks at all of it, and
        with 1000 users nothing else went on for 60 to 120 ms, which no answer should seem to have taken."""
        if self._runner.user_count != self._users_spared:
            self._users_spared = self._runner.user_count
            gc.freeze()

    def _report(self, sample: dict[str, Any] | None = None, final: bool = False) -> None:
        changes = self._recorder.take_changes()
        steps, self._steps_seen = self._steps_seen, []
        if sample is not None:
            sample["users"] = self._runner.user_count
        self._send(
            {
                "say": "report",
                "t_s": self.now(),
                "windows": [(second, name, window.to_json()) for (second, name), window in changes.items()],
                "operations": self._operations.take(),
                "covered_s": self._covered_s,
                "in_flight": len(self._recorder.flights),
                "steps": steps,
                "sample": sample,
                "exceptions": self.raised,
                "listener_failed": log.unhandled_greenlet_exception,
                "final": final,
            }
        )

    # -- the end --------------------------------------------------------------------------------------

    def _drain(self, spare: object) -> None:
        """What is under way gets the time-out to end; then the users are stopped, `on_stop` included."""
        if self._dispatcher is not None:
            self._dispatcher.join()
        give_up_s = self._clock() + self._plan.timeout_s
        if self._pool is not None:
            while self._clock() < give_up_s and self._under_way(self._pool):
                self._pool.hand_out()
                gevent.sleep(LOOK_EVERY_S)
            self._pool.close()
            users = self._users(spare)
        else:
            users = self._users(spare)
            asked = [gevent.spawn(_ask_to_stop, greenlet) for greenlet in users]
            gevent.joinall([*asked, *users], timeout=self._plan.timeout_s)
        gevent.killall(users, block=True, timeout=self._plan.timeout_s)
        self._clients.give_up()

    def _under_way(self, pool: Pool) -> bool:
        return bool(pool.waiting or pool.busy or self._recorder.flights)

    def _users(self, spare: object) -> list[Greenlet[..., Any]]:
        return [greenlet for greenlet in self._runner.user_greenlets if greenlet is not spare]


def _ask_to_stop(greenlet: Greenlet[..., Any]) -> None:
    """The user ends its current task, and no other follows."""
    if greenlet.dead or not greenlet.args:
        return
    user = greenlet.args[0]
    if user._state != LOCUST_STATE_STOPPING:
        user.stop(force=False)
