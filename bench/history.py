"""What writing a history costs: the requests/s of a full load generator. `python -m bench.history`

One process sends as fast as it can to a trivial server beside it, in short turns: without operations; with
operations that nobody records (no `invariants:` in the plan); and recorded, shipped and written to a file as
a local run does it, which is the dearest way: with workers the file is the master's.
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
from bench.timing import SERVER, free_port, process, wait_for
from chaos_locust.locust_plugin.history import HistoryFile
from chaos_locust.locust_plugin.operations import Operations
from chaos_locust.locust_plugin.workload import REPORT_EVERY_S
from chaos_locust.measure.clock import ClockError

USERS = 20
ROUNDS = 7
TURN_S = 3.0
AT_RPS = 500


def plain(user: FastHttpUser, number: int) -> None:
    user.client.get("/")


def told(user: FastHttpUser, number: int) -> None:
    with chaos_locust.operation("write", number, "a-key") as op:
        user.client.get("/")
        op.result = number


@contextmanager
def recorded(environment: Environment, folder: Path) -> Iterator[None]:
    operations = Operations("local", time.monotonic)
    file = HistoryFile(folder / f"{time.monotonic_ns()}.jsonl")
    clock = ClockError(0.0, 1e-6, 0.0, 0.0, 0.0)

    def ship() -> None:
        while True:
            gevent.sleep(REPORT_EVERY_S)
            file.add(operations.take()[1], clock)

    shipping = gevent.spawn(ship)
    with operations.write(environment):
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
    kinds: dict[str, tuple[Callable[[FastHttpUser, int], None], bool]] = {
        "no operations": (plain, False),
        "not recorded": (told, False),
        "recorded": (told, True),
    }
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    with tempfile.TemporaryDirectory() as name, process(sys.executable, "-c", SERVER, str(port)):
        wait_for(port)
        users = [user_class(environment) for _ in range(USERS)]
        turn(users, plain)
        for _ in range(ROUNDS):
            for kind, (task, writes) in kinds.items():
                with recorded(environment, Path(name)) if writes else nullcontext():
                    seen[kind].append(turn(users, task))
    print(f"{'':15}{'requests/s':>12}{'of none':>10}{'CPU us each':>13}{f'CPU at {AT_RPS}/s':>14}")
    base_us = statistics.median(cpu_us for _, cpu_us in seen["no operations"])
    for kind, turns in seen.items():
        rate = statistics.median(rate for rate, _ in turns)
        ratio = statistics.median(
            rate / before for (rate, _), (before, _) in zip(turns, seen["no operations"], strict=True)
        )
        cpu_us = statistics.median(cpu_us for _, cpu_us in turns)
        extra = (cpu_us - base_us) * AT_RPS / 1e6
        print(f"{kind:15}{rate:12,.0f}{ratio:10.3f}{cpu_us:13.1f}{extra:13.2%}")


if __name__ == "__main__":
    main()
