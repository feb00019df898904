"""Named lists of objectives: `slo: standard` in a plan adds these to its own."""

from __future__ import annotations

from collections.abc import Mapping

SLOS: Mapping[str, tuple[str, ...]] = {
    "standard": (
        "p50 < 50ms during baseline",
        "p95 < 75ms during baseline",
        "p99 < 100ms during baseline",
        "error_rate < 1% during baseline",
    ),
    "user-facing": (
        "p50 < 25ms during baseline",
        "p95 < 50ms during baseline",
        "p99 < 75ms during baseline",
        "error_rate < 1% during baseline",
    ),
    "batch": (
        "p50 < 500ms during baseline",
        "p95 < 2s during baseline",
        "p99 < 5s during baseline",
        "error_rate < 1% during baseline",
    ),
    "critical": (
        "p50 < 50ms during baseline",
        "p95 < 75ms during baseline",
        "p99 < 100ms during baseline",
        "availability >= 99.9% during baseline",
    ),
}
