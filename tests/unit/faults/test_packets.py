"""Faults on packets as they are written in a plan."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.faults.base import Fault
from chaos_locust.faults.packets import PacketDelay
from chaos_locust.faults.registry import KINDS, parse_fault

COMMON = {"name": "it", "target": "db", "at": "1s", "for": "5s"}
RIGHT: dict[str, dict[str, Any]] = {
    "packet_loss": {"share": "10%"},
    "packet_duplicate": {"share": "0.5%", "direction": "to"},
    "packet_corrupt": {"share": "100%", "direction": "from"},
    "packet_reorder": {"share": "10%", "delay": "5ms"},
    "packet_delay": {"delay": "100ms", "jitter": "20ms", "correlation": "25%"},
    "packet_bandwidth": {"rate": "100KB/s"},
    "partition": {"direction": "both"},
}


def made(kind: str, **parameters: Any) -> Fault:
    found = parse_fault({"kind": kind, **COMMON, **parameters}, "faults[0]")
    assert isinstance(found, Fault), found
    return found


def problems(kind: str, **parameters: Any) -> list[str]:
    found = parse_fault({"kind": kind, **COMMON, **parameters}, "")
    assert isinstance(found, list)
    return [str(problem) for problem in found]


@pytest.mark.parametrize("kind", RIGHT)
def test_it_reads_back_what_it_writes(kind: str) -> None:
    fault = made(kind, **RIGHT[kind])
    assert parse_fault(fault.to_json(), "") == fault
    assert fault.family == "packets"


def test_units() -> None:
    delay = made("packet_delay", **RIGHT["packet_delay"])
    assert isinstance(delay, PacketDelay)
    assert (delay.delay_s, delay.jitter_s, delay.correlation) == (0.1, 0.02, 0.25)
    assert delay.directions == ("from",), "a round trip takes the delay longer, once"
    assert made("partition").directions == ("to", "from")


@pytest.mark.parametrize(
    ("kind", "parameters", "told"),
    [
        ("packet_loss", {}, "share: is missing"),
        ("packet_loss", {"share": "0%"}, "share: '0%' is not allowed; give a share above 0%, up to 100%"),
        ("packet_loss", {"share": "101%"}, "share: "),
        ("packet_corrupt", {"share": 5}, "share: "),
        ("packet_reorder", {"share": "5%", "delay": "0s"}, "delay: '0' is not allowed; give more than zero"),
        ("packet_delay", {}, "delay: is missing"),
        ("packet_delay", {"delay": 0.1}, "delay: "),
        (
            "packet_delay",
            {"delay": "10ms", "jitter": "20ms"},
            "jitter: '20ms' is not allowed; give at most the delay, which is 10ms",
        ),
        ("packet_delay", {"delay": "1ms", "correlation": "5%"}, "correlation: has no effect without jitter"),
        ("packet_delay", {"delay": "1ms", "share": "5%"}, "'share' is no key here"),
        ("packet_bandwidth", {"rate": "100KB"}, "rate: "),
        (
            "partition",
            {"direction": "downstream"},
            "direction: 'downstream' is not allowed; allowed: 'to', 'from', 'both'",
        ),
    ],
)
def test_mistakes(kind: str, parameters: dict[str, Any], told: str) -> None:
    (problem,) = problems(kind, **parameters)
    assert told in problem


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (("packet_loss", "to"), ("packet_loss", "from"), False),
        (("packet_loss", "to"), ("packet_loss", "both"), True),
        (("packet_loss", "to"), ("packet_delay", "to"), False),
        (("packet_delay", "both"), ("packet_bandwidth", "both"), False),
        (("partition", "to"), ("packet_loss", "to"), True),
        (("packet_loss", "to"), ("partition", "both"), True),
        (("partition", "to"), ("packet_loss", "from"), False),
    ],
)
def test_which_cannot_act_together(one: tuple[str, str], other: tuple[str, str], clash: bool) -> None:
    first, second = (made(kind, **RIGHT[kind] | {"direction": way}) for kind, way in (one, other))
    assert bool(first.clashes_with(second) or second.clashes_with(first)) is clash


def test_a_partition_needs_two_groups() -> None:
    assert KINDS["partition"].needs == ("addresses", "peers")
    assert {KINDS[kind].needs for kind in RIGHT if kind != "partition"} == {("addresses",)}
