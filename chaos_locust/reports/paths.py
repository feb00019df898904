"""SVG paths of lines, areas and bars. A tenth of a unit is finer than any screen shows."""

from __future__ import annotations

from collections.abc import Sequence

from chaos_locust.reports.columns import Column
from chaos_locust.reports.scale import Linear


def polyline(points: Sequence[tuple[float, float] | None]) -> str:
    """A line that breaks where there is no point; a lone point becomes a dot."""
    parts: list[str] = []
    pen_down = False
    for i, point in enumerate(points):
        if point is None:
            pen_down = False
            continue
        parts.append(f"{'L' if pen_down else 'M'}{point[0]:.1f} {point[1]:.1f}")
        alone = not pen_down and (i + 1 == len(points) or points[i + 1] is None)
        if alone:
            parts.append("h.1")
        pen_down = True
    return "".join(parts)


def area(points: Sequence[tuple[float, float]], floor: float) -> str:
    """From the line down to `floor`."""
    if not points:
        return ""
    line = "".join(f"L{x:.1f} {y:.1f}" for x, y in points)
    return f"M{points[0][0]:.1f} {floor:.1f}{line}L{points[-1][0]:.1f} {floor:.1f}Z"


def between(upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]]) -> str:
    """What lies between two lines with the same places in x."""
    if not upper:
        return ""
    there = "L".join(f"{x:.1f} {y:.1f}" for x, y in upper)
    back = "L".join(f"{x:.1f} {y:.1f}" for x, y in reversed(lower))
    return f"M{there}L{back}Z"


def bars(x: Linear, bars: Sequence[tuple[Column, float, float]]) -> str:
    """One path of upright bars: (column, y of the lower end, y of the upper end)."""
    parts = []
    for column, low, high in bars:
        left = x(column.starts_s)
        width = max(0.8, x(column.starts_s + column.width_s) - left - 0.3)
        parts.append(f"M{left:.1f} {low:.1f}h{width:.1f}V{high:.1f}h-{width:.1f}z")
    return "".join(parts)
