"""What readings of a process (`process_use.use_reading`, and `killed`: how often) prove of a fault. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.link.effect import Proof
from chaos_locust.backends.process.signals import STOPPED
from chaos_locust.backends.process.use import process_use
from chaos_locust.faults.base import Fault
from chaos_locust.faults.process import Kill, RestartStorm

_SLOW_START_S = 2.0


def process_effect(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
    # A dead process can be used no more; a stopped one can, for the kernel takes its connections.
    looked, words = [*before[-1:], *during], "while it stood"
    if isinstance(fault, Kill):
        mechanism, how = _gone(during)
        looked, words = list(before), "just before it"
    elif isinstance(fault, RestartStorm):
        mechanism, how = _killed_again(fault, during)
        words = "meanwhile"
    else:
        mechanism, how = _stopped(during)
    use, what = process_use(looked, words, before)
    return Effect(mechanism, use, f"{how}, {what}")


def _gone(during: Sequence[Reading]) -> Proof:
    if not during:
        return None, "it was not looked at afterwards"
    pid = during[-1]["pid"]
    return (
        (True, f"process {pid} is gone")
        if during[-1]["state"] is None
        else (False, f"process {pid} lives on")
    )


def _stopped(during: Sequence[Reading]) -> Proof:
    if not during:
        return None, "it was over before it could be looked at"
    pid, stopped = during[-1]["pid"], [reading for reading in during if reading["state"] in STOPPED]
    text = f"process {pid} was seen stopped {len(stopped)} of {len(during)} times"
    return 2 * len(stopped) > len(during), text


def _killed_again(fault: RestartStorm, during: Sequence[Reading]) -> Proof:
    if not during:
        return None, "it was over before it could be looked at"
    killed = max(reading["killed"] for reading in during)
    anew = killed - 1 + (during[-1]["state"] is not None) if killed else 0
    text = f"killed {killed} times and started anew {anew} times"
    if killed > 1:
        return True, text
    lasted_s = during[-1]["at_s"] - during[0]["at_s"]
    return (None if lasted_s < fault.every_s + _SLOW_START_S else False), text
