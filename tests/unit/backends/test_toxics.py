"""Faults in Toxiproxy's words."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.backends.proxy.toxics import toxics_of
from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault
from chaos_locust.faults.network import (
    Bandwidth,
    Down,
    GradualLatency,
    Latency,
    Limit,
    Reset,
    Slicer,
    SlowClose,
    Timeout,
)
from chaos_locust.probes.link import ended_bytes, link_address

TIMES: dict[str, Any] = {"name": "it", "target": "web", "at": "1s", "duration": "10s"}


@pytest.mark.parametrize(
    ("fault", "kind", "attributes"),
    [
        (Latency(latency="200ms", jitter="50ms", **TIMES), "latency", {"latency": 200, "jitter": 50}),
        (GradualLatency(latency="1s", **(TIMES | {"from": "10ms"})), "latency", {"latency": 10, "jitter": 0}),
        (Bandwidth(rate="100KB/s", **TIMES), "bandwidth", {"rate": 100}),
        (Timeout(**TIMES), "timeout", {"timeout": 0}),
        (Timeout(after="2s", **TIMES), "timeout", {"timeout": 2000}),
        (Reset(**TIMES), "reset_peer", {"timeout": 0}),
        (SlowClose(delay="1s", **TIMES), "slow_close", {"delay": 1000}),
        (
            Slicer(size="64B", variation="8B", delay="30us", **TIMES),
            "slicer",
            {"average_size": 64, "size_variation": 8, "delay": 30},
        ),
        (Limit(bytes="2KB", **TIMES), "limit_data", {"bytes": 2000}),
    ],
)
def test_each_kind(fault: Fault, kind: str, attributes: dict[str, int]) -> None:
    (toxic,) = toxics_of("r1", fault)
    assert (toxic["type"], toxic["attributes"], toxic["stream"]) == (kind, attributes, "downstream")
    assert toxic["name"] == "chaos-r1-it-downstream"


def test_both_directions_and_a_share() -> None:
    down, up = toxics_of("r1", Latency(latency="1ms", direction="both", share="25%", **TIMES))
    assert (down["name"], up["name"]) == ("chaos-r1-it-downstream", "chaos-r1-it-upstream")
    assert (down["stream"], up["stream"]) == ("downstream", "upstream")
    assert down["toxicity"] == up["toxicity"] == 0.25


def test_what_a_proxy_cannot_do() -> None:
    with pytest.raises(BackendError, match="cannot do the fault kind down"):
        toxics_of("r1", Down(**TIMES))


def test_counters_of_one_proxy_and_direction() -> None:
    row = 'toxiproxy_proxy_received_bytes_total{{direction="{}",listener="x",proxy="{}",upstream="u"}} {}'
    rows = [("upstream", "web", "1.204332e+06"), ("downstream", "web", "5"), ("upstream", "web2", "7")]
    text = "\n".join(row.format(*each) for each in rows)
    assert ended_bytes(text, "web") == 1_204_332
    assert ended_bytes(text, "none") == 0


@pytest.mark.parametrize(
    ("listen", "api", "address"),
    [
        ("127.0.0.1:80", "127.0.0.1", ("127.0.0.1", 80)),
        ("[::]:80", "127.0.0.1", ("127.0.0.1", 80)),
        ("0.0.0.0:80", "10.0.0.9", ("10.0.0.9", 80)),
        ("127.0.0.1:80", "10.0.0.9", None),  # the loopback of another machine
        ("10.0.0.8:80", "10.0.0.9", ("10.0.0.8", 80)),
    ],
)
def test_where_a_link_can_be_reached(listen: str, api: str, address: tuple[str, int] | None) -> None:
    assert link_address(listen, api) == address
