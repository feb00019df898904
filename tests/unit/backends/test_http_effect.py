"""What the proxy's counts prove of a fault on HTTP messages."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.backends.base import Reading
from chaos_locust.backends.http.effect import http_effect
from chaos_locust.faults.http import HttpDelay

COUNTS = {"requests": 0, "matched": 0, "chosen": 0, "faulted": 0, "own": 0, "untouched_connections": 0}


def fault(**changes: Any) -> HttpDelay:
    return HttpDelay(name="x", target="web", at="1s", duration="9s", delay="1s", **changes)


def reading(**counts: int) -> Reading:
    return {"at_s": 0.0, "listed": {"name": "t", "counts": COUNTS | counts}, "error": ""}


GONE: Reading = {"at_s": 0.0, "listed": None, "error": ""}
UNKNOWN: Reading = {"at_s": 0.0, "listed": None, "error": "the proxy does not answer"}


@pytest.mark.parametrize(("counts", "share", "mechanism", "use"), [
    ({"requests": 9, "matched": 5, "chosen": 5, "faulted": 5}, "100%", True, True),
    ({"requests": 9, "matched": 5, "chosen": 2, "faulted": 1}, "50%", True, True),
    ({"requests": 9, "matched": 5, "chosen": 5}, "100%", False, True),
    ({"requests": 9, "matched": 5}, "50%", None, True),
    ({"requests": 99, "matched": 50}, "50%", False, True),
    ({"requests": 9, "matched": 9}, "100%", False, True),
    ({"requests": 9}, "100%", None, False),
    ({"own": 9}, "100%", None, False),
    ({"untouched_connections": 2}, "100%", None, None),
    ({"requests": 9, "matched": 5, "chosen": 5, "faulted": 5, "own": 2}, "100%", True, True),
])  # fmt: skip
def test_counts(counts: dict[str, int], share: str, mechanism: bool | None, use: bool | None) -> None:
    effect = http_effect(fault(share=share), [reading(), reading(**counts), UNKNOWN])
    assert (effect.mechanism, effect.use) == (mechanism, use), effect


def test_a_toxic_that_is_not_listed() -> None:
    assert http_effect(fault(), [GONE, GONE]).mechanism is False
    assert http_effect(fault(), [GONE, GONE]).use is None
    taken = http_effect(fault(), [reading(requests=1, matched=1, chosen=1, faulted=1), GONE])
    assert (taken.mechanism, taken.use) == (False, True)
    assert "somebody took it off" in taken.detail


def test_a_proxy_that_does_not_answer_proves_nothing() -> None:
    for during in ([], [UNKNOWN]):
        effect = http_effect(fault(), during)
        assert (effect.mechanism, effect.use) == (None, None)
    assert "does not answer" in http_effect(fault(), [UNKNOWN]).detail
    assert "before it could be looked at" in http_effect(fault(), []).detail


def test_the_text_has_the_figures_and_the_route() -> None:
    seen = reading(requests=1234, matched=1000, chosen=100, faulted=99, untouched_connections=3)
    assert http_effect(fault(route="/a*", method="PUT"), [seen]).detail == (
        "done to 99 of 100 requests, 1,000 of 1,234 requests of the load matched PUT /a*, "
        "3 connections carried no HTTP that can be read (TLS without the target's tls?)"
    )
