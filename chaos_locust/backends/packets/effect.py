"""What readings of a fault on packets prove of it. Pure.

A reading: {at_s, own: connections of our hellos so far, matched: packets of the scope since the onset or
None, acted: those drawn, holder: whether the process that holds packets is there (None: none is needed),
held: its account or {}, error}.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.faults.base import Fault
from chaos_locust.faults.packets import (
    PacketBandwidth,
    PacketCorrupt,
    PacketDelay,
    PacketDuplicate,
    PacketLoss,
    PacketReorder,
    Partition,
)
from chaos_locust.units import format_size

Proof = tuple[bool | None, str]

_MISSED = 1e-6
_PACKETS_OF_A_HELLO = 30  # more than a connection with one question and its answer ever takes
_LATE_S = 0.005
_DONE = {PacketLoss: "lost", PacketDuplicate: "doubled", Partition: "stopped"}


def packets_effect(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
    if not during:
        return Effect(None, None, "it was over before it could be looked at")
    seen = [reading for reading in during if reading["matched"] is not None]
    if not seen:
        return Effect(None, None, f"its packets were not counted ({during[-1]['error']})")
    last = seen[-1]
    mechanism, how = _mechanism(fault, last)
    if during[-1] is not last:
        mechanism, how = False, f"its rules are gone ({during[-1]['error']})"
    own = (last["own"] - (before or during)[0]["own"]) * _PACKETS_OF_A_HELLO
    used = last["matched"] > own
    text = f"{last['matched']:,} packets of the load met it" if used else "no packets of the load met it"
    return Effect(mechanism, used, f"{how}, {text}")


def _mechanism(fault: Fault, last: Reading) -> Proof:
    if last["holder"] is False:
        return False, "the process that holds packets is gone"
    held = last["held"]
    if held and held["overflow"] and not isinstance(fault, PacketLoss | Partition):
        return False, f"the kernel's queue was full and {held['overflow']:,} packets were lost"
    proof, text = _drawn(fault, last) if type(fault) in _DONE else _held(fault, last["matched"], held)
    if held and held["lost"]:
        text += f", {held['lost']:,} held packets were lost when another rule of this machine went"
    return proof, text


def _drawn(fault: Fault, last: Reading) -> Proof:
    """What the kernel draws and counts itself."""
    matched, acted = last["matched"], last["acted"]
    share = 1.0 if isinstance(fault, Partition) else getattr(fault, "share", 1.0)
    text = f"{acted:,} of {matched:,} packets {_DONE[type(fault)]}"
    return (True, text) if acted else (_unless_few(matched, share), text)


def _held(fault: Fault, matched: int, held: Mapping[str, Any]) -> Proof:
    """What the process that holds packets did."""
    if isinstance(fault, PacketCorrupt):
        changed, handled = int(held["changed"]), int(held["handled"])
        text = f"{changed:,} of {handled:,} packets changed"
        return (True, text) if changed else (_unless_few(handled, fault.share), text)
    released, share = int(held["released"]), fault.share if isinstance(fault, PacketReorder) else 1.0
    if not released:
        return _unless_few(0 if held["waiting"] else matched, share), f"none of {matched:,} packets was held"
    mean_s = held["held_s"] / released
    if isinstance(fault, PacketReorder):
        text = f"{released:,} packets held back, {held['overtaken']:,} overtook"
        return bool(held["overtaken"]), text
    if isinstance(fault, PacketBandwidth):
        text = f"{format_size(int(held['bytes']))} passed, {held['dropped']:,} packets dropped for the rate"
        return True, f"{text}, held for {mean_s * 1000:.1f} ms on average"
    assert isinstance(fault, PacketDelay)
    spread_s = math.sqrt(max(held["held_squared"] / released - mean_s**2, 0))
    text = (
        f"{released:,} packets held for {mean_s * 1000:.1f} ms (standard deviation {spread_s * 1000:.1f} ms)"
    )
    least_s, most_s = fault.delay_s - fault.jitter_s, fault.delay_s + fault.jitter_s
    return least_s <= mean_s <= most_s * 1.1 + _LATE_S, text


def _unless_few(matched: int, share: float) -> bool | None:
    """False: so many packets would have been met for certain; None: they are too few to tell."""
    return False if matched and (1 - share) ** matched < _MISSED else None
