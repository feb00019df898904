"""What several reports say in the same words."""

from __future__ import annotations

from invariants.result import Found, Result
from invariants.suite import Case, Suite


def steps_of(found: Found) -> list[str]:
    """The shortest sequence as text, one step a line."""
    lanes = {step.lane for step in found.steps if not step.fault}
    lines = []
    for place, step in enumerate(found.steps, 1):
        where = f" in lane {step.lane}" if len(lanes) > 1 and not step.fault else ""
        lines.append(f"{place}. {step}{where}")
    return lines


def facts_of(found: Found) -> list[str]:
    """How surely it is seen again, and what it takes."""
    times = f", {found.repeat} times as one" if found.repeat > 1 else ""
    lines = [f"{found.seen_again}{times}"]
    if found.necessary_faults:
        lines.append(f"only under {' and '.join(found.necessary_faults)}")
    if not found.shortened:
        lines.append("there was no time to be sure that no step can be taken away")
    return lines


def numbers_of(result: Result) -> str:
    """`100 sequences, 98 told something, 7.3 s, seed 7, 40 reads`."""
    told = f"{result.told} told something"
    seen = "".join(f", {count} {what}" for what, count in sorted(result.seen.items()))
    plural = "" if result.iterations == 1 else "s"
    ran = f"{result.iterations} sequence{plural}, {told}, {result.elapsed_s:.1f} s"
    return f"{ran}, seed {result.seed}{seen}"


def sentence_of(suite: Suite) -> str:
    """The first one of them that says why."""
    if suite.dirty:
        return f"the target was left dirty: {suite.dirty}"
    deviated = _with(suite, "DEVIATED")
    if deviated:
        result = None if deviated[0].ended is None else deviated[0].ended.result
        assert result is not None
        return f"{deviated[0].invariant}: {result.violations[0].title}{_and_others(len(deviated))}"
    doubtful = _with(suite, "INCONCLUSIVE")
    if doubtful:
        return f"{doubtful[0].invariant}: {doubtful[0].doubt}{_and_others(len(doubtful))}"
    count = len(_with(suite, "UPHELD"))
    return f"{count} invariant{'' if count == 1 else 's'} held"


def _with(suite: Suite, word: str) -> list[Case]:
    return [case for case in suite.cases if case.word == word]


def _and_others(count: int) -> str:
    return f" (and {count - 1} more)" if count > 1 else ""


def file_names(case: Case) -> list[str]:
    """What the files of each violation begin with."""
    result = None if case.ended is None else case.ended.result
    count = 0 if result is None else len(result.violations)
    return [case.invariant if place == 0 else f"{case.invariant}_{place + 1}" for place in range(count)]
