"""What can be demanded of a run, as frozen data. `grammar` makes these from text; `judge` decides them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Op = Literal["<", "<=", ">", ">="]
Severity = Literal["error", "warn"]
Unit = Literal["s", "ratio", "1/s", "count"]


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured.

    kind: `quantile` is `pNUM` with `quantile` in (0, 1); `probe` reads `probe_name(probe_args)`.
    ok_only: `(ok)` was written: failed requests are left out instead of ranking as infinitely slow.
    """

    kind: Literal[
        "quantile", "mean", "max", "error_rate", "dropped", "throughput", "availability", "outage", "probe"
    ]
    quantile: float | None = None
    ok_only: bool = False
    probe_name: str | None = None
    probe_args: str | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """What it is compared with, in `unit` (seconds, a share of one, requests/s, or a count).

    relative: None: `value` is the bound itself. `factor`: value x baseline ("2x baseline", "80% of
    baseline"). `plus`: baseline + value. `offered`: value (a share of one) of what was offered.
    """

    value: float
    unit: Unit
    relative: Literal["factor", "plus", "offered"] | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Where it must hold: `during` all labels at once, or `after` one fault was reverted."""

    kind: Literal["during", "after"]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Objective:
    """A rule over windows. `subject`: a request name such as `POST /orders`, `each request`, or None: all.

    `scope` is None only in `steady_state` and `abort`. `every_s`: it must hold in every such stretch.
    `confidence` is a share of one; None: the fact decides.
    """

    text: str
    measure: Measure
    op: Op
    bound: Bound
    scope: Scope | None
    subject: str | None = None
    every_s: float | None = None
    severity: Severity = "error"
    confidence: float | None = None


EACH_REQUEST = "each request"


@dataclass(frozen=True, slots=True)
class RecoveryObjective:
    """`recovery < bound_s after FAULT starts|ends`."""

    text: str
    op: Op
    bound_s: float
    fault: str
    edge: Literal["starts", "ends"]
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class AbortCondition:
    """`error_rate > 60% for 5s`: when the objective-like rule holds for `for_s`, the run is ended."""

    text: str
    rule: Objective
    for_s: float
