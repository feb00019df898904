"""A history from a file, judged by checkers that are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from chaos_locust.errors import ChaosError
from invariants.checkers.base import Checked, Checker, checked_by
from invariants.checkers.catalogue import CHECKERS, OWN, checker_named
from invariants.history import History, InvalidHistory, read_history
from invariants.jepsen import read_jepsen
from invariants.options import defaults_of, parse_options
from invariants.suite import EXIT_CODES, Word


@dataclass(frozen=True, slots=True)
class Judged:
    """What one checker says of a history."""

    checker: str
    checked: Checked

    @property
    def word(self) -> Word:
        if self.checked.violations:
            return "DEVIATED"
        return "INCONCLUSIVE" if self.checked.inconclusive else "UPHELD"

    def to_json(self) -> dict[str, Any]:
        return {
            "checker": self.checker,
            "outcome": self.word,
            "inconclusive": self.checked.inconclusive,
            "violations": [
                {
                    "title": each.title,
                    "anomaly": each.anomaly,
                    "operations": [operation.to_json() for operation in each.operations],
                }
                for each in self.checked.violations
            ],
            "seen": dict(self.checked.seen),
        }


def exit_code(judged: Sequence[Judged]) -> int:
    """A deviation before what is inconclusive."""
    words = {each.word for each in judged}
    return next((EXIT_CODES[word] for word in ("DEVIATED", "INCONCLUSIVE") if word in words), 0)


def checkers_of(names: Sequence[str], options: Sequence[str]) -> list[Checker]:
    """options: `name=value`, for those that have an option of that name. Raises ChaosError."""
    if not names:
        raise ChaosError(f"name what the history is to be judged by: --checker {', '.join([*CHECKERS, OWN])}")
    kinds = [checker_named(name) for name in names]
    made = []
    for name, kind, given in zip(names, kinds, parse_options(options, kinds), strict=True):
        missing = [
            each for each, value in defaults_of(kind).items() if value is MISSING and each not in given
        ]
        if missing:
            raise ChaosError(f"{name} needs --option {missing[0]}=...")
        made.append(_made(name, kind, given))
    return made


def _made(name: str, kind: type[Checker], given: Mapping[str, Any]) -> Checker:
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise ChaosError(f"{name} cannot be made: {error}") from None


def read(path: Path, keyed: bool = False) -> History:
    """JSON lines, or Jepsen's EDN where the name ends in `.edn`. keyed: values of that are `[key value]`.
    Raises InvalidHistory."""
    history = read_jepsen(path, keyed) if path.suffix == ".edn" else read_history(path)
    if not history.operations:
        raise InvalidHistory(f"the history {path} has no operations")
    return history


def judge(history: History, checkers: Sequence[Checker]) -> list[Judged]:
    """Raises InvalidHistory where a checker meets operations that it knows nothing of."""
    judged = []
    for checker in checkers:
        try:
            judged.append(Judged(checker.name, checked_by(checker, history)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidHistory(
                f"{checker.name} cannot judge this history: {type(error).__name__}: {error}; "
                "its operations have another form than this checker reads"
            ) from error
    return judged
