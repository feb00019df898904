"""Reasons not to believe a run's own measurements, and what a finding is worth in spite of them.

Where there is a doubt nothing can be UPHELD; DEVIATED stands when what is doubted cannot have caused it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Doubt:
    """timing: the generator was slow, so response times and time-outs may be its own doing. coverage:
    requests are missing (dropped for lack of users, workers lost, tasks that raised), so rates and what was
    never sent may be. clock: the seconds of some worker may be shifted against the faults.
    """

    timing: tuple[str, ...] = ()
    coverage: tuple[str, ...] = ()
    clock: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        return (*self.timing, *self.coverage, *self.clock)

    @property
    def any(self) -> bool:
        return bool(self.reasons)

    @property
    def of_measuring(self) -> bool:
        """Response times or counts are doubted, whatever the clocks."""
        return bool(self.timing or self.coverage)

    def __str__(self) -> str:
        return "; ".join(self.reasons)


NO_DOUBT = Doubt()
