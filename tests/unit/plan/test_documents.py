"""Plans from files: the example loads as typed, and every mistake is one clear line with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from chaos_locust.errors import InvalidPlan
from chaos_locust.faults.network import Latency
from chaos_locust.faults.process import Kill
from chaos_locust.plan.documents import load_plan, parse_plan, read_yaml
from chaos_locust.plan.load import Step
from chaos_locust.plan.model import Plan
from chaos_locust.plan.schema import plan_schema

ENVIRON = {"SHOP_STATE": "/tmp/shop state #1: {x}"}


def load(folder: Path, text: str | bytes, environ: dict[str, str] | None = None) -> Plan:
    path = folder / "plan.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_plan(path, ENVIRON if environ is None else environ)


def refused(folder: Path, text: str | bytes, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(InvalidPlan) as caught:
        load(folder, text, environ)
    lines = str(caught.value).replace(str(folder / "plan.yaml"), "plan.yaml").splitlines()
    assert len(lines) == len(caught.value.problems)  # one line each
    return lines


def test_the_example_loads_as_typed(tmp_path: Path, example: str) -> None:
    plan = load(tmp_path, example)
    assert plan.name == "checkout survives a slow database and a lost payment service"
    assert plan.load is not None
    assert plan.load.steps == (
        Step("base", 0.0, 60.0, 50.0, 50.0),
        Step("peak", 60.0, 30.0, 100.0, 100.0),
        Step("after", 90.0, 30.0, 50.0, 50.0),
    )
    slow, kill = plan.faults
    assert slow == Latency(
        name="slow-db", target="postgres", latency="200ms", jitter="50ms", at="40s", duration="15s"
    )
    assert kill == Kill(name="kill-payments", target="payments", at="100s")
    # a value of the environment is text, whatever YAML would make of it
    assert plan.targets["payments"].pidfile == "/tmp/shop state #1: {x}/payments.pid"
    assert [len(part) for part in (plan.steady_state, plan.objectives, plan.abort)] == [2, 6, 1]
    assert plan.labels() == ("run", "baseline", "base", "peak", "after", "slow-db", "kill-payments")
    assert plan.duration_s == 120.0


def test_json_data_and_back_is_the_same_plan_and_matches_the_schema(tmp_path: Path, example: str) -> None:
    plan = load(tmp_path, example + "arrivals: poisson\nmax_users: 7\ndrop_after: 250ms\nslo: standard\n")
    data = json.loads(json.dumps(plan.to_json()))
    assert Plan.from_json(data) == plan
    assert plan.load is not None
    assert (plan.load.arrivals, plan.load.max_users, plan.load.drop_after_s) == ("poisson", 7, 0.25)
    validator = Draft202012Validator(plan_schema())
    validator.check_schema(plan_schema())
    assert not list(validator.iter_errors(data))
    assert not list(validator.iter_errors(read_yaml(example)))
    for key, wrong in (("at", 40), ("latency", "200"), ("latncy", "2s"), ("kind", "latencyy")):
        bad = json.loads(json.dumps(data))
        bad["faults"][0][key] = wrong
        assert list(validator.iter_errors(bad)), key


def test_every_problem_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    told = refused(
        tmp_path,
        """
name: x
hots: http://127.0.0.1
host: example
seed: abc
allow: [10.0.0.1/8]
targets: {db: {}, Web: {pidfile: x}, both: {proxy: a, upstream: "b:1"}}
load:
  - {step: base, rate: 50, for: 60s}
  - {step: peak, rate: 50/s, for: 1:30}
  - {step: slow, rate: 50/s, for: 10s}
arrivals: often
timeout: 0s
faults:
  - {name: slow, kind: latencyy}
  - {name: run, kind: kill, target: db, at: 3s, for: 4s}
  - {name: late, kind: latency, target: db, latency: 40ms, at: 40, fro: 3s}
  - {kind: pause, target: db, when: sometimes, for: 3s}
steady_state: [p99 < 1s during run]
slo: standrd
objectives:
  - error_rate < 1% durin run
  - p99 of GET: /x < 3
  - {expect: p99 < 1s during run, severity: warning}
abort: [error_rate > 60%]
""",
    )
    for line in (
        "hots: 'hots' is no key here; did you mean host?",
        "host: 'example' is no URL",
        "seed: 'abc' is not allowed",
        "allow[0]: '10.0.0.1/8' is no network; did you mean 10.0.0.0/8?",
        "targets.db: gives nothing to touch",
        "targets.Web: 'Web' is no name",
        "targets.both.proxy: names a proxy that is there",
        "load[0].rate: '50' is not allowed; give a rate",
        "load[1].for: '1:30' can be read in two ways",
        "arrivals: 'often' is not allowed; allowed: 'constant', 'poisson'",
        "timeout: '0' is not allowed; give more than zero",
        "faults[0].kind: 'latencyy' is no fault kind; did you mean latency?",
        "faults[0].name: 'slow' is taken by load[2]; give each its own name",
        "faults[1].name: 'run' is taken",
        "faults[1].for: a kill happens at once",
        "faults[2].at: '40' is a bare number; give a duration with a unit, such as 40s",
        "faults[2].for: is missing",
        "faults[2].fro: 'fro' is no key here; did you mean for?",
        "faults[3].name: is missing",
        "faults[3].when: 'sometimes' is no condition",
        "steady_state[0]: 'during' is too much",
        "slo: 'standrd' is no list of objectives; did you mean standard?",
        "objectives[0]: 'durin' is not allowed here; did you mean during?",
        "objectives[1]: '{'p99 of GET': '/x < 3'}' has no expect:",
        "objectives[2].severity: 'warning' is not allowed; allowed: 'error', 'warn'",
        "abort[0]: it ends too early; 'for' is missing",
    ):
        assert [found for found in told if found.startswith(line)], line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "the plan is nothing; it must be a mapping"),
        ("- a", "the plan is a list; it must be a mapping"),
        ("hello", "the plan is 'hello'; it must be a mapping"),
        ("a: [", "plan.yaml: line 1, column 5: is no YAML"),
        ("name: x\nname: y", "plan.yaml: line 2, column 1: is no YAML: the key 'name' is given twice"),
        ("name: x\n---\nname: y", "plan.yaml: line 2, column 1: is no YAML: expected a single document"),
        ("name: !!python/object/apply:os.getcwd []", "plan.yaml: line 1, column 7: is no YAML"),
        ("name: x\x00", "plan.yaml: is no YAML"),
        (b"\xff\xfe\x00", "plan.yaml: is not UTF-8 text"),
        ("x" * 10_000_000, "plan.yaml: is larger than 1 MB"),
        ("[" * 20_000, "plan.yaml: is nested too deeply"),
        ("a: &a [*a]", "plan.yaml: has an alias that contains itself"),
        ("name: x\nfaults: 5", "faults: '5' is not a list"),
        ("name: x\n1: 2", "'1' is no key"),
        ("name: x\nload: []", "load: is no load"),
        ("name: x\nmax_users: 5", "max_users: has no effect without load"),
    ],
)
def test_what_is_no_plan_is_told_in_one_line(tmp_path: Path, text: str | bytes, line: str) -> None:
    told = refused(tmp_path, text)
    assert len(told) == 1
    assert told[0].startswith(line)
    assert len(told[0]) < 400


def test_exploding_aliases_are_refused_and_harmless_ones_read(tmp_path: Path) -> None:
    laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "has 1234567909 values, aliases written out; at most 100000" in refused(tmp_path, laughs)[0]
    shared = """
name: x
targets: {db: &db {proxy: db}, cache: *db}
load: [&base {step: base, rate: 5/s, for: 60s}, {<<: *base, step: more}]
"""
    plan = load(tmp_path, shared)
    assert plan.targets["cache"].proxy == "db"
    assert plan.load is not None
    assert [step.name for step in plan.load.steps] == ["base", "more"]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidPlan, match=r"none\.yaml: cannot be read: No such file"):
        load_plan(tmp_path / "none.yaml", {})


def test_variables_come_from_the_environment_or_their_default(tmp_path: Path, example: str) -> None:
    assert refused(tmp_path, example, {}) == [
        "targets.payments.pidfile: ${SHOP_STATE} is not set; set SHOP_STATE, or write ${SHOP_STATE:-default}"
    ]
    text = "name: ${A:-one two} and ${B}\nhost: ${HOST:-http://127.0.0.1:80}\nseed: ${SEED}\n# ${NOT_USED}\n"
    plan = load(tmp_path, text, {"B": "three", "SEED": "7"})
    assert (plan.name, plan.host, plan.seed) == ("one two and three", "http://127.0.0.1:80", 7)
    # set to nothing counts as not set, as in a shell's ${A:-...}
    assert load(tmp_path, text, {"A": "", "B": "b", "SEED": "7"}).name == "one two and b"
    told = refused(tmp_path, "name: ${A-b}\nhost: ${HOST}\nseed: ${SEED}\n", {})
    assert told == [
        "name: '${A-b}' is no variable; write ${NAME} or ${NAME:-default}",
        "host: ${HOST} is not set; set HOST, or write ${HOST:-default}",
        "seed: ${SEED} is not set; set SEED, or write ${SEED:-default}",
    ]


def test_a_value_of_the_environment_cannot_change_the_structure(tmp_path: Path) -> None:
    plan = load(tmp_path, "name: ${A}\n", {"A": "x\nhost: http://evil\n${B}"})
    assert plan.name == "x\nhost: http://evil\n${B}"
    assert plan.host is None


def test_words_that_yaml_would_turn_into_something_else_stay_words(tmp_path: Path) -> None:
    assert read_yaml("[on, no, 1:30, 2026-01-01, 012, 0x1F, 1_000, ~, true, 3, 2.5]") == [
        *("on", "no", "1:30", "2026-01-01", "012", "0x1F", "1_000"),
        *(None, True, 3, 2.5),
    ]


def test_empty_sections_are_as_if_left_out() -> None:
    assert parse_plan({"name": "x", "faults": None, "objectives": None, "load": None}, {}) == Plan(name="x")


def test_python_and_yaml_make_the_same_plan(tmp_path: Path) -> None:
    yaml = """
name: slow
targets: {db: {proxy: db}}
load: {soak: {rate: 50/s, for: 60s}}
warm_up: 5s
faults: [{name: slow-db, kind: latency, target: db, latency: 200ms, when: steady for 10s, for: 15s}]
requests: [{path: /products, weight: 3}, {method: POST, path: /orders, json: {a: 1}, headers: {X: y}}]
objectives: [{expect: "p99 < 1s during slow-db", confidence: 95%}]
"""
    plan = Plan(
        name="slow",
        targets={"db": {"proxy": "db"}},
        load={"soak": {"rate": "50/s", "for": "60s"}},
        warm_up_s=5,
        faults=[
            Latency(name="slow-db", target="db", latency_s=0.2, when="steady for 10s", duration_s=15),
        ],
        requests=[
            {"path": "/products", "weight": 3},
            {"method": "POST", "path": "/orders", "json": {"a": 1}, "headers": {"X": "y"}},
        ],
        objectives=[{"expect": "p99 < 1s during slow-db", "confidence": "95%"}],
    )
    assert load(tmp_path, yaml) == plan
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    with pytest.raises(InvalidPlan, match="warm_up: '5' is a bare number"):
        Plan(name="x", warm_up=5)


def test_named_objectives_are_added_once(tmp_path: Path) -> None:
    plan = load(
        tmp_path, "name: x\nslo: standard\nobjectives: [p99 < 100ms during baseline, max < 1s during run]\n"
    )
    assert [objective.text for objective in plan.objectives] == [
        "p99 < 100ms during baseline",
        "max < 1s during run",
        "p50 < 50ms during baseline",
        "p95 < 75ms during baseline",
        "error_rate < 1% during baseline",
    ]
    texts = {
        slo: {o.text for o in Plan(name="x", slo=slo).objectives}
        for slo in ("user-facing", "batch", "critical")
    }
    assert len({frozenset(found) for found in texts.values()}) == 3


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["50/s", "5s", "base"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=4) | st.sampled_from(["step", "rate", "for", "kind", "ramp", "name"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(Plan.document_keys()), json_values, max_size=6))
def test_whatever_a_document_has_it_is_a_plan_or_invalid(data: dict[str, Any]) -> None:
    try:
        plan = parse_plan(data, {})
    except InvalidPlan:
        return
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
