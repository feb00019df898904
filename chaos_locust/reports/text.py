"""Figures as people read them. Every renderer writes numbers through these functions."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from chaos_locust.judge.verdict import (
    EXIT_CRASH,
    EXIT_DIRTY,
    EXIT_USAGE,
    Finding,
    Outcome,
)
from chaos_locust.plan.objectives import Unit
from chaos_locust.redact import redact_text

NOTHING = "-"  # there is no figure
INFINITE = "infinite"  # so many failed that the percentile is infinite
_EXITS = {
    0: "upheld",
    EXIT_CRASH: "chaos-locust itself failed",
    EXIT_USAGE: "wrong usage, nothing was started",
    3: "deviated",
    4: "inconclusive",
    EXIT_DIRTY: "the target was left changed: a fault could not be undone",
}
_CONTROLS = re.compile(
    r"[\x00-\x1f\x7f-\x9f]"
    r"|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"  # line ends and direction marks
    r"|[\ud800-\udfff\ufffe\uffff]"  # not characters: XML and UTF-8 refuse them
)


def plain(text: str) -> str:
    """One line without control characters, direction marks and secrets: safe on a terminal and in XML."""
    return _CONTROLS.sub(" ", redact_text(text)).strip()


def shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def significant(value: float, digits: int = 3) -> str:
    """`1234.5` -> `1,234`, `0.01234` -> `0.0123`: `digits` significant ones, never an exponent."""
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds: float | None) -> str:
    """`0.0123` -> `12.3 ms`, `75` -> `1 min 15 s`."""
    if seconds is None:
        return NOTHING
    if math.isinf(seconds):
        return INFINITE
    size = abs(seconds)
    if size == 0:
        return "0 s"
    if size < 0.0009995:
        return f"{significant(seconds * 1e6)} us"
    if size < 0.9995:
        return f"{significant(seconds * 1e3)} ms"
    if size < 99.95:
        return f"{significant(seconds)} s"
    return span(seconds)


def span(seconds: float) -> str:
    """A longer time in whole seconds: `75` -> `1 min 15 s`, `3600` -> `1 h`."""
    whole = round(abs(seconds))
    parts = [(whole // 3600, "h"), (whole % 3600 // 60, "min"), (whole % 60, "s")]
    text = " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"
    return "-" + text if seconds < 0 else text


def moment(seconds: float | None) -> str:
    """A moment of the run: `12.3` -> `12.3 s`, `75.2` -> `1:15.2`."""
    if seconds is None:
        return NOTHING
    tenths = round(seconds * 10)
    if tenths < 600:
        return f"{tenths / 10:.1f} s"
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest / 10:04.1f}"
    return f"{hours}:{minutes:02}:{tail}" if hours else f"{minutes}:{tail}"


def share(value: float | None) -> str:
    """`0.142` -> `14.2 %`. A share that is not quite 0 or 1 never reads as `0 %` or `100 %`."""
    if value is None:
        return NOTHING
    percent = value * 100
    if 0 < percent < 0.01:
        return "< 0.01 %"
    if 99.9 < percent < 100:
        text = f"{math.floor(percent * 100) / 100:.2f}"
        return f"{'> 99.99' if percent > 99.99 else text} %"
    return f"{significant(percent)} %"


def count(value: int) -> str:
    return f"{value:,}"


def rate(per_second: float | None) -> str:
    return NOTHING if per_second is None else f"{significant(per_second)}/s"


def quantity(value: float | None, unit: Unit | None) -> str:
    """A value or bound in its unit."""
    if value is None:
        return NOTHING
    if unit == "s":
        return duration(value)
    if math.isinf(value):
        return INFINITE
    if unit == "ratio":
        return share(value)
    if unit == "1/s":
        return rate(value)
    return significant(value, 4)


def interval(ends: tuple[float, float] | None, unit: Unit = "s") -> str:
    """`3.8 s to 4.8 s`; an upper end of inf is `more than 3.8 s`."""
    if ends is None:
        return NOTHING
    low, high = ends
    if math.isinf(high):
        return f"more than {quantity(low, unit)}"
    if low == high:
        return quantity(low, unit)
    return f"{quantity(low, unit)} to {quantity(high, unit)}"


def value_of(finding: Finding) -> str:
    """What was measured, as an interval where it is one."""
    if finding.interval is not None:
        return interval(finding.interval, finding.unit or "s")
    return quantity(finding.value, finding.unit)


def bound_of(finding: Finding) -> str:
    if finding.bound is None:
        return NOTHING
    return f"{finding.op or ''} {quantity(finding.bound, finding.unit)}".strip()


def margin_of(finding: Finding) -> str:
    """How far the value is from the bound, as a share of the bound: `42 % to spare`, `18 % over (thin)`."""
    value, bound = finding.value, finding.bound
    thin = " (thin)" if finding.margin == "thin" else ""
    if value is None or bound is None or finding.op is None:
        return NOTHING + thin if thin else NOTHING
    if finding.outcome is Outcome.INCONCLUSIVE:
        return NOTHING
    upper = finding.op.startswith("<")
    if finding.interval is not None:
        value = finding.interval[1 if upper else 0]
    if math.isinf(value) or math.isinf(bound):
        return f"beyond any bound{thin}" if finding.outcome is Outcome.DEVIATED else NOTHING
    room = bound - value if upper else value - bound
    if (room >= 0) != (finding.outcome is Outcome.UPHELD) and room != 0:
        return NOTHING  # it was decided by something else than this value: a relapse, say
    if bound == 0:
        return f"{quantity(abs(room), finding.unit)} {'to spare' if room >= 0 else 'over'}{thin}"
    distance = f"{significant(abs(room) / abs(bound) * 100, 2)} %"
    if abs(room) / abs(bound) >= 10:
        distance = f"{significant(value / bound, 2)}x the bound"
        return f"{distance}{thin}"
    word = "to spare" if room >= 0 else "over" if upper else "short"
    return f"{distance} {word}{thin}"


def keeps_bound(finding: Finding) -> bool | None:
    """Whether the value as shown is within the bound as shown; None: there is nothing to compare.

    It can differ from the outcome: the level of a stress load that broke is a result, not a failure.
    """
    value, bound, op = finding.value, finding.bound, finding.op
    if op is None or bound is None:
        return None
    if finding.interval is not None:
        value = finding.interval[1 if op.startswith("<") else 0]
    if value is None:
        return None
    return value == bound or (value < bound) == op.startswith("<")


def change(now: float | None, before: float | None) -> str:
    """Against baseline: `x 2.4`, `+ 12 %`, `- 8 %`, `same`."""
    if now is None or before is None or not before or math.isinf(before):
        return NOTHING
    if math.isinf(now):
        return INFINITE
    ratio = now / before
    if ratio >= 2:
        return f"x {significant(ratio, 2)}"
    percent = round((ratio - 1) * 100)
    return "same" if percent == 0 else f"{'+' if percent > 0 else '-'} {abs(percent)} %"


def exit_text(code: int) -> str:
    return f"{code} ({_EXITS.get(code, 'unknown')})"


def when(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def without_word(sentence: str, outcome: Outcome) -> str:
    """The sentence for places that show the verdict's word by themselves."""
    rest = sentence.removeprefix(outcome.value).lstrip(":. ")
    if rest.partition(" ")[0].isalpha():  # not a measure as typed: p95, error_rate
        rest = rest[0].upper() + rest[1:]
    return rest or sentence
