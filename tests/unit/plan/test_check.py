"""`check` refuses what can only be inconclusive or cannot act, and plans the rest with exact numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaos_locust.plan.allow import may_reach
from chaos_locust.plan.check import Checked, check_plan
from chaos_locust.plan.documents import parse_plan, read_yaml
from chaos_locust.plan.model import Plan

Check = Callable[..., Checked]
Problems = Callable[..., list[str]]
LATER = {"name": "later", "kind": "latency", "target": "db", "latency": "1ms", "at": "70s", "for": "5s"}
KILL = {"name": "kill-web", "kind": "kill", "target": "web", "at": "100s"}


def test_the_example_is_right_and_planned(example: str) -> None:
    checked = check_plan(parse_plan(read_yaml(example), {"SHOP_STATE": "/x"}))
    assert not checked.problems
    assert [(phase.label, phase.starts_s, phase.ends_s) for phase in checked.phases] == [
        ("run", 10, 120),
        ("warm-up", 0, 10),
        ("baseline", 10, 40),
        ("base", 0, 60),
        ("peak", 60, 90),
        ("after", 90, 120),
        ("slow-db", 40, 55),
        ("kill-payments", 100, 120),
    ]
    assert [(fault.fault.name, fault.starts_s, fault.ends_s) for fault in checked.faults] == [
        ("slow-db", 40, 55),
        ("kill-payments", 100, 100),
    ]
    assert [(o.samples, o.needed, o.decidable) for o in checked.objectives] == [
        (1450, 299, True),  # the last 100 ms before the fault, and so its second, are not judged
        (700, 59, True),
        (None, 1, True),
        (None, 9, None),  # of 250 requests in 5 s; the locustfile decides how many of them post an order
        (3000, 59, True),
        (None, 1, True),
    ]
    assert [str(warning) for warning in checked.warnings] == [
        "objectives[5]: the load ends 20s after kill-payments starts, and recovered means steady windows "
        "for 15s, so only a recovery within 5s can be seen (in: recovery < 20s after kill-payments starts)"
    ]


@pytest.mark.parametrize(
    ("rate", "objective", "needed", "enough"),
    [
        ("2/s", "p95 < 1s during baseline", 59, False),  # 29 s without the second before the fault: 58
        ("3/s", "p95 < 1s during baseline", 59, True),
        ("10/s", "p99 < 1s during baseline", 299, False),
        ("11/s", "p99 < 1s during baseline", 299, True),
        ("100/s", "p99.9 < 1s during baseline", 2995, False),
        ("104/s", "p99.9 < 1s during baseline", 2995, True),
        ("2/s", "error_rate < 5% during baseline", 59, False),  # 20 s without the time-out before the fault
        ("3/s", "error_rate < 5% during baseline", 59, True),
        ("14/s", "availability >= 99% during baseline", 299, False),
        ("15/s", "availability >= 99% during baseline", 299, True),
        ("50/s", "p99 < 1s in every 5s during baseline", 299, False),
        ("60/s", "p99 < 1s in every 5s during baseline", 299, True),
        ("1/s", "mean < 1s during baseline", 1, True),
    ],
)
def test_an_objective_that_can_only_be_inconclusive_is_refused(
    checked: Check, rate: str, objective: str, needed: int, enough: bool
) -> None:
    found = checked(load=[{"step": "base", "rate": rate, "for": "60s"}], objectives=[objective])
    (planned,) = found.objectives
    assert (planned.needed, planned.decidable) == (needed, enough)
    assert bool(found.problems) is not enough
    if not enough:
        assert str(found.problems[0]).startswith(f"objectives[0]: {planned.samples} samples")
        assert f"{needed} are needed to decide" in str(found.problems[0])


def test_the_weights_of_the_requests_count(checked: Check) -> None:
    requests = [{"path": "/a", "weight": 9}, {"path": "/b", "name": "/b/[id]", "method": "POST"}]
    found = checked(
        requests=requests,
        objectives=[
            'p95 of "GET /a" < 1s during baseline',
            'p99 of "POST /b/[id]" < 1s during baseline',
            "p95 of each request < 1s during baseline",
        ],
    )
    assert [(o.samples, o.decidable) for o in found.objectives] == [(1305, True), (145, False), (145, True)]
    assert [problem.place for problem in found.problems] == ["objectives[1]"]


def test_what_a_locustfile_decides_is_a_warning(checked: Check) -> None:
    found = checked(locustfile="x.py", objectives=['p99 of "GET /a" < 1s during baseline'])
    assert not found.problems
    assert [str(warning) for warning in found.warnings] == [
        "objectives[0]: needs at least 299 of the 1450 requests planned (20.6%); "
        "the locustfile decides whether there are so many"
    ]
    # too few in all is too few of each
    assert checked(
        locustfile="x.py",
        load={"soak": {"rate": "5/s", "for": "60s"}},
        objectives=['p99 of "GET /a" < 1s during baseline'],
    ).problems


def test_users_make_no_known_number_of_requests(checked: Check, problems: Problems) -> None:
    load = {"soak": {"users": 5, "for": "120s"}}
    (planned,) = checked(load=load, objectives=["p99 < 1s during baseline"]).objectives
    assert (planned.samples, planned.decidable) == (None, None)
    for text in ("dropped < 1% during run", "throughput >= 95% of offered during run"):
        assert "users offer no rate" in problems(load=load, objectives=[text])[0]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"faults": [{**LATER, "target": "dbb"}]}, "faults[0].target: 'dbb' is no target; did you mean db?"),
        (
            {"faults": [{**LATER, "target": "web"}]},
            "faults[0].target: latency needs proxy, or upstream and listen",
        ),
        ({"faults": [{**KILL, "target": "db"}]}, "faults[0].target: kill needs pidfile"),
        ({"faults": [{**LATER, "for": "51s"}]}, "faults[0].for: ends at 121s, but the load ends at 120s"),
        ({"faults": [{**LATER, "at": "120s"}]}, "faults[0].at: comes at 120s, but the load ends at 120s"),
        ({"faults": [{**LATER, "at": "30s"}]}, "faults[0].at: leaves a baseline of 20s (it begins at 10s"),
        # a step that begins shortly before the fault is the baseline's
        ({"faults": [LATER]}, "faults[0].at: leaves a baseline of 10s (it begins at 60s"),
        (
            {"objectives": ["p99 < 1s during pek"]},
            "objectives[0]: 'pek' is no step or fault; did you mean peak?",
        ),
        ({"objectives": ["p99 < 1s after peak"]}, "objectives[0]: 'peak' is no fault; allowed: slow-db"),
        (
            {"objectives": ["recovery < 5s after slow ends"]},
            "objectives[0]: 'slow' is no fault; did you mean slow-db?",
        ),
        (
            {"objectives": ["p99 < 1s during slow-db and peak"]},
            "objectives[0]: 'during slow-db and peak' never is",
        ),
        (
            {"objectives": ["p99 < 2x baseline during peak"]},
            "objectives[0]: 100/s are compared with 50/s of the baseline",
        ),
        (
            {"objectives": ["p99 < 2x baseline during run"]},
            "objectives[0]: several levels are compared with 50/s",
        ),
        (
            {"requests": [{"path": "/a"}], "objectives": ['p95 of "GET /b" < 1s during run']},
            'objectives[0]: "GET /b" is no request of the plan; did you mean GET /a?',
        ),
        (
            {"requests": [{"path": "/a"}], "abort": ['error_rate of "GET /b" > 50% for 5s']},
            'abort[0]: "GET /b" is no request of the plan',
        ),
        (
            {"faults": [{**KILL, "at": "112s"}], "objectives": ["recovery < 5s after kill-web starts"]},
            "objectives[0]: the load ends 8s after kill-web starts, and recovered means steady windows for",
        ),
        (
            {"faults": [KILL], "objectives": ["recovery < 5s after kill-web ends"]},
            "objectives[0]: a kill is over at once; write after kill-web starts",
        ),
        (
            {"load": {"stress": {"from": "50/s", "to": "90/s", "step": "10/s", "every": "4s"}}, "faults": []},
            "load.stress.every: '4s' is too short",
        ),
        (
            {"targets": {"db": {"upstream": "192.0.2.7:5432", "listen": "127.0.0.1:15432"}}},
            "targets.db.upstream: 192.0.2.7 is not allowed; put it into allow:",
        ),
        ({"proxy_api": "http://[2001:db8::1]:8474"}, "proxy_api: 2001:db8::1 is not allowed"),
    ],
)
def test_problems(problems: Problems, changes: dict[str, Any], told: str) -> None:
    found = problems(**changes)
    assert [line for line in found if line.startswith(told)], found


@pytest.mark.parametrize(
    ("changes", "clash"),
    [
        ({}, True),
        ({"direction": "both"}, True),
        ({"direction": "upstream"}, False),
        ({"at": "55s"}, False),
        ({"at": "54.999s"}, True),
        ({"target": "other"}, False),
        ({"kind": "bandwidth", "rate": "9KB/s", "latency": None}, False),
        ({"kind": "down", "latency": None}, True),
        ({"at": None, "when": "steady for 10s"}, True),
    ],
)
def test_two_faults_are_refused_where_they_cannot_both_act(
    problems: Problems, slow: dict[str, Any], changes: dict[str, Any], clash: bool
) -> None:
    other = {key: value for key, value in {**slow, "name": "other", **changes}.items() if value is not None}
    targets = {"db": {"proxy": "db"}, "other": {"proxy": "other"}}
    found = problems(targets=targets, faults=[slow, other])
    assert len(problems(targets=targets, faults=[other, slow])) == len(found)
    assert [
        line.startswith("faults[1]: cannot act together with faults[0] (slow-db) on db") for line in found
    ] == ([True] if clash else [])


def test_a_shorter_baseline_can_be_asked_for(problems: Problems, slow: dict[str, Any]) -> None:
    early = [{**slow, "at": "15s"}]
    assert problems(faults=early)
    assert not problems(faults=early, baseline="10s", warm_up="5s")


def test_a_fault_that_waits_is_planned_at_its_earliest(checked: Check, slow: dict[str, Any]) -> None:
    waiting = {key: value for key, value in slow.items() if key != "at"} | {"when": "steady for 10s"}
    (fault,) = checked(faults=[waiting]).faults
    assert (fault.starts_s, fault.ends_s, fault.exact) == (40, 55, False)
    (fault,) = checked(faults=[{**waiting, "when": "steady for 45s"}]).faults
    assert fault.starts_s == 55


def test_a_plain_percentile_beside_tolerated_errors_is_warned_of(checked: Check) -> None:
    def places(*objectives: str) -> list[str]:
        return [warning.place for warning in checked(objectives=list(objectives)).warnings]

    assert places("p95 < 1s during slow-db", "error_rate < 10% during slow-db") == ["objectives[0]"]
    assert not places("p95(ok) < 1s during slow-db", "error_rate < 10% during slow-db")
    assert not places("p95 < 1s during slow-db", "error_rate < 5% during slow-db")
    assert not places("p95 < 1s during baseline", "error_rate < 10% during slow-db")


def test_the_baseline_without_faults_is_the_first_step(checked: Check) -> None:
    found = checked(faults=[], objectives=["p99 < 1s during baseline"])
    assert [(p.starts_s, p.ends_s) for p in found.phases if p.label == "baseline"] == [(10, 60)]
    assert [o.samples for o in found.objectives] == [2500]


def test_without_a_load_only_names_can_be_checked(checked: Check) -> None:
    found = checked(load=None, objectives=["p99 < 1s during slow-db", "p99 < 1s during slow"])
    assert [problem.place for problem in found.problems] == ["objectives[1]"]
    assert [warning.place for warning in found.warnings] == ["load"]


def test_names_are_checked_again_when_the_load_came_from_elsewhere(plan: Callable[..., Plan]) -> None:
    load = plan(load=[{"step": "slow-db", "rate": "50/s", "for": "120s"}], faults=[]).load
    found = check_plan(plan().model_copy(update={"load": load}))
    assert [str(p) for p in found.problems] == [
        "faults[0].name: 'slow-db' is taken by load step slow-db; give each its own name"
    ]


@pytest.mark.parametrize(
    ("host", "allow", "may"),
    [
        ("127.0.0.1", [], True),
        ("127.9.9.9", [], True),
        ("::1", [], True),
        ("localhost", [], True),
        ("::ffff:10.0.0.7", ["10.0.0.0/8"], True),
        ("10.0.0.7", ["10.0.0.7"], True),
        ("10.0.0.7", ["10.0.0.0/8", "db.internal"], True),
        ("10.0.0.7", ["11.0.0.0/8", "2001:db8::/32"], False),
        ("0.0.0.0", [], False),
        ("db.internal", ["DB.internal"], True),
        ("db.internal", [], None),
    ],
)
def test_where_targets_may_be(host: str, allow: list[str], may: bool | None) -> None:
    assert may_reach(host, allow) is may


def test_what_follows_a_fault_lasts_until_the_next_one(checked: Check, slow: dict[str, Any]) -> None:
    found = checked(
        faults=[slow, {**KILL, "at": "80s"}, {**LATER, "at": "100s"}],
        objectives=["error_rate < 5% after slow-db", "outage < 5s during kill-web", "max < 1s after later"],
    )
    assert [(o.starts_s, o.ends_s) for o in found.objectives] == [(55.05, 80), (80.05, 100), (105.05, 120)]
    # 14 whole seconds at 50 and 100 a second: the time-out before the kill is left out
    assert found.objectives[0].samples == 4 * 50 + 10 * 100
