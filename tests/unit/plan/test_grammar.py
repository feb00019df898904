"""Objectives: text to data and its exact meaning; mistakes are named word by word."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_locust.plan.grammar import parse_abort, parse_objective, parse_steady_state
from chaos_locust.plan.objectives import Bound, Measure, Objective, Op, RecoveryObjective, Scope
from chaos_locust.units import format_duration, format_rate, format_share

P99 = Measure("quantile", quantile=0.99)


@pytest.mark.parametrize(
    ("text", "measure", "bound", "scope", "subject"),
    [
        ("p99 < 100ms during baseline", P99, Bound(0.1, "s"), ("during", "baseline"), None),
        (
            'p99 of "GET /products/[id]" < 80ms during baseline',
            P99,
            Bound(0.08, "s"),
            ("during", "baseline"),
            "GET /products/[id]",
        ),
        (
            "p95 of each request < 300ms during run",
            Measure("quantile", quantile=0.95),
            Bound(0.3, "s"),
            ("during", "run"),
            "each request",
        ),
        (
            "error_rate < 1% during baseline",
            Measure("error_rate"),
            Bound(0.01, "ratio"),
            ("during", "baseline"),
            None,
        ),
        (
            "p95(ok) < 500ms during slow-db and peak",
            Measure("quantile", quantile=0.95, ok_only=True),
            Bound(0.5, "s"),
            ("during", "slow-db", "peak"),
            None,
        ),
        ("p99 < baseline + 50ms during slow-db", P99, Bound(0.05, "s", "plus"), ("during", "slow-db"), None),
        ("p99 < 2x baseline after slow-db", P99, Bound(2.0, "s", "factor"), ("after", "slow-db"), None),
        (
            "throughput >= 95% of offered during peak",
            Measure("throughput"),
            Bound(0.95, "ratio", "offered"),
            ("during", "peak"),
            None,
        ),
        (
            "throughput >= 120% of baseline during peak",
            Measure("throughput"),
            Bound(1.2, "1/s", "factor"),
            ("during", "peak"),
            None,
        ),
        ("throughput > 45/s during run", Measure("throughput"), Bound(45.0, "1/s"), ("during", "run"), None),
        ("outage < 10s during run", Measure("outage"), Bound(10.0, "s"), ("during", "run"), None),
        ("dropped < 3 during run", Measure("dropped"), Bound(3.0, "count"), ("during", "run"), None),
        (
            "availability>=99.9 % during run",
            Measure("availability"),
            Bound(0.999, "ratio"),
            ("during", "run"),
            None,
        ),
        (
            "p99.9 < 1s during run",
            Measure("quantile", quantile=0.999),
            Bound(1.0, "s"),
            ("during", "run"),
            None,
        ),
        (
            'rows("select 1 < 2") > 5 during run',
            Measure("probe", probe_name="rows", probe_args="select 1 < 2"),
            Bound(5.0, "count"),
            ("during", "run"),
            None,
        ),
    ],
)
def test_what_objectives_mean(
    text: str, measure: Measure, bound: Bound, scope: tuple[str, ...], subject: str | None
) -> None:
    found = parse_objective(text)
    assert isinstance(found, Objective)
    assert (found.measure, found.bound, found.subject, found.text) == (measure, bound, subject, text)
    assert found.scope is not None
    assert (found.scope.kind, *found.scope.labels) == scope


def test_in_every_may_stand_on_either_side_of_the_scope() -> None:
    one = parse_objective("error_rate < 50% in every 5s during run")
    other = parse_objective("error_rate < 50% during run in every 5s")
    assert isinstance(one, Objective)
    assert isinstance(other, Objective)
    assert one.every_s == other.every_s == 5.0
    assert one.scope == other.scope == Scope("during", ("run",))


def test_recovery_steady_state_and_abort() -> None:
    found = parse_objective("recovery < 5s after slow-db ends", "warn")
    assert found == RecoveryObjective("recovery < 5s after slow-db ends", "<", 5.0, "slow-db", "ends", "warn")
    assert parse_steady_state("p95 < 150ms").scope is None
    abort = parse_abort("error_rate > 60% for 5s")
    assert (abort.for_s, abort.rule.op, abort.rule.bound) == (5.0, ">", Bound(0.6, "ratio"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it is empty"),
        ("eror_rate < 1% during run", "'eror_rate' is not allowed here; did you mean error_rate?"),
        ("p99 < 100 during run", "'100' does not bound p99; give a duration with its unit"),
        ("p99 < 5% during run", "'5%' does not bound p99"),
        ("error_rate < 5 during run", "'5' does not bound error_rate"),
        ("error_rate < 120% during run", "'120%' does not bound error_rate"),
        ("p99 < 100ms durin run", "'durin' is not allowed here; did you mean during?"),
        ("p99 100ms during run", "'100ms' is not allowed here; allowed: <, <=, >, >="),
        ("p99 == 1s during run", "'==' is not allowed here"),
        ("p100 < 1s during run", "'p100' is not allowed here"),
        ("p0 < 1s during run", "above p0 and below p100"),
        ("p99 <", "it ends too early; a bound is missing"),
        ("p99 < 1s", "add during run"),
        ("p99 < 1s during", "it ends too early"),
        ("p99 < 1s during run and", "it ends too early"),
        ("p99 < 1s during run during run", "a second 'during'"),
        ("p99 < 1s during Run", "'Run' is no name"),
        ("p99 < 1s during run in every 0s", "give whole seconds, at least 1s"),
        ("p99 < 1s during run in every 1.5s", "give whole seconds, at least 1s"),
        ("p99 < 1:30 during run", "'1:30' does not bound p99"),
        ("error_rate(ok) < 1% during run", "(ok) goes with percentiles and mean only"),
        ("p99 of GET < 1s during run", "'GET' is not in quotes"),
        ('p99 of "GET < 1s during run', "a quote is missing"),
        ('p99 of "" < 1s during run', "it is empty"),
        ('dropped of "GET /" < 1% during run', "dropped is not counted by request"),
        ('throughput of "GET /" > 95% of offered during run', "throughput of the whole load only"),
        ("p99 > 95% of offered during run", "throughput of the whole load only"),
        ("p99 < 2x baseline during baseline", "cannot be compared with itself"),
        ("recovery < 5 after x ends", "'5' is a bare number"),
        ("recovery < 5s after x end", "did you mean ends?"),
        ("recovery < 5s after x ends now", "'now' is too much"),
    ],
)
def test_mistakes_are_named_word_by_word(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_objective(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_places_take_less() -> None:
    with pytest.raises(ValueError, match="takes no scope"):
        parse_steady_state("p99 < 1s during run")
    with pytest.raises(ValueError, match="'for' is missing"):
        parse_abort("error_rate > 60%")
    with pytest.raises(ValueError, match="does not go with recovery"):
        parse_objective("recovery < 5s after x ends", confidence=0.95)
    with pytest.raises(ValueError, match="in quotes"):
        parse_objective({"a": "b"})  # type: ignore[arg-type]


names = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
durations = st.integers(1, 10**6).map(lambda micros: micros / 1_000_000)
shares = st.integers(0, 10_000).map(lambda value: value / 10_000)


@st.composite
def measured(draw: st.DrawFn) -> tuple[str, Measure, str, Bound]:
    """A measure and a bound that goes with it, each as text and as data."""
    kind = draw(
        st.sampled_from(["quantile", "mean", "max", "outage", "error_rate", "availability", "throughput"])
    )
    if kind == "quantile":
        hundredths, ok = draw(st.integers(1, 9999)), draw(st.booleans())
        text = f"p{hundredths / 100:g}" + ("(ok)" if ok else "")
        measure = Measure("quantile", quantile=hundredths / 10_000, ok_only=ok)
    else:
        text, measure = kind, Measure(kind)  # type: ignore[arg-type]
    unit, value = "s", draw(durations)
    shown = format_duration(value)
    if kind in ("error_rate", "availability"):
        unit, value = "ratio", draw(shares)
        shown = format_share(value)
    elif kind == "throughput":
        unit, value = "1/s", float(draw(st.integers(0, 1000)))
        shown = format_rate(value)
    match draw(st.sampled_from(["plain", "plus", "factor"])):
        case "plain":
            return text, measure, shown, Bound(value, unit)  # type: ignore[arg-type]
        case "plus":
            return text, measure, f"baseline + {shown}", Bound(value, unit, "plus")  # type: ignore[arg-type]
        case _:
            factor = draw(st.integers(1, 100)) / 10
            return text, measure, f"{factor:g}x baseline", Bound(factor, unit, "factor")  # type: ignore[arg-type]


@given(
    measured(),
    st.sampled_from(get_args(Op)),
    st.none() | st.from_regex(r"[A-Z]{3,7} /[a-z/\[\]<>+:? ]{0,12}", fullmatch=True),
    st.lists(names.filter(lambda name: name != "baseline"), min_size=1, max_size=3),
    st.none() | st.integers(1, 600),
    st.sampled_from([" ", "  ", "\n  "]),
)
def test_every_objective_is_read_as_it_was_written(
    parts: tuple[str, Measure, str, Bound],
    op: Op,
    subject: str | None,
    labels: list[str],
    every_s: int | None,
    space: str,
) -> None:
    measure_text, measure, bound_text, bound = parts
    words = [measure_text, *(["of", f'"{subject}"'] if subject else []), op, bound_text]
    words += ["in every", f"{every_s}s"] if every_s else []
    words += ["during", " and ".join(labels)]
    found = parse_objective(space.join(words))
    assert found == Objective(
        text=found.text,
        measure=measure,
        op=op,
        bound=bound,
        scope=Scope("during", tuple(labels)),
        subject=subject,
        every_s=every_s,
    )
    assert parse_objective(found.text) == found


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(("p99", "of", "each", '"GET"', "<", "1%", "(", "during", "run", "in"))).map(
        " ".join
    )
)
def test_whatever_is_typed_the_answer_is_an_objective_or_one_clear_line(text: str) -> None:
    told = "an objective"
    try:
        assert parse_objective(text).text
    except ValueError as error:
        told = str(error)
    assert 0 < len(told) < 600
