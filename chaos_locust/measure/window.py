"""One second of measurements of one request name. Workers make windows, the master adds them up.

A window is kept by (due second, request name): a request belongs to the second in which it was due,
however long it took. Everything in it is additive, so changes can be sent and added in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos_locust.measure.histogram import Histogram, Layout

ARRIVALS = ""
"""The name of the window that holds the schedule's own accounts; it exists only in open workloads."""

SLOTS = 10
"""Slots of a second, for outages: which of them had a request due, which a successful one."""

_COUNTS = ("sent", "ok", "unanswered", "offered", "dropped", "lost")
_HISTOGRAMS = ("response", "service", "lateness")


def slot_of(due_s: float) -> int:
    """The slot of its second, 0 to 9, in which `due_s` lies."""
    return int(due_s * SLOTS) % SLOTS


class Window:
    """Counters and histograms of one second.

    sent = ok + the sum of failed + unanswered + those still in flight. failed: error kind -> count.
    offered, dropped, lost: arrivals of the schedule, only in the window named ARRIVALS, in which sent, ok,
    failed and unanswered count arrivals too (ok: the task ended and all its requests were ok).
    response: due to end of the successful ones; service: send to end of the successful ones; lateness:
    due to send of all that have ended. errors_sample: error kind -> one redacted text.
    ok_slots, due_slots: bit i stands for the i-th tenth of the second.
    """

    __slots__ = (
        "dropped",
        "due_slots",
        "errors_sample",
        "failed",
        "lateness",
        "layout",
        "lost",
        "offered",
        "ok",
        "ok_slots",
        "response",
        "sent",
        "service",
        "unanswered",
    )

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.sent = self.ok = self.unanswered = 0
        self.offered = self.dropped = self.lost = 0
        self.failed: dict[str, int] = {}
        self.errors_sample: dict[str, str] = {}
        self.ok_slots = self.due_slots = 0
        self.response = Histogram(layout)
        self.service = Histogram(layout)
        self.lateness = Histogram(layout)

    @property
    def failures(self) -> int:
        """Requests that ended with an error of any kind."""
        return sum(self.failed.values())

    @property
    def in_flight(self) -> int:
        """Requests sent of which nothing more is known (yet)."""
        return self.sent - self.ok - self.failures - self.unanswered

    def send(self, due_s: float) -> None:
        """A request due at `due_s` was sent."""
        self.sent += 1
        self.due_slots |= 1 << slot_of(due_s)

    def answer(self, due_s: float, lateness_ns: int, service_ns: int, error: str | None) -> None:
        """A request that was sent has ended; `error` is its kind, such as `HTTP 503`, None for success."""
        self.lateness.add(lateness_ns)
        if error is not None:
            self.failed[error] = self.failed.get(error, 0) + 1
            return
        self.ok += 1
        self.ok_slots |= 1 << slot_of(due_s)
        self.response.add(max(0, lateness_ns) + service_ns)
        self.service.add(service_ns)

    def give_up(self, due_s: float) -> None:
        """A request that was sent got no answer before the run ended."""
        self.unanswered += 1
        self.due_slots |= 1 << slot_of(due_s)

    def offer(self, due_s: float) -> None:
        """The schedule offered an arrival."""
        self.offered += 1
        self.due_slots |= 1 << slot_of(due_s)

    def drop(self, due_s: float) -> None:
        """No free user took the arrival within the allowance; it was offered too."""
        self.dropped += 1
        self.due_slots |= 1 << slot_of(due_s)

    def add_window(self, other: Window) -> None:
        """Adds all of `other`. ValueError: another layout."""
        for name in _HISTOGRAMS:
            theirs: Histogram = getattr(other, name)
            if theirs.count:
                getattr(self, name).merge(theirs)
        self.sent += other.sent
        self.ok += other.ok
        self.unanswered += other.unanswered
        self.offered += other.offered
        self.dropped += other.dropped
        self.lost += other.lost
        self.ok_slots |= other.ok_slots
        self.due_slots |= other.due_slots
        for kind, count in other.failed.items():
            self.failed[kind] = self.failed.get(kind, 0) + count
        for kind, sample in other.errors_sample.items():
            self.errors_sample.setdefault(kind, sample)

    def to_json(self) -> dict[str, Any]:
        """As JSON data; what is zero or empty is left out."""
        data: dict[str, Any] = {name: getattr(self, name) for name in (*_COUNTS, "ok_slots", "due_slots")}
        data["failed"] = self.failed
        data["errors_sample"] = self.errors_sample
        for name in _HISTOGRAMS:
            histogram: Histogram = getattr(self, name)
            data[name] = histogram.encode() if histogram.count else None
        return {key: value for key, value in data.items() if value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], layout: Layout) -> Window:
        """The reverse of `to_json`. ValueError: a histogram of another layout."""
        window = cls(layout)
        for name in (*_COUNTS, "ok_slots", "due_slots"):
            setattr(window, name, int(data.get(name, 0)))
        window.failed = {str(kind): int(count) for kind, count in data.get("failed", {}).items()}
        window.errors_sample = {str(kind): str(text) for kind, text in data.get("errors_sample", {}).items()}
        for name in _HISTOGRAMS:
            if name in data:
                setattr(window, name, Histogram.decode(data[name], layout))
        return window

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Window):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Window({self.to_json()})"
