"""Before a run, and when a worker joins: who is there, of which version, with which clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

from gevent.event import Event as Signal
from locust.runners import STATE_MISSING, MasterRunner, Runner

from chaos_locust import __version__
from chaos_locust.locust_plugin.crew import State, Worker
from chaos_locust.locust_plugin.messages import TO_WORKER, Clock
from chaos_locust.plan.model import Plan

LOCAL = "local"
HELLO_LIMIT_S = 5.0
READY_LIMIT_S = 10.0
LEAVE_LIMIT_S = 2.0
ASK_AGAIN_S = 0.5
LOOK_S = 0.25
CLOCK_ROUNDS = 8
CLOCK_LIMIT_S = 0.5


class RollCall:
    """All workers of one run by Locust's node id, in the order in which they were met.

    on_sent_home: called with each worker that cannot take part; its `detail` says why.
    """

    def __init__(
        self, runner: Runner, plan: Plan, clock: Clock, on_sent_home: Callable[[Worker], None]
    ) -> None:
        self.crew: dict[str, Worker] = {}
        self.run = uuid4().hex
        self._runner = runner
        self._plan = plan
        self._clock = clock
        self._on_sent_home = on_sent_home
        self._heard = Signal()

    def connected(self) -> list[str]:
        """Node ids of all processes with users that Locust knows now."""
        return list(self._runner.clients) if isinstance(self._runner, MasterRunner) else [LOCAL]

    def is_connected(self, worker: Worker) -> bool:
        """False when Locust has noticed that it left, or calls it missing."""
        if not isinstance(self._runner, MasterRunner):
            return True
        client = self._runner.clients.get(worker.node_id)
        return client is not None and client.state != STATE_MISSING

    def of_state(self, *states: State) -> list[Worker]:
        return _having(self.crew.values(), *states)

    def prepare(self, node_ids: Iterable[str]) -> list[Worker]:
        """Those of them that are ready to go; the others are sent home."""
        workers = [Worker(node_id) for node_id in node_ids]
        self.crew.update((worker.node_id, worker) for worker in workers)
        deadline_s = self._clock() + HELLO_LIMIT_S
        while _having(workers, "greeted") and self._clock() < deadline_s:
            for worker in _having(workers, "greeted"):
                self.send(worker, {"say": "greet"})
            self.wait(lambda: not _having(workers, "greeted"), ASK_AGAIN_S)
        present = _having(workers, "said_hello")
        for rounds in range(1, CLOCK_ROUNDS + 1):
            self._compare_clocks(present, rounds)
        for worker in present:
            self.send(worker, {"say": "prepare", "plan": self._plan.to_json()})
        self.wait(lambda: not _having(present, "said_hello"), READY_LIMIT_S)
        ready = [worker for worker in _having(workers, "ready") if worker.clock_samples]
        for worker in workers:
            if worker not in ready:
                self._send_home(worker)
        return ready

    def hear(self, worker: Worker, data: dict[str, Any]) -> None:
        """What a worker has said; anything else than an answer to `prepare` only wakes those who wait."""
        worker.heard_s = self._clock()
        say = data["say"]
        if say == "hello" and worker.state == "greeted":
            worker.name = data["name"]
            worker.state = "said_hello"
            if data["version"] != __version__:
                worker.state = "refused"
                worker.detail = f"it has chaos-locust {data['version']}, the master has {__version__}"
        elif say == "clock" and worker.clock is None:
            worker.clock_samples.append((data["sent_s"], data["remote_s"], self._clock()))
        elif say == "clock" and worker.clock is not None:
            worker.clock.measure(data["sent_s"], data["remote_s"], self._clock())
        elif say == "ready" and worker.state == "said_hello":
            worker.state = "ready"
        elif say == "refused" and worker.state == "said_hello":
            worker.state, worker.detail = "refused", data["detail"]
        self._heard.set()

    def send(self, worker: Worker, data: dict[str, Any]) -> None:
        self._runner.send_message(TO_WORKER, {**data, "run": self.run}, worker.node_id)

    def ask_clocks(self, workers: Iterable[Worker]) -> None:
        """Their clocks are compared with ours as soon as they reply."""
        for worker in workers:
            self.send(worker, {"say": "clock", "sent_s": self._clock()})

    def wait(self, condition: Callable[[], bool], limit_s: float) -> None:
        """Until the condition holds, at most `limit_s`; looked at whenever a worker has said something."""
        deadline_s = self._clock() + limit_s
        while not condition() and self._clock() < deadline_s:
            self._heard.clear()
            self._heard.wait(min(LOOK_S, max(0.0, deadline_s - self._clock())))

    def _compare_clocks(self, workers: list[Worker], rounds: int) -> None:
        self.ask_clocks(workers)
        self.wait(lambda: all(len(worker.clock_samples) >= rounds for worker in workers), CLOCK_LIMIT_S)

    def _send_home(self, worker: Worker) -> None:
        """Locust would start users on it, whose requests nobody counts."""
        if worker.state == "greeted":
            worker.detail = "it never said hello; does its locustfile call chaos_locust.register()?"
        elif worker.state != "refused":
            worker.detail = "it did not answer while the run was prepared"
        self._on_sent_home(worker)
        worker.state = "refused"
        if isinstance(self._runner, MasterRunner) and worker.node_id in self._runner.clients:
            self._runner.send_message("quit", client_id=worker.node_id)
            self.wait(lambda: worker.node_id not in self.connected(), LEAVE_LIMIT_S)


def _having(workers: Iterable[Worker], *states: State) -> list[Worker]:
    return [worker for worker in workers if worker.state in states]
