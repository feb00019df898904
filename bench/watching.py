"""What it costs to watch pods beside a load: `KUBECONFIG=... python -m bench.watching [--pods 1000]`

In a namespace of its own, removed at the end: so many pods of which nobody runs any (no scheduler takes
them), whose status this benchmark changes at a given rate, as kubelets do. They are watched as in any run
with a plan: by the reader's process, whose lines this process takes as the master does. What counts is the
CPU time of both, as a share of one core. 50 changes/s are a rollout of 1000 pods in 100 s, where each changes
five times; how many there were tells the number of times that the ready pods were told, of which one each
second is no change.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import psutil
import typer

from chaos_locust.backends.kubernetes.api import PODS, Kind, Kubernetes
from chaos_locust.errors import BackendError
from chaos_locust.events import ProbeRead
from chaos_locust.locust_plugin.probing import Probing
from chaos_locust.plan.cluster import Cluster
from chaos_locust.plan.model import Plan

NAMESPACES = Kind("", "v1", "namespaces", namespaced=False)
ACCOUNTS = Kind("", "v1", "serviceaccounts")
PROBES = ("ready_replicas", "restarts", "oom_killed")
TURN_S = 20.0
RATES = (0.0, 5.0, 50.0)
AT_ONCE = 4
LABELS = {"app": "watched"}


@contextmanager
def pods(cluster: Kubernetes, count: int) -> Iterator[str]:
    """A namespace with so many pods, all of them ready."""
    namespace = f"chaos-bench-{uuid4().hex[:8]}"
    cluster.create(NAMESPACES, None, {"metadata": {"name": namespace}})
    try:
        wait_for_account(cluster, namespace)
        for number in range(count):
            container = {"name": "web", "image": "none"}
            spec = {"schedulerName": "nobody", "containers": [container]}
            about = {"name": f"web-{number}", "labels": LABELS}
            cluster.create(PODS, namespace, {"metadata": about, "spec": spec})
            cluster.patch(PODS, namespace, f"web-{number}", status(True, 0), "status")
        yield namespace
    finally:
        cluster.ask("DELETE", NAMESPACES.path(None, namespace))


def wait_for_account(cluster: Kubernetes, namespace: str) -> None:
    """Pods need it, and it comes a moment after its namespace."""
    give_up_s = time.monotonic() + 30
    while True:
        try:
            cluster.get(ACCOUNTS, namespace, "default")
            return
        except BackendError:
            if time.monotonic() > give_up_s:
                raise
            time.sleep(0.1)


def status(ready: bool, restarts: int) -> dict[str, Any]:
    container = {"name": "web", "ready": ready, "restartCount": restarts, "image": "none", "imageID": "none"}
    container["state"] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {"status": {"phase": "Running", "conditions": conditions, "containerStatuses": [container]}}


def change(namespace: str, count: int, rate_rps: float) -> None:
    """Goes round all pods: each is not ready, then ready again."""
    began_s = time.monotonic()

    def go_round(first: int) -> None:
        cluster = Kubernetes(Cluster())
        for number in itertools.count(first, AT_ONCE):
            time.sleep(max(0.0, began_s + number / rate_rps - time.monotonic()))
            lap, pod = divmod(number, count)
            cluster.patch(PODS, namespace, f"web-{pod}", status(bool(lap % 2), 0), "status")

    for first in range(AT_ONCE):
        threading.Thread(target=go_round, args=(first,)).start()


def turn(namespace: str, count: int, rate_rps: float) -> tuple[float, float, float]:
    """(CPU share of the reader, of this process, readings of ready pods a second)"""
    changing = multiprocessing.get_context("spawn").Process(target=change, args=(namespace, count, rate_rps))
    if rate_rps:
        changing.start()
    read: list[ProbeRead] = []
    plan = Plan.from_json(
        {
            "name": "watching",
            "host": "http://127.0.0.1:1",
            "kubernetes": {"namespaces": [namespace]},
            "targets": {"web": {"kubernetes": {"namespace": namespace, "selector": "app=watched"}}},
            "objectives": ["ready_replicas(web) >= 0 during run"],
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        probing = Probing(plan, {"web": PROBES}, Path(folder), read.append)
        probing.open()
        probing.begin(time.time())
        try:
            (reader,) = [each for each in psutil.Process().children() if is_reader(each)]
            seen, before_s, here_s, began_s = len(read), cpu_s(reader), time.process_time(), time.monotonic()
            threading.Event().wait(TURN_S)
            lasted_s = time.monotonic() - began_s
            shares = (cpu_s(reader) - before_s) / lasted_s, (time.process_time() - here_s) / lasted_s
            told = [each for each in read[seen:] if each.probe.startswith("ready_replicas")]
        finally:
            probing.end()
            if rate_rps:
                changing.terminate()
                changing.join()
    return *shares, len(told) / lasted_s


def is_reader(process: psutil.Process) -> bool:
    return "chaos_locust.signals.reader" in process.cmdline()


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main(
    count: Annotated[int, typer.Option("--pods", help="So many pods.")] = 1000,
    rounds: Annotated[int, typer.Option(help="Turns of 20 s at each rate.")] = 3,
) -> None:
    """Prints medians; nothing is asserted."""
    if not os.environ.get("KUBECONFIG"):
        raise SystemExit("needs a Kubernetes cluster: KUBECONFIG is not set")
    with pods(Kubernetes(Cluster()), count) as namespace:
        for rate_rps in RATES:
            turns = [turn(namespace, count, rate_rps) for _ in range(rounds)]
            reader, here, told_rps = (statistics.median(each) for each in zip(*turns, strict=True))
            print(
                f"{count} pods, {rate_rps:g} changes/s asked for: reader {reader:.1%} of a core, "
                f"the process that it tells {here:.1%}; ready pods told {told_rps:.1f} times/s",
                flush=True,
            )


if __name__ == "__main__":
    typer.run(main)
