"""Users of a run: their tasks driven by arrivals, their number grown where needed, their classes made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import gevent
from gevent import GreenletExit
from locust import FastHttpUser, TaskSet, User
from locust.env import Environment
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from locust.runners import Runner
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from chaos_locust.errors import Problem
from chaos_locust.locust_plugin.clients import Clients
from chaos_locust.locust_plugin.pool import Pool
from chaos_locust.locust_plugin.recorder import Recorder
from chaos_locust.plan.load import Load, Request

_FLOW = (InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopUser, StopTest)
Step = Callable[[TaskSet], None]
_DOOMED = "_chaos_doomed"
_UNTIL_KILLED_S = 1.0
_GROWTH_BATCH = 10
_GROWTH_PAUSE_S = 0.01


@contextmanager
def arrivals_drive_tasks(pool: Pool, recorder: Recorder, clients: Clients) -> Iterator[None]:
    """Open workload: every task waits for an arrival, and nobody waits between tasks.

    Nested and sequential TaskSets keep their order; what is waited for is the next task to execute, so
    the requests of an `on_start` belong to no arrival.
    """
    execute: Step = TaskSet.execute_next_task
    wait: Step = TaskSet.wait

    def execute_for_arrival(taskset: TaskSet) -> None:
        task: Any = taskset._task_queue[0]
        if isinstance(task, type) and issubclass(task, TaskSet):
            execute(taskset)  # its own tasks take the arrivals
            return
        user = taskset.user
        user._state = LOCUST_STATE_WAITING
        arrival = pool.take()
        user._state = LOCUST_STATE_RUNNING
        clients.begin_task(user, arrival)
        error: BaseException | None = None
        try:
            execute(taskset)
        except BaseException as raised:
            error = raised
            raise
        finally:
            pool.done()
            failure = None if isinstance(error, (*_FLOW, GreenletExit)) else error
            clients.end_task(user, failure)
            if isinstance(error, GreenletExit):
                recorder.abandon(arrival)
            else:
                recorder.end(arrival, failure)

    def no_wait(taskset: TaskSet) -> None:
        if clients.in_task(taskset.user):
            wait(taskset)  # the task itself asks for a pause
        elif taskset.user._state == LOCUST_STATE_STOPPING:
            raise StopUser

    TaskSet.execute_next_task, TaskSet.wait = execute_for_arrival, no_wait  # type: ignore[method-assign]
    try:
        yield
    finally:
        TaskSet.execute_next_task, TaskSet.wait = execute, wait  # type: ignore[method-assign]


@contextmanager
def users_drive_tasks(clients: Clients) -> Iterator[None]:
    """Closed workload: users wait as they like.

    Locust stops a user that waits by killing it a moment later. If its wait ends meanwhile it begins no task:
    the request would be cut off, and count as one that was never answered.
    """
    execute: Step = TaskSet.execute_next_task
    stop = User.stop

    def note_and_stop(user: User, force: bool = False) -> Any:
        if user._state == LOCUST_STATE_WAITING:
            user.__dict__[_DOOMED] = True
        return stop(user, force)

    def execute_and_settle(taskset: TaskSet) -> None:
        while _DOOMED in taskset.user.__dict__:
            gevent.sleep(_UNTIL_KILLED_S)
        error: BaseException | None = None
        try:
            execute(taskset)
        except BaseException as raised:
            error = None if isinstance(raised, (*_FLOW, GreenletExit)) else raised
            raise
        finally:
            clients.end_task(taskset.user, error)

    TaskSet.execute_next_task, User.stop = execute_and_settle, note_and_stop  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        TaskSet.execute_next_task, User.stop = execute, stop  # type: ignore[method-assign]


def undrivable(user_classes: Sequence[type[User]]) -> list[Problem]:
    """Classes whose users an open workload could not hold back: they bring a loop of their own."""
    return [
        Problem(
            user_class.__name__,
            "has a run() of its own; with a load in requests/s, tasks must be run by Locust's own loop",
        )
        for user_class in user_classes
        if user_class.run is not User.run
    ]


def grow(
    runner: Runner, pool: Pool, limit: Callable[[], int], spawn: Callable[[dict[str, int]], object]
) -> None:
    """Starts users as long as arrivals find too few idle ones, in this process only. Never returns.

    limit: the most users that this process may have at this moment.
    """
    while True:
        pool.short.wait()
        pool.short.clear()
        while True:
            users = runner.user_count
            starting = users - pool.busy - pool.idle
            count = min(pool.wanted - starting, limit() - users, _GROWTH_BATCH)
            if count <= 0:
                break
            chosen = choose_classes(runner.user_classes, runner.user_classes_count, count)
            if not chosen:
                break
            spawn(chosen)
            gevent.sleep(_GROWTH_PAUSE_S)


def choose_classes(
    user_classes: Sequence[type[User]], counts: Mapping[str, int], more: int
) -> dict[str, int]:
    """Class name -> users to add, so that the whole keeps to the weights; `fixed_count` is left alone."""
    weighted = [c for c in user_classes if not c.fixed_count and c.weight > 0]
    chosen: dict[str, int] = {}
    for _ in range(more if weighted else 0):
        user_class = min(
            weighted, key=lambda c: (counts.get(c.__name__, 0) + chosen.get(c.__name__, 0) + 1) / c.weight
        )
        chosen[user_class.__name__] = chosen.get(user_class.__name__, 0) + 1
    return chosen


def first_users(load: Load, user_classes: Sequence[type[User]]) -> int:
    """How many users the pool of an open workload starts with: enough for a quarter second of its peak."""
    fixed = sum(user_class.fixed_count for user_class in user_classes)
    return min(load.max_users, max(10, fixed, round(load.peak * 0.25)))


def make_user_class(requests: Sequence[Request], host: str | None) -> type[FastHttpUser]:
    """A user for a plan without a locustfile: one task a request, with the request's weight and name."""
    tasks = [task for request in requests for task in [_task(request)] * request.weight]
    return type("PlanUser", (FastHttpUser,), {"tasks": tasks, "host": host, "__module__": __name__})


def adopt_requests(environment: Environment, requests: Sequence[Request]) -> None:
    """The environment's users are from now on those that send the plan's requests."""
    environment.user_classes[:] = [make_user_class(requests, environment.host)]


def _task(request: Request) -> Callable[[Any], None]:
    name = request.name or request.path
    headers = dict(request.headers)

    def task(user: Any) -> None:
        user.client.request(request.method, request.path, name=name, json=request.json, headers=headers)

    task.__name__ = f"{request.method} {name}"
    return task
