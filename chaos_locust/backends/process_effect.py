"""What readings of a process prove of a fault on it. Pure.

A reading: {at_s, pid, state (None: gone), ports, received: bytes so far, connections: new ones so far, own:
(bytes, connections) of our hellos on all links, link: a reading of the proxy before it or None, error}.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    first, last = seen[0], seen[-1]
    # Another fault's hellos may have come to this process through a proxy: all of them are taken off.
    own_bytes, own_connections = (b - a for a, b in zip(first["own"], last["own"], strict=True))
    received = max(0, last["received"] - first["received"] - own_bytes)
    connections = max(0, last["connections"] - first["connections"] - own_connections)
    ports = ", ".join(map(str, sorted({port for reading in seen for port in reading["ports"]})))
    text = f"{received:,} bytes and {connections} new connections of the load on port {ports} {words}"
    return received > 0 or connections > 0, text
