"""Every error that chaos-locust raises on purpose, as one tree.

ChaosError
|-- InvalidPlan       the plan is wrong; carries every problem at once
|-- PreflightFailed   the plan is right, the world is not (target refuses, no rights, port in use)
|-- BackendError      a fault could not be injected, observed or undone
|   |-- DirtyTarget   the target was left changed
|   `-- PartlyLooked  not all of a place may be looked at for what was left there
|-- ProbeError        something could not be read from the target
`-- LeaseError        the promise that a fault ends could not be written or kept
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class ChaosError(Exception):
    """Base of all errors of ours. Its text is one clear message for the user."""

    @property
    def entries(self) -> tuple[str, ...]:
        """What it says, one thing each; an entry may go on in further lines, such as YAML to be copied."""
        return tuple(str(self).splitlines())


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where: `place` is a path such as `faults[2].at`."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class _Problems(ChaosError):
    """An error made of one or more problems, one line each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.entries))

    @property
    def entries(self) -> tuple[str, ...]:
        return tuple(map(str, self.problems))


class InvalidPlan(_Problems):
    """The plan cannot be run; every problem in it is listed."""


class PreflightFailed(_Problems):
    """The plan cannot be run here and now; every reason is listed. Nothing was started."""


class BackendError(ChaosError):
    """A fault could not be injected, observed or undone."""


class DirtyTarget(BackendError):
    """A fault could not be undone: the target was left changed, until `chaos-locust cleanup` succeeds."""


class PartlyLooked(BackendError):
    """found: what is left of ours where we may look, as the backend's data for undoing it."""

    def __init__(self, text: str, found: Sequence[dict[str, Any]]) -> None:
        super().__init__(text)
        self.found = tuple(found)


class ProbeError(ChaosError):
    """Something could not be read from the target."""


class LeaseError(ChaosError):
    """A lease could not be written, read or kept."""
