"""What writing a history costs: the requests/s of a full load generator. `python -m bench.history`

One process sends as fast as it can to a trivial server beside it, measured as in any run with a plan, in
short turns: without operations; with operations that nobody records (no `invariants:` in the plan); and
recorded, shipped and written to a file as a local run does it, which is the dearest way: with workers the
file is the master's.

"of none" is the ratio of throughputs by the CPU time that a request takes, turn by turn: what a generator
that is busy can send at most is inverse to it, and other programs on the machine do not change it as they
change the requests/s.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser
from locust.env import Environment
from locust.event import Events

import chaos_locust
from bench.ports import free_port
from bench.timing import SERVER, process, wait_for
from chaos_locust.locust_plugin.clients import Clients
from chaos_locust.locust_plugin.history import HistoryFile
from chaos_locust.locust_plugin.operations import Operations
from chaos_locust.locust_plugin.recorder import Recorder
from chaos_locust.locust_plugin.workload import REPORT_EVERY_S
from chaos_locust.measure.clock import ClockError
from chaos_locust.measure.histogram import Layout

USERS = 20
ROUNDS = 15
TURN_S = 1.0
AT_RPS = 500


def plain(user: FastHttpUser, number: int) -> None:
    user.client.get("/")


def told(user: FastHttpUser, number: int) -> None:
    with chaos_locust.operation("write", number, "a-key") as op:
        user.client.get("/")
        op.result = number


@contextmanager
def recorded(folder: Path) -> Iterator[None]:
    operations = Operations("local", time.monotonic)
    file = HistoryFile(folder / f"{time.monotonic_ns()}.jsonl")
    clock = ClockError(0.0, 1e-6, 0.0, 0.0, 0.0)

    def ship() -> None:
        while True:
            gevent.sleep(REPORT_EVERY_S)
            file.add(operations.take()[1], clock)

    shipping = gevent.spawn(ship)
    with operations.write():
        yield
    shipping.kill()
    file.close()


def turn(users: list[FastHttpUser], task: Callable[[FastHttpUser, int], None]) -> tuple[float, float]:
    """(requests/s, microseconds of CPU for each request)"""
    done = [0]
    end_s = time.monotonic() + TURN_S

    def work(user: FastHttpUser) -> None:
        while time.monotonic() < end_s:
            task(user, done[0])
            done[0] += 1

    began_s, cpu_s = time.monotonic(), time.process_time()
    gevent.joinall([gevent.spawn(work, user) for user in users], raise_error=True)
    return done[0] / (time.monotonic() - began_s), (time.process_time() - cpu_s) / done[0] * 1e6


def main() -> None:
    """Prints medians and ratios; nothing is asserted."""
    port = free_port()
    user_class: Any = type("Visitor", (FastHttpUser,), {"host": f"http://127.0.0.1:{port}"})
    environment = Environment(user_classes=[user_class], events=Events())
    environment.create_local_runner()  # Locust's own statistics
    kinds: dict[str, tuple[Callable[[FastHttpUser, int], None], bool]] = {
        "no operations": (plain, False),
        "not recorded": (told, False),
        "recorded": (told, True),
    }
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    with tempfile.TemporaryDirectory() as name, process(sys.executable, "-c", SERVER, str(port)):
        wait_for(port)
        users = [user_class(environment) for _ in range(USERS)]
        with Clients(Recorder(Layout(()), time.monotonic), 10.0).watch(environment):
            turn(users, plain)
            for _ in range(ROUNDS):
                for kind, (task, writes) in kinds.items():
                    with recorded(Path(name)) if writes else nullcontext():
                        seen[kind].append(turn(users, task))
    print(f"{'':15}{'requests/s':>12}{'CPU us each':>13}{'of none':>10}{f'more CPU at {AT_RPS}/s':>22}")
    none = seen["no operations"]
    for kind, turns in seen.items():
        rate = statistics.median(rate for rate, _ in turns)
        cpu_us = statistics.median(cpu_us for _, cpu_us in turns)
        pairs = list(zip(turns, none, strict=True))
        ratio = statistics.median(base_us / us for (_, us), (_, base_us) in pairs)
        extra = statistics.median(us - base_us for (_, us), (_, base_us) in pairs) * AT_RPS / 1e6
        print(f"{kind:15}{rate:12,.0f}{cpu_us:13.1f}{ratio:10.3f}{extra:22.2%}")


if __name__ == "__main__":
    main()
