"""The part of the load that lives in every process with users: listens to the master and obeys."""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import Any

import gevent
from gevent.event import Event
from locust import argument_parser
from locust.env import Environment
from locust.rpc import Message
from locust.runners import STATE_CLEANUP, Runner, WorkerRunner

from chaos_locust import __version__
from chaos_locust.errors import ChaosError
from chaos_locust.locust_plugin.messages import TO_MASTER, TO_WORKER, Clock, epoch_clock
from chaos_locust.locust_plugin.shapes import LoadShape
from chaos_locust.locust_plugin.users import adopt_requests
from chaos_locust.locust_plugin.workload import Workload
from chaos_locust.plan.model import Plan

logger = logging.getLogger("chaos_locust")

LOOK_EVERY_S = 0.01
GO_LIMIT_S = 15.0
"""Users that Locust starts before the master has told us what to do are held back for so long."""


class LoadWorker:
    """One in every process that runs users, for the life of the process; `listen` once.

    Between a run's preparation and its `test_stop` it decides what happens when Locust starts or stops
    users: in an open workload the pool grows here and shrinks at the end only, so what the master's
    dispatcher believes about the number of users must not stop any.
    """

    def __init__(self, environment: Environment, clock: Clock | None = None) -> None:
        assert environment.runner is not None
        self._environment = environment
        self._runner: Runner = environment.runner
        distributed = isinstance(environment.runner, WorkerRunner)
        self._name = f"{socket.gethostname()}:{os.getpid()}" if distributed else "local"
        self._clock = clock or epoch_clock()
        self._run = ""
        self._workload: Workload | None = None
        self._prepared = Event()

    def listen(self) -> None:
        """Installs everything; nothing changes for Locust until a master prepares a run."""
        self._runner.register_message(TO_WORKER, self._receive)
        events = self._environment.events
        events.test_stopping.add_listener(self._on_test_stopping)
        events.test_stop.add_listener(self._on_test_stop)
        events.user_error.add_listener(self._on_user_error)
        self._runner.spawn_users = self._spawn_users  # type: ignore[method-assign]
        self._runner.stop_users = self._stop_users  # type: ignore[method-assign]
        if isinstance(self._runner, WorkerRunner):
            _cache_default_args()

    # -- messages -------------------------------------------------------------------------------------

    def _receive(self, environment: Environment, msg: Message, **_: Any) -> None:
        data: dict[str, Any] = msg.data
        say, workload = data["say"], self._workload
        if say == "greet":
            self._run = data["run"]
            self._send({"say": "hello", "version": __version__, "name": self._name})
        elif data["run"] != self._run:
            logger.debug("a message of another run: %s", say)
        elif say == "clock":
            self._send({"say": "clock", "sent_s": data["sent_s"], "remote_s": self._clock()})
        elif say == "prepare":
            self._prepare(data["plan"])
        elif workload is None:
            logger.debug("a message without a run: %s", say)
        elif say == "go":
            workload.go(data["start_epoch_s"], data["from_s"], tuple(data["share"]), data["max_users"])
        elif say == "share":
            workload.change_share(data["from_s"], tuple(data["share"]), data["max_users"])
        elif say == "stop":
            gevent.spawn(workload.stop, data["at_s"], data.get("spare"))
        elif say == "abandon":
            gevent.spawn(workload.stop, None, None)

    def _prepare(self, plan_data: dict[str, Any]) -> None:
        if self._workload is not None:
            self._workload.stop()
        try:
            plan = Plan.from_json(plan_data)
            if plan.requests and isinstance(self._runner, WorkerRunner):
                self._environment.host = plan.host
                adopt_requests(self._environment, plan.requests)
            self._workload = Workload(self._environment, plan, self._name, self._clock, self._send)
            self._prepared.set()
        except ChaosError as error:
            self._send({"say": "refused", "detail": str(error)})
        else:
            self._send({"say": "ready"})

    def _send(self, message: dict[str, Any]) -> None:
        message["run"] = self._run
        self._runner.send_message(TO_MASTER, message)

    # -- what Locust does -----------------------------------------------------------------------------

    def _spawn_users(self, user_classes_spawn_count: dict[str, int], wait: bool = False) -> Any:
        """In place of the runner's: users that the master starts are held until the start is agreed."""
        if self._workload is None and self._plan_is_coming() and not self._prepared.wait(GO_LIMIT_S):
            logger.error("the master has a plan but did not send it; no users are started")
            return []
        workload = self._workload
        if workload is not None:
            if not workload.started.wait(GO_LIMIT_S) or workload.stopping:
                return []
            workload.users_changed()
        return Runner.spawn_users(self._runner, user_classes_spawn_count, wait)

    def _stop_users(self, user_classes_stop_count: dict[str, int]) -> None:
        workload = self._workload
        if workload is not None and not workload.stopping:
            if workload.open and self._runner.state != STATE_CLEANUP:
                return
            workload.users_changed()
        Runner.stop_users(self._runner, user_classes_stop_count)

    def _plan_is_coming(self) -> bool:
        """Locust sends the master's options along when it starts users; a shape is in our locustfile too."""
        options = self._environment.parsed_options
        named = any(getattr(options, name, None) for name in ("chaos_plan", "chaos_load"))
        shaped = isinstance(self._environment.shape_class, LoadShape)
        return isinstance(self._runner, WorkerRunner) and (named or shaped)

    def _on_test_stopping(self, **_: Any) -> None:
        """Locust stops by itself, without a word from our master: what is under way is still waited for."""
        if self._workload is not None:
            self._workload.stop(spare=gevent.getcurrent())

    def _on_test_stop(self, **_: Any) -> None:
        self._workload = None
        self._prepared.clear()

    def _on_user_error(self, **_: Any) -> None:
        if self._workload is not None:
            self._workload.raised += 1


def hold_back_users() -> None:
    """To be called before Locust makes its runner, so by `register`. A worker that joins a running test is
    told to start users while its `init` still runs: they wait until a LoadWorker listens."""

    def spawn_users(
        runner: WorkerRunner, user_classes_spawn_count: dict[str, int], wait: bool = False
    ) -> Any:
        deadline_s = time.monotonic() + GO_LIMIT_S
        while "spawn_users" not in vars(runner) and time.monotonic() < deadline_s:
            gevent.sleep(LOOK_EVERY_S)
        decided = vars(runner).get("spawn_users")
        if decided is not None:
            return decided(user_classes_spawn_count, wait)
        return Runner.spawn_users(runner, user_classes_spawn_count, wait)

    WorkerRunner.spawn_users = spawn_users  # type: ignore[method-assign, assignment]


def _cache_default_args() -> None:
    """Locust asks for the defaults of its options once an option, 2 ms each, at every change of users; in
    that time no user does anything."""
    defaults = argument_parser.default_args_dict()
    argument_parser.default_args_dict = lambda: dict(defaults)
