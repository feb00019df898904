"""Experiments as plans, and what is read out of their runs: numbers that were measured, or none."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.cli.app import run
from chaos_locust.errors import InvalidPlan
from chaos_locust.events import Recording, RunStarted
from chaos_locust.experiment_result import (
    ERROR_GRADES,
    LATENCY_GRADES,
    RECOVERY_GRADES,
    ExperimentResult,
    Grades,
    graded,
    result_of,
)
from chaos_locust.experiments import ChaosExperiment
from chaos_locust.judge.layout import plan_layout
from chaos_locust.measure.window import Window
from chaos_locust.plan.check import check_plan
from chaos_locust.plan.model import Plan

CLUSTER: dict[str, Any] = {
    "name": "staging",
    "host": "http://127.0.0.1:8000",
    "targets": {
        "web": {"pidfile": "/run/web.pid", "clock": "/run/clock", "path": "/srv/data"},
        "db": {"proxy": "db", "addresses": ["127.0.0.1:5432"], "peers": ["127.0.0.1"]},
        "auth": {"proxy": "auth"},
    },
    "load": {"soak": {"rate": "20/s", "for": "60s"}},
    "warm_up": "2s",
    "baseline": "8s",
    "objectives": ["error_rate < 50% during run"],
}


@pytest.mark.parametrize(
    ("experiment", "service", "options", "fault"),
    [
        ("cpu_throttling", "web", {"limit": "30%"}, {"kind": "cpu_throttle", "limit": "30%"}),
        ("memory_pressure", "web", {"level": "80%"}, {"kind": "memory_pressure", "level": "80%"}),
        ("disk_exhaustion", "web", {}, {"kind": "disk_full"}),
        ("clock_skew", "web", {"offset": "-60s"}, {"kind": "clock_skew", "offset": "-60s"}),
        ("network_partition", "db", {}, {"kind": "partition"}),
        ("network_partition", "auth", {}, {"kind": "timeout", "direction": "both"}),
    ],
)
def test_an_experiment_is_a_plan_of_ours(
    experiment: str, service: str, options: dict[str, Any], fault: dict[str, Any]
) -> None:
    made: ChaosExperiment = getattr(ChaosExperiment, experiment)(CLUSTER, service, **options)
    name = experiment.replace("_", "-")
    (found,) = made.plan.faults
    assert found.to_json().items() >= (fault | {"target": service, "at": "10s", "for": "30s"}).items()
    assert (made.name, made.faults, found.name) == (name, (name,), name)
    assert made.plan.name == f"{name.replace('-', ' ')}: staging"
    assert [objective.text for objective in made.plan.objectives] == CLUSTER["objectives"]
    assert not check_plan(made.plan).problems


IN_A_CLUSTER = {
    "kubernetes": {"namespaces": ["shop"]},
    "targets": {"web": {"kubernetes": {"namespace": "shop", "deployment": "web"}}},
}


def test_a_pod_kill_is_of_pods_a_process_or_a_container() -> None:
    of_pods = ChaosExperiment.pod_kill(CLUSTER | IN_A_CLUSTER, "web", 2)
    of_a_process = ChaosExperiment.pod_kill(CLUSTER, "web")
    of_a_container = ChaosExperiment.pod_kill(CLUSTER | {"targets": {"web": {"container": "web"}}}, "web")
    for made, kind in ((of_pods, "pod_kill"), (of_a_process, "kill"), (of_a_container, "container_kill")):
        (fault,) = made.plan.faults
        assert (fault.kind, fault.target, fault.name, fault.duration_s) == (kind, "web", "pod-kill", None)
        assert not check_plan(made.plan).problems
    assert of_pods.plan.faults[0].to_json()["count"] == "2"
    with pytest.raises(InvalidPlan, match=r"targets\.web: is one instance; 2 cannot be killed"):
        ChaosExperiment.pod_kill(CLUSTER, "web", 2)
    with pytest.raises(InvalidPlan, match="'wbe' is no target"):
        ChaosExperiment.pod_kill(CLUSTER | IN_A_CLUSTER, "wbe")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["pod-kil", "--service", "web"], "'pod-kil' is no experiment; did you mean pod-kill?"),
        (["pod-kill"], "--service: is missing; "),
        (
            ["pod-kill", "--service", "web", "--count", "2"],
            "targets.web: is one instance; 2 cannot be killed",
        ),
        (["pod-kill", "--service", "web", "--service", "db"], "--service: pod-kill takes one; 2 are given"),
        (["clock-skew", "--service", "web", "--count", "2"], "--count: has no effect on clock-skew"),
        (["clock-skew", "--service", "wbe"], "'wbe' is no target"),
    ],
)
def test_the_command_tells_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    file = tmp_path / "staging.json"
    file.write_text(Plan(**CLUSTER).model_dump_json(exclude_none=True))
    assert run(["experiment", *arguments, "--cluster", str(file)]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1


def test_the_command_tells_of_a_cluster_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["experiment", "pod-kill", "--service", "web", "--cluster", "no-such-cluster"]) == 2
    assert "no-such-cluster" in capsys.readouterr().err


def test_an_environment_is_a_file_a_mapping_or_a_plan(tmp_path: Path) -> None:
    file = tmp_path / "staging.json"
    (tmp_path / "users.py").write_text("")
    file.write_text(
        Plan(**CLUSTER).model_dump_json(exclude_none=True).replace("{", '{"locustfile":"users.py",', 1)
    )
    of_file = ChaosExperiment.cpu_throttling(file, "web", at="12s", duration="5s")
    of_plan = ChaosExperiment.cpu_throttling(Plan(**CLUSTER), "web", at="12s", duration="5s")
    assert of_file.plan.faults == of_plan.plan.faults
    assert of_file.plan.locustfile == str(tmp_path / "users.py")
    assert (of_plan.plan.faults[0].at_s, of_plan.plan.faults[0].duration_s) == (12, 5)


def test_a_cascade_has_its_services_in_order() -> None:
    made = ChaosExperiment.cascading_failure(CLUSTER, ["auth", "web", "db"], duration="10s")
    assert [(f.name, f.kind, f.target, str(f.when or f.at_s)) for f in made.plan.faults] == [
        ("cascading-failure-1", "down", "auth", "10.0"),
        ("cascading-failure-2", "kill", "web", "cascading-failure-1 active for 1s"),
        ("cascading-failure-3", "down", "db", "cascading-failure-2 over for 1s"),
    ]
    assert made.faults == tuple(fault.name for fault in made.plan.faults)


@pytest.mark.parametrize(
    ("changes", "service", "told"),
    [
        ({}, "wbe", r"'wbe' is no target; did you mean web\?"),
        ({}, "auth", "cpu_throttle needs pidfile"),
        ({"load": None}, "web", "load: is missing; an experiment needs one"),
        ({"load": {"soak": {"rate": "20/s", "for": "30s"}}}, "web", "ends at 40s, but the load ends at 30s"),
    ],
)
def test_what_cannot_be_run_is_told_at_once(changes: dict[str, Any], service: str, told: str) -> None:
    with pytest.raises(InvalidPlan, match=told):
        ChaosExperiment.cpu_throttling(CLUSTER | changes, service)


@pytest.mark.parametrize(
    ("grades", "values"),
    [
        (
            RECOVERY_GRADES,
            {
                "excellent": (0, 59_999),
                "good": (60_000, 299_999),
                "acceptable": (300_000, 900_000),
                "needs improvement": (900_001, math.inf),
            },
        ),
        (
            ERROR_GRADES,
            {
                "handles well": (0, 0.0999),
                "aware of failure": (0.1, 0.2999),
                "some cascading effect": (0.3, 0.5),
                "poor failure isolation": (0.5001, 1),
            },
        ),
        (
            LATENCY_GRADES,
            {
                "excellent": (-5, 49.9),
                "good": (50, 99.9),
                "acceptable": (100, 500),
                "needs optimization": (500.1, 9000),
            },
        ),
    ],
)
def test_grades_on_both_sides_of_each_border(grades: Grades, values: dict[str, tuple[float, ...]]) -> None:
    assert {grade: tuple(graded(v, grades) for v in each) for grade, each in values.items()} == {
        grade: (grade,) * len(each) for grade, each in values.items()
    }
    assert graded(None, grades) is None


FAULT: dict[str, Any] = {
    "name": "cpu-throttling",
    "active_s": 10.4,
    "revert_asked_s": 20.4,
    "mechanism": True,
    "use": True,
    "effect": "seen",
    "recovery": [1.0, 4.5],
    "detail": "",
}


def measured(**changes: Any) -> ExperimentResult:
    """30 s: 20 requests/s of 10 ms; from 11 s to 20 s 150 ms and every fifth of one name fails."""
    plan = ChaosExperiment.cpu_throttling(CLUSTER, "web", at="10s", duration="10s").plan
    layout = plan_layout(plan)
    windows: dict[tuple[int, str], Window] = {}
    for second in range(30):
        slow = 11 <= second < 20
        for name in ("GET /", "GET /auth"):
            window = windows[second, name] = Window(layout)
            for index in range(10):
                failed = slow and name == "GET /auth" and index % 5 == 0
                window.send(float(second))
                window.answer(second, 0, 150_000_000 if slow else 10_000_000, "HTTP 503" if failed else None)
    header = RunStarted(0.0, "run", 0.0, plan.to_json(), 1, "x", {}, 1)
    phases = [{"label": "baseline", "kind": "baseline", "starts_s": 2.0, "ends_s": 10.0}]
    verdict = {"outcome": "UPHELD", "exit_code": 0, "sentence": "It held.", "phases": phases}
    verdict["faults"] = [{"name": "other", "active_s": None}, FAULT | changes]
    return result_of(plan, ("cpu-throttling",), Recording(header, (header,), windows), verdict, Path("x"))


def test_the_numbers_are_those_of_the_recording() -> None:
    result = measured()
    assert (result.recovery_time_ms, result.recovery_interval_ms) == (4500, (1000, 4500))
    assert result.error_rate_during_failure == pytest.approx(18 / 180)
    assert result.failures_by_request == {"GET /": 0, "GET /auth": 18}
    assert result.downstream_failures == 18
    assert result.latency_p99_ms == pytest.approx(150, rel=0.02)
    assert result.latency_impact_ms["p50"] == pytest.approx(140, rel=0.02)
    assert dict(result.grades) == {
        "recovery": "excellent",
        "errors": "aware of failure",
        "latency": "acceptable",
    }
    assert result.why == ""


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"active_s": None, "detail": "no right"}, "cpu-throttling was not injected: no right"),
        ({"use": None, "effect": "nobody came"}, "the effect of cpu-throttling was not seen: nobody came"),
        ({"mechanism": False}, "the effect of cpu-throttling was not seen: seen"),
    ],
)
def test_what_was_not_there_or_not_seen_has_no_numbers(changes: dict[str, Any], why: str) -> None:
    result = measured(**changes)
    assert result.why == why
    unknown = {"p50": None, "p95": None, "p99": None}
    assert (result.recovery_time_ms, result.recovery_interval_ms) == (None, None)
    assert (result.error_rate_during_failure, result.downstream_failures) == (None, None)
    assert (result.latency_ms, result.latency_impact_ms) == (unknown, unknown)
    assert set(result.grades.values()) == {None}
    assert asdict(result)["exit_code"] == 0


def test_one_that_had_not_recovered_has_no_time_of_recovery() -> None:
    result = measured(recovery=[9.6, "Infinity"])
    assert (result.recovery_time_ms, result.recovery_interval_ms) == (None, (9600, math.inf))
    assert result.grades["recovery"] is None
    assert result.error_rate_during_failure is not None


def test_what_happens_at_once_lasts_until_it_was_recovered_from() -> None:
    result = measured(active_s=10.0, revert_asked_s=None, recovery=[9.0, 15.0])
    assert result.error_rate_during_failure == pytest.approx(18 / 300)
    lost = measured(active_s=10.0, revert_asked_s=None, recovery=[9.0, "Infinity"])
    assert lost.error_rate_during_failure == pytest.approx(18 / 400)
