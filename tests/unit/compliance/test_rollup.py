"""From checks and decisions to states: for any of them, and in the cases that the words name."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.catalogue import Control
from compliance.checks import Answer, Binding, Coverage, judge
from compliance.decisions import Decision, Kind
from compliance.measurement import MeasurementStatus
from compliance.rollup import Judged, judged

from .audits import TODAY, Bound, check, decision, measurement, outcome

CONTROL = Control("AC-2", "Account Management", "AC")
ANSWERS: tuple[Answer, ...] = ("held", "failed", "not_known")
COVERAGES: tuple[Coverage, ...] = ("full", "partial")
KINDS: tuple[Kind, ...] = ("attestation", "exclusion", "waiver", "plan")

bounds = st.dictionaries(
    st.sampled_from("abcd"), st.tuples(st.sampled_from(ANSWERS), st.sampled_from(COVERAGES))
)
decisions = st.lists(
    st.builds(
        lambda kind, days: decision(kind, "AC-2", until=TODAY + timedelta(days)),
        st.sampled_from(KINDS),
        st.integers(-60, 60),
    ),
    max_size=5,
)


def rolled(bound: Bound, *about: Decision) -> Judged:
    bindings = [Binding(name, coverage) for name, (_, coverage) in bound.items()]
    outcomes = {name: outcome(name, answer) for name, (answer, _) in bound.items()}
    return judged(CONTROL, bindings, outcomes, about, TODAY)


@given(bounds, decisions)
def test_what_failed_is_never_compliant(bound: Bound, about: list[Decision]) -> None:
    state = rolled(bound, *about).state
    answers = {answer for answer, _ in bound.values()}
    if "failed" in answers:
        assert state in ("non_compliant", "in_progress", "not_applicable")
    if "not_known" in answers:
        assert state != "compliant"


@given(bounds, decisions)
def test_no_attestation_outweighs_a_check(bound: Bound, about: list[Decision]) -> None:
    others = [each for each in about if each.kind != "attestation"]
    attested = rolled(bound, *others, decision("attestation", "AC-2"))
    if any(answer != "held" for answer, _ in bound.values()):
        assert attested.state == rolled(bound, *others).state


@given(bounds, decisions)
def test_compliant_only_by_a_whole_sight_or_an_attestation(bound: Bound, about: list[Decision]) -> None:
    if rolled(bound, *about).state == "compliant":
        attested = any(each.kind == "attestation" and each.is_good(TODAY) for each in about)
        assert attested or any(coverage == "full" for _, coverage in bound.values())
        assert all(answer == "held" for answer, _ in bound.values())


@given(bounds, decisions)
def test_what_has_expired_changes_no_state(bound: Bound, about: list[Decision]) -> None:
    good = [each for each in about if each.is_good(TODAY)]
    assert rolled(bound, *about).state == rolled(bound, *good).state
    assert rolled(bound, *about).waived == rolled(bound, *good).waived


@given(bounds, decisions)
def test_a_reason_is_given_exactly_where_it_is_not_assessed(bound: Bound, about: list[Decision]) -> None:
    one = rolled(bound, *about)
    assert bool(one.reason) == (one.state == "not_assessed") == bool(one.detail)


@given(bounds, decisions)
def test_only_a_violation_is_waived(bound: Bound, about: list[Decision]) -> None:
    if rolled(bound, *about).waived:
        assert any(answer == "failed" for answer, _ in bound.values())


@pytest.mark.parametrize(
    ("bound", "about", "state", "reason"),
    [
        ({}, (), "not_assessed", "no_probe"),
        ({"a": ("held", "partial")}, (), "not_assessed", "partial"),
        ({"a": ("held", "partial"), "b": ("held", "full")}, (), "compliant", ""),
        ({"a": ("not_known", "full"), "b": ("held", "full")}, (), "not_assessed", "not_known"),
        ({"a": ("not_known", "full"), "b": ("failed", "partial")}, (), "non_compliant", ""),
        ({}, ("attestation",), "compliant", ""),
        ({"a": ("held", "partial")}, ("attestation",), "compliant", ""),
        ({"a": ("not_known", "full")}, ("attestation",), "not_assessed", "not_known"),
        ({"a": ("failed", "full")}, ("attestation",), "non_compliant", ""),
        ({"a": ("failed", "full")}, ("plan",), "in_progress", ""),
        ({"a": ("failed", "full")}, ("waiver",), "non_compliant", ""),
        ({"a": ("failed", "full")}, ("exclusion", "plan"), "not_applicable", ""),
        ({"a": ("held", "full")}, ("plan", "waiver"), "compliant", ""),
    ],
)
def test_the_first_that_applies(bound: Bound, about: tuple[Kind, ...], state: str, reason: str) -> None:
    one = rolled(bound, *(decision(kind, "AC-2") for kind in about))
    assert (one.state, one.reason) == (state, reason)


def test_an_attestation_says_what_could_not_be_tried_and_nothing_about_what_went_wrong() -> None:
    """A system without a cluster is not kept from it by the checks of clusters."""
    bindings = [Binding(name, "partial") for name in ("seen", "elsewhere")]
    outcomes = {"seen": outcome("seen", "held"), "elsewhere": outcome("elsewhere", "not_known")}
    untried = {**outcomes, "elsewhere": replace(outcomes["elsewhere"], was_tried=False)}
    attested = [decision("attestation", "AC-2")]
    for answers, about, state in (
        (untried, attested, "compliant"),
        (untried, [], "not_assessed"),
        (outcomes, attested, "not_assessed"),
        ({**untried, "seen": outcome("seen", "failed")}, attested, "non_compliant"),
    ):
        assert judged(CONTROL, bindings, answers, about, TODAY).state == state


@pytest.mark.parametrize(
    ("status", "tried"), [("unsupported", False), ("unreachable", True), ("error", True)]
)
def test_what_is_not_in_the_description_was_not_tried(status: MeasurementStatus, tried: bool) -> None:
    one = judge(check("accounts"), measurement("measure_accounts", status), {})
    assert (one.answer, one.was_tried) == ("not_known", tried)


@pytest.mark.parametrize("kind", ["attestation", "exclusion"])
def test_an_expired_decision_is_told_as_the_reason(kind: Kind) -> None:
    one = rolled({}, decision(kind, "AC-2", until=date(2030, 6, 14)))
    assert (one.state, one.reason) == ("not_assessed", "expired")
    assert "2030-06-14" in one.detail
