"""What readings of a process prove of a fault on it. Pure.

A reading: {at_s, pid, state (None: gone), ports, open: {(port, peer): bytes received}, ended: [(port, peer)],
link: a reading of the proxy before it or None, error}.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.link_effect import Proof, link_use
from chaos_locust.faults.base import Fault
from chaos_locust.faults.process import Kill


def process_effect(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
    killed = isinstance(fault, Kill)
    mechanism, how = _gone(during) if killed else _stopped(during)
    # A dead process can be used no more; a stopped one can, for the kernel takes its connections.
    looked, words = (before, "just before it") if killed else ([*before[-1:], *during], "while it stood")
    use, what = _use(looked, words, before)
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


def _use(readings: Sequence[Reading], words: str, earlier: Sequence[Reading]) -> Proof:
    links = [reading["link"] for reading in readings]
    if links and all(links):
        return link_use(links, words, [reading["link"] for reading in earlier if reading["link"]])
    seen = [reading for reading in readings if reading["ports"]]
    if len(seen) < 2:
        error = next((r["error"] for r in reversed(readings) if r["error"]), "it listens on no TCP port")
        return None, f"its use is not known ({error})"
    received, connections = 0, set()
    for earlier_one, later in pairwise(seen):
        known = {*earlier_one["open"], *earlier_one["ended"]}
        connections |= {*later["open"], *later["ended"]} - known
        received += sum(
            max(0, count - earlier_one["open"].get(peer, 0)) for peer, count in later["open"].items()
        )
    ports = ", ".join(map(str, sorted({port for reading in seen for port in reading["ports"]})))
    text = f"{received:,} bytes and {len(connections)} new connections of the load on port {ports} {words}"
    return received > 0 or bool(connections), text
