"""How slow and how often wrong: all sequences are one sample, and an input that is to blame is told."""

from __future__ import annotations

import random
import re

import pytest

from invariants.checkers.rates import ErrorRateLimited
from invariants.history import History, Operation
from invariants.machine import Refused
from invariants.pooled import systematic
from invariants.samples.rates import CORRECT, ERRORS, GUILTY, LATENCY, TWINS, Client, Server, some

from .searching import searched


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", [LATENCY, ERRORS])
def test_a_healthy_server_is_upheld(name: str, seed: int) -> None:
    result = searched(name, CORRECT, seed, 1)
    assert result.outcome == "UPHELD"
    assert result.seen == {"operations": 1000, "bad": 0}


@pytest.mark.parametrize("seed", range(2))
def test_slow_requests_are_found_with_the_measured_percentile(seed: int) -> None:
    (found,) = searched(LATENCY, TWINS["150 ms more on 2 % of the requests"].make, seed, 1).violations
    assert found.violation.anomaly == "too slow"
    told = re.search(
        r"^(\d+) of 1000 took longer than 0.1 s, p99 was 160 ms \(([\d.]+)%, 1.00% ", found.title
    )
    assert told
    assert int(told[1]) / 10 == float(told[2]) > 1


@pytest.mark.parametrize("seed", range(2))
def test_errors_by_chance_are_found_and_nothing_is_blamed(seed: int) -> None:
    (found,) = searched(ERRORS, TWINS["2 % of the requests fail"].make, seed, 1).violations
    assert found.violation.anomaly == "too many errors"
    assert "of 1000 failed" in found.title
    assert "input" not in found.title


@pytest.mark.parametrize(("name", "label"), [(LATENCY, "one input is slow"), (ERRORS, "one input fails")])
def test_an_input_that_is_always_bad_is_systematic(name: str, label: str) -> None:
    (found,) = searched(name, TWINS[label].make, 0, 1).violations
    assert found.violation.anomaly == "systematic"
    assert found.title.endswith(f"always the same input, request(value='{GUILTY}')")
    assert [str(step) for step in found.steps] == [f"request(value='{GUILTY}')"]
    assert (found.seen_again.failed, found.seen_again.tries) == (20, 20)


def test_what_chance_brings_is_blamed_on_no_input() -> None:
    blamed = []
    for seed in range(60):
        rng = random.Random(seed)
        operations = tuple(
            Operation(
                process=str(number),
                number=0,
                kind="request",
                key=None,
                value=rng.choice(["basket", "orders"]),
                outcome="fail" if rng.random() < 0.02 else "ok",
                result=None,
                start_s=float(number),
                end_s=float(number),
            )
            for number in range(1000)
        )
        blamed += [seed] if systematic(ErrorRateLimited(0.01), History(operations)) else []
    assert blamed == []


class Choosy(Server):
    """Fails for two of its inputs."""

    def connect(self, scope: str) -> ChoosyClient:
        return ChoosyClient(self)


class ChoosyClient(Client):
    def request(self, value: str) -> None:
        super().request(value)
        if value in ("basket", "orders"):
            raise Refused("500")


def test_two_inputs_that_are_always_bad_are_both_told() -> None:
    (found,) = searched(ERRORS, lambda rng: Choosy(), 0, 1).violations
    assert found.violation.anomaly == "systematic"
    assert "basket" in found.title
    assert "orders" in found.title


def test_errors_within_the_limit_are_allowed() -> None:
    def make(rng: random.Random) -> Server:
        return Server(fails=some(rng))

    assert searched(ERRORS, make, 0, 1, limit=0.05).outcome == "UPHELD"


def test_few_requests_tell_nothing() -> None:
    result = searched(LATENCY, CORRECT, 0, 1, iterations=10)
    assert (result.outcome, result.told) == ("INCONCLUSIVE", 0)
    assert "too few" in result.inconclusive


def test_to_refuse_all_at_once_is_not_to_be_quick() -> None:
    result = searched(LATENCY, lambda rng: Server(fails=lambda: True), 0, 1)
    assert (result.outcome, result.inconclusive) == ("INCONCLUSIVE", "nothing was answered")


def test_the_statements_have_the_limits_of_the_checkers() -> None:
    slow = searched(LATENCY, CORRECT, 0, 1, iterations=1, limit_s=0.25, quantile=0.5)
    assert slow.statement == "50 % of the requests are answered within 250 ms."
    wrong = searched(ERRORS, CORRECT, 0, 1, iterations=1, limit=0.002)
    assert wrong.statement == "At most 0.2 % of the requests fail or have no answer."


@pytest.mark.parametrize("iterations", [100, 1000])
def test_so_many_sequences_are_run_as_were_asked_for(iterations: int) -> None:
    result = searched(ERRORS, CORRECT, 0, 1, iterations=iterations)
    assert result.iterations == iterations
    assert result.seen["operations"] == 10 * iterations
