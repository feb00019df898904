"""The toxics at work, with the time as an argument: nothing here waits."""

from __future__ import annotations

import random

import pytest

from chaos_locust.proxy.toxics.bandwidth import Bandwidth
from chaos_locust.proxy.toxics.base import Chunk, End
from chaos_locust.proxy.toxics.latency import Latency
from chaos_locust.proxy.toxics.limit_data import LimitData
from chaos_locust.proxy.toxics.noop import Noop
from chaos_locust.proxy.toxics.reset_peer import ResetPeer
from chaos_locust.proxy.toxics.slicer import Slicer
from chaos_locust.proxy.toxics.slow_close import SlowClose
from chaos_locust.proxy.toxics.timeout import Timeout


def drain(stage, now_s):
    """Everything that may go on now: bytes and ends."""
    items = []
    while (item := stage.pull(now_s)) is not None:
        items.append(bytes(item.data) if isinstance(item, Chunk) else item)
        if item is End.CLOSE or item is End.RESET:
            break
    return items


def at_work(toxic, now_s=0.0):
    return toxic.stage(random.Random(1), now_s)


def test_latency_counts_from_each_arrival():
    stage = at_work(Latency(100))
    stage.push(Chunk(b"a", 0.0))
    stage.push(Chunk(b"b", 0.05))
    stage.push(End.EOF)
    assert drain(stage, 0.099) == []
    assert stage.due_s() == pytest.approx(0.1)
    assert drain(stage, 0.1) == [b"a"]
    assert stage.due_s() == pytest.approx(0.15)
    assert drain(stage, 0.2) == [b"b", End.EOF]


def test_two_latencies_add_up_however_late_they_wake():
    first, second = at_work(Latency(100)), at_work(Latency(100))
    first.push(Chunk(b"a", 0.0))
    assert first.pull(0.05) is None
    second.push(first.pull(0.13))
    assert drain(second, 0.199) == []
    assert drain(second, 0.2) == [b"a"]


def test_jitter_is_around_the_latency_and_keeps_the_order():
    delays_s = []
    for seed in range(300):
        stage = Latency(100, 50).stage(random.Random(seed), 0.0)
        stage.push(Chunk(b"a", 0.0))
        assert stage.pull(0.0) is None
        delays_s.append(stage.due_s())
    assert 0.05 <= min(delays_s) < 0.06
    assert 0.14 < max(delays_s) <= 0.15
    stage = at_work(Latency(100, 100))
    for i in range(50):
        stage.push(Chunk(bytes([i]), 0.0))
    assert b"".join(drain(stage, 0.2)) == bytes(range(50))


def test_an_edited_latency_applies_to_what_is_on_its_way():
    toxic = Latency(10_000)
    stage = at_work(toxic)
    stage.push(Chunk(b"a", 0.0))
    assert drain(stage, 1.0) == []
    toxic.latency = 1500
    stage.edited(1.0)
    assert drain(stage, 1.49) == []
    assert drain(stage, 1.5) == [b"a"]


def test_a_removed_latency_lets_go_of_everything_in_order():
    stage = at_work(Latency(10_000))
    for item in (Chunk(b"a", 0.0), Chunk(b"b", 0.0), End.EOF):
        stage.push(item)
    assert stage.removed(1.0) == [Chunk(b"a", 1.0), Chunk(b"b", 1.0), End.EOF]
    assert stage.cost == 0


def test_negative_latency_is_none():
    stage = at_work(Latency(-100))
    stage.push(Chunk(b"a", 5.0))
    assert drain(stage, 5.0) == [b"a"]


def test_bandwidth_passes_at_most_its_rate_at_any_time():
    stage = at_work(Bandwidth(10))
    stage.push(Chunk(b"x" * 5000, 0.0))
    passed = 0
    for step in range(1, 101):
        now_s = step / 200
        passed += sum(map(len, drain(stage, now_s)))
        assert passed <= 10_000 * now_s + 1e-6
        assert passed >= 10_000 * now_s - 1000
    assert passed == 5000


def test_bandwidth_does_not_save_up_what_was_not_used():
    stage = at_work(Bandwidth(10))
    stage.push(Chunk(b"x" * 1000, 60.0))
    assert drain(stage, 60.09) == []
    assert drain(stage, 60.1) == [b"x" * 1000]


@pytest.mark.parametrize("rate", [0, -5])
def test_no_bandwidth_passes_nothing_until_it_is_edited(rate):
    toxic = Bandwidth(rate)
    stage = at_work(toxic)
    stage.push(Chunk(b"x" * 100, 0.0))
    assert drain(stage, 1e6) == []
    assert stage.due_s() is None
    toxic.rate = 1
    stage.edited(2e6)
    assert drain(stage, 2e6 + 0.099) == []
    assert drain(stage, 2e6 + 0.101) == [b"x" * 100]


def test_timeout_drops_data_and_closes_after_silence():
    stage = at_work(Timeout(100))
    stage.push(Chunk(b"lost", 0.05))
    assert drain(stage, 0.149) == []
    assert drain(stage, 0.151) == [End.CLOSE]


def test_timeout_zero_never_closes_but_passes_the_end_on():
    stage = at_work(Timeout(0))
    stage.push(Chunk(b"lost", 0.0))
    assert drain(stage, 1e9) == []
    assert stage.due_s() is None
    stage.push(End.EOF)
    assert drain(stage, 1e9) == [End.EOF]


def test_a_removed_timeout_closes():
    assert at_work(Timeout(0)).removed(0.0) == [End.CLOSE]


@pytest.mark.parametrize("trigger", [Chunk(b"x", 1.0), End.EOF])
def test_reset_peer_waits_for_something_and_then_its_time(trigger):
    stage = at_work(ResetPeer(100))
    assert drain(stage, 1.0) == []
    assert stage.due_s() is None
    stage.push(trigger)
    assert drain(stage, 1.0) == []
    assert drain(stage, 1.099) == []
    assert drain(stage, 1.1) == [End.RESET]


def test_a_reset_peer_removed_in_time_loses_nothing():
    stage = at_work(ResetPeer(100))
    stage.push(Chunk(b"x", 0.0))
    assert drain(stage, 0.05) == []
    assert stage.removed(0.06) == [Chunk(b"x", 0.06)]


def test_slow_close_holds_only_the_end():
    stage = at_work(SlowClose(100))
    stage.push(Chunk(b"x", 0.0))
    stage.push(End.EOF)
    assert drain(stage, 0.0) == [b"x"]
    assert drain(stage, 0.09) == []
    assert stage.due_s() == pytest.approx(0.1)
    assert drain(stage, 0.1) == [End.EOF]


@pytest.mark.parametrize(
    ("chunks", "passed"), [([10], [b"x" * 10]), ([4, 4, 4], [b"x" * 4, b"x" * 4, b"x" * 2])]
)
def test_limit_data_closes_with_the_last_byte(chunks, passed):
    stage = at_work(LimitData(10))
    for size in chunks:
        stage.push(Chunk(b"x" * size, 0.0))
    assert drain(stage, 0.0) == [*passed, End.CLOSE]


def test_limit_data_zero_closes_on_the_first_data_only():
    stage = at_work(LimitData(0))
    assert drain(stage, 0.0) == []
    stage.push(Chunk(b"x", 0.0))
    assert drain(stage, 0.0) == [End.CLOSE]


def test_a_lowered_limit_closes_on_the_next_data():
    toxic = LimitData(100)
    stage = at_work(toxic)
    stage.push(Chunk(b"x" * 50, 0.0))
    assert drain(stage, 0.0) == [b"x" * 50]
    toxic.bytes = 20
    stage.edited(0.0)
    assert drain(stage, 0.0) == []
    stage.push(Chunk(b"x", 0.0))
    assert drain(stage, 0.0) == [End.CLOSE]


@pytest.mark.parametrize(("average", "variation"), [(100, 0), (100, 20), (1, 0), (0, 0), (-7, 5), (10, 500)])
def test_slicer_packets_are_the_data_in_small_pieces(average, variation):
    toxic = Slicer(average, variation)
    for seed in range(20):
        sizes = toxic.cut(3000, random.Random(seed))
        assert sum(sizes) == 3000
        assert min(sizes) >= 1
        assert max(sizes) <= max(average + variation, 1)


def test_slicer_waits_between_packets():
    stage = at_work(Slicer(10, 0, 1000))
    stage.push(Chunk(b"0123456789abcdefghij", 0.0))
    stage.push(End.EOF)
    assert drain(stage, 0.0) == [b"0123456789"]
    assert drain(stage, 0.0009) == []
    assert drain(stage, 0.001) == [b"abcdefghij"]
    assert drain(stage, 0.002) == [End.EOF]


def test_a_removed_slicer_passes_the_rest():
    stage = at_work(Slicer(10, 0, 1000))
    stage.push(Chunk(b"0123456789abcdefghij", 0.0))
    drain(stage, 0.0)
    assert [bytes(item.data) for item in stage.removed(0.0)] == [b"abcdefghij"]


def test_noop_is_not_in_the_way():
    assert at_work(Noop()) is None


@pytest.mark.parametrize(
    "toxic", [Latency(10**18), Bandwidth(1), SlowClose(5), Slicer(5, 2, 9), LimitData(10**6)]
)
def test_what_a_toxic_holds_is_accounted_for_exactly(toxic):
    stage = at_work(toxic)
    rng = random.Random(7)
    for step in range(200):
        stage.push(Chunk(b"x" * rng.randrange(1, 3000), step / 10))
        drain(stage, step / 10)
        held = [len(item.data) for item in stage.queue if isinstance(item, Chunk)]
        assert stage.cost == sum(held) + 128 * len(held)
