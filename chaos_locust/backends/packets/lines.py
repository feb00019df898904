"""What is done to packets that wait in a queue: when each goes on, and which bit of it is flipped. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, Protocol

_TCP, _UDP = 6, 17
_OPTIONS = (0, 43, 44, 60)  # IPv6 headers before TCP or UDP: hop-by-hop, routing, fragment, destination
_FORGOTTEN_AFTER_S = 60.0
_MANY_FLOWS = 20_000
LONGEST_BACKLOG_S = 0.5
"""What would wait longer for its turn on a limited line is dropped, as by the buffer of a router."""


class Line(Protocol):
    """One direction. Times are seconds of one monotonic clock and never go back."""

    def due_s(self, now_s: float, flow: bytes, size: int) -> float | None:
        """When a packet that came now goes on; None: never."""


class DelayLine:
    """Delays by `delay_s`, give or take `jitter_s`; keeps the order of each flow.

    A flow's first delay is drawn evenly from that span, and so is each that comes 2 * jitter_s or more after
    the one before it. Nearer ones could overtake: there the delay moves from the one before by at most the
    time since then. That keeps the even spread, which waiting for the packet before would push upwards.
    correlation: the probability that a packet is delayed exactly as the one before it in its flow.
    """

    def __init__(self, delay_s: float, jitter_s: float, correlation: float, random: Random) -> None:
        self._delay_s, self._jitter_s, self._correlation, self._random = (
            delay_s,
            jitter_s,
            correlation,
            random,
        )
        self._flows: dict[bytes, tuple[float, float]] = {}

    def due_s(self, now_s: float, flow: bytes, size: int) -> float | None:
        if not self._jitter_s:
            return now_s + self._delay_s
        before = self._flows.get(flow)
        extra_s = self._extra_s(now_s, before)
        if before is None and len(self._flows) >= _MANY_FLOWS:
            oldest_s = now_s - _FORGOTTEN_AFTER_S
            self._flows = {key: seen for key, seen in self._flows.items() if seen[0] > oldest_s}
        self._flows[flow] = (now_s, extra_s)
        return now_s + self._delay_s + extra_s

    def _extra_s(self, now_s: float, before: tuple[float, float] | None) -> float:
        most_s = self._jitter_s
        if before is None:
            return self._random.uniform(-most_s, most_s)
        apart_s, last_s = now_s - before[0], before[1]
        if self._random.random() < self._correlation:
            return last_s
        if apart_s >= 2 * most_s:
            return self._random.uniform(-most_s, most_s)
        moved_s = last_s + self._random.uniform(-apart_s, apart_s)
        if moved_s > most_s:  # thrown back from the ends, so that all delays stay equally likely
            return 2 * most_s - moved_s
        return -2 * most_s - moved_s if moved_s < -most_s else moved_s


class RateLine:
    """Carries `rate_bytes_per_s`, one packet after the other."""

    def __init__(self, rate_bytes_per_s: float) -> None:
        self._rate = rate_bytes_per_s
        self._free_s = 0.0

    def due_s(self, now_s: float, flow: bytes, size: int) -> float | None:
        starts_s = max(now_s, self._free_s)
        if starts_s - now_s > LONGEST_BACKLOG_S:
            return None
        self._free_s = starts_s + size / self._rate
        return self._free_s


class ReorderLine:
    """Holds a share of the packets back for `delay_s`, so that later ones of their flow overtake them."""

    def __init__(self, share: float, delay_s: float, random: Random) -> None:
        self._share, self._delay_s, self._random = share, delay_s, random

    def due_s(self, now_s: float, flow: bytes, size: int) -> float | None:
        return now_s + self._delay_s if self._random.random() < self._share else now_s


def line_for(settings: Mapping[str, Any], random: Random) -> Line:
    match settings["how"]:
        case "delay":
            return DelayLine(settings["delay_s"], settings["jitter_s"], settings["correlation"], random)
        case "reorder":
            return ReorderLine(settings["share"], settings["delay_s"], random)
    return RateLine(settings["rate_bytes_per_s"])


def flow_of(data: memoryview) -> bytes:
    """Addresses, protocol and ports of an IP packet: one direction of one connection."""
    protocol, at = _transport(data)
    addresses = data[12:20] if data[0] >> 4 == 4 else data[8:40]
    return bytes((protocol, *addresses, *data[at : at + 4]))


def corrupted(data: memoryview, random: Random) -> bytes:
    """The packet with one bit flipped that TCP's or UDP's checksum covers: of what it carries or, where it
    carries nothing, of TCP's sequence numbers or UDP's length."""
    protocol, at = _transport(data)
    first, last = at + 4, at + (12 if protocol == _TCP else 6)
    carried = at + ((data[at + 12] >> 4) * 4 if protocol == _TCP else 8)
    if carried < len(data):
        first, last = carried, len(data)
    bit = random.randrange(first * 8, min(last, len(data)) * 8)
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _transport(data: memoryview) -> tuple[int, int]:
    """(protocol, where its header begins)."""
    if data[0] >> 4 == 4:
        return data[9], (data[0] & 15) * 4
    protocol, at = data[6], 40
    while protocol in _OPTIONS and at + 2 <= len(data):
        length = 8 if protocol == 44 else (data[at + 1] + 1) * 8
        protocol, at = data[at], at + length
    return protocol, at
