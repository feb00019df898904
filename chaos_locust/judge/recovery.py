"""When the target was itself again after a fault, as an interval.

Recovered: at the start of the first good window (5 s, moved by 1 s) after which all stay good for 10 s.
A bad window later in the same scope is a relapse, and the target counts as not recovered. The scope ends
at the next fault's onset, without the requests that can have met it, or at the end of the load.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from chaos_locust.judge.claims import DEVIATED, INCONCLUSIVE, Range, compare
from chaos_locust.judge.context import Context
from chaos_locust.judge.course import FaultCourse
from chaos_locust.judge.objectives import hindered, undecided
from chaos_locust.judge.steady import HOLD_S, WINDOW_S, State, SteadyRules
from chaos_locust.judge.verdict import Finding
from chaos_locust.judge.words import seconds as in_words
from chaos_locust.judge.words import span
from chaos_locust.plan.objectives import RecoveryObjective


@dataclass(frozen=True, slots=True)
class Recovery:
    """interval: seconds after the edge; an upper end of inf: not seen to be recovered. relapse_s: when, in
    seconds of the run, it was surely bad again. stretch: what was looked at. why: what left it open."""

    interval: tuple[float, float]
    relapse_s: int | None
    stretch: tuple[float, float]
    why: str


def edge_of(fault: FaultCourse, edge: str) -> tuple[float, float] | None:
    """Between when and when the fault started or ended: asked and confirmed. None: it did not."""
    if edge == "starts":
        first, last = fault.asked_s, fault.active_s
    else:
        first, last = fault.revert_asked_s, fault.reverted_s
    if last is None:
        return None
    return (last if first is None else first), last


def recovery_after(ctx: Context, rules: SteadyRules, fault: FaultCourse, edge: str) -> Recovery | None:
    """None: the fault did not come to that edge."""
    found = edge_of(fault, edge)
    if found is None:
        return None
    error_s = ctx.course.clock_error_s
    first_s, last_s = found[0] - error_s, found[1] + error_s
    next_s = ctx.course.next_onset_s(max(last_s, fault.asked_s or 0.0))
    end_s = ctx.course.load_end_s if next_s is None else next_s - error_s - ctx.plan.timeout_s
    starts = range(max(0, math.floor(first_s)), max(0, math.floor(end_s + 1e-6)) - WINDOW_S + 1)
    stretch = (first_s, max(first_s, end_s))
    ended = "the load ended" if next_s is None else "the next fault came"
    if not starts:
        return Recovery((0.0, math.inf), None, stretch, f"{ended} too soon after")
    states = [rules.state(ctx, range(s, s + WINDOW_S), len(starts)) for s in starts]
    sure = _first(states)
    may = _first_possible(ctx, rules, starts, states)
    complete = sure is not None and sure + HOLD_S < len(states)
    after = states[(sure or 0) + HOLD_S + 1 :] if complete else []
    relapse = next((i for i, state in enumerate(after) if state is State.BAD), None)
    unclear = any(state is State.UNCLEAR for state in after)
    low = max(0.0, starts[may] - 1 - last_s) if may is not None else max(0.0, starts[-1] - last_s)
    if not complete or sure is None:
        why = "; ".join(rules.unknown) or f"{ended} before it had been good for {HOLD_S} s"
        return Recovery((low, math.inf), None, stretch, why)
    high = max(0.0, starts[sure] + rules.slack_s(ctx, starts[sure]) - first_s)
    if relapse is not None:
        at_s = starts[sure] + HOLD_S + 1 + relapse
        return Recovery((min(low, high), high), at_s, stretch, "it relapsed")
    if unclear:
        return Recovery((min(low, high), math.inf), None, stretch, "whether it stayed good is not certain")
    return Recovery((min(low, high), high), None, stretch, "")


def _first(states: list[State]) -> int | None:
    """The first window from which on all are good for the hold, as far as there are windows."""
    for i in range(len(states)):
        if all(state is State.GOOD for state in states[i : i + HOLD_S + 1]):
            return i
    return None


def _first_possible(ctx: Context, rules: SteadyRules, starts: range, states: list[State]) -> int | None:
    """The first window with which it may have begun: no surely bad one follows, nor are they so together."""
    for i, start in enumerate(starts):
        if State.BAD in states[i : i + HOLD_S + 1]:
            continue
        together = range(start, min(start + HOLD_S, starts[-1]) + WINDOW_S)
        if rules.state(ctx, together, len(starts)) is not State.BAD:
            return i
    return None


def judge_recovery(ctx: Context, rules: SteadyRules, objective: RecoveryObjective) -> Finding:
    fault = ctx.course.faults[objective.fault]
    found = hindered(ctx, objective, [fault])
    if found is not None:
        return found
    recovery = recovery_after(ctx, rules, fault, objective.edge)
    if recovery is None:
        return undecided(objective, f"{objective.fault} was never seen to end", not_run=True)
    bound = Range(objective.bound_s, objective.bound_s)
    outcome = compare(Range(*recovery.interval), objective.op, bound)
    reason = f"recovered in {span(recovery.interval)}"
    if math.isinf(recovery.interval[1]):
        reason = f"not seen to be recovered after {in_words(recovery.interval[0])}: {recovery.why}"
    if recovery.relapse_s is not None:
        reason = f"good after {span(recovery.interval)}, but bad again at {recovery.relapse_s} s"
        outcome = DEVIATED if objective.op in ("<", "<=") else INCONCLUSIVE
    # windows count as bad only for what a doubted generator cannot have caused; so DEVIATED can stand
    stands = outcome is DEVIATED and objective.op in ("<", "<=") and not ctx.doubt.clock
    if ctx.doubt.any and outcome is not INCONCLUSIVE and not stands:
        outcome, reason = INCONCLUSIVE, f"{reason}; but the run cannot be trusted: {ctx.doubt}"
    return Finding(
        "objective",
        objective.text,
        outcome,
        reason,
        objective.severity,
        value=recovery.interval[1],
        bound=objective.bound_s,
        unit="s",
        op=objective.op,
        interval=recovery.interval if recovery.relapse_s is None else (recovery.interval[0], math.inf),
        stretch=recovery.stretch,
    )
