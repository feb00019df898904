"""A load in requests/s in one Locust process, against the target's own log of what arrived when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from chaos_locust.measure.window import ARRIVALS
from chaos_locust.plan.documents import parse_plan
from chaos_locust.plan.schedule import Schedule

from .load_run import LoadRun
from .load_target import Target


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as target:
        yield target


def plan(target: Target, load: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"name": "load", "host": target.url, "load": load, **more}


def schedule(data: dict[str, Any]) -> list[float]:
    """Every due time of the plan's load."""
    load = parse_plan(data, {}).load
    assert load is not None
    return [due_s for _, due_s in Schedule(load, 1).due_times(0.0, load.duration_s)]


def balanced(run: LoadRun) -> None:
    """What was sent has ended one way or another, in every window; so have the arrivals."""
    for key, window in run.windows.items():
        assert window.in_flight == 0, (key, window)
        if key[1] == ARRIVALS:
            assert window.offered == window.dropped + window.lost + window.sent, (key, window)


@pytest.mark.parametrize("locustfile", ["fast", "lean"])
def test_every_arrival_is_sent_when_it_is_due(target: Target, locustfile: str) -> None:
    data = plan(target, [{"step": "base", "rate": "200/s", "for": "8s"}])
    with LoadRun(data, locustfile) as run:
        run.result()
        due = schedule(data)
        log = [epoch_s - run.start_epoch_s for epoch_s, _ in target.log()]
    balanced(run)
    arrivals, requests = run.total(ARRIVALS), run.total("GET /visit")
    assert arrivals.offered == arrivals.ok == requests.sent == requests.ok == len(log) == len(due) == 1600
    late = sorted(seen - asked for seen, asked in zip(log, due, strict=True))
    assert late[0] > -0.002, "a request came before it was due"
    assert late[len(late) // 2] < 0.02, "half of the requests came late"
    for second in range(8):
        offered = run.windows[second, ARRIVALS].offered
        assert offered == sum(second <= due_s < second + 1 for due_s in due)


def test_a_stall_is_seen_from_the_due_times(target: Target) -> None:
    """For 2 of 8 s nothing is answered: whoever was due then waits for the end of the stall."""
    data = plan(target, [{"step": "base", "rate": "100/s", "for": "8s"}], max_users=400)
    with LoadRun(data, "fast") as run:
        run.sleep_until(3)
        target.hang()
        run.sleep_until(5)
        target.answer()
        run.result()
        log = target.log()
    balanced(run)
    requests = run.total("GET /visit")
    assert run.total(ARRIVALS).dropped == 0
    assert requests.sent == requests.ok == len(log) == 800
    slow, _ = requests.response.count_at_or_above(1_000_000_000)
    assert 90 <= slow <= 110, "those due in the first second of the stall waited for more than a second"
    p99_s, max_s = requests.response.quantile(0.99), requests.response.max_s
    assert p99_s is not None
    assert max_s is not None
    assert 1.85 <= p99_s <= 2.05, "8 of 800 were slower: those due in its first 80 ms"
    assert 1.95 <= max_s <= 2.3


def test_arrivals_without_a_free_user_are_dropped(target: Target) -> None:
    """20 users, a stall of 2 s, 0.5 s of patience: what is due in the stall finds nobody."""
    data = plan(target, [{"step": "base", "rate": "100/s", "for": "6s"}], max_users=20, drop_after="500ms")
    with LoadRun(data, "fast") as run:
        run.sleep_until(2)
        target.hang()
        run.sleep_until(4)
        target.answer()
        run.result()
        log = target.log()
    balanced(run)
    arrivals, requests = run.total(ARRIVALS), run.total("GET /visit")
    assert arrivals.offered == 600
    assert requests.sent == requests.ok == arrivals.ok == len(log) == 600 - arrivals.dropped
    # of the 200 due in the stall 20 were taken, and the last 50 waited for its end
    assert 120 <= arrivals.dropped <= 140


@pytest.mark.parametrize(
    ("locustfile", "timed_out"),
    [("fast", True), ("lean", True), ("patient", False)],
    ids=["the plan's time-out", "the lean user's", "a longer time-out of the locustfile's own"],
)
def test_what_never_gets_an_answer_is_counted(target: Target, locustfile: str, timed_out: bool) -> None:
    """The load is ended after a second; the 20 requests sent until then get 2 s more."""
    target.hang()
    data = plan(target, [{"step": "base", "rate": "20/s", "for": "5s"}], timeout="2s")
    with LoadRun(data, locustfile) as run:
        run.sleep_until(1)
        run.interrupt()
        run.result()
        log = target.log()
    balanced(run)
    requests, arrivals = run.total("GET /visit"), run.total(ARRIVALS)
    sent = requests.sent
    assert sent == len(log) == arrivals.offered == arrivals.sent
    assert 20 <= sent <= 23
    for counts in (requests, arrivals):
        assert counts.ok == 0
        assert (counts.failed, counts.unanswered) == (({"timeout": sent}, 0) if timed_out else ({}, sent))
    (stopped,) = run.of_kind("load_stopped")
    assert stopped["t_s"] < 1.5
    assert stopped["drained_s"] - stopped["t_s"] < 3


def test_task_sets_keep_their_order_and_every_request_is_counted(target: Target) -> None:
    data = plan(target, [{"step": "base", "rate": "60/s", "for": "5s"}])
    with LoadRun(data, "nested") as run:
        run.result()
        log = Counter(what for _, what in target.log())
    balanced(run)
    arrivals = run.total(ARRIVALS)
    assert arrivals.offered == arrivals.ok == 300
    counted = {name: run.total(name).ok for name in run.names if name != ARRIVALS}
    assert counted == {
        "GET /login": log["GET /login"],
        "GET /logout": log["GET /logout"],
        "GET /look": log["GET /look"],
        "POST /buy": log["POST /buy"],
        "GET /thanks/[id]": log["GET /thanks"],
        "GET /browse?page=1": log["GET /browse?page=1"],
    }
    assert log["GET /login"] == log["GET /logout"], "each user starts and stops once"
    assert log["GET /look"] > 0
    # one arrival is one task: look, buy (with two requests), leave (with none), browse
    left = 300 - log["GET /look"] - log["POST /buy"] - log["GET /browse?page=1"]
    assert 0 <= log["POST /buy"] - left <= arrivals.ok
    assert left > 0


def test_failures_have_short_stable_names(target: Target) -> None:
    data = plan(target, [{"step": "base", "rate": "60/s", "for": "3s"}])
    with LoadRun(data, "wrong") as run:
        run.result()
    balanced(run)
    kinds = {name: set(run.total(name).failed) for name in run.names if name != ARRIVALS}
    assert kinds == {
        "GET /broken": {"HTTP 503"},
        "GET /rejected": {"check failed"},
        "GET /raised": {"ValueError"},
        "GET /refused": {"connection refused"},
    }
    arrivals = run.total(ARRIVALS)
    assert arrivals.ok == 0
    assert set(arrivals.failed) == {"HTTP 503", "check failed", "ValueError", "connection refused"}
    assert any(event["state"] == "raised" for event in run.of_kind("worker")), "a task raised"


def test_steps_begin_when_they_are_due(target: Target) -> None:
    """The target's log shows each boundary of the rate within 100 ms."""
    steps = [("low", 20), ("high", 200), ("again", 20), ("top", 400)]
    data = plan(target, [{"step": name, "rate": f"{rate}/s", "for": "1500ms"} for name, rate in steps])
    with LoadRun(data, "fast") as run:
        run.result()
        log = [epoch_s - run.start_epoch_s for epoch_s, _ in target.log()]
    balanced(run)
    for turn, (_, rate) in enumerate(steps):
        begins_s = turn * 1.5
        for from_s in (begins_s + 0.1, begins_s + 1.3):  # right behind the boundary and right before the next
            seen = sum(from_s <= t_s < from_s + 0.1 for t_s in log)
            assert abs(seen - rate / 10) <= max(2, rate * 0.02), (turn, from_s, seen)
    seen_steps = {event["step"]: event["seen_s"] - event["due_s"] for event in run.of_kind("step")}
    assert list(seen_steps) == [name for name, _ in steps]
    assert all(0 <= late_s < 0.1 for late_s in seen_steps.values())


def test_a_closed_workload_follows_its_steps(target: Target) -> None:
    """Users that visit ten times a second: the rate in the target's log follows their number."""
    data = plan(
        target,
        [{"step": "few", "users": 4, "for": "2s"}, {"step": "more", "users": 20, "for": "2s"},
         {"step": "less", "users": 4, "for": "2s"}],
    )  # fmt: skip
    with LoadRun(data, "busy") as run:
        run.result()
        log = [epoch_s - run.start_epoch_s for epoch_s, _ in target.log()]
    balanced(run)
    assert ARRIVALS not in run.names
    assert run.total("GET /visit").sent == run.total("GET /visit").ok == len(log)
    few, more, less = (sum(a <= t_s < a + 1.5 for t_s in log) for a in (0.4, 2.4, 4.4))
    assert 0.7 * 60 <= few <= 61
    assert 0.7 * 300 <= more <= 301
    assert 0.7 * 60 <= less <= 61
    late = {event["step"]: event["seen_s"] - event["due_s"] for event in run.of_kind("step")}
    assert set(late) == {"few", "more", "less"}
    assert all(0 <= late_s < 0.1 for late_s in late.values()), late


def test_start_stop_and_start_again(target: Target) -> None:
    """As the web UI does: every run is made anew and puts back what it changed."""
    data = plan(target, [{"step": "base", "rate": "50/s", "for": "3s"}])
    with LoadRun(data, "nested", runs=2) as run:
        run.sleep_until(1)
        run.interrupt()
        run.result()
        assert run.restored
        assert 50 <= run.total(ARRIVALS).offered <= 60
        balanced(run)
        run.begun()
        run.result()
        assert run.restored
        balanced(run)
        assert run.total(ARRIVALS).offered == run.total(ARRIVALS).ok == 150


def test_users_of_locusts_own_are_recorded_too(target: Target) -> None:
    """No load in the plan: Locust starts users as it likes, ten visits a second each."""
    with LoadRun({"name": "load", "host": target.url}, "busy") as run:
        run.sleep_until(2)
        run.interrupt()
        run.result()
        log = target.log()
    balanced(run)
    requests = run.total("GET /visit")
    assert requests.sent == requests.ok == len(log)
    assert 100 <= len(log) <= 210
    assert run.names == {"GET /visit"}
    assert run.restored
