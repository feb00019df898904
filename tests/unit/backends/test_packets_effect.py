"""What readings of a fault on packets prove."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.backends.packets.effect import packets_effect
from chaos_locust.faults.base import Fault
from chaos_locust.faults.registry import parse_fault

_ACCOUNT = "handled dropped changed released overtaken held_s held_squared bytes overflow lost waiting"
HELD = dict.fromkeys(_ACCOUNT.split(), 0)


def fault(kind: str, **parameters: Any) -> Fault:
    data = {"kind": kind, "name": "it", "target": "db", "at": "1s", "for": "5s", **parameters}
    found = parse_fault(data, "")
    assert isinstance(found, Fault), found
    return found


def reading(**fields: Any) -> dict[str, Any]:
    held = HELD | fields.pop("held", {})
    empty = {"at_s": 1.0, "own": 0, "matched": 0, "acted": 0, "holder": True, "error": ""}
    return empty | {"held": held} | fields


LOSS = fault("packet_loss", share="10%")
DELAY = fault("packet_delay", delay="100ms", jitter="20ms")


@pytest.mark.parametrize(
    ("told", "given", "proved"),
    [
        (LOSS, {"matched": 1000, "acted": 97}, (True, True)),
        (LOSS, {"matched": 1000, "acted": 0}, (False, True)),  # 0.9 ** 1000
        (LOSS, {"matched": 30, "acted": 0}, (None, True)),
        (LOSS, {"matched": 0}, (None, False)),
        (LOSS, {"matched": 1000, "acted": 97, "holder": False}, (False, True)),
        (LOSS, {"matched": 1000, "acted": 97, "held": {"overflow": 5}}, (True, True)),  # lost as well
        (fault("partition"), {"matched": 5, "acted": 5}, (True, True)),
        (fault("partition"), {"matched": 0}, (None, False)),
        (fault("packet_duplicate", share="1%"), {"matched": 200, "acted": 2, "holder": None}, (True, True)),
        (
            fault("packet_corrupt", share="5%"),
            {"matched": 9, "held": {"handled": 90, "changed": 4}},
            (True, True),
        ),
        (fault("packet_corrupt", share="5%"), {"matched": 900, "held": {"handled": 900}}, (False, True)),
        (fault("packet_corrupt", share="5%"), {"matched": 9, "held": {"handled": 9}}, (None, True)),
        (
            fault("packet_reorder", share="5%"),
            {"matched": 90, "held": {"released": 4, "overtaken": 3}},
            (True, True),
        ),
        # One request at a time: what is held back is overtaken by nothing.
        (fault("packet_reorder", share="5%"), {"matched": 90, "held": {"released": 4}}, (False, True)),
        (fault("packet_reorder", share="5%"), {"matched": 90, "held": {"waiting": 1}}, (None, True)),
        (fault("packet_reorder", share="50%"), {"matched": 90}, (False, True)),
        (
            fault("packet_bandwidth", rate="1KB/s"),
            {"matched": 9, "held": {"released": 4, "held_s": 1.0, "bytes": 4000}},
            (True, True),
        ),
        (DELAY, {"matched": 10, "held": {"released": 10, "held_s": 1.0, "held_squared": 0.11}}, (True, True)),
        (DELAY, {"matched": 10, "held": {"released": 10, "held_s": 0.5}}, (False, True)),  # 50 ms
        (DELAY, {"matched": 10, "held": {"released": 10, "held_s": 2.0}}, (False, True)),  # 200 ms
        (DELAY, {"matched": 10, "held": {"released": 10, "held_s": 1.0, "overflow": 1}}, (False, True)),
        (DELAY, {"matched": 10, "held": {"waiting": 10}}, (None, True)),
        (DELAY, {"matched": 10}, (False, True)),  # nothing of it came to the queue
    ],
)
def test_proved(told: Fault, given: dict[str, Any], proved: tuple[Any, Any]) -> None:
    effect = packets_effect(told, [], [reading(**given)])
    assert (effect.mechanism, effect.use) == proved, effect


def test_figures() -> None:
    held = {"released": 4, "held_s": 0.4, "held_squared": 0.0416, "lost": 2}
    effect = packets_effect(DELAY, [], [reading(matched=1200, held=held)])
    assert effect.detail == (
        "4 packets held for 100.0 ms (standard deviation 20.0 ms), 2 held packets were lost when another "
        "rule of this machine went, 1,200 packets of the load met it"
    )
    assert packets_effect(LOSS, [], [reading(matched=1200, acted=110)]).detail == (
        "110 of 1,200 packets lost, 1,200 packets of the load met it"
    )


def test_our_own_hellos_are_no_use() -> None:
    before = [reading(own=3, matched=None)]
    assert packets_effect(LOSS, before, [reading(own=5, matched=60)]).use is False
    assert packets_effect(LOSS, before, [reading(own=5, matched=61)]).use is True


def test_what_was_not_seen() -> None:
    assert packets_effect(LOSS, [], []).mechanism is None
    unseen = packets_effect(LOSS, [], [reading(matched=None, error="nft refuses: no")])
    assert (unseen.mechanism, unseen.use) == (None, None)
    assert "nft refuses: no" in unseen.detail


def test_rules_that_somebody_took_away() -> None:
    gone = packets_effect(LOSS, [], [reading(matched=100, acted=9), reading(matched=None, error="no table")])
    assert gone.mechanism is False
    assert gone.use is True
