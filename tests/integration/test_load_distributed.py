"""A load shared among workers in processes of their own, against the target's log."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from chaos_locust.measure.window import ARRIVALS

from .load_run import LoadRun
from .load_target import Target


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as target:
        yield target


def test_two_workers_share_one_schedule(target: Target) -> None:
    load = [{"step": "low", "rate": "50/s", "for": "2s"}, {"step": "high", "rate": "200/s", "for": "2s"}]
    with LoadRun({"name": "load", "host": target.url, "load": load}, "fast", workers=2) as run:
        run.result()
        log = [epoch_s - run.start_epoch_s for epoch_s, _ in target.log()]
    arrivals, requests = run.total(ARRIVALS), run.total("GET /visit")
    assert arrivals.offered == arrivals.ok == requests.ok == len(log) == 500
    assert all(window.in_flight == 0 for window in run.windows.values())
    states = [event["state"] for event in run.of_kind("worker")]
    assert sorted(states) == ["finished", "finished", "joined", "joined"]
    assert len({event["worker"] for event in run.of_kind("generator")}) == 2
    for clock in run.of_kind("clock"):
        assert abs(clock["offset_s"]) <= clock["error_s"] + 0.001, "it is the same machine's clock"
    for event in run.of_kind("step"):
        assert 0 <= event["seen_s"] - event["due_s"] < 0.1
    for second, rate in enumerate((50, 50, 200, 200)):
        assert abs(sum(second <= t_s < second + 1 for t_s in log) - rate) <= 5


def test_a_killed_worker_is_replaced_and_what_it_owed_is_counted(target: Target) -> None:
    load = [{"step": "base", "rate": "100/s", "for": "12s"}]
    with LoadRun({"name": "load", "host": target.url, "load": load}, "fast", workers=2) as run:
        run.sleep_until(3)
        run.workers[0].send_signal(signal.SIGKILL)
        run.result()
        log = [epoch_s - run.start_epoch_s for epoch_s, _ in target.log()]
    arrivals, requests = run.total(ARRIVALS), run.total("GET /visit")
    assert arrivals.offered == 1200, "nothing of the schedule is forgotten"
    assert arrivals.offered == arrivals.sent + arrivals.lost + arrivals.dropped
    assert arrivals.sent == arrivals.ok + arrivals.failures + arrivals.unanswered
    assert requests.sent == requests.ok + requests.failures + requests.unanswered
    # what the worker did between its last report and its end nobody knows: it counts as lost
    assert requests.sent <= len(log) <= requests.sent + 50
    first, second = run.of_kind("shares")
    assert len(first["workers"]) == 2
    assert len(second["workers"]) == 1
    assert second["lost"] == arrivals.lost
    assert 100 <= arrivals.lost <= 300, "half of the rate, from the last report until the others took over"
    assert [event["state"] for event in run.of_kind("worker")].count("lost") == 1
    taken_over_s = second["from_s"]
    assert 3 < taken_over_s < 9
    rate = sum(taken_over_s + 0.1 <= t_s < taken_over_s + 2.1 for t_s in log)
    assert abs(rate - 200) <= 6, "the other worker has the whole schedule"


def test_a_worker_that_was_only_silent_stops_and_is_not_counted_twice(target: Target) -> None:
    load = [{"step": "base", "rate": "50/s", "for": "11s"}]
    with LoadRun({"name": "load", "host": target.url, "load": load}, "fast", workers=2) as run:
        run.sleep_until(2)
        os.kill(run.workers[0].pid, signal.SIGSTOP)
        run.sleep_until(7)
        os.kill(run.workers[0].pid, signal.SIGCONT)
        run.result()
        log = [epoch_s - run.start_epoch_s for epoch_s, _ in target.log()]
    arrivals, requests = run.total(ARRIVALS), run.total("GET /visit")
    assert arrivals.offered == 550
    assert arrivals.offered == arrivals.sent + arrivals.lost + arrivals.dropped
    assert requests.sent == requests.ok + requests.failures + requests.unanswered
    assert [event["state"] for event in run.of_kind("worker")].count("lost") == 1
    after = sum(8.5 <= t_s < 10.5 for t_s in log)
    assert abs(after - 100) <= 5, "the other worker has the whole schedule, and this one does nothing more"


def test_steps_of_users_reach_the_workers_within_100_ms(target: Target) -> None:
    load = [
        {"step": "few", "users": 4, "for": "2s"},
        {"step": "more", "users": 20, "for": "2s"},
        {"step": "less", "users": 6, "for": "2s"},
    ]
    with LoadRun({"name": "load", "host": target.url, "load": load}, "busy", workers=2) as run:
        run.result()
        log = target.log()
    requests = run.total("GET /visit")
    assert requests.sent == requests.ok == len(log)
    seen = {
        (event["worker"], event["step"]): event["seen_s"] - event["due_s"] for event in run.of_kind("step")
    }
    assert len(seen) == 6
    assert all(0 <= late_s < 0.1 for late_s in seen.values()), seen


def test_users_who_are_stopped_leave_no_request_unanswered(target: Target) -> None:
    """They wait, and many waits end in the very moment in which their users are stopped."""
    load = [
        {"step": "many", "users": 100, "for": "2s"},
        {"step": "few", "users": 4, "for": "1s"},
        {"step": "many-again", "users": 100, "for": "2s"},
        {"step": "none", "users": 1, "for": "1s"},
    ]
    with LoadRun({"name": "load", "host": target.url, "load": load}, "busy", workers=2) as run:
        run.result()
        log = target.log()
    requests = run.total("GET /visit")
    assert requests.unanswered == 0
    assert requests.sent == requests.ok == len(log)


def test_a_worker_that_joins_takes_its_share(target: Target) -> None:
    load = [{"step": "base", "rate": "100/s", "for": "12s"}]
    with LoadRun({"name": "load", "host": target.url, "load": load}, "fast", workers=1) as run:
        run.sleep_until(1)
        run.join()
        run.result()
        log = target.log()
    arrivals, requests = run.total(ARRIVALS), run.total("GET /visit")
    assert arrivals.offered == arrivals.ok == requests.ok == len(log) == 1200
    assert [len(event["workers"]) for event in run.of_kind("shares")] == [1, 2]
    assert [event["state"] for event in run.of_kind("worker")].count("finished") == 2
    first = run.of_kind("shares")[0]["workers"][0]
    users = [sample["users"] for sample in run.of_kind("generator") if sample["worker"] == first][1:]
    assert users == sorted(users), "the pool never shrinks, whatever Locust's dispatcher would like"


@pytest.mark.parametrize(
    ("odd", "state", "reason"),
    [("old", "refused", "0.0.1"), ("plain", "silent", "chaos_locust.register()")],
    ids=["another version", "without chaos-locust"],
)
def test_a_worker_that_cannot_be_counted_on_sends_nothing(
    target: Target, odd: str, state: str, reason: str
) -> None:
    load = [{"step": "base", "rate": "50/s", "for": "3s"}]
    with LoadRun({"name": "load", "host": target.url, "load": load}, "fast", workers=1, odd=odd) as run:
        run.result()
        log = target.log()
    assert run.total(ARRIVALS).offered == run.total("GET /visit").ok == len(log) == 150
    (event,) = (event for event in run.of_kind("worker") if event["state"] == state)
    assert reason in event["detail"]
    assert [len(shares["workers"]) for shares in run.of_kind("shares")] == [1]
