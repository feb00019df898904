"""The pods of each target: how many were ready beside how many were wanted, as a lane and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chaos_locust.events import ProbeRead, Recording
from chaos_locust.reports.paths import polyline
from chaos_locust.reports.scale import Linear
from chaos_locust.reports.text import plain, shorten

SHOWN = {
    "ready_replicas": "ready",
    "desired_replicas": "desired",
    "hpa_desired": "autoscaler wants",
    "restarts": "restarts",
    "oom_killed": "out of memory",
}
"""Probe -> its name in the report, in this order."""

LINES = ("desired_replicas", "hpa_desired", "ready_replicas")
"""Drawn in this order, the last one above the others. What is not here is marked when it grows."""

GAP_S = 3.0
"""A value holds no longer than this after it was read."""

HEIGHT = 52.0
MOST_LANES = 4
MOST_MOMENTS = 60


@dataclass(frozen=True, slots=True)
class PodLane:
    """lines: (class, path). marks: (x, what happened)."""

    top: float
    bottom: float
    title: str
    most: int
    lines: tuple[tuple[str, str], ...]
    marks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class PodTable:
    """moments: (time, a value for each column, None where it was not known), one for each change. left_out:
    so many more."""

    target: str
    columns: tuple[str, ...]
    moments: tuple[tuple[float, tuple[int | None, ...]], ...]
    left_out: int


def pod_lanes(recording: Recording, x: Linear, top: float, title: float) -> tuple[PodLane, ...]:
    """Below each other from `top`, each with room for its title."""
    lanes: list[PodLane] = []
    for target, probes in list(_by_target(recording).items())[:MOST_LANES]:
        lanes.append(_lane(target, probes, x, (lanes[-1].bottom if lanes else top) + title))
    return tuple(lanes)


def _lane(target: str, probes: Mapping[str, Sequence[ProbeRead]], x: Linear, top: float) -> PodLane:
    drawn = {probe: probes[probe] for probe in LINES if probe in probes}
    most = max(
        [1, *(int(read.value) for reads in drawn.values() for read in reads if read.value is not None)]
    )
    up = Linear(0.0, float(most), top + HEIGHT, top)
    name = shorten(plain(target), 40)
    return PodLane(
        top,
        top + HEIGHT,
        f"Pods of {name}",
        most,
        tuple((probe.replace("_", "-"), _steps(reads, x, up)) for probe, reads in drawn.items()),
        tuple(_marks(probes, x)),
    )


def _steps(reads: Sequence[ProbeRead], x: Linear, up: Linear) -> str:
    """What was read holds until the next reading; where that is too far away, or failed, the line breaks."""
    points: list[tuple[float, float] | None] = []
    for read, following in zip(reads, [*reads[1:], None], strict=True):
        if read.value is None:
            points.append(None)
            continue
        ends_s = read.t_s if following is None else min(following.t_s, read.t_s + GAP_S)
        y = up(read.value)
        if len(points) > 1 and points[-1] is not None and points[-2] is not None and points[-2][1] == y:
            points[-1] = (x(ends_s), y)  # it goes on at the same height
        else:
            points += [(x(read.t_s), y), (x(ends_s), y)]
        if following is not None and following.t_s - read.t_s > GAP_S:
            points.append(None)
    return polyline(points)


def _marks(probes: Mapping[str, Sequence[ProbeRead]], x: Linear) -> Iterable[tuple[float, str]]:
    for probe in SHOWN:
        if probe in LINES:
            continue
        last: float | None = None
        for read in probes.get(probe, ()):
            if read.value is not None and last is not None and read.value > last:
                yield x(read.t_s), f"{SHOWN[probe]}: {read.value:g} at {read.t_s:.1f} s"
            last = last if read.value is None else read.value


def pod_tables(recording: Recording) -> tuple[PodTable, ...]:
    tables = []
    for target, probes in _by_target(recording).items():
        names = [probe for probe in SHOWN if probe in probes]
        reads = sorted((read for name in names for read in probes[name]), key=lambda read: read.t_s)
        now: dict[str, int | None] = dict.fromkeys(names)
        moments: list[tuple[float, tuple[int | None, ...]]] = []
        for read in reads:
            now[read.probe.partition("(")[0]] = None if read.value is None else int(read.value)
            values = tuple(now.values())
            if not moments or moments[-1][1] != values:
                # what is read at one moment is one line of the table
                same = moments and read.t_s - moments[-1][0] < 0.01
                moments[-1 if same else len(moments) :] = [(moments[-1][0] if same else read.t_s, values)]
        columns = tuple(SHOWN[name] for name in names)
        left_out = max(0, len(moments) - MOST_MOMENTS)
        tables.append(PodTable(plain(target), columns, tuple(moments[:MOST_MOMENTS]), left_out))
    return tuple(tables)


def _by_target(recording: Recording) -> dict[str, dict[str, list[ProbeRead]]]:
    """Target -> probe -> its readings in order of time; of targets whose ready pods were read."""
    found: dict[str, dict[str, list[ProbeRead]]] = {}
    for event in recording.events:
        if isinstance(event, ProbeRead):
            name, _, target = event.probe.partition("(")
            if name in SHOWN:
                found.setdefault(target.removesuffix(")"), {}).setdefault(name, []).append(event)
    for probes in found.values():
        for reads in probes.values():
            reads.sort(key=lambda read: read.t_s)
    return {target: probes for target, probes in found.items() if "ready_replicas" in probes}
