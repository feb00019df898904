"""What readings of a clock prove of a fault on it. Pure.

A reading: {at_s, set: by how much the clock's file put it ahead (None: not known for certain), age_s: for how
long it has been so, date: how far ahead the target's own Date header was (None: it sends none), probe: from
and to how far ahead a process under this file was (None: not known), under: whether the target's process is
under it, use: a reading of the process (see process_use), error}.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.link.effect import Proof
from chaos_locust.backends.process.use import process_use
from chaos_locust.faults.base import Fault
from chaos_locust.faults.clock import ClockDrift

# A Date header has whole seconds, and servers make it anew only once a second.
_DATE_LATE_S, _DATE_EARLY_S, _DATE_AGE_S = 2.5, 1.0, 1.5
_DATE_TELLS_S = _DATE_LATE_S + _DATE_EARLY_S
_ROUNDING_S = 0.001


def clock_effect(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
    mechanism, how = _mechanism(fault, before, during)
    use, what = _use(before, during)
    return Effect(mechanism, use, f"{how}, {what}")


def _mechanism(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Proof:
    if not during:
        return None, "it was over before it could be looked at"
    if not any(reading["under"] for reading in during):
        return False, "the process does not run under this clock"
    known = [reading for reading in during if reading["set"] is not None and reading["under"]]
    dated = [reading for reading in known if reading["date"] is not None]
    # A drift is set anew all the time, but by less than a header shows.
    lasting = [r for r in dated if r["age_s"] >= _DATE_AGE_S or isinstance(fault, ClockDrift)]
    shown = [r for r in lasting if abs(r["set"]) >= _DATE_TELLS_S]
    if shown:
        return _by_date(before, shown)
    moved = [reading for reading in known if not reading["probe"][0] <= 0 <= reading["probe"][1]]
    if not moved:
        error = next((r["error"] for r in reversed(during) if r["error"]), "it was never off by enough")
        return None, f"nothing can be told of the clock ({error})"
    right = [r for r in moved if r["probe"][0] - _ROUNDING_S <= r["set"] <= r["probe"][1] + _ROUNDING_S]
    why = "its Date header cannot show so little" if dated else "the target sends no Date header"
    text = f"the clock that it reads was {_ahead(moved[-1]['probe'][0])} ({why})"
    return 2 * len(right) > len(moved), text


def _by_date(before: Sequence[Reading], shown: Sequence[Reading]) -> Proof:
    if any(r["date"] is not None and not -_DATE_LATE_S <= r["date"] <= _DATE_EARLY_S for r in before):
        return None, "the target's Date header was off before too"
    right = [r for r in shown if -_DATE_LATE_S <= r["date"] - r["set"] <= _DATE_EARLY_S]
    text = f"the target's Date header was {_ahead((right or shown)[-1]['date'])}"
    return 2 * len(right) > len(shown), f"{text} (seen {len(right)} of {len(shown)} times)"


def _use(before: Sequence[Reading], during: Sequence[Reading]) -> Proof:
    uses = [reading["use"] for reading in [*before[-1:], *during]]
    return process_use(uses, "while its clock was wrong", [reading["use"] for reading in before])


def _ahead(offset_s: float) -> str:
    return f"{abs(offset_s):.2f} s {'ahead' if offset_s >= 0 else 'behind'}"
