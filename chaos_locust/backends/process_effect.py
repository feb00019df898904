"""What readings of a process (`process_use.use_reading`) prove of a fault on it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.link_effect import Proof
from chaos_locust.backends.process_use import process_use
from chaos_locust.faults.base import Fault
from chaos_locust.faults.process import Kill


def process_effect(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
    killed = isinstance(fault, Kill)
    mechanism, how = _gone(during) if killed else _stopped(during)
    # A dead process can be used no more; a stopped one can, for the kernel takes its connections.
    looked, words = (before, "just before it") if killed else ([*before[-1:], *during], "while it stood")
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
    pid, stopped = during[-1]["pid"], [reading for reading in during if reading["state"] in ("T", "t")]
    text = f"process {pid} was seen stopped {len(stopped)} of {len(during)} times"
    return 2 * len(stopped) > len(during), text
