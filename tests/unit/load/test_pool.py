"""The pool hands arrivals to idle users in order; nothing is forgotten. The clock is ours."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest

from chaos_locust.locust_plugin.pool import Pool
from chaos_locust.locust_plugin.recorder import Arrival, Recorder
from chaos_locust.measure.histogram import Layout
from chaos_locust.measure.window import ARRIVALS, Window


class Clock:
    def __init__(self) -> None:
        self.t_s = 0.0

    def __call__(self) -> float:
        return self.t_s


class Bench:
    """A pool, its accounts, and users that hold their arrival until told to let go."""

    def __init__(self, drop_after_s: float = 1.0) -> None:
        self.clock = Clock()
        self.recorder = Recorder(Layout(()), self.clock)
        self.pool = Pool(self.recorder, drop_after_s, 2, self.clock)
        self.taken: list[tuple[str, float]] = []

    def user(self, name: str, times: int = 1) -> gevent.Greenlet[..., None]:
        def run() -> None:
            for _ in range(times):
                arrival = self.pool.take()
                self.taken.append((name, arrival.due_s))
                self.pool.done()
                self.recorder.end(arrival, None)

        user = gevent.spawn(run)
        settle()
        return user

    def offer(self, due_s: float) -> None:
        self.clock.t_s = due_s
        self.pool.offer(due_s)

    def accounts(self) -> Window:
        total = Window(Layout(()))
        for window in self.recorder.take_changes().values():
            total.add_window(window)
        return total


def settle() -> None:
    """Lets every greenlet go as far as it can."""
    for _ in range(5):
        gevent.sleep(0)


def test_idle_users_take_arrivals_in_the_order_in_which_they_became_idle() -> None:
    bench = Bench()
    for name in "abc":
        bench.user(name)
    for due_s in (0.1, 0.2, 0.3):
        bench.offer(due_s)
    settle()
    assert bench.taken == [("a", 0.1), ("b", 0.2), ("c", 0.3)]
    assert bench.pool.idle == bench.pool.waiting == bench.pool.busy == 0


def test_arrivals_wait_in_order_for_a_user() -> None:
    bench = Bench()
    for due_s in (0.1, 0.2, 0.3):
        bench.offer(due_s)
    assert bench.pool.waiting == 3
    bench.user("a", times=3)
    assert bench.taken == [("a", 0.1), ("a", 0.2), ("a", 0.3)]


def test_an_arrival_that_waited_too_long_is_dropped_and_counted() -> None:
    bench = Bench(drop_after_s=1.0)
    bench.offer(0.0)
    bench.offer(0.5)
    bench.clock.t_s = 1.25
    bench.user("a", times=2)
    assert bench.taken == [("a", 0.5)]
    accounts = bench.accounts()
    assert (accounts.offered, accounts.dropped, accounts.sent) == (2, 1, 1)


def test_a_late_dispatcher_drops_even_when_users_are_idle() -> None:
    bench = Bench(drop_after_s=1.0)
    bench.user("a")
    bench.clock.t_s = 3.0
    bench.pool.offer(0.0)
    settle()
    assert bench.taken == []
    assert bench.accounts().dropped == 1


def test_what_waits_at_the_end_is_dropped() -> None:
    bench = Bench()
    bench.offer(0.0)
    bench.pool.close()
    accounts = bench.accounts()
    assert (accounts.offered, accounts.dropped, accounts.sent) == (1, 1, 0)


def test_a_user_that_is_stopped_while_idle_leaves_its_place() -> None:
    bench = Bench()
    gone = bench.user("gone")
    bench.user("a")
    gone.kill()
    bench.offer(0.1)
    settle()
    assert bench.taken == [("a", 0.1)]
    assert bench.pool.idle == 0


def test_an_arrival_on_its_way_to_a_user_that_is_stopped_goes_to_another() -> None:
    bench = Bench()
    gone = bench.user("gone")
    gone.kill(block=False)
    bench.offer(0.1)  # handed over to a user that will be stopped before it can take it
    bench.user("a")
    assert bench.taken == [("a", 0.1)]
    accounts = bench.accounts()
    assert (accounts.offered, accounts.sent, accounts.dropped) == (1, 1, 0)


def test_missing_users_are_asked_for_before_arrivals_have_to_wait() -> None:
    bench = Bench()
    for name in "abc":
        bench.user(name)
    bench.offer(0.1)
    assert not bench.pool.short.is_set(), "two are left, as many as are kept in reserve"
    bench.offer(0.2)
    assert bench.pool.short.is_set()
    bench.offer(0.3)
    bench.offer(0.4)
    assert bench.pool.wanted == 3, "one for the arrival that waits, two in reserve"


def test_an_arrivals_account_is_from_due_to_the_end_of_its_task() -> None:
    bench = Bench()
    bench.offer(0.25)
    bench.clock.t_s = 0.75
    arrival: list[Arrival] = []
    gevent.spawn(lambda: arrival.append(bench.pool.take()))
    settle()
    bench.clock.t_s = 2.0
    bench.recorder.end(arrival[0], None)
    ((key, window),) = bench.recorder.take_changes().items()
    assert key == (0, ARRIVALS)
    assert window.response.max_s == pytest.approx(1.75, rel=0.01)
    assert window.lateness.max_s == pytest.approx(0.5, rel=0.01)
    assert window.service.max_s == pytest.approx(1.25, rel=0.01)


@pytest.mark.parametrize("end", [lambda r, a: r.end(a, ValueError("x")), lambda r, a: r.abandon(a)])
def test_an_arrival_that_fails_is_not_ok(end: Callable[[Recorder, Arrival], None]) -> None:
    bench = Bench()
    bench.recorder.offer(0.0)
    end(bench.recorder, bench.recorder.take(0.0))
    accounts = bench.accounts()
    assert accounts.ok == 0
    assert accounts.failures + accounts.unanswered == accounts.sent == 1
