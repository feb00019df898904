"""What the master knows of one worker, and what is owed when it is lost. Pure but for the schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from chaos_locust.locust_plugin.recorder import Windows
from chaos_locust.locust_plugin.shares import Shares
from chaos_locust.measure.clock import ClockError, estimate_offset
from chaos_locust.measure.histogram import Layout
from chaos_locust.measure.window import ARRIVALS, Window
from chaos_locust.plan.schedule import Schedule

State = Literal["greeted", "said_hello", "ready", "active", "final", "lost", "refused"]


class Worker:
    """One worker. heard_s: when it last said something, on the master's clock; covered_s: up to here it has
    told of all its arrivals; offset_s: its clock minus the master's, `clock` how far that may be off;
    operations: so many it has told; replaced: its users were given to the others."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.name = node_id
        self.state: State = "greeted"
        self.detail = ""
        self.heard_s = 0.0
        self.covered_s = 0.0
        self.offset_s = 0.0
        self.clock_samples: list[tuple[float, float, float]] = []
        self.clock: ClockError | None = None
        self.operations = 0
        self.shares = Shares()
        self.in_flight = 0
        self.exceptions = 0
        self.listener_failed = False
        self.steps_seen: set[str] = set()
        self.replaced = False
        self._open: dict[tuple[int, str], list[int]] = {}

    def agree_clock(self, drift: float, origin_s: float, now_s: float) -> float:
        """From now on its times are the master's but for the offset; returns the greatest error of that, in
        s. drift, origin_s, now_s: see ClockError."""
        self.offset_s, error_s = estimate_offset(self.clock_samples)
        self.clock = ClockError(self.offset_s, error_s, drift, origin_s, now_s)
        return error_s

    def read_windows(self, data: Sequence[Sequence[Any]], layout: Layout) -> Windows:
        """The windows of a report; what is still under way in them is remembered."""
        changes: Windows = {}
        for second, name, content in data:
            window = Window.from_json(content, layout)
            changes[second, name] = window
            self._remember((second, name), window)
        return changes

    def settle(self, layout: Layout, schedule: Schedule | None, until_s: float) -> tuple[Windows, int]:
        """It is lost: what it had sent is unanswered; the arrivals it owed until `until_s` are lost.

        Returns the windows that say so, and how many arrivals were lost.
        """
        changes: Windows = {}

        def window(second: int, name: str) -> Window:
            return changes.setdefault((second, name), Window(layout))

        lost = 0
        for (second, name), (under_way, waiting) in self._open.items():
            if under_way:
                window(second, name).unanswered += under_way
            if waiting:
                window(second, name).lost += waiting
                lost += waiting
        self._open.clear()
        if schedule is not None:
            for index, due_s in schedule.due_times(self.covered_s, max(self.covered_s, until_s)):
                if self.shares.mine(index, due_s):
                    owed = window(int(due_s), ARRIVALS)
                    owed.offer(due_s)
                    owed.lost += 1
                    lost += 1
        return changes, lost

    def _remember(self, key: tuple[int, str], window: Window) -> None:
        waiting = 0
        if key[1] == ARRIVALS:
            waiting = window.offered - window.dropped - window.lost - window.sent
        under_way, still_waiting = self._open.get(key, (0, 0))
        counts = [under_way + window.in_flight, still_waiting + waiting]
        if counts == [0, 0]:
            self._open.pop(key, None)
        else:
            self._open[key] = counts
