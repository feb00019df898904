"""What a search says: passed, what was found and how to see it again, what was exercised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from invariants.checkers.base import Violation
from invariants.execute import Path
from invariants.history import History
from invariants.sequence import Step

Outcome = Literal["UPHELD", "DEVIATED", "INCONCLUSIVE"]


@dataclass(frozen=True, slots=True)
class Replay:
    """How often the same steps failed again."""

    failed: int
    tries: int

    def __str__(self) -> str:
        return f"reproduced {self.failed} of {self.tries}"


@dataclass(frozen=True)
class Found:
    """A violation, and the shortest sequence that was found to show it.

    steps: each run of them `repeat` times and judged together. history: of a run that failed.
    necessary_faults: those that the shortest sequence injects; without any of them it did not fail.
    shortened: whether there was time to take away all that is not needed. seen_again: when it was found.
    """

    violation: Violation
    steps: tuple[Step, ...]
    history: History
    seen_again: Replay
    shortened: bool
    repeat: int = 1
    again: Callable[[int], Replay] = field(repr=False, compare=False, kw_only=True)
    written: Callable[[], str] = field(repr=False, compare=False, kw_only=True)

    @property
    def title(self) -> str:
        return self.violation.title

    @property
    def necessary_faults(self) -> tuple[str, ...]:
        return tuple(sorted({step.fault for step in self.steps if step.rule == "inject"}))

    def replay(self, tries: int = 10) -> Replay:
        """Runs the steps again, so many times. Raises ChaosError."""
        return self.again(tries)

    def to_pytest(self) -> str:
        """The text of a test file that fails until the target is mended."""
        return self.written()

    def to_json(self) -> dict[str, Any]:
        return {
            "checker": self.violation.checker,
            "anomaly": self.violation.anomaly,
            "title": self.violation.title,
            "operations": [operation.to_json() for operation in self.violation.operations],
            "steps": [step.to_json() for step in self.steps],
            "repeat": self.repeat,
            "necessary_faults": list(self.necessary_faults),
            "shortened": self.shortened,
            "reproduced": {"failed": self.seen_again.failed, "tries": self.seen_again.tries},
            "history": [operation.to_json() for operation in self.history],
            "faults": [list(band) for band in self.history.faults],
        }


@dataclass(frozen=True)
class Result:
    """What came of one invariant.

    inconclusive: why nothing is said. code_paths_exercised: how often each (state, rule, outcome) was met.
    never_fired: rules that no sequence called. iterations: sequences that were run; told: those of them that
    the checker could tell something from. elapsed_s: of the whole search.
    """

    invariant: str
    statement: str
    violations: tuple[Found, ...]
    inconclusive: str
    code_paths_exercised: Mapping[Path, int]
    never_fired: tuple[str, ...]
    iterations: int
    told: int
    seed: int
    elapsed_s: float
    seen: Mapping[str, int]

    @property
    def outcome(self) -> Outcome:
        if self.violations:
            return "DEVIATED"
        return "INCONCLUSIVE" if self.inconclusive else "UPHELD"

    @property
    def passed(self) -> bool:
        return self.outcome == "UPHELD"

    def to_json(self) -> dict[str, Any]:
        paths = [[*path, count] for path, count in sorted(self.code_paths_exercised.items())]
        return {
            "invariant": self.invariant,
            "statement": self.statement,
            "outcome": self.outcome,
            "passed": self.passed,
            "inconclusive": self.inconclusive,
            "violations": [found.to_json() for found in self.violations],
            "code_paths_exercised": paths,
            "never_fired": list(self.never_fired),
            "iterations": self.iterations,
            "told": self.told,
            "seed": self.seed,
            "elapsed_s": round(self.elapsed_s, 3),
            "seen": dict(self.seen),
        }
