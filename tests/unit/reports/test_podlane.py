"""Pods in the report: lines that hold what was read, and break where nothing was known."""

from __future__ import annotations

import re
from dataclasses import replace

from chaos_locust.events import ProbeRead, Recording
from chaos_locust.judge.verdict import Verdict
from chaos_locust.reports.html import render
from chaos_locust.reports.podlane import HEIGHT, MOST_MOMENTS, pod_lanes, pod_tables
from chaos_locust.reports.scale import Linear

Run = tuple[Verdict, Recording]
X = Linear(0.0, 100.0, 0.0, 1000.0)
READ = ("ready_replicas", "desired_replicas", "hpa_desired", "restarts")


def reads(*values: tuple[float, str, float | None], target: str = "web") -> list[ProbeRead]:
    return [ProbeRead(t_s, f"{name}({target})", value, value is not None) for t_s, name, value in values]


def recorded(run: Run, events: list[ProbeRead]) -> Recording:
    return replace(run[1], events=(*run[1].events, *events))


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path)]


def test_a_line_holds_and_steps(run: Run) -> None:
    events = reads(*((float(t), "ready_replicas", 3.0 if t < 5 else 2.0) for t in range(10)))
    events += reads(*((float(t), "desired_replicas", 4.0) for t in range(10)))
    (lane,) = pod_lanes(recorded(run, events), X, 100.0, 34.0)
    assert (lane.top, lane.bottom, lane.most, lane.title) == (134.0, 134.0 + HEIGHT, 4, "Pods of web")
    lines = dict(lane.lines)
    assert list(lines) == ["desired-replicas", "ready-replicas"]
    assert points(lines["desired-replicas"]) == [(0, 134), (90, 134)]
    assert points(lines["ready-replicas"]) == [(0, 147), (50, 147), (50, 160), (90, 160)]


def test_a_line_breaks_where_nothing_was_known(run: Run) -> None:
    failed = reads((0.0, "ready_replicas", 2.0), (1.0, "ready_replicas", None), (2.0, "ready_replicas", 2.0))
    silent = reads((0.0, "ready_replicas", 2.0), (50.0, "ready_replicas", 2.0))
    for events in (failed, silent):
        (lane,) = pod_lanes(recorded(run, events), X, 0.0, 0.0)
        assert dict(lane.lines)["ready-replicas"].count("M") == 2
    assert max(x for x, _ in points(dict(lane.lines)["ready-replicas"])[:2]) < 50, "it does not hold for 50 s"


def test_what_grows_is_marked(run: Run) -> None:
    events = reads((0.0, "ready_replicas", 1.0), (0.0, "restarts", 0.0), (3.0, "restarts", 2.0))
    events += reads((4.0, "restarts", None), (5.0, "restarts", 2.0), (1.0, "oom_killed", 1.0))
    (lane,) = pod_lanes(recorded(run, events), X, 0.0, 0.0)
    assert lane.marks == ((30.0, "restarts: 2 at 3.0 s"),)


def test_a_line_of_the_table_for_each_change(run: Run) -> None:
    events = reads(*((float(t), name, 2.0) for t in range(3) for name in READ))
    events += reads((3.0, "ready_replicas", 1.0), (3.0, "restarts", 3.0), (4.0, "hpa_desired", None))
    (table,) = pod_tables(recorded(run, events))
    assert table.columns == ("ready", "desired", "autoscaler wants", "restarts")
    assert table.moments == ((0.0, (2, 2, 2, 2)), (3.0, (1, 2, 2, 3)), (4.0, (1, 2, None, 3)))
    assert table.left_out == 0


def test_a_long_table_is_cut_and_says_so(run: Run) -> None:
    recording = recorded(run, reads(*((float(t), "ready_replicas", float(t % 2)) for t in range(100))))
    (table,) = pod_tables(recording)
    assert len(table.moments) == MOST_MOMENTS
    assert table.left_out == 100 - MOST_MOMENTS
    page = render(run[0], recording)
    assert f"{100 - MOST_MOMENTS} more changes are in the journal." in page
    assert "Pods of web" in page


def test_without_pods_there_is_no_lane(run: Run) -> None:
    other = recorded(run, reads((0.0, "hpa_desired", 1.0)))
    assert pod_lanes(other, X, 0.0, 0.0) == ()
    assert '<section id="pods">' not in render(run[0], run[1])


def test_a_target_cannot_break_the_page(run: Run) -> None:
    events = reads((0.0, "ready_replicas", 1.0), target="<script>alert(1)</script>")
    assert "<script>alert(1)" not in render(run[0], recorded(run, events))
