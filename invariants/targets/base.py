"""What every target offers to the machines."""

from __future__ import annotations

import time
from typing import Any


class Target:
    """A system under test. `connect` gives a client whose methods a machine's rules call.

    A client raises `Refused` for what certainly did not happen and `NoAnswer` for what may have. Targets are
    best dataclasses: their repr is written into the test files that are made.
    """

    def check(self) -> None:
        """Raises TargetDown when it does not answer."""

    def begin(self, scope: str) -> None:
        """Called before each sequence, when no fault acts. Raises TargetDown."""

    def connect(self, scope: str) -> Any:
        """A client for one lane. scope: names what belongs to one sequence, and keeps it apart from others.
        Raises TargetDown."""
        raise NotImplementedError

    def forget(self, scope: str) -> None:
        """Takes away what belongs to that sequence."""

    def clock(self) -> float:
        """Seconds, from any start."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Waits on `clock`."""
        time.sleep(seconds)
