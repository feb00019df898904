"""The API server of the cluster is slow or away in the middle of a run: the run goes on, users are served,
and what could not be observed meanwhile is told to be unknown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.integration.proxied_target import free_port, wait_for
from tests.servers.kubernetes_rig import Space, until

COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")
FAULTS = {
    "slow": {"kind": "latency", "latency": "6s", "anyway": True},
    "away": {"kind": "down", "anyway": True},
}


@pytest.fixture
def link(tmp_path: Path) -> Iterator[dict[str, str]]:
    """{proxy_api, kubeconfig}: the API server behind the link `api` of a proxy of ours."""
    port = free_port()
    command = [sys.executable, "-m", "chaos_locust.proxy", "-host", "127.0.0.1", "-port", str(port)]
    proxy = subprocess.Popen(
        [*command, "-proxy-metrics"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    api = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{api}/version"), "the proxy")
        config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
        (cluster,) = config["clusters"]
        upstream = urlsplit(cluster["cluster"]["server"])
        made = ask(f"{api}/proxies", {"name": "api", "listen": "127.0.0.1:0", "upstream": upstream.netloc})
        cluster["cluster"] |= {"server": f"https://{made['listen']}", "tls-server-name": upstream.hostname}
        path = tmp_path / "behind-the-link.yaml"
        path.write_text(yaml.safe_dump(config))
        yield {"proxy_api": api, "kubeconfig": str(path)}
    finally:
        proxy.kill()
        proxy.wait()


def ask(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as answer:
        return json.loads(answer.read())


def answers(url: str) -> bool:
    try:
        return bool(ask(url))
    except OSError:
        return False


@pytest.mark.parametrize("how", FAULTS)
def test_the_run_goes_on(space: Space, tmp_path: Path, link: dict[str, str], how: str) -> None:
    until(space.is_whole, "all pods are ready")
    host = space.service(f"users-{how}")
    plan = {
        "name": f"the API server is {how}",
        "host": host,
        "allow": [urlsplit(host).hostname],
        "proxy_api": link["proxy_api"],
        "kubernetes": {"namespaces": [space.name], "kubeconfig": link["kubeconfig"]},
        "targets": {
            "api": {"proxy": "api"},
            "web": {"kubernetes": {"namespace": space.name, "deployment": "web"}},
        },
        "requests": [{"path": "/"}],
        "load": [{"step": "base", "rate": "5/s", "for": "100s"}],
        "warm_up": "2s",
        "baseline": "8s",
        "timeout": "5s",
        "faults": [{"name": "outage", "target": "api", "at": "50s", "for": "25s", **FAULTS[how]}],
        "objectives": [
            "error_rate < 10% during run",
            "ready_replicas(web) >= 2 during outage",
        ],
    }
    done, verdict, known = run(plan, tmp_path)
    outcomes = {each["text"]: each["outcome"] for each in verdict["findings"]}
    # a machine that is too busy for the load leaves it undecided
    assert outcomes["error_rate < 10% during run"] != "DEVIATED", verdict["findings"]
    assert max(each["samples"] or 0 for each in verdict["findings"]) > 400, "the load went on"
    assert outcomes["ready_replicas(web) >= 2 during outage"] == "INCONCLUSIVE", verdict["findings"]
    assert outcomes["the effect of outage was seen"] == "UPHELD", verdict["findings"]
    assert done.returncode == 4, done.stdout + done.stderr
    first, last = known.index(True), len(known) - known[::-1].index(True) - 1
    assert False in known[first:last], "it was known before and after, and not in between"
    assert space.marked() == []


def run(plan: Any, folder: Path) -> tuple[Any, Any, list[bool]]:
    """What it ended with, its verdict, and whether each reading of the cluster in turn could be made."""
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(plan))
    environ = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    done = subprocess.run(
        [*COMMAND, "run", str(path), "--results", str(folder / "results")],
        env=environ, cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    verdicts = list((folder / "results").glob("*/verdict.json"))
    assert verdicts, (done.returncode, done.stdout, done.stderr)
    lines = map(json.loads, verdicts[0].with_name("journal.jsonl").read_text().splitlines())
    known = [line["ok"] for line in lines if line["kind"] == "probe" and "ready_replicas" in line["probe"]]
    return done, json.loads(verdicts[0].read_text()), known
