"""Shares of the schedule: every arrival is exactly one worker's, and what a lost worker owed is known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaos_locust.locust_plugin.crew import Worker
from chaos_locust.locust_plugin.shares import Shares, part
from chaos_locust.measure.histogram import Layout
from chaos_locust.measure.window import ARRIVALS, Window
from chaos_locust.plan.load import Load, Step
from chaos_locust.plan.schedule import Schedule

SCHEDULE = Schedule(Load("open", "steps", (Step("base", 0.0, 10.0, 20.0, 20.0),)), 1)


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 5)), min_size=1, max_size=4))
def test_every_arrival_belongs_to_exactly_one_worker(changes: list[tuple[float, int]]) -> None:
    changes = sorted([(0.0, 3), *changes])
    workers = [Shares() for _ in range(5)]
    for from_s, count in changes:
        for index, shares in enumerate(workers):
            if index < count:
                shares.change(from_s, index, count)
            else:
                shares.change(from_s, count, count)  # takes no part: no remainder is `count`
    for index, due_s in SCHEDULE.due_times(0, 10):
        assert sum(shares.mine(index, due_s) for shares in workers) == 1


def test_before_its_first_share_a_worker_has_none() -> None:
    shares = Shares()
    shares.change(5.0, 0, 1)
    assert not shares.mine(0, 4.9)
    assert shares.mine(0, 5.0)


def test_a_later_word_about_the_same_time_replaces_the_earlier() -> None:
    shares = Shares()
    shares.change(0.0, 0, 2)
    shares.change(5.0, 0, 1)
    shares.change(4.0, 1, 2)
    assert shares.mine(1, 6.0)
    assert not shares.mine(0, 6.0)


@given(st.integers(1, 1000), st.integers(1, 20))
def test_parts_make_the_whole(total: int, count: int) -> None:
    parts = [part(total, index, count) for index in range(count)]
    assert sum(parts) == max(total, count)
    assert max(parts) - min(parts) <= 1


def _worker() -> Worker:
    worker = Worker("node")
    worker.shares.change(0.0, 1, 2)
    return worker


def test_a_lost_worker_owes_its_arrivals_from_its_last_word_on() -> None:
    worker = _worker()
    worker.covered_s = 3.0
    changes, lost = worker.settle(Layout(()), SCHEDULE, 7.5)
    owed = [due_s for index, due_s in SCHEDULE.due_times(3.0, 7.5) if index % 2 == 1]
    assert lost == len(owed) == 45
    assert sum(window.lost for window in changes.values()) == sum(w.offered for w in changes.values()) == lost
    assert {second for second, _ in changes} == {3, 4, 5, 6, 7}


def test_what_a_lost_worker_had_under_way_is_unanswered() -> None:
    layout, worker = Layout(()), _worker()
    arrivals, requests = Window(layout), Window(layout)
    for due_s in (0.1, 0.2, 0.3, 0.4):
        arrivals.offer(due_s)
    for due_s in (0.1, 0.2, 0.3):  # three were taken, one still waits
        arrivals.send(due_s)
        requests.send(due_s)
    requests.answer(0.1, 0, 1000, None)
    arrivals.answer(0.1, 0, 1000, None)
    worker.covered_s = 10.0
    total = {
        (0, name): window
        for (_, name), window in worker.read_windows(
            [(0, ARRIVALS, arrivals.to_json()), (0, "GET /", requests.to_json())], layout
        ).items()
    }
    changes, lost = worker.settle(layout, SCHEDULE, 10.0)
    for key, window in changes.items():
        total[key].add_window(window)
    assert lost == total[0, ARRIVALS].lost == 1
    assert total[0, ARRIVALS].unanswered == total[0, "GET /"].unanswered == 2
    assert all(window.in_flight == 0 for window in total.values())
    assert total[0, ARRIVALS].offered == total[0, ARRIVALS].lost + total[0, ARRIVALS].sent


def test_nothing_is_owed_for_what_has_ended() -> None:
    layout, worker = Layout(()), _worker()
    sent, answered = Window(layout), Window(layout)
    sent.send(0.5)
    answered.answer(0.5, 0, 1000, "timeout")
    worker.read_windows([(0, "GET /", sent.to_json())], layout)
    worker.read_windows([(0, "GET /", answered.to_json())], layout)
    assert worker.settle(layout, None, 10.0) == ({}, 0)
