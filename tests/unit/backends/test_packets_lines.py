"""When held packets go on, and which bit of one is flipped."""

from __future__ import annotations

import math
import statistics
import struct
from itertools import pairwise
from random import Random

import pytest

from chaos_locust.backends.packets.lines import DelayLine, RateLine, ReorderLine, corrupted, flow_of


def delays(line: DelayLine, count: int, apart_s: float, flow: bytes = b"a") -> list[float]:
    found = []
    for number in range(count):
        due_s = line.due_s(number * apart_s, flow, 100)
        assert due_s is not None
        found.append(due_s - number * apart_s)
    return found


def test_without_jitter_all_are_alike() -> None:
    assert {round(delay_s, 9) for delay_s in delays(DelayLine(0.1, 0, 0, Random(1)), 50, 0.01)} == {0.1}


@pytest.mark.parametrize("apart_s", [0.1, 0.02, 0.004, 0.001])
def test_jitter_is_even_however_dense_the_flow(apart_s: float) -> None:
    found = delays(DelayLine(0.1, 0.02, 0, Random(7)), 200_000, apart_s)
    assert min(found) >= 0.08 - 1e-9
    assert max(found) <= 0.12 + 1e-9
    # The denser a flow, the slower its delay may change, and the fewer values are independent.
    assert statistics.mean(found) == pytest.approx(0.1, abs=0.0003 if apart_s >= 0.02 else 0.003)
    assert statistics.pstdev(found) == pytest.approx(0.02 / math.sqrt(3), rel=0.1)
    quarters = [sum(0.08 + q * 0.01 <= delay_s < 0.09 + q * 0.01 for delay_s in found) for q in range(4)]
    assert min(quarters) > 0.2 * len(found)


@pytest.mark.parametrize("apart_s", [0.1, 0.01, 0.0001])
def test_a_flow_keeps_its_order(apart_s: float) -> None:
    found = delays(DelayLine(0.05, 0.05, 0.2, Random(3)), 20_000, apart_s)
    due = [number * apart_s + delay_s for number, delay_s in enumerate(found)]
    assert all(earlier <= later for earlier, later in pairwise(due))


def test_correlation() -> None:
    found = delays(DelayLine(0.1, 0.02, 0.4, Random(5)), 50_000, 1.0)
    assert statistics.correlation(found[:-1], found[1:]) == pytest.approx(0.4, abs=0.02)
    assert statistics.pstdev(found) == pytest.approx(0.02 / math.sqrt(3), rel=0.02)


def test_flows_are_drawn_each_by_itself() -> None:
    line = DelayLine(0.1, 0.02, 0, Random(1))
    assert len({line.due_s(0.0, bytes([flow]), 1) for flow in range(50)}) == 50


def test_a_rate_is_kept_and_a_long_backlog_dropped() -> None:
    line = RateLine(1000)
    assert line.due_s(0.0, b"", 100) == pytest.approx(0.1)
    assert line.due_s(0.0, b"", 100) == pytest.approx(0.2)
    assert line.due_s(5.0, b"", 400) == pytest.approx(5.4)
    assert line.due_s(5.0, b"", 400) == pytest.approx(5.8)
    assert line.due_s(5.0, b"", 1) is None
    assert line.due_s(5.4, b"", 100) == pytest.approx(5.9)


def test_a_share_is_held_back() -> None:
    line = ReorderLine(0.1, 0.5, Random(1))
    held = sum(line.due_s(1.0, b"", 1) == 1.5 for _ in range(10_000))
    assert 900 < held < 1100
    assert sum(line.due_s(1.0, b"", 1) == 1.0 for _ in range(100)) > 50


def ipv4(protocol: int, transport: bytes, options: bytes = b"") -> memoryview:
    length = 20 + len(options) + len(transport)
    version = 0x40 | (20 + len(options)) // 4
    head = struct.pack(">BBHHHBBH4s4s", version, 0, length, 1, 0, 64, protocol, 0, b"\1\2\3\4", b"\5\6\7\x08")
    return memoryview(head + options + transport)


def ipv6(protocol: int, transport: bytes, extra: bytes = b"") -> memoryview:
    head = struct.pack(
        ">IHBB16s16s",
        6 << 28,
        len(extra) + len(transport),
        0 if extra else protocol,
        64,
        b"a" * 16,
        b"b" * 16,
    )
    return memoryview(head + extra + transport)


def tcp(data: bytes) -> bytes:
    return struct.pack(">HHIIBBHHH", 1000, 80, 1, 2, 5 << 4, 16, 9, 9, 0) + data


def udp(data: bytes) -> bytes:
    return struct.pack(">HHHH", 1000, 80, 8 + len(data), 9) + data


HOP_BY_HOP = bytes([6, 0, 1, 4, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("packet", "first", "last"),
    [
        (ipv4(6, tcp(b"hello")), 40, 45),
        (ipv4(6, tcp(b"hello"), options=b"\1" * 4), 44, 49),
        (ipv4(6, tcp(b"")), 24, 32),
        (ipv4(17, udp(b"hello")), 28, 33),
        (ipv4(17, udp(b"")), 24, 26),
        (ipv6(6, tcp(b"hello")), 60, 65),
        (ipv6(6, tcp(b"hello"), HOP_BY_HOP), 68, 73),
    ],
)
def test_one_bit_is_flipped_that_the_checksum_covers(packet: memoryview, first: int, last: int) -> None:
    random, met = Random(1), set()
    for _ in range(500):
        changed = corrupted(packet, random)
        (at,) = [at for at, (one, other) in enumerate(zip(packet, changed, strict=True)) if one != other]
        assert bin(packet[at] ^ changed[at]).count("1") == 1
        met.add(at)
    assert met == set(range(first, last))


def test_a_flow_is_one_direction_of_one_connection() -> None:
    flows = {
        flow_of(packet)
        for packet in (
            ipv4(6, tcp(b"a")),
            ipv4(6, tcp(b"b" * 50)),  # the same again
            ipv4(6, struct.pack(">HH", 80, 1000) + tcp(b"")[4:]),
            ipv4(17, udp(b"a")),
            ipv6(6, tcp(b"a")),
            ipv6(6, tcp(b"b"), HOP_BY_HOP),  # the same again
        )
    }
    assert len(flows) == 4
