"""Experiments on a real service behind the embedded proxy: what they tell is what their runs measured."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from chaos_locust import ChaosExperiment
from chaos_locust.errors import ChaosError
from chaos_locust.events import FaultEvent
from chaos_locust.experiment_result import ExperimentResult
from chaos_locust.journal import read_journal
from chaos_locust.judge.verdict import Outcome

from .conftest import ProxyServer

OBJECTIVE = "error_rate > 50% during {}"


def environment(proxy: ProxyServer, port: int, objective: str, **targets: Any) -> dict[str, Any]:
    return {
        "name": "a small service",
        "host": f"http://127.0.0.1:{port}",
        "proxy_api": proxy.url,
        "targets": targets,
        "load": {"soak": {"rate": "30/s", "for": "28s"}},
        "warm_up": "2s",
        "baseline": "4s",
        "timeout": "1s",
        "steady_state": ["error_rate < 5%"],
        "objectives": [objective],
    }


def test_a_partition_and_a_cascade_are_measured(
    embedded: ProxyServer, upstream: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    web = embedded.make("web", upstream)
    auth = embedded.make("auth", embedded.make("payments", upstream))
    cut = ChaosExperiment.network_partition(
        environment(embedded, web, OBJECTIVE.format("network-partition"), web={"proxy": "web"}),
        "web",
        duration="4s",
    )
    targets = {"auth": {"proxy": "auth"}, "payments": {"proxy": "payments"}}
    fall = ChaosExperiment.cascading_failure(
        environment(embedded, auth, OBJECTIVE.format("cascading-failure-2"), **targets),
        ["payments", "auth"],
        duration="3s",
    )
    found: dict[str, ExperimentResult] = {}

    def run(experiment: ChaosExperiment) -> None:
        found[experiment.name] = experiment.run(tmp_path / "results")

    threads = [threading.Thread(target=run, args=(experiment,)) for experiment in (cut, fall)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {"network-partition", "cascading-failure"}
    for name, result in found.items():
        assert (result.outcome, result.exit_code) == (Outcome.UPHELD, 0), (name, result.sentence)
        assert result.why == ""
        assert result.error_rate_during_failure is not None
        assert result.error_rate_during_failure > 0.6  # what waits when it ends may still be answered
        assert result.grades["errors"] == "poor failure isolation"
        assert result.recovery_time_ms is not None, result.recovery_interval_ms
        assert 0 <= result.recovery_time_ms < 6000
        assert result.grades["recovery"] == "excellent"
        _is_what_the_run_recorded(result)
    assert embedded.toxics() == []
    assert embedded.all_enabled()
    _fell_in_order(found["cascading-failure"].folder)


def _is_what_the_run_recorded(result: ExperimentResult) -> None:
    """Counted once more from the journal, by hand."""
    verdict = json.loads((result.folder / "verdict.json").read_text())
    faults = verdict["faults"]
    start_s, end_s = min(f["active_s"] for f in faults), max(f["revert_asked_s"] for f in faults)
    recording = read_journal(result.folder)
    inside = [w for (second, name), w in recording.windows.items() if name and start_s <= second <= end_s - 1]
    failed = sum(window.sent - window.ok for window in inside)
    assert result.downstream_failures == failed
    assert result.failures_by_request == {"GET /": failed}
    assert result.error_rate_during_failure == failed / sum(window.sent for window in inside)


def _fell_in_order(folder: Path) -> None:
    events = [event for event in read_journal(folder).events if isinstance(event, FaultEvent)]
    active = {event.fault: event.t_s for event in events if event.state == "active"}
    asked = {event.fault: event.t_s for event in events if event.state == "asked"}
    assert list(active) == ["cascading-failure-1", "cascading-failure-2"]
    assert asked["cascading-failure-2"] >= active["cascading-failure-1"] + 1


def test_what_the_world_refuses_is_told(embedded: ProxyServer, tmp_path: Path) -> None:
    nobody = environment(
        embedded, embedded.port, "error_rate < 5% during run", web={"proxy": "no-such-proxy"}
    )
    experiment = ChaosExperiment.network_partition(nobody, "web", duration="4s")
    with pytest.raises(ChaosError, match=r"network-partition could not be run:\n.*no proxy 'no-such-proxy'"):
        experiment.run(tmp_path / "results")
