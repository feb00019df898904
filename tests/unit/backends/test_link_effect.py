"""What readings of a link prove, and what they do not."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.backends.base import Reading
from chaos_locust.backends.link.effect import hellos_needed, link_effect, link_use
from chaos_locust.faults.base import Fault
from chaos_locust.faults.network import Bandwidth, Down, Flap, GradualLatency, Latency, Timeout

TIMES: dict[str, Any] = {"name": "it", "target": "web", "at": "1s", "duration": "10s"}
SLOW = Latency(latency="200ms", jitter="50ms", **TIMES)


def toxic(latency_ms: int) -> dict[str, Any]:
    return {"type": "latency", "stream": "downstream", "attributes": {"latency": latency_ms, "jitter": 0}}


def hello(first_s: float | None, outcome: str = "answered") -> dict[str, Any]:
    return {
        "outcome": outcome,
        "sent": 8,
        "received": 1,
        "first_s": first_s,
        "whole_s": first_s,
        "closed_s": None,
    }


def reading(
    at_s: float, *hellos: dict[str, Any], sent: int | None = 0, own: int = 0, **changes: Any
) -> Reading:
    base = {"at_s": at_s, "listed": [], "others": [], "enabled": True, "hellos": list(hellos), "sent": sent}
    return base | {"own": own, "moved": 0, "exact": True, "error": ""} | changes


def run(fault: Fault, usual_s: float, felt: list[float], **changes: Any) -> Any:
    before = [reading(t, hello(usual_s)) for t in range(5)]
    during = [
        reading(10.0 + t, hello(value), sent=1000 * t, **({"listed": [toxic(200)]} | changes))
        for t, value in enumerate(felt)
    ]
    return link_effect(fault, before, during)


def test_a_delay_that_was_felt() -> None:
    effect = run(SLOW, 0.001, [0.19, 0.2, 0.23])
    assert (effect.mechanism, effect.use) == (True, True)
    assert effect.detail == "+199 ms on the link (3 hellos), 2,000 bytes of the load through it"


def test_a_delay_that_was_not_felt_though_it_is_listed() -> None:
    effect = run(SLOW, 0.001, [0.001, 0.09, 0.002])
    assert effect.mechanism is False
    assert "+1 ms on the link (3 hellos) where +200 ms were due" in effect.detail


def test_nothing_is_listed() -> None:
    assert run(SLOW, 0.001, [0.2, 0.2], listed=[]).mechanism is False


def test_the_proxy_says_nothing() -> None:
    effect = run(SLOW, 0.001, [0.2, 0.2], listed=None, error="the proxy is gone")
    assert effect.mechanism is None
    assert "the proxy is gone" in effect.detail


def test_an_unknown_protocol_is_said() -> None:
    effect = link_effect(
        SLOW, [reading(0)], [reading(1, listed=[toxic(200)]), reading(2, listed=[toxic(200)])]
    )
    assert effect.mechanism is True
    assert "the link itself was not measured" in effect.detail


def test_a_link_that_was_dead_before_proves_nothing() -> None:
    before = [reading(0, hello(None, "closed"))]
    during = [reading(t, hello(None, "silent"), listed=[toxic(0)]) for t in (5, 6)]
    assert link_effect(Timeout(**TIMES), before, during).mechanism is None


def test_another_fault_on_the_link_is_not_taken_for_this_one() -> None:
    """The other came with this one: the delay may be the other's."""
    effect = run(
        Latency(latency="100ms", **TIMES), 0.001, [0.3, 0.3], listed=[toxic(100)], others=["chaos-r-b"]
    )
    assert "not measured" in effect.detail


def test_a_share_of_the_connections() -> None:
    rare = Latency(latency="200ms", share="5%", **TIMES)
    assert hellos_needed(rare.share) == 60
    assert hellos_needed(0.5) == 20
    assert run(rare, 0.001, [0.001] * 59).mechanism is None
    assert run(rare, 0.001, [0.001] * 60).mechanism is False
    once = run(rare, 0.001, [0.001] * 7 + [0.2])
    assert once.mechanism is True
    assert "for 1 of 8 hellos" in once.detail


def test_a_ramp_is_compared_with_where_it_was() -> None:
    ramp = GradualLatency(latency="400ms", **TIMES)
    before = [reading(t, hello(0.001)) for t in range(3)]
    during = [reading(10 + t, hello(0.001 + t / 10), listed=[toxic(100 * t)]) for t in range(1, 5)]
    assert link_effect(ramp, before, during).mechanism is True
    flat = [r | {"hellos": [hello(0.001)]} for r in during]
    assert link_effect(ramp, before, flat).mechanism is False


def test_a_limit_that_a_hello_is_too_small_to_feel_is_said() -> None:
    listed = [{"type": "bandwidth", "stream": "downstream", "attributes": {"rate": 100}}]
    effect = run(Bandwidth(rate="100KB/s", **TIMES), 0.001, [0.001, 0.001], listed=listed)
    assert effect.mechanism is True
    assert "not measured" in effect.detail


def test_down_is_proved_by_refusals_and_by_use_before() -> None:
    before = [reading(t, hello(0.001), sent=t * 500) for t in range(4)]
    during = [reading(5 + t, hello(None, "refused"), sent=1500, enabled=False) for t in range(3)]
    effect = link_effect(Down(**TIMES), before, during)
    assert (effect.mechanism, effect.use) == (True, True)
    assert (
        effect.detail == "3 of 3 hellos without an answer (refused), 1,500 bytes of the load just before it"
    )
    unused = [r | {"sent": 0} for r in before]
    assert link_effect(Down(**TIMES), unused, during).use is False
    assert link_effect(Down(**TIMES), before, [r | {"enabled": True} for r in during]).mechanism is False


@pytest.mark.parametrize(
    ("readings", "use"),
    [
        ([reading(0, sent=0), reading(1, sent=8, own=8)], False),  # only our hello
        ([reading(0, sent=0), reading(1, sent=9, own=8)], True),
        ([reading(0, sent=0, own=8), reading(1, sent=8, own=8)], False),  # said before, counted late
        ([reading(0, sent=50), reading(1, sent=10)], None),  # counters of a server that was started again
        ([reading(0, sent=0), reading(1, sent=8, own=8, moved=70)], True),  # seen on a connection of the load
        ([reading(0, sent=0)], None),
        ([reading(0, sent=None, error="x"), reading(1, sent=None, error="x")], None),
        # far away, only connections that ended are counted: one of them proves nothing, many do
        ([reading(t, sent=900 * (t > 2), exact=False) for t in range(6)], None),
        ([reading(t, sent=100 * t, exact=False) for t in range(6)], True),
        ([reading(t, sent=0, exact=False) for t in range(6)], None),
    ],
)
def test_use(readings: list[Reading], use: bool | None) -> None:
    assert link_use(readings, "through it")[0] is use


def test_a_fault_that_ended_by_itself_is_not_proved() -> None:
    """A proxy that is started again knows nothing of its toxics, and lets everything through."""
    before = [reading(t, hello(0.001), sent=t * 500) for t in range(4)]
    refused = [reading(5 + t, hello(None, "refused"), sent=1500, enabled=False) for t in range(2)]
    dead = reading(7, sent=None, listed=None, error="the proxy is gone")
    again = reading(8, hello(0.001), sent=0)
    effect = link_effect(Down(**TIMES), before, [*refused, dead, again])
    assert effect.mechanism is None
    assert "it ended by itself 3.0 s after it was first seen" in effect.detail
    effect = link_effect(Down(**TIMES), before, [*refused, dead, dead])
    assert effect.mechanism is None
    assert "whether it acted until its end is not known (the proxy is gone)" in effect.detail
    assert link_effect(Down(**TIMES), before, [refused[0], dead, refused[1]]).mechanism is True
    assert link_effect(Flap(**TIMES), before, [*refused, again, refused[0]]).mechanism is True
