"""Services that answer, in time and again after an outage, and for those alone who may ask."""

from __future__ import annotations

import pytest

from invariants.checkers.answers import Admission, Answered, EndsInTime, NoneHeldUp, Recovers
from invariants.history import History, Operation
from invariants.samples import admission, answers
from invariants.samples.answers import ALONE, ANSWERED, IN_TIME, RECOVERS, Service

from .searching import found, searched

TOKENS = "tokens_are_checked"


@pytest.mark.parametrize("name", [ANSWERED, IN_TIME, RECOVERS, ALONE])
def test_a_service_that_answers_is_upheld(name):
    assert [searched(name, answers.CORRECT, seed, 1).outcome for seed in range(3)] == ["UPHELD"] * 3


def test_where_nothing_broke_nothing_has_recovered():
    result = searched(RECOVERS, lambda rng: Service(inputs=("basket",)), 0, 1)
    assert (result.outcome, result.told) == ("INCONCLUSIVE", 0)
    assert "nothing broke" in result.inconclusive


@pytest.mark.parametrize("label", answers.TWINS)
def test_each_twin_of_the_service_is_found(label):
    twin = answers.TWINS[label]
    found(twin.invariant, twin)


def test_a_door_that_looks_is_upheld():
    assert [searched(TOKENS, admission.CORRECT, seed, 1).outcome for seed in range(3)] == ["UPHELD"] * 3


@pytest.mark.parametrize("label", admission.TWINS)
def test_each_twin_of_the_door_is_found(label):
    found(TOKENS, admission.TWINS[label])


def test_a_request_is_unanswered_only_after_all_its_tries():
    class Shaky(answers.Client):
        asked = 0

        def request(self, value):
            Shaky.asked += 1
            if Shaky.asked % 3:
                raise answers.Refused("not yet")

    class Shop(answers.Service):
        def connect(self, scope):
            return Shaky(self)

    assert searched(ANSWERED, lambda rng: Shop(), 0, 1, 5).passed
    Shaky.asked = 0
    assert searched(ANSWERED, lambda rng: Shop(), 0, 1, 5, tries=2).outcome == "DEVIATED"


def one(kind, value=None, outcome="ok", result=None, took_s=0.1, error=""):
    end_s = float("inf") if outcome == "info" else took_s
    return Operation("0", 0, kind, None, value, outcome, result, 0.0, end_s, error)


@pytest.mark.parametrize(
    ("checker", "operation", "title"),
    [
        (Answered(), one("request", "a", "fail", error="503"), "a was not answered: 503"),
        (Answered(), one("request", "a", "info", error="time-out"), "a was not answered: time-out"),
        (EndsInTime(1.0), one("request", "a", "fail", took_s=1.5), "a had no answer within 1 s"),
        (EndsInTime(1.0), one("request", "a", "info"), "a had no answer within 1 s"),
        (Recovers(), one("recover", result="3 are still held"), "it does not recover: 3 are still held"),
        (Admission(), one("bad", "forged", result=True), "a bad token was admitted: forged"),
        (Admission(), one("good", "known", result=False), "a good token was turned away: known "),
        (Admission(), one("good", "known", "fail", error="503"), "a good token was turned away: known 503"),
        (NoneHeldUp(), one("overtake", result=False), "a request was held up by an earlier one"),
    ],
)
def test_what_is_wrong_is_told(checker, operation, title):
    (violation,) = checker.check(History((operation,))).violations
    assert violation.title.startswith(title)
    assert violation.operations == (operation,)


@pytest.mark.parametrize(
    ("checker", "operation"),
    [
        (Answered(), one("other")),
        (EndsInTime(1.0), one("other")),
        (Recovers(), one("request", "a", "fail")),
        (Admission(), one("bad", "forged", result=False)),
        (Admission(), one("good", "known", result=True)),
        (Admission(), one("good", "of a new key", result=None)),
        (NoneHeldUp(), one("overtake", result=None)),
    ],
)
def test_what_tells_nothing_is_inconclusive(checker, operation):
    checked = checker.check(History((operation,)))
    assert not checked.violations
    assert checked.inconclusive


def test_a_refusal_in_time_is_in_time():
    assert EndsInTime(1.0).check(History((one("request", "a", "fail", took_s=0.9),))).passed
