"""A simulated system under load, request by request. It knows nothing of how the judge counts.

A world makes every request of a run with its due time and fate; a scenario then spoils some of them. What
is true of the run is worked out from these single requests; what the judge sees are the windows and events
that a recorder would have made of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Literal

from chaos_locust.events import (
    EffectSeen,
    Event,
    FaultEvent,
    GeneratorSample,
    LoadStopped,
    Recording,
    RunEnded,
    RunStarted,
    WorkerEvent,
)
from chaos_locust.judge.layout import plan_layout
from chaos_locust.measure.window import ARRIVALS, Window
from chaos_locust.plan.model import Plan

NAMES = ("GET /products", "POST /orders")


@dataclass(slots=True)
class Request:
    """One arrival that makes one request."""

    due_s: float
    name: str
    service_s: float
    lateness_s: float = 0.0002
    error: str | None = None
    fate: Literal["sent", "unanswered", "dropped", "lost"] = "sent"

    @property
    def response_s(self) -> float:
        """From the due time; infinite for everything that was no success."""
        good = self.fate == "sent" and self.error is None
        return self.lateness_s + self.service_s if good else math.inf


Change = Callable[[Request], None]


class World:
    """A healthy system: 20 ms at the median, hardly ever over 60 ms, no errors."""

    def __init__(self, rng: Random, rate_rps: float, duration_s: float, poisson: bool = False) -> None:
        self.rng = rng
        self.duration_s = duration_s
        self.requests: list[Request] = []
        due_s = 0.0
        while True:
            due_s += rng.expovariate(rate_rps) if poisson else 1 / rate_rps
            if due_s >= duration_s:
                break
            self.add(due_s)

    def add(self, due_s: float) -> None:
        service_s = min(0.02 * math.exp(self.rng.gauss(0, 0.25)), 0.07)
        self.requests.append(Request(due_s, self.rng.choice(NAMES), service_s))

    def between(self, since_s: float, until_s: float, name: str | None = None) -> list[Request]:
        return [r for r in self.requests if since_s <= r.due_s < until_s and name in (None, r.name)]

    def spoil(self, since_s: float, until_s: float, change: Change, share: float = 1.0) -> None:
        """Changes that share of the requests due from `since_s` to `until_s`, drawn one by one."""
        for request in self.between(since_s, until_s):
            if self.rng.random() < share:
                change(request)

    def stop_at(self, end_s: float) -> None:
        """The load ends early."""
        self.duration_s = end_s
        self.requests = self.between(0, end_s)

    # what is true

    def quantile(self, q: float, since_s: float, until_s: float, name: str | None = None) -> float:
        ranked = sorted(r.response_s for r in self.between(since_s, until_s, name))
        return ranked[math.ceil(q * len(ranked) - 1e-9) - 1]

    def error_rate(self, since_s: float, until_s: float, name: str | None = None) -> float:
        requests = self.between(since_s, until_s, name)
        return sum(math.isinf(r.response_s) for r in requests) / len(requests)

    def longest_outage_s(self, since_s: float, until_s: float) -> float:
        """From success to success, by due time."""
        longest, last_ok_s, failing = 0.0, since_s, False
        for request in sorted(self.between(since_s, until_s), key=lambda r: r.due_s):
            if math.isinf(request.response_s):
                failing = True
                continue
            if failing:
                longest = max(longest, request.due_s - last_ok_s)
            last_ok_s, failing = request.due_s, False
        return max(longest, until_s - last_ok_s) if failing else longest

    # what the judge sees

    def windows(self, plan: Plan, arrivals: bool = True) -> dict[tuple[int, str], Window]:
        layout = plan_layout(plan)
        windows: dict[tuple[int, str], Window] = {}

        def window(due_s: float, name: str) -> Window:
            key = (math.floor(due_s), name)
            if key not in windows:
                windows[key] = Window(layout)
            return windows[key]

        for request in self.requests:
            accounts = window(request.due_s, ARRIVALS) if arrivals else Window(layout)
            accounts.offer(request.due_s)
            if request.fate == "dropped":
                accounts.drop(request.due_s)
                continue
            if request.fate == "lost":
                accounts.lost += 1
                continue
            own = window(request.due_s, request.name)
            for each in (own, accounts):
                each.send(request.due_s)
                if request.fate == "unanswered":
                    each.give_up(request.due_s)
                else:
                    late_ns, service_ns = round(request.lateness_s * 1e9), round(request.service_s * 1e9)
                    each.answer(request.due_s, late_ns, service_ns, request.error)
        return windows

    def recording(
        self,
        plan: Plan,
        events: Iterable[Event] = (),
        reason: str = "finished",
        arrivals: bool = True,
        complete: bool = True,
        exceptions: int = 0,
    ) -> Recording:
        end_s = self.duration_s
        header = RunStarted(0.0, "simulated", 1.0, {}, 1, "simulate", {}, 1)
        middle: list[Event] = [WorkerEvent(0.0, "local", "joined")]
        middle += [GeneratorSample(s + 0.9, "local", 0.3, 0.0, 0.001, 20, 1) for s in range(int(end_s))]
        middle += sorted(events, key=lambda event: event.t_s)
        if complete:
            middle.append(LoadStopped(end_s, end_s + 0.1))
            middle.append(RunEnded(end_s + 0.2, reason, "simulated", exceptions))  # type: ignore[arg-type]
        return Recording(header, (header, *middle), self.windows(plan, arrivals), complete)


def slow(by_s: float) -> Change:
    def change(request: Request) -> None:
        request.service_s += by_s

    return change


def fail(kind: str = "HTTP 503", after_s: float = 0.005) -> Change:
    def change(request: Request) -> None:
        request.error, request.service_s = kind, after_s

    return change


def stall_until(end_s: float) -> Change:
    """The system stands still: what is due waits until it goes on."""

    def change(request: Request) -> None:
        request.service_s += end_s - request.due_s

    return change


def late(by_s: float) -> Change:
    def change(request: Request) -> None:
        request.lateness_s += by_s

    return change


def fated(fate: Literal["unanswered", "dropped", "lost"]) -> Change:
    def change(request: Request) -> None:
        request.fate = fate

    return change


def fault_events(
    name: str, asked_s: float, ends_s: float | None, seen: tuple[bool | None, bool | None] = (True, True)
) -> list[Event]:
    """The course of a fault, confirmed 20 ms after each asking. ends_s: None for an instant one."""
    events: list[Event] = [
        FaultEvent(asked_s, name, "due"),
        FaultEvent(asked_s, name, "asked"),
        FaultEvent(asked_s + 0.02, name, "active"),
        EffectSeen(asked_s + 1, name, *seen, "as measured"),
    ]
    if ends_s is not None:
        events += [FaultEvent(ends_s, name, "revert_asked"), FaultEvent(ends_s + 0.02, name, "reverted")]
    return events
