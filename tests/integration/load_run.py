"""One load run in Locust processes of its own: `LoadRun` starts them, the program below is what they run.

Locust changes the standard library of the process that imports it, so no test does.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, Self

from chaos_locust.measure.histogram import Layout
from chaos_locust.measure.window import ARRIVALS, Window

LOCUSTFILES = {
    "fast": """
class Visitor(FastHttpUser):
    @task
    def visit(self):
        self.client.get("/visit")
""",
    "lean": """
from chaos_locust import LeanHttpUser
class Visitor(LeanHttpUser):
    @task
    def visit(self):
        self.client.get("/visit")
""",
    "patient": """
class Visitor(FastHttpUser):
    network_timeout = 60
    @task
    def visit(self):
        self.client.get("/visit")
""",
    "nested": """
class Basket(SequentialTaskSet):
    @task
    def look(self):
        self.client.get("/look")
    @task
    def buy(self):
        with self.client.post("/buy", json={}, catch_response=True) as response:
            response.success()
        self.client.get("/thanks", name="/thanks/[id]")
    @task
    def leave(self):
        self.interrupt()

class Shopper(HttpUser):
    wait_time = constant(30)
    tasks = {Basket: 1}
    def on_start(self):
        self.client.get("/login")
    def on_stop(self):
        self.client.get("/logout")
    @task(3)
    def browse(self):
        self.client.get("/browse", params={"page": 1})
""",
    "busy": """
class Visitor(FastHttpUser):
    wait_time = constant(0.1)
    @task
    def visit(self):
        self.client.get("/visit")
""",
    "wrong": """
class Visitor(FastHttpUser):
    @task
    def broken(self):
        self.client.get("/broken")
    @task
    def rejected(self):
        with self.client.get("/visit", name="/rejected", catch_response=True) as response:
            response.failure("not what was asked for")
    @task
    def raised(self):
        with self.client.get("/visit", name="/raised", catch_response=True):
            raise ValueError("a mistake in the locustfile")
    @task
    def refused(self):
        self.client.get("http://127.0.0.1:1/refused", name="/refused")
""",
}


class LoadRun:
    """Runs a plan with one of LOCUSTFILES in this many workers (0: in one local process).

    `start_epoch_s` is known once inside the `with` block; `result()` waits for the end. With several `runs`
    in the same processes, `begun()` and `result()` go on to the next one. restored: the run has put back
    everything that it had changed in its process. odd: one more worker, of another version (`old`) or without
    chaos-locust (`plain`).
    """

    def __init__(
        self, plan: dict[str, Any], locustfile: str, workers: int = 0, runs: int = 1, odd: str = ""
    ) -> None:
        self._job = {"plan": plan, "locustfile": LOCUSTFILES[locustfile], "runs": runs}
        self._workers = workers
        self._odd = odd
        self.processes: list[subprocess.Popen[str]] = []
        self._windows: dict[tuple[int, str], Window] = {}
        self.events: list[dict[str, Any]] = []
        self.restored = False

    def __enter__(self) -> Self:
        self._port = _free_port()
        self._master = self._start("master" if self._workers else "local", self._port)
        self.workers = [self._start("worker", self._port) for _ in range(self._workers)]
        if self._odd:
            self.workers.append(self._start(self._odd, self._port))
        self.begun()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()

    def begun(self) -> None:
        """Waits until the (next) run has begun."""
        self.start_epoch_s = float(self._line())
        self._windows.clear()

    def sleep_until(self, t_s: float) -> None:
        """Seconds of the run."""
        time.sleep(max(0.0, self.start_epoch_s + t_s - time.time()))

    def interrupt(self) -> None:
        """Ends the load early."""
        self._master.send_signal(signal.SIGUSR1)

    def result(self) -> None:
        """Waits for the end of the run and reads what was recorded."""
        data = json.loads(self._line())
        self.events, self.restored = data["events"], data["restored"]
        layout = Layout(())
        for second, name, content in data["windows"]:
            window = self._windows.setdefault((second, name), Window(layout))
            window.add_window(Window.from_json(content, layout))

    def total(self, name: str | None = None) -> Window:
        """Everything under this name; None: all requests."""
        total = Window(Layout(()))
        for (_, its_name), window in self._windows.items():
            if its_name == name or (name is None and its_name != ARRIVALS):
                total.add_window(window)
        return total

    @property
    def names(self) -> set[str]:
        return {name for _, name in self._windows}

    @property
    def windows(self) -> dict[tuple[int, str], Window]:
        return self._windows

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]

    def join(self) -> None:
        """Starts one more worker."""
        self.workers.append(self._start("worker", self._port))

    def _start(self, role: str, port: int) -> subprocess.Popen[str]:
        job = json.dumps(
            {**self._job, "role": role, "port": port, "workers": self._workers + bool(self._odd)}
        )
        process = subprocess.Popen(
            [sys.executable, __file__, job],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "LOCUST_SKIP_MONKEY_PATCH"},
        )
        self.processes.append(process)
        return process

    def _line(self) -> str:
        assert self._master.stdout is not None
        line = self._master.stdout.readline()
        assert line, "the load run ended without a result; its error is above"
        return line


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(job: dict[str, Any]) -> None:
    import gevent
    import locust
    from locust import argument_parser
    from locust.env import Environment
    from locust.event import Events

    from chaos_locust.locust_plugin import worker as worker_module
    from chaos_locust.locust_plugin.worker import LoadWorker, hold_back_users
    from chaos_locust.plan.documents import parse_plan

    plan = parse_plan(job["plan"], {})
    space = {**vars(locust), "__name__": "locustfile"}
    exec(job["locustfile"], space)
    users = [v for k, v in space.items() if isinstance(v, type) and v.__module__ == "locustfile"]
    environment = Environment(
        user_classes=[user for user in users if issubclass(user, locust.User)],
        events=Events(),
        host=plan.host,
        parsed_options=argument_parser.get_parser(default_config_files=[]).parse_args([]),
    )
    environment.parsed_options.chaos_plan = "a plan" if job["role"] == "master" else None
    if job["role"] in ("worker", "old", "plain"):
        if job["role"] == "old":
            worker_module.__version__ = "0.0.1"
        if job["role"] != "plain":
            hold_back_users()
        runner = environment.create_worker_runner("127.0.0.1", job["port"])
        if job["role"] != "plain":
            LoadWorker(environment).listen()
        runner.greenlet.join()
        return
    if job["role"] == "master":
        runner = environment.create_master_runner("127.0.0.1", job["port"])
        while len(runner.clients.ready) < job["workers"]:
            gevent.sleep(0.05)
    else:
        runner = environment.create_local_runner()
    for _ in range(job["runs"]):
        run_once(environment, plan)
    environment.events.quitting.fire(environment=environment)
    runner.quit()


def run_once(environment: Any, plan: Any) -> None:
    import gevent
    from gevent.event import Event as Signal
    from locust import HttpUser, TaskSet
    from locust.clients import HttpSession
    from locust.contrib.fasthttp import FastHttpSession

    from chaos_locust.judge.layout import plan_layout
    from chaos_locust.locust_plugin.lean.session import LeanHttpSession
    from chaos_locust.locust_plugin.master import LoadMaster

    def state() -> list[Any]:
        """What a run changes, and has to put back."""
        listeners = len(environment.events.request._handlers)
        classes = [sorted({*vars(user)} - {"host"}) for user in environment.user_classes]  # Locust sets host
        clients = (HttpSession.request, FastHttpSession.request, LeanHttpSession.request)
        own = (*clients, TaskSet.execute_next_task, TaskSet.wait)
        return [*own, vars(HttpUser)["abstract"], classes, listeners, environment.stop_timeout]

    before = state()
    windows: list[Any] = []
    events: list[Any] = []
    layout = plan_layout(plan)
    load = LoadMaster(
        environment,
        plan,
        layout,
        lambda event: events.append({"kind": event.kind, **dataclasses.asdict(event)}),
        lambda changes: windows.extend((s, n, w.to_json()) for (s, n), w in changes.items()),
        lambda rows, clock: None,
    )
    over = Signal()
    gevent.signal_handler(signal.SIGUSR1, over.set)
    start_epoch_s = load.begin()
    print(start_epoch_s, flush=True)
    if plan.load is None:
        environment.runner.start(10, 10)
    over.wait(start_epoch_s + plan.load.duration_s - time.time() if plan.load is not None else None)
    load.stop_load()
    load.stop_load()
    environment.runner.stop()
    restored = state() == before
    print(json.dumps({"windows": windows, "events": events, "restored": restored}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
