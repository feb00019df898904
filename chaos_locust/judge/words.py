"""Numbers as people read them."""

from __future__ import annotations

import math

from chaos_locust.plan.objectives import Unit


def seconds(value_s: float) -> str:
    """`0.8 ms`, `99.2 ms`, `3.8 s`; `never` for an infinite time."""
    if math.isinf(value_s):
        return "never"
    if 0 < value_s < 0.001:
        return f"{value_s * 1e6:.3g} us"
    if 0 < value_s < 1:
        return f"{value_s * 1e3:.4g} ms"
    return f"{value_s:.4g} s"


def share(value: float) -> str:
    """`14.2 %`."""
    return f"{value * 100:.3g} %"


def number(value: float, unit: Unit | None) -> str:
    """In its unit."""
    if unit == "s":
        return "infinite" if math.isinf(value) else seconds(value)
    if unit == "ratio":
        return share(value)
    return f"{value:.4g}/s" if unit == "1/s" else f"{value:.6g}"


def count(n: int) -> str:
    """`4,312`."""
    return f"{n:,}"


def span(interval: tuple[float, float]) -> str:
    """`3.8-4.8 s`, `more than 60.0 s`. Rounded outwards, so that it never says more than is known."""
    low = math.floor(interval[0] * 10) / 10
    if math.isinf(interval[1]):
        return f"more than {low:.1f} s"
    return f"{low:.1f}-{math.ceil(interval[1] * 10 - 1e-9) / 10:.1f} s"
