"""Folds requests and arrivals into windows. On the hot path of the load generator: keep it cheap."""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import Final

from chaos_locust.locust_plugin.failures import failure_kind, failure_sample
from chaos_locust.measure.histogram import Layout
from chaos_locust.measure.window import ARRIVALS, Window

NS: Final = 1_000_000_000

Windows = dict[tuple[int, str], Window]


class Arrival:
    """One arrival of the schedule that a user has taken; its first request counts from `due_s`."""

    __slots__ = ("due_s", "error", "request_sent", "taken_s")

    def __init__(self, due_s: float, taken_s: float) -> None:
        self.due_s = due_s
        self.taken_s = taken_s
        self.request_sent = False
        self.error: str | None = None


class Flight:
    """A request between its sending and its end."""

    __slots__ = ("arrival", "due_s", "name", "over", "sent_s")

    def __init__(self, name: str, due_s: float, sent_s: float, arrival: Arrival | None) -> None:
        self.name = name
        self.due_s = due_s
        self.sent_s = sent_s
        self.arrival = arrival
        self.over = False


class Recorder:
    """Counts by (due second, name) what has happened since the last `take_changes`.

    now: seconds of the run; negative before its start instant. For every name and for ARRIVALS,
    sent = ok + failed + unanswered + those still under way; offered = dropped + lost + sent + waiting.
    """

    def __init__(self, layout: Layout, now: Callable[[], float]) -> None:
        self.flights: set[Flight] = set()
        self._layout = layout
        self._now = now
        self._windows: Windows = {}

    def take_changes(self) -> Windows:
        """What has changed since the last call."""
        changes, self._windows = self._windows, {}
        return changes

    # -- requests ---------------------------------------------------------------------------------

    def send(self, name: str, arrival: Arrival | None) -> Flight:
        """A request is being sent now. Only an arrival's first request counts from the arrival's due time."""
        sent_s = self._now()
        flight = Flight(name, self._due_s(arrival, sent_s), sent_s, arrival)
        self.flights.add(flight)
        self._window(flight.due_s, name).send(flight.due_s)
        return flight

    def answer(self, flight: Flight, name: str, service_s: float | None, error: BaseException | None) -> None:
        """It has ended, under `name`, which may differ from the name it was sent under.

        service_s: as its client measured it; None: until now.
        """
        if flight.over:
            return
        flight.over = True
        self.flights.discard(flight)
        if name != flight.name:
            self._window(flight.due_s, flight.name).sent -= 1
            self._window(flight.due_s, name).send(flight.due_s)
        if service_s is None:
            service_s = self._now() - flight.sent_s
        lateness_ns = max(0, round((flight.sent_s - flight.due_s) * NS))
        self._count(flight.due_s, name, lateness_ns, round(service_s * NS), error, flight.arrival)

    def report(
        self, name: str, service_s: float, error: BaseException | None, arrival: Arrival | None
    ) -> None:
        """A request of a client that tells only when it has ended, which is now."""
        sent_s = self._now() - service_s
        due_s = self._due_s(arrival, sent_s)
        self._window(due_s, name).send(due_s)
        lateness_ns = max(0, round((sent_s - due_s) * NS))
        self._count(due_s, name, lateness_ns, round(service_s * NS), error, arrival)

    def give_up(self, flight: Flight) -> None:
        """No answer will be waited for any longer."""
        if not flight.over:
            flight.over = True
            self.flights.discard(flight)
            self._window(flight.due_s, flight.name).give_up(flight.due_s)

    # -- arrivals ---------------------------------------------------------------------------------

    def offer(self, due_s: float) -> None:
        """The schedule offers an arrival."""
        self._window(due_s, ARRIVALS).offer(due_s)

    def drop(self, due_s: float) -> None:
        """No user took it within the allowance."""
        self._window(due_s, ARRIVALS).drop(due_s)

    def lose(self, due_s: float) -> None:
        """It was nobody's: offered, and lost at once."""
        window = self._window(due_s, ARRIVALS)
        window.offer(due_s)
        window.lost += 1

    def take(self, due_s: float) -> Arrival:
        """A user takes it now."""
        self._window(due_s, ARRIVALS).send(due_s)
        return Arrival(due_s, self._now())

    def end(self, arrival: Arrival, error: BaseException | None) -> None:
        """Its task has ended. It is ok when neither the task nor a request of it failed."""
        lateness_ns = max(0, round((arrival.taken_s - arrival.due_s) * NS))
        service_ns = round((self._now() - arrival.taken_s) * NS)
        kind = arrival.error if error is None else failure_kind(error)
        self._window(arrival.due_s, ARRIVALS).answer(arrival.due_s, lateness_ns, service_ns, kind)

    def abandon(self, arrival: Arrival) -> None:
        """Its task was ended by us."""
        self._window(arrival.due_s, ARRIVALS).give_up(arrival.due_s)

    # -- inside -----------------------------------------------------------------------------------

    def _due_s(self, arrival: Arrival | None, sent_s: float) -> float:
        if arrival is None or arrival.request_sent:
            return sent_s
        arrival.request_sent = True
        return arrival.due_s

    def _window(self, due_s: float, name: str) -> Window:
        key = (floor(due_s), name)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window(self._layout)
        return window

    def _count(
        self,
        due_s: float,
        name: str,
        lateness_ns: int,
        service_ns: int,
        error: BaseException | None,
        arrival: Arrival | None,
    ) -> None:
        window = self._window(due_s, name)
        if error is None:
            window.answer(due_s, lateness_ns, service_ns, None)
            return
        kind = failure_kind(error)
        window.answer(due_s, lateness_ns, service_ns, kind)
        if kind not in window.errors_sample:
            window.errors_sample[kind] = failure_sample(error)
        if arrival is not None and arrival.error is None:
            arrival.error = kind
