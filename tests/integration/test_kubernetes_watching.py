"""What a run reads of a cluster while its API is in trouble: nothing false, and the run goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.kubernetes_api import pod, refusal, workload
from tests.servers.kubernetes_watched import WatchedApi

from .load_target import Target
from .proxied_target import wait_for

COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")
TARGET = {"namespace": "shop", "deployment": "web"}
PROBES = ["ready_replicas", "desired_replicas", "missing_replicas", "hpa_desired", "hpa_current", "restarts"]

Json = dict[str, Any]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[WatchedApi]:
    with WatchedApi(tmp_path) as api:
        for name in ("a", "bb", "ccc"):
            api.tell("ADDED", "pods", pod(name))
        api.tell("ADDED", "deployments", workload())
        api.tell("ADDED", "horizontalpodautoscalers", autoscaler("other", "back", 9))
        api.tell("ADDED", "horizontalpodautoscalers", autoscaler("by-load", "web", 3))
        yield api


def autoscaler(name: str, deployment: str, desired: int) -> Json:
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment}
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"scaleTargetRef": scaled},
        "status": {"desiredReplicas": desired, "currentReplicas": 3},
    }


class Reading:
    """The reader's process, and the last line that it told of each probe."""

    def __init__(self, api: WatchedApi) -> None:
        cluster = {"kubeconfig": api.kubeconfig, "namespaces": ["shop"]}
        job = {"cluster": cluster, "targets": {"web": TARGET}, "probes": {"web": PROBES}}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chaos_locust.signals.reader", json.dumps(job)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.told: list[Json] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told.append(json.loads(line))

    def now(self, probe: str) -> Json:
        return next((each for each in reversed(self.told) if each["probe"] == f"{probe}(web)"), {"value": ""})

    def until(self, probe: str, value: float | None) -> Json:
        wait_for(lambda: self.now(probe)["value"] == value, f"{probe} is {value}, not {self.now(probe)}")
        return self.now(probe)

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(30) == 0
        self._listener.join(30)


@pytest.fixture
def reading(api: WatchedApi) -> Iterator[Reading]:
    reading = Reading(api)
    try:
        reading.until("ready_replicas", 3)
        wait_for(lambda: len(api.watches) == 3, "pods, workload and autoscaler are watched")
        yield reading
    finally:
        reading.process.kill()
        reading.process.wait()


def test_each_change_is_told_at_once(api: WatchedApi, reading: Reading) -> None:
    wanted = {"desired_replicas": 3, "missing_replicas": 0, "hpa_desired": 3, "hpa_current": 3, "restarts": 0}
    for probe, value in wanted.items():
        assert reading.now(probe)["value"] == value
    api.tell("MODIFIED", "pods", pod("a", ready=False))
    reading.until("ready_replicas", 2)
    assert reading.until("missing_replicas", 1)["detail"] == ""
    api.tell("MODIFIED", "horizontalpodautoscalers", autoscaler("other", "back", 7))
    api.tell("MODIFIED", "horizontalpodautoscalers", autoscaler("by-load", "web", 5))
    reading.until("hpa_desired", 5)
    api.tell("MODIFIED", "deployments", workload(replicas=5))
    reading.until("missing_replicas", 3)
    api.tell("DELETED", "horizontalpodautoscalers", autoscaler("by-load", "web", 5))
    assert "autoscaler" in reading.until("hpa_desired", None)["detail"]
    reading.end()
    values = [each["value"] for each in reading.told if each["probe"] == "hpa_desired(web)"]
    assert 9 not in values
    assert 7 not in values
    watched = [path for method, path in api.calls if method == "GET" and path.endswith("/pods")]
    assert len(watched) == 1, "what is watched is not asked for again and again"


def test_a_watch_that_is_out_of_date_is_no_gap(api: WatchedApi, reading: Reading) -> None:
    api.objects["pods", "shop", "a"]["status"]["conditions"][0]["status"] = "False"  # nobody is told
    api.expire("pods")
    reading.until("ready_replicas", 2)
    api.tell("MODIFIED", "pods", pod("a"))
    reading.until("ready_replicas", 3)
    reading.end()
    assert [each for each in reading.told if not each["ok"]] == []


def test_a_watch_that_is_always_out_of_date_is_told(api: WatchedApi, reading: Reading) -> None:
    """And the server is asked again once a second, not as fast as it answers."""
    api.trouble = lambda method, path, query: refusal(410, "too old") if method == "WATCH" else None
    before = len(api.calls)
    api.expire("pods")
    assert "410" in reading.until("ready_replicas", None)["detail"]
    reading.end()
    assert len(api.calls) - before < 20


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_refuses_is_told_until_it_answers(
    api: WatchedApi, reading: Reading, status: int
) -> None:
    api.trouble = lambda method, path, query: refusal(status, "not now")
    api.expire("pods")
    assert f"({status})" in reading.until("ready_replicas", None)["detail"]
    api.trouble = lambda method, path, query: None
    reading.until("ready_replicas", 3)


def test_a_server_that_is_started_again(api: WatchedApi, reading: Reading) -> None:
    api.stop()
    assert reading.until("ready_replicas", None)["detail"]
    api.tell("MODIFIED", "pods", pod("a", ready=False))
    api.start()
    reading.until("ready_replicas", 2)
    api.tell("MODIFIED", "pods", pod("bb", ready=False))
    reading.until("ready_replicas", 1)


def test_a_server_that_says_nothing_is_told(api: WatchedApi, reading: Reading) -> None:
    """Its connections stand, and its watches look as if nothing happened."""
    api.hanging.set()
    api.tell("MODIFIED", "pods", pod("a", ready=False))
    assert "timed out" in reading.until("ready_replicas", None)["detail"]
    api.hanging.clear()
    reading.until("ready_replicas", 2)


# -- in a run ------------------------------------------------------------------------------------------------


def run_while(api: WatchedApi, folder: Path, act: Callable[[], None]) -> tuple[int, Json]:
    """(exit code, verdict) of a load of 14 s, in whose middle it acts."""
    with Target() as target:
        plan = {
            "name": "pods are watched beside a load",
            "host": target.url,
            "kubernetes": {"kubeconfig": api.kubeconfig, "namespaces": ["shop"]},
            "targets": {"web": {"kubernetes": TARGET}},
            "requests": [{"path": "/visit"}],
            "load": [{"step": "base", "rate": "20/s", "for": "14s"}],
            "warm_up": "1s",
            "baseline": "2s",
            "objectives": ["ready_replicas(web) >= 3 during run", "error_rate < 20% during run"],
        }
        path, results = folder / "plan.yaml", folder / "results"
        path.write_text(yaml.safe_dump(plan))
        process = subprocess.Popen(
            [*COMMAND, "run", str(path), "--results", str(results)],
            env={**os.environ, "XDG_STATE_HOME": str(folder / "state")}, cwd=folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            wait_for(
                lambda: (len(target.log()) > 80 and "pods" in api.watches) or process.poll() is not None,
                "the load is on, and the pods are watched",
            )
            act()
            _, error = process.communicate(timeout=120)
        finally:
            process.kill()
            process.wait()
        verdicts = list(results.glob("*/verdict.json"))
        assert verdicts, error
        return process.returncode, json.loads(verdicts[0].read_text())


def outcomes(verdict: Json) -> dict[str, tuple[str, str]]:
    return {each["text"]: (each["outcome"], each["reason"]) for each in verdict["findings"]}


def test_a_run_goes_on_and_what_was_not_seen_is_inconclusive(api: WatchedApi, tmp_path: Path) -> None:
    code, verdict = run_while(api, tmp_path, api.stop)
    found = outcomes(verdict)
    assert code == 4
    assert found["ready_replicas(web) >= 3 during run"][0] == "INCONCLUSIVE"
    assert "readings failed" in found["ready_replicas(web) >= 3 during run"][1]
    assert found["error_rate < 20% during run"][0] == "UPHELD"
    assert verdict["end_reason"] == "finished"
    api.start()  # so that it can be stopped


def test_a_run_whose_watches_are_out_of_date_is_upheld(api: WatchedApi, tmp_path: Path) -> None:
    code, verdict = run_while(api, tmp_path, lambda: api.expire("pods"))
    assert code == 0, verdict["findings"]
    assert api.watches["pods"] >= 2


def test_a_change_that_nobody_was_told_is_found_by_the_look_after_it(api: WatchedApi, tmp_path: Path) -> None:
    def act() -> None:
        api.objects["pods", "shop", "a"]["status"]["conditions"][0]["status"] = "False"
        api.expire("pods")

    code, verdict = run_while(api, tmp_path, act)
    assert code == 3
    assert outcomes(verdict)["ready_replicas(web) >= 3 during run"][0] == "DEVIATED"
