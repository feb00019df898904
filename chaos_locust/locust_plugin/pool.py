"""The pool of an open workload: hands the schedule's arrivals to idle users, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

from gevent import get_hub
from gevent.event import Event
from gevent.hub import Waiter

from chaos_locust.locust_plugin.recorder import Arrival, Recorder

_NOT_HANDED = object()


class _Place:
    """An idle user's place in the queue; `handed`: the due time of the arrival on its way to it."""

    __slots__ = ("handed", "waiter")

    def __init__(self) -> None:
        self.waiter: Waiter[None] = Waiter()
        self.handed: object = _NOT_HANDED


class Pool:
    """Arrivals that wait for a user, and users that wait for an arrival; one of the two is empty.

    drop_after_s: an arrival that no user took for so long is dropped. reserve: so many idle users are
    wanted; `short` is set when there are fewer. now: seconds of the run.
    """

    def __init__(
        self, recorder: Recorder, drop_after_s: float, reserve: int, now: Callable[[], float]
    ) -> None:
        self.busy = 0
        self.short = Event()
        self._recorder = recorder
        self._drop_after_s = drop_after_s
        self._reserve = reserve
        self._now = now
        self._closed = False
        self._waiting: deque[float] = deque()
        self._idle: deque[_Place] = deque()

    @property
    def waiting(self) -> int:
        """Arrivals that no user has taken yet."""
        return len(self._waiting)

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def wanted(self) -> int:
        """How many idle users are missing."""
        return self._reserve + len(self._waiting) - len(self._idle)

    def offer(self, due_s: float) -> None:
        """An arrival is due now, or was due at `due_s`."""
        self._recorder.offer(due_s)
        self._waiting.append(due_s)
        self.hand_out()
        if len(self._idle) < self._reserve:
            self.short.set()

    def hand_out(self) -> None:
        """Gives waiting arrivals to idle users and drops those that have waited too long."""
        oldest_s = inf if self._closed else self._now() - self._drop_after_s
        waiting, idle = self._waiting, self._idle
        while waiting:
            if waiting[0] < oldest_s:
                self._recorder.drop(waiting.popleft())
            elif idle:
                place = idle.popleft()
                place.handed = waiting.popleft()
                get_hub().loop.run_callback(place.waiter.switch, None)
            else:
                return

    def take(self) -> Arrival:
        """Blocks the user that calls it until an arrival is its own. Then `done` has to follow."""
        self.hand_out()
        due_s = self._waiting.popleft() if self._waiting else self._wait()
        self.busy += 1
        return self._recorder.take(due_s)

    def close(self) -> None:
        """The run is over: what no user has taken by now is dropped."""
        self._closed = True
        self.hand_out()

    def done(self) -> None:
        """The user has ended what it did for its arrival."""
        self.busy -= 1

    def _wait(self) -> float:
        place = _Place()
        self._idle.append(place)
        try:
            place.waiter.get()
        except BaseException:  # the user was stopped: its place or its arrival goes to another one
            if place.handed is _NOT_HANDED:
                self._idle.remove(place)
            else:
                assert isinstance(place.handed, float)
                self._waiting.appendleft(place.handed)
                self.hand_out()
            raise
        assert isinstance(place.handed, float)
        return place.handed
