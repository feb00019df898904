"""The part of the load that lives in the master or in the local process: starts, watches and ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import gevent
from gevent import Greenlet, getcurrent
from gevent.event import Event as Signal
from locust.env import Environment
from locust.rpc import Message
from locust.runners import STATE_MISSING, MasterRunner, Runner

from chaos_locust import __version__
from chaos_locust.errors import PreflightFailed, Problem
from chaos_locust.events import (
    ClockOffset,
    Event,
    GeneratorSample,
    LoadStopped,
    SharesChanged,
    StepSeen,
    WorkerEvent,
)
from chaos_locust.locust_plugin.crew import State, Worker
from chaos_locust.locust_plugin.messages import TO_MASTER, TO_WORKER, Clock, epoch_clock
from chaos_locust.locust_plugin.shapes import user_changes
from chaos_locust.locust_plugin.shares import part
from chaos_locust.locust_plugin.users import first_users
from chaos_locust.locust_plugin.worker import LoadWorker
from chaos_locust.measure.clock import estimate_offset
from chaos_locust.measure.histogram import Layout
from chaos_locust.measure.window import Window
from chaos_locust.plan.model import Plan
from chaos_locust.plan.schedule import Schedule

LOCAL = "local"
HELLO_LIMIT_S = 5.0
READY_LIMIT_S = 10.0
ASK_AGAIN_S = 0.5
CLOCK_ROUNDS = 8
CLOCK_LIMIT_S = 0.5
LEAD_S = {False: 1.0, True: 2.0}
"""The start instant is so far ahead, locally and distributed: the first users are made meanwhile."""
SHARES_LEAD_S = 1.0
SILENT_S = 3.0
"""A worker that has sent nothing for so long is lost. Reports come every half second; Locust itself needs
4 to 5 s to call a worker missing."""
LOOK_S = 0.25
FINAL_LIMIT_S = 5.0
SPAWN_RATE = 10_000


class LoadMaster:
    """The load of one run; made anew for each.

    on_event: WorkerEvent, ClockOffset, SharesChanged, StepSeen, GeneratorSample, LoadStopped.
    on_windows: additive changes by (due second, name), as they come. Both are called from `begin` on.
    """

    def __init__(
        self,
        environment: Environment,
        plan: Plan,
        layout: Layout,
        on_event: Callable[[Event], None],
        on_windows: Callable[[Mapping[tuple[int, str], Window]], None],
        clock: Clock | None = None,
    ) -> None:
        assert environment.runner is not None
        self._environment = environment
        self._runner: Runner = environment.runner
        self._plan = plan
        self._layout = layout
        self._on_event = on_event
        self._on_windows = on_windows
        self._clock = clock or epoch_clock()
        self._run = uuid4().hex
        self._crew: dict[str, Worker] = {}
        self._start_epoch_s: float | None = None
        self._stop_at_s: float | None = None
        self._stopped = Signal()
        self._heard = Signal()
        self._greenlets: list[Greenlet[..., Any]] = []
        self._users_wanted = 0
        self._restore = ExitStack()
        self._schedule: Schedule | None = None
        if plan.load is not None and plan.load.workload == "open":
            self._schedule = Schedule(plan.load, plan.seed)

    # -- what others may ask ------------------------------------------------------------------------

    @property
    def workers(self) -> tuple[str, ...]:
        """Names of the workers that take part or took part until they were lost."""
        return tuple(w.name for w in self._crew.values() if w.state in ("active", "final", "lost"))

    @property
    def workers_alive(self) -> int:
        return len(self._of_state("active", "final"))

    @property
    def in_flight(self) -> int:
        """Requests sent and not answered, as last reported."""
        return sum(worker.in_flight for worker in self._of_state("active"))

    @property
    def exceptions(self) -> int:
        """Tasks that raised, on all workers."""
        return sum(worker.exceptions for worker in self._crew.values())

    @property
    def listener_failed(self) -> bool:
        """A listener or greenlet raised on some worker since the run was prepared."""
        return any(worker.listener_failed for worker in self._crew.values())

    @property
    def now_s(self) -> float:
        """Seconds of the run; negative before the start instant."""
        return self._clock() - self._start_epoch_s if self._start_epoch_s is not None else 0.0

    # -- the run --------------------------------------------------------------------------------------

    def begin(self) -> float:
        """Greets the workers, agrees on one start instant and starts the plan's users.

        Returns the start instant, in seconds since the epoch on this process's clock: 1 to 2 s ahead for a
        load of the plan, now for a load of Locust's own. Raises PreflightFailed when no worker can take part.
        """
        self._runner.custom_messages[TO_MASTER] = (self._receive, False)
        if not isinstance(self._runner, MasterRunner) and TO_WORKER not in self._runner.custom_messages:
            LoadWorker(self._environment).listen()
        if self._environment.stop_timeout < self._plan.timeout_s:
            before = self._environment.stop_timeout
            self._restore.callback(setattr, self._environment, "stop_timeout", before)
            self._environment.stop_timeout = self._plan.timeout_s
        ready = self._prepare([self._greet(node_id) for node_id in self._node_ids()])
        if not ready:
            refusals = [Problem(w.name, w.detail) for w in self._crew.values()]
            raise PreflightFailed(refusals or [Problem("workers", "none is connected")])
        lead_s = 0.0 if self._plan.load is None else LEAD_S[isinstance(self._runner, MasterRunner)]
        self._start_epoch_s = self._clock() + lead_s
        self._go(ready, 0.0)
        self._greenlets = [gevent.spawn(self._watch)]
        if self._plan.load is not None:
            self._greenlets.append(gevent.spawn(self._lead_users))
        if isinstance(self._runner, MasterRunner):
            joins = self._environment.events.worker_connect
            joins.add_listener(self._on_connect)
            self._restore.callback(joins.remove_listener, self._on_connect)
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
            if self._start_epoch_s is not None:
                self._stop_workers()
        finally:
            gevent.killall([greenlet for greenlet in self._greenlets if greenlet is not getcurrent()])
            self._restore.close()
            self._stopped.set()

    # -- getting ready --------------------------------------------------------------------------------

    def _greet(self, node_id: str) -> Worker:
        worker = self._crew[node_id] = Worker(node_id)
        return worker

    def _prepare(self, workers: list[Worker]) -> list[Worker]:
        """Those of them that are ready to go; the others are sent home, and an event says why."""
        deadline_s = self._clock() + HELLO_LIMIT_S
        while self._clock() < deadline_s and self._having(workers, "greeted"):
            for worker in self._having(workers, "greeted"):
                self._send(worker, {"say": "greet"})
            self._wait(lambda: not self._having(workers, "greeted"), ASK_AGAIN_S)
        present = self._having(workers, "said_hello")
        for _ in range(CLOCK_ROUNDS):
            known = {worker.node_id: len(worker.clock_samples) for worker in present}
            for worker in present:
                self._send(worker, {"say": "clock", "sent_s": self._clock()})
            self._wait(lambda k=known: all(len(w.clock_samples) > k[w.node_id] for w in present), CLOCK_LIMIT_S)  # type: ignore[misc]
        for worker in present:
            self._send(worker, {"say": "prepare", "plan": self._plan.to_json()})
        self._wait(lambda: not self._having(present, "said_hello"), READY_LIMIT_S)
        ready = [worker for worker in self._having(workers, "ready") if worker.clock_samples]
        for worker in workers:
            if worker not in ready:
                self._send_home(worker)
        return ready

    def _send_home(self, worker: Worker) -> None:
        """Its users would send requests that nobody counts."""
        state: State = worker.state
        if state == "refused":
            self._emit(WorkerEvent(self.now_s, worker.name, "refused", worker.detail))
        else:
            worker.detail = "never said hello; its locustfile does not call chaos_locust.register()"
            if state != "greeted":
                worker.detail = "did not answer while the run was prepared"
            self._emit(WorkerEvent(self.now_s, worker.name, "silent", worker.detail))
        worker.state = "refused"
        if isinstance(self._runner, MasterRunner) and worker.node_id in self._runner.clients:
            self._runner.send_message("quit", client_id=worker.node_id)
            runner = self._runner
            self._wait(lambda: worker.node_id not in runner.clients, ASK_AGAIN_S)

    def _go(self, workers: list[Worker], from_s: float) -> None:
        """They take part from `from_s` on; the schedule is shared among all that do."""
        assert self._start_epoch_s is not None
        for worker in workers:
            worker.offset_s, error_s = estimate_offset(worker.clock_samples)
            worker.state, worker.heard_s, worker.covered_s = "active", self._clock(), from_s
            self._emit(WorkerEvent(self.now_s, worker.name, "joined"))
            self._emit(ClockOffset(self.now_s, worker.name, worker.offset_s, error_s))
        self._share(from_s, new=workers)

    def _share(self, from_s: float, new: Iterable[Worker] = (), lost: int = 0) -> None:
        """Deals the schedule anew among all active workers."""
        assert self._start_epoch_s is not None
        active = self._of_state("active")
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
            self._send(worker, data)
        self._emit(SharesChanged(from_s, from_s, tuple(worker.name for worker in active), lost))

    # -- while it runs --------------------------------------------------------------------------------

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
        """In a greenlet of its own: with a lost worker Locust blocks here for a second."""
        self._users_wanted = users
        self._greenlets.append(gevent.spawn(self._runner.start, users, SPAWN_RATE))

    def _watch(self) -> None:
        """Looks for workers that are gone. Our own standstill is not taken for theirs."""
        looked_s = self._clock()
        while True:
            gevent.sleep(LOOK_S)
            stood_still_s = max(0.0, self._clock() - looked_s - LOOK_S)
            looked_s = self._clock()
            for worker in self._of_state("active"):
                worker.heard_s += stood_still_s
                silent_s = self._clock() - worker.heard_s
                if not self._connected(worker):
                    self._lose(worker, "it left")
                elif silent_s > SILENT_S:
                    self._lose(worker, f"nothing was heard of it for {silent_s:.1f} s")

    def _lose(self, worker: Worker, detail: str) -> None:
        worker.state = "lost"
        worker.in_flight = 0
        others = self._of_state("active")
        from_s = max(0.0, self.now_s + SHARES_LEAD_S)
        if self._plan.load is not None:
            from_s = min(from_s, self._plan.load.duration_s)
        if self._stop_at_s is not None:
            from_s = self._stop_at_s
        changes, lost = worker.settle(self._layout, self._schedule, from_s)
        if others and self._stop_at_s is None:
            self._share(from_s, lost=lost)
        else:
            self._emit(SharesChanged(from_s, from_s, tuple(other.name for other in others), lost))
        if changes:
            self._on_windows(changes)
        if self._plan.load is not None and self._schedule is None and others and self._stop_at_s is None:
            self._set_users(self._users_wanted)
        self._emit(WorkerEvent(self.now_s, worker.name, "lost", detail))

    def _on_connect(self, client_id: str, **_: Any) -> None:
        known = self._crew.get(client_id)
        if self._stop_at_s is None and (known is None or known.state not in ("active", "final")):
            self._greenlets.append(gevent.spawn(self._admit, client_id))

    def _admit(self, client_id: str) -> None:
        """A worker joins while the load runs."""
        ready = self._prepare([self._greet(client_id)])
        if ready and self._stop_at_s is None:
            self._go(ready, max(0.0, self.now_s + SHARES_LEAD_S))

    # -- messages -------------------------------------------------------------------------------------

    def _receive(self, environment: Environment, msg: Message, **_: Any) -> None:
        worker, data = self._crew.get(msg.node_id), msg.data
        if worker is None or data["run"] != self._run:
            return
        if worker.state in ("lost", "refused"):
            if worker.state == "lost" and not data.get("final"):
                self._send(worker, {"say": "abandon"})  # it was only silent: what it did since counts as lost
            return
        worker.heard_s = self._clock()
        say = data["say"]
        if say == "hello" and worker.state == "greeted":
            worker.name = data["name"]
            worker.state = "said_hello"
            if data["version"] != __version__:
                worker.state = "refused"
                worker.detail = f"it has chaos-locust {data['version']}, the master has {__version__}"
        elif say == "clock":
            worker.clock_samples.append((data["sent_s"], data["remote_s"], self._clock()))
        elif say == "ready" and worker.state == "said_hello":
            worker.state = "ready"
        elif say == "refused":
            worker.state, worker.detail = "refused", data["detail"]
        elif say == "users":
            self._on_users(worker, data["t_s"])
        elif say == "report":
            self._on_report(worker, data)
        self._heard.set()

    def _on_users(self, worker: Worker, t_s: float) -> None:
        if self._plan.load is not None and self._schedule is None:
            step = self._plan.load.step_at(t_s)
            if step is not None:
                self._step_seen(worker, step.name, t_s)

    def _on_report(self, worker: Worker, data: Mapping[str, Any]) -> None:
        worker.covered_s, worker.in_flight = data["covered_s"], data["in_flight"]
        changes = worker.read_windows(data["windows"], self._layout)
        if changes:
            self._on_windows(changes)
        for step, seen_s in data["steps"]:
            self._step_seen(worker, step, seen_s)
        if data["sample"] is not None:
            sample = data["sample"]
            self._emit(GeneratorSample(data["t_s"], worker.name, in_flight=worker.in_flight, **sample))
        if data["listener_failed"] and not worker.listener_failed:
            self._emit(WorkerEvent(data["t_s"], worker.name, "raised", "a listener or greenlet raised"))
        if data["exceptions"] and not worker.exceptions:
            self._emit(WorkerEvent(data["t_s"], worker.name, "raised", "a task raised"))
        worker.exceptions, worker.listener_failed = data["exceptions"], data["listener_failed"]
        if data["final"]:
            worker.state = "final"
            self._emit(WorkerEvent(data["t_s"], worker.name, "finished"))

    def _step_seen(self, worker: Worker, name: str, seen_s: float) -> None:
        assert self._plan.load is not None
        if name not in worker.steps_seen:
            worker.steps_seen.add(name)
            due_s = next(step.starts_s for step in self._plan.load.steps if step.name == name)
            self._emit(StepSeen(seen_s, name, due_s, seen_s, worker.name))

    # -- the end --------------------------------------------------------------------------------------

    def _stop_workers(self) -> None:
        stopped_s = self.now_s
        for worker in self._of_state("active"):
            message: dict[str, Any] = {"say": "stop", "at_s": self._stop_at_s}
            if worker.node_id == LOCAL:
                message["spare"] = getcurrent()
            self._send(worker, message)
        self._wait(lambda: not self._of_state("active"), 2 * self._plan.timeout_s + FINAL_LIMIT_S)
        for worker in self._of_state("active"):
            self._lose(worker, "its last report did not come")
        self._emit(LoadStopped(stopped_s, drained_s=self.now_s))

    # -- inside ---------------------------------------------------------------------------------------

    def _node_ids(self) -> list[str]:
        return list(self._runner.clients) if isinstance(self._runner, MasterRunner) else [LOCAL]

    def _connected(self, worker: Worker) -> bool:
        if not isinstance(self._runner, MasterRunner):
            return True
        client = self._runner.clients.get(worker.node_id)
        return client is not None and client.state != STATE_MISSING

    def _of_state(self, *states: State) -> list[Worker]:
        return self._having(self._crew.values(), *states)

    def _having(self, workers: Iterable[Worker], *states: State) -> list[Worker]:
        return [worker for worker in workers if worker.state in states]

    def _send(self, worker: Worker, data: dict[str, Any]) -> None:
        self._runner.send_message(TO_WORKER, {**data, "run": self._run}, worker.node_id)

    def _emit(self, event: Event) -> None:
        self._on_event(event)

    def _wait(self, condition: Callable[[], bool], limit_s: float) -> None:
        """Until the condition holds; it is looked at whenever a worker has said something."""
        deadline_s = self._clock() + limit_s
        while not condition() and self._clock() < deadline_s:
            self._heard.clear()
            self._heard.wait(min(LOOK_S, max(0.0, deadline_s - self._clock())))
