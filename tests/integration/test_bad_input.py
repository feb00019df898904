"""A user's mistake gives one clear line and exit code 2, before any load, with nothing left running.

Every mistake goes through the three ways in: `chaos-locust check`, `chaos-locust run` and `locust`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .load_target import Target
from .mistakes import (
    COMMAND,
    EXIT_USAGE,
    LIMIT_S,
    LOCUST,
    PLAIN,
    Place,
    free_port,
    mounted,
    proxy_server,
    refused,
    toxics,
)


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[Target, str, str]]:
    with Target() as target, proxy_server("-proxy-metrics") as api, proxy_server() as without:
        yield target, api, without


@pytest.fixture
def place(services: tuple[Target, str, str], tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path, *services)
    yield found
    for pid in found.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


Change = Callable[[Place, dict[str, Any]], None]


def _faults(*faults: dict[str, Any]) -> Change:
    def change(place: Place, plan: dict[str, Any]) -> None:
        plan["faults"] = list(faults)

    return change


def _set(*keys: str | int, value: Any) -> Change:
    def change(place: Place, plan: dict[str, Any]) -> None:
        part: Any = plan
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value

    return change


def _target_that_refuses(place: Place, plan: dict[str, Any]) -> None:
    plan["host"] = f"http://127.0.0.1:{free_port()}"


def _no_proxy(place: Place, plan: dict[str, Any]) -> None:
    plan["proxy_api"] = f"http://127.0.0.1:{free_port()}"


def _no_metrics(place: Place, plan: dict[str, Any]) -> None:
    plan["proxy_api"] = place.api_without_metrics


def _no_pidfile(place: Place, plan: dict[str, Any]) -> None:
    plan["targets"]["db"]["pidfile"] = str(place.folder / "missing.pid")
    plan["faults"].append({"name": "kill", "kind": "kill", "target": "db", "at": "7s"})


ELSEWHERE = {"upstream": "192.0.2.7:5432", "listen": "127.0.0.1:5432"}
MISTAKES: dict[str, tuple[Change, tuple[str, ...]]] = {
    "unknown kind": (_set("faults", 0, "kind", value="latncy"), ("faults[0].kind", "latncy", "latency")),
    "unknown target": (_set("faults", 0, "target", value="dbb"), ("faults[0].target", "'dbb'", "db")),
    "not allowed": (_set("targets", "db", value=ELSEWHERE), ("targets.db.upstream", "192.0.2.7", "allow:")),
    "clash": (
        _faults(Place.fault("slow", "4s", "3s"), Place.fault("slower", "5s", "3s")),
        ("faults[1]", "cannot act together", "slow", "same direction"),
    ),
    "after the end": (_set("faults", 0, "at", value="11s"), ("faults[0].at", "11s", "10s")),
    "no duration": (_set("faults", 0, "for", value=2), ("faults[0].for", "2", "unit")),
    "target refuses": (_target_that_refuses, ("host", "http://127.0.0.1:", "does not accept connections")),
    "no pid file": (_no_pidfile, ("targets.db", "missing.pid")),
    "no proxy": (_no_proxy, ("proxy_api", "http://127.0.0.1:", "chaos-locust proxy")),
    "no metrics": (_no_metrics, ("proxy_api", "counts no bytes", "-proxy-metrics")),
    "missing variable": (_set("host", value="${CHAOS_NOBODY_SET_THIS}"), ("host", "CHAOS_NOBODY_SET_THIS")),
}


def test_the_plan_without_a_mistake_could_run(place: Place) -> None:
    """Else every test here would see a mistake of its own making."""
    process = place.start("check", [*COMMAND, "check", str(place.write(place.plan))])
    assert process.wait(LIMIT_S) == 0, (place.folder / "check").read_text()
    assert "Everything that the plan needs is there." in (place.folder / "check").read_text()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_in_the_plan(place: Place, mistake: str) -> None:
    change, said = MISTAKES[mistake]
    plan = place.plan
    change(place, plan)
    refused(place, plan, *said)


def test_links_of_two_targets_can_be_the_same(place: Place) -> None:
    plan = place.plan
    plan["targets"]["again"] = {"proxy": "db"}
    plan["faults"].append({"name": "off", "kind": "down", "target": "again", "at": "5s", "for": "3s"})
    refused(place, plan, "faults[1]", "slow", "db and again", "the same proxy")


def test_not_yaml(place: Place) -> None:
    refused(place, "name: [a plan\nload: }", "plan.yaml", "line 2", "no YAML")


def test_huge_plan(place: Place) -> None:
    refused(place, json.dumps(place.plan) + "\n" + "# much\n" * 1_500_000, "plan.yaml", "larger than 1 MB")


def test_exploding_anchors(place: Place) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    refused(place, "\n".join(lines), "plan.yaml", "aliases")


def test_missing_plan(place: Place) -> None:
    path = str(place.folder / "nowhere.yaml")
    locust = [*LOCUST, "-f", str(PLAIN), "--headless", "--chaos-plan", path]
    for command in ([*COMMAND, "check", path], locust):
        process = place.start("output", command)
        output = (place.folder / "output").read_text() if process.wait(LIMIT_S) == EXIT_USAGE else ""
        assert [line for line in output.splitlines() if "nowhere.yaml" in line], output
        assert "Traceback" not in output


def test_results_in_place_of_a_file(place: Place) -> None:
    file = place.folder / "file"
    file.write_text("no folder")
    refused(place, place.plan, "results", str(file), "not a folder", results=file / "below")


def test_read_only_results(place: Place) -> None:
    with mounted(place.folder / "mounted", "ro"):
        refused(place, place.plan, "results", "mounted", "not writable", results=place.folder / "mounted")


def test_full_disk(place: Place) -> None:
    with mounted(place.folder / "mounted", "size=1m"):
        refused(place, place.plan, "results", "mounted", "bytes left", results=place.folder / "mounted")


def test_disk_that_becomes_full(place: Place) -> None:
    """Too late for a refusal: the run ends at once, its fault is undone, and that is told."""
    plan = place.plan
    plan["load"][0]["for"] = "60s"
    plan["faults"] = [place.fault("slow", "4s", "50s")]
    with mounted(place.folder / "mounted", "size=40m"):
        results = place.folder / "mounted"
        command = [*COMMAND, "run", str(place.write(plan)), "--results", str(results)]
        run = place.start("run", command)
        give_up_s = time.monotonic() + LIMIT_S
        while not toxics(place.api):
            assert time.monotonic() < give_up_s, (place.folder / "run").read_text()
            assert run.poll() is None, (place.folder / "run").read_text()
            time.sleep(0.05)
        with (results / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(b"x" * 4096)
        code, output = run.wait(LIMIT_S), (place.folder / "run").read_text()
    assert code == 1, f"exit code {code}\n{output}"
    assert "Traceback" not in output, output
    assert "No space left on device" in output
    assert not toxics(place.api)
    assert not place.processes()


@pytest.mark.parametrize("mistake", ["unknown kind", "target refuses"])
def test_workers_are_sent_home(place: Place, mistake: str) -> None:
    """A master that refuses its plan ends, and so do its two workers."""
    change, said = MISTAKES[mistake]
    plan, port = place.plan, str(free_port())
    change(place, plan)
    requests = len(place.target.log())
    address = ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", "2"]
    master = ["--headless", "--master", *address, "--chaos-plan", str(place.write(plan))]
    worker = ["--worker", "--master-host", "127.0.0.1", "--master-port", port]
    started = [place.start("master", [*LOCUST, "-f", str(PLAIN), *master])]
    started += [place.start(f"worker-{n}", [*LOCUST, "-f", str(PLAIN), *worker]) for n in range(2)]
    codes = [process.wait(LIMIT_S) for process in started]
    outputs = [(place.folder / name).read_text() for name in ("master", "worker-0", "worker-1")]
    assert codes[0] == EXIT_USAGE, outputs
    told = [line for line in outputs[0].splitlines() if line.startswith("chaos-locust: ")]
    assert len(told) == 1, outputs[0]
    assert all(words in told[0] for words in said), told
    assert "Traceback" not in "".join(outputs), outputs
    assert not place.processes()
    assert len(place.target.log()) == requests


def test_workers_of_the_same_machine_are_sent_home(place: Place) -> None:
    """`run --workers`; that Locust's usual port is in use by another master hinders nobody."""
    plan, requests = place.plan, len(place.target.log())
    _target_that_refuses(place, plan)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # somebody else may have it, which does as well
            stack.enter_context(socket.create_server(("", 5557)))
        run = place.start("run", [*COMMAND, "run", str(place.write(plan)), "--workers", "2"])
        code, output = run.wait(LIMIT_S), (place.folder / "run").read_text()
    assert code == EXIT_USAGE, output
    assert [line for line in output.splitlines() if "does not accept connections" in line], output
    assert "Traceback" not in output
    assert not place.processes()
    assert len(place.target.log()) == requests


def test_request_that_never_happens(place: Place) -> None:
    """That is no mistake before the run; after it nothing is known, which the verdict names."""
    objective = 'error_rate of "GET /never" < 1% during run'
    plan = {**place.plan, "load": [{"step": "base", "rate": "60/s", "for": "8s"}]}
    plan |= {"faults": [], "targets": {}, "objectives": [objective]}
    run = place.start("run", [*COMMAND, "run", str(place.write(plan))])
    code, output = run.wait(LIMIT_S), (place.folder / "run").read_text()
    assert code == 4, f"exit code {code}\n{output}"
    (path,) = place.folder.glob("results/*/verdict.json")
    verdict = json.loads(path.read_text())
    assert verdict["exit_code"] == 4
    (finding,) = (finding for finding in verdict["findings"] if finding["text"] == objective)
    assert finding["outcome"] == "INCONCLUSIVE", finding
    assert "GET /never" in finding["reason"]
    assert "GET /never" in output


def test_port_in_use(place: Place, fixed_ports: None) -> None:
    with contextlib.ExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        with contextlib.suppress(OSError):  # somebody else may have it, which does as well
            stack.enter_context(socket.create_server(("127.0.0.1", 8474)))
        commands = {
            "proxy": [*COMMAND, "proxy", "-host", "127.0.0.1", "-port", str(taken)],
            "serve": [*COMMAND, "demo", "serve"],
        }
        for name, command in commands.items():
            code = place.start(name, command).wait(LIMIT_S)
            lines = (place.folder / name).read_text().splitlines()
            assert code == EXIT_USAGE, lines
            assert len(lines) == 1, lines
            assert "in use" in lines[0]
            assert place.processes() == {}
