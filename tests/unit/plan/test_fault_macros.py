"""`cascade` and `random` stand for ordinary faults; the same document gives the same faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from chaos_locust.errors import InvalidPlan
from chaos_locust.faults.network import Latency
from chaos_locust.plan.check import check_plan
from chaos_locust.plan.model import Plan
from chaos_locust.plan.schema import plan_schema
from chaos_locust.reports.checked import render_checked

MakePlan = Callable[..., Plan]
STEPS = [
    {"target": "db", "kind": "down"},
    {"target": "web", "kind": "pause"},
    {"target": "web", "kind": "kill"},
]
CASCADE: dict[str, Any] = {"name": "all-down", "at": "40s", "for": "10s", "steps": STEPS}
RANDOM: dict[str, Any] = {
    "seed": 7,
    "count": 5,
    "between": ["45s", "100s"],
    "for": ["2s", "5s"],
    "faults": [
        {"kind": "latency", "target": "db", "latency": ["50ms", "500ms"]},
        {"kind": "down", "target": "db"},
        {"kind": "kill", "target": "web"},
    ],
}


PINNED = [
    ("random-1", "latency", 48.698, 3.953),
    ("random-2", "down", 56.749, 2.371),
    ("random-3", "kill", 60.929, None),
    ("random-4", "down", 65.337, 3.731),
    ("random-5", "down", 71.806, 2.174),
]


def shown(plan: Plan) -> list[tuple[str, str, str]]:
    """(name, kind, when) of every fault."""
    return [(fault.name, fault.kind, f"{fault.at_s or fault.when}") for fault in plan.faults]


def told(make: MakePlan, **changes: Any) -> list[str]:
    with pytest.raises(InvalidPlan) as refused:
        make(**changes)
    return [str(problem) for problem in refused.value.problems]


def test_each_step_of_a_cascade_waits_for_the_one_before(plan: MakePlan) -> None:
    found = plan(faults=[], cascade=CASCADE)
    assert shown(found) == [
        ("all-down-1", "down", "40.0"),
        ("all-down-2", "pause", "all-down-1 active"),
        ("all-down-3", "kill", "all-down-2 active"),
    ]
    assert [fault.duration_s for fault in found.faults] == [10, 10, None]
    assert [place for place, _ in found.placed_faults()] == [f"cascade.steps[{index}]" for index in range(3)]


@pytest.mark.parametrize(
    ("changes", "whens"),
    [
        ({"then": "active for 2s"}, ["40.0", "all-down-1 active for 2s", "all-down-2 active for 2s"]),
        ({"then": "over for  3s"}, ["40.0", "all-down-1 over for 3s", "all-down-2 over for 3s"]),
        ({"then": "recovered"}, ["40.0", "recovered after all-down-1", "recovered after all-down-2"]),
        ({"every": "3s"}, ["40.0", "43.0", "46.0"]),
        (
            {"at": None, "when": "steady for 9s"},
            ["steady for 9s", "all-down-1 active", "all-down-2 active"],
        ),
    ],
)
def test_how_the_steps_of_a_cascade_follow(plan: MakePlan, changes: dict[str, Any], whens: list[str]) -> None:
    found = plan(faults=[], cascade=CASCADE | changes)
    assert [when for _, _, when in shown(found)] == whens
    # a timed step comes into what the ones before have made unsteady
    assert [fault.anyway for fault in found.faults] == [False, "every" in changes, "every" in changes]


def test_what_happens_at_once_is_active_and_over_when_it_came(plan: MakePlan) -> None:
    found = plan(faults=[], cascade=CASCADE | {"then": "active for 2s", "steps": STEPS[::-1][:2]})
    assert shown(found)[1] == ("all-down-2", "pause", "all-down-1 over for 2s")


def test_steps_may_have_names_and_lengths_of_their_own(plan: MakePlan) -> None:
    steps = [{**STEPS[0], "name": "db-down", "for": "4s"}, STEPS[1]]
    found = plan(faults=[], cascade=[CASCADE | {"steps": steps}, {**CASCADE, "name": "later", "at": "80s"}])
    assert [when for _, _, when in shown(found)][:3] == ["40.0", "db-down active", "80.0"]
    assert [fault.duration_s for fault in found.faults][:2] == [4, 10]
    assert found.placed_faults()[2][0] == "cascade[1].steps[0]"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"at": None}, "cascade.at: give either at: (such as 20s) or when:"),
        ({"when": "steady for 5s"}, "cascade.at: give either at:"),
        ({"every": "3s", "then": "over"}, "cascade.every: does not go with then"),
        ({"at": None, "when": "steady for 5s", "every": "3s"}, "cascade.every: goes with at"),
        ({"then": "dead"}, "cascade.then: 'dead' says nothing of the step before; allowed: active, "),
        ({"steps": []}, "cascade.steps: '[]' is not allowed"),
        ({"steps": [3]}, "cascade.steps[0]: '3' is not a mapping"),
        ({"steps": [{**STEPS[0], "at": "3s"}]}, "cascade.steps[0].at: is for the cascade to say"),
        ({"steps": [{"target": "db", "kind": "dwn"}]}, "cascade.steps[0].kind: 'dwn' is no fault kind"),
        ({"for": None}, "cascade.steps[0].for: is missing"),
        ({"name": "base", "steps": [{**STEPS[0], "name": "base"}]}, "cascade.steps[0].name: 'base' is taken"),
        ({"colour": 1}, "cascade.colour: 'colour' is no key here"),
    ],
)
def test_a_mistake_in_a_cascade_has_its_place(plan: MakePlan, changes: dict[str, Any], line: str) -> None:
    found = told(plan, faults=[], cascade=CASCADE | changes)
    assert [text for text in found if text.startswith(line)], found


def test_what_check_finds_has_the_place_in_the_cascade(plan: MakePlan) -> None:
    steps = [STEPS[0], {"target": "wbe", "kind": "pause"}, {"target": "db", "kind": "kill"}]
    problems = [str(problem) for problem in check_plan(plan(cascade=CASCADE | {"steps": steps})).problems]
    assert "cascade.steps[1].target: 'wbe' is no target; did you mean web? allowed: db, web" in problems
    assert [text for text in problems if text.startswith("cascade.steps[2].target: kill needs pidfile")]


def test_check_prints_what_macros_stand_for(plan: MakePlan) -> None:
    found = plan(
        faults=[], cascade=CASCADE | {"then": "active for 2s"}, random={**RANDOM, "between": ["70s", "110s"]}
    )
    checked = check_plan(found)
    assert not checked.problems
    text = " ".join(render_checked(found, checked, width=200).split())
    assert "all-down-2 pause all-down-1 active for 2s, 42.05 s at the earliest 52.05 s" in text
    for fault in found.faults[3:]:
        assert f"{fault.name} {fault.kind} {fault.at_s:g} s" in text


def test_one_seed_gives_the_same_faults_and_another_one_others(plan: MakePlan) -> None:
    faults = plan(faults=[], random=RANDOM).faults
    assert plan(faults=[], random=RANDOM).faults == faults
    # pinned: whoever reads an old report can make the same faults again
    assert [(f.name, f.kind, f.at_s, f.duration_s) for f in faults] == PINNED
    assert plan(faults=[], random={**RANDOM, "seed": 8}).faults != faults
    unseeded = {key: value for key, value in RANDOM.items() if key != "seed"}
    assert plan(faults=[], seed=7, random=unseeded).faults == faults


@pytest.mark.parametrize("seed", range(40))
def test_random_faults_stay_in_their_bounds_and_do_not_clash(
    plan: MakePlan, slow: dict[str, Any], seed: int
) -> None:
    typed = {**slow, "for": "10s"}
    found = plan(faults=[typed], random={**RANDOM, "seed": seed, "concurrent": 2})
    assert not check_plan(found).problems
    drawn = found.faults[1:]
    assert [fault.name for fault in drawn] == [f"random-{number}" for number in range(1, 6)]
    assert [fault.at_s for fault in drawn] == sorted(fault.at_s or 0 for fault in drawn)
    spans = []
    for fault in drawn:
        assert fault.at_s is not None
        spans.append((fault.at_s, fault.at_s + (fault.duration_s or 0)))
        assert 45 <= spans[-1][0] <= spans[-1][1] <= 100
        assert fault.instant or 2 <= (fault.duration_s or 0) <= 5
        assert fault.anyway
        if isinstance(fault, Latency):
            assert 0.05 <= fault.latency_s <= 0.5
    assert max(sum(begin <= at < end for begin, end in spans) for at, _ in spans) <= 2


def test_a_budget_is_used_up_and_not_more(plan: MakePlan) -> None:
    changes = {"count": None, "budget": "20s", "faults": RANDOM["faults"][:2]}
    lengths = [f.duration_s or 0 for f in plan(faults=[], random=RANDOM | changes).faults]
    assert 18 < sum(lengths) <= 20
    assert min(lengths) >= 2


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"count": None}, "random.count: give either count: (such as 5) or budget:"),
        ({"budget": "9s"}, "random.count: give either count:"),
        (
            {"count": None, "budget": "9s"},
            "random.faults[2].kind: a kill takes no time, so no budget would end",
        ),
        ({"count": 50}, "random.between: there is room for"),
        ({"for": "90s", "faults": RANDOM["faults"][:2]}, "random.between: there is room for 0 only"),
        ({"for": None}, "random.for: is missing"),
        (
            {"between": ["60s", "50s"]},
            "random.between: '['60s', '50s']' is not allowed; the first must not be",
        ),
        ({"between": ["60s"]}, "random.between: '['60s']' is not allowed; give two durations"),
        ({"for": ["2", "5s"]}, "random.for: '2' is a bare number"),
        (
            {"faults": [{"kind": "down", "target": "db", "at": "3s"}]},
            "random.faults[0].at: is drawn; leave it",
        ),
        (
            {"faults": [{"kind": "latency", "target": "db", "latency": ["2ms", "1ms"]}]},
            "random.faults[0].latency: '['2ms', '1ms']' is not allowed; the first must not be greater",
        ),
        ({"faults": [{"kind": "latency", "target": "db"}]}, "random.faults[0].latency: is missing"),
        ({"faults": []}, "random.faults: '[]' is not allowed"),
    ],
)
def test_a_mistake_in_random_faults_has_its_place(plan: MakePlan, changes: dict[str, Any], line: str) -> None:
    found = told(plan, faults=[], random=RANDOM | changes)
    assert [text for text in found if text.startswith(line)], found


def test_macros_fit_the_schema_and_the_expanded_plan_is_the_same(plan: MakePlan) -> None:
    document = {"name": "x", "cascade": CASCADE, "random": [RANDOM]}
    validator = Draft202012Validator(plan_schema())
    assert not list(validator.iter_errors(json.loads(json.dumps(document))))
    for wrong in ({"then": "dead"}, {"steps": []}, {"steps": [{"kind": "down"}]}, {"until": "5s"}):
        assert list(validator.iter_errors({**document, "cascade": CASCADE | wrong})), wrong
    for wrong in ({"between": ["3s"]}, {"count": 0}, {"faults": [{"kind": "dwn", "target": "db"}]}):
        assert list(validator.iter_errors({**document, "random": RANDOM | wrong})), wrong
    found = plan(faults=[], cascade=CASCADE, random=RANDOM)
    data = json.loads(json.dumps(found.to_json()))
    assert not {"cascade", "random"} & set(data)
    assert not list(validator.iter_errors(data))
    assert Plan.from_json(data) == found
