"""One invariant in a process of its own: a client that hangs or crashes cannot take the run with it."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NoReturn

from chaos_locust.errors import ChaosError, DirtyTarget
from chaos_locust.redact import HIDDEN, redact_text
from chaos_locust.units import format_duration
from invariants.bindings import Bound, bindings_of
from invariants.result import Replay, Result
from invariants.search import Settings
from invariants.state_invariant import StateInvariant

GRACE_S = 30.0
"""For what is not counted by the budget: to start, to see whether the target answers, to take things away."""

END_LIMIT_S = 60.0
"""So long a process that is asked to end may take to undo its faults."""

END_S = 2.0
"""So long a process that has told everything may take to end."""

_PASSWORD = re.compile(r"(?P<keep>[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)", re.I)


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be looked for. target: see `bindings_of`. faults: a plan's file or mapping. None: what the
    target's binding says, or else what is usual."""

    invariant: str
    target: str
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)
    faults: Any = None
    iterations: int | None = None
    steps: int | None = None
    concurrency: int | None = None
    budget_s: float | None = None

    def bound(self) -> Bound:
        """With what the job itself asks for. Raises InvalidTarget."""
        bindings = bindings_of(self.target, [self.invariant])
        if self.invariant not in bindings:
            there = ", ".join(bindings) or "none"
            raise ChaosError(f"{redact_text(self.target)} does not bind {self.invariant}; it binds {there}")
        bound = bindings[self.invariant]
        asked = {
            name: value
            for name in ("faults", "iterations", "steps", "concurrency", "budget_s")
            if (value := getattr(self, name)) is not None
        }
        return replace(bound, options={**bound.options, **self.options}, **asked)


def prepare(job: Job, bound: Bound) -> StateInvariant:
    """bound: what `job.bound()` gave. Raises ChaosError, for what is wrong before anything was done."""
    invariant = StateInvariant.named(job.invariant, bound.target, **bound.options).with_seed(job.seed)
    if bound.iterations is not None:
        invariant = invariant.with_iterations(bound.iterations)
    if bound.steps is not None:
        invariant = invariant.with_steps(bound.steps)
    if bound.concurrency is not None:
        invariant = invariant.with_concurrency(bound.concurrency)
    if bound.budget_s is not None:
        invariant = invariant.with_budget(format_duration(bound.budget_s))
    return invariant if bound.faults is None else invariant.with_faults(bound.faults)


def limit_s(bound: Bound) -> float:
    """What takes longer hangs in a way that the search does not see.

    Finding and making short have a budget each, and the last thing that each of them tries may hang for as
    long again before it is given up; what was found by then is not to be lost.
    """
    return 4 * (Settings().budget_s if bound.budget_s is None else bound.budget_s) + GRACE_S


@dataclass(frozen=True, slots=True)
class Ended:
    """result: None where there is none, and `reason` says why. dirty: which fault could not be undone.
    tests: the text of a test file for each violation, or why there is none (`no_tests`). interrupted: by
    whoever watches, so that nothing more is to be run."""

    result: Result | None = None
    reason: str = ""
    dirty: str = ""
    tests: tuple[str, ...] = ()
    no_tests: str = ""
    interrupted: bool = False


Tell = Callable[[int, int], None]


def run_apart(job: Job, tell: Tell, longest_s: float) -> Ended:
    """tell: called with (sequences done, of how many). longest_s: see `limit_s`."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, theirs))
    process.start()
    theirs.close()
    give_up_s = time.monotonic() + longest_s
    try:
        while ours.poll(max(0.0, give_up_s - time.monotonic())):
            message = ours.recv()
            if isinstance(message, Ended):
                return message
            tell(*message)
        why = f"it had no end within {longest_s:g} s and was stopped"
        return replace(_last_word(process, ours), result=None, reason=why)
    except EOFError:
        process.join()
        return Ended(reason=f"its process ended {_how(process.exitcode)} before it told anything")
    except KeyboardInterrupt:
        return replace(_last_word(process, ours), interrupted=True)
    finally:
        _end(process)


def _last_word(process: BaseProcess, ours: Connection) -> Ended:
    """Of a process that is asked to end: it may hold a fault, which it undoes first."""
    process.terminate()
    give_up_s = time.monotonic() + END_LIMIT_S
    try:
        while ours.poll(max(0.0, give_up_s - time.monotonic())):
            message = ours.recv()
            if isinstance(message, Ended):
                return message
    except EOFError:
        pass
    return Ended(reason="it was interrupted")


def _end(process: BaseProcess) -> None:
    """After a kill the guardian of a fault undoes it."""
    process.join(END_S)  # it has told everything, and is about to end
    if process.exitcode is None:
        process.kill()
        process.join()


def _how(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"by {signal.Signals(-exitcode).name}"
    return f"with exit code {exitcode}"


def _work(job: Job, told: Connection) -> None:
    """In the process of its own."""
    os.dup2(sys.stderr.fileno(), 1)  # what a client prints is no part of what we print
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        ended = _verify(job, lambda done, of: told.send((done, of)))
    except KeyboardInterrupt:
        ended = Ended(reason="it was interrupted")
    except DirtyTarget as error:
        ended = Ended(dirty=redact_text(str(error)))
    except ChaosError as error:
        ended = Ended(reason=redact_text(str(error)))
    except Exception as error:
        print(redact_text(traceback.format_exc()), file=sys.stderr)
        ended = Ended(reason=redact_text(f"{type(error).__name__}: {error}"))
    told.send(ended)


def _interrupt(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _verify(job: Job, tell: Tell) -> Ended:
    result = prepare(job, job.bound()).verify(tell)
    tests, no_tests = [], ""
    for found in result.violations:
        try:
            tests.append(_PASSWORD.sub(rf"\g<keep>{HIDDEN}", found.to_pytest()))
        except ChaosError as error:
            no_tests = redact_text(str(error))
    return Ended(_told(result), tests=tuple(tests), no_tests=no_tests)


def _told(result: Result) -> Result:
    """As it can be sent: what needs the target stays behind."""
    found = tuple(replace(each, again=_again, written=_written) for each in result.violations)
    return replace(result, violations=found)


def _again(tries: int) -> Replay:
    raise ChaosError("the target is in another process; use `chaos-locust invariants replay`")


def _written() -> str:
    raise ChaosError("the target is in another process, which has written the test file")
