"""Runs the steps of a violation again that a run has written down."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos_locust.errors import ChaosError
from chaos_locust.redact import HIDDEN
from invariants.apart import Job, prepare
from invariants.catalogue import machine_of
from invariants.options import options_from_json
from invariants.result import Replay
from invariants.sequence import Step


class NoViolation(ChaosError):
    """A file that no sequence can be read from; the message names it and what is missing."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a file says is to be run."""

    job: Job
    steps: tuple[Step, ...]
    repeat: int


def read_violation(path: Path, target: str | None) -> Recorded:
    """`<name>.violation.json` of a run's folder. target: in the place of the one that it names. Raises
    NoViolation."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoViolation(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise NoViolation(f"{path} is no JSON: {error}") from None
    try:
        steps = tuple(Step.from_json(each) for each in data["steps"])
        job = Job(
            invariant=str(data["invariant"]),
            target=str(data["target"]) if target is None else target,
            seed=0,
            options=options_from_json(data.get("options", {}), machine_of(str(data["invariant"]))),
            faults=data.get("faults"),
        )
        repeat = int(data.get("repeat", 1))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise NoViolation(
            f"{path} is no violation of a run, which has invariant, target and steps: "
            f"{type(error).__name__}: {error}"
        ) from None
    if not steps:
        raise NoViolation(f"{path} has no steps")
    if HIDDEN in job.target:
        raise NoViolation(f"{path} names {job.target}, without its password; give --target")
    return Recorded(job, steps, repeat)


def replay(recorded: Recorded, tries: int, tell: Callable[[int, int], None]) -> Replay:
    """tell: called with (tries done, of how many). Raises ChaosError."""
    invariant = prepare(recorded.job, recorded.job.bound())
    failed = 0
    for done in range(1, tries + 1):
        failed += invariant.replay(recorded.steps, 1, recorded.repeat).failed
        tell(done, tries)
    return Replay(failed, tries)
