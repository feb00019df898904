"""What can happen in a run, as frozen data: the lines of the journal, and the recording made of them.

Every time `t_s` counts in seconds from the run's start instant (`RunStarted.started_epoch_s`), on the
master's clock. Pure: reading and writing files is `journal`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from chaos_locust.measure.window import Window

SCHEMA_VERSION = 1

FaultState = Literal[
    "due",  # its time or condition came
    "asked",  # the backend was told to inject: from here on it may act
    "active",  # confirmed by the backend
    "revert_asked",
    "reverted",  # confirmed by the backend
    "failed",  # could not be injected; nothing of it is left
    "skipped",  # not injected, `detail` says why (unsteady target, baseline deviated, run over)
    "dirty",  # could not be undone: the target was left changed
]
EndReason = Literal[
    "finished", "aborted", "interrupted", "baseline_deviated", "workers_lost", "guardian_lost", "crashed"
]


HISTORY_TOPIC = "history"
"""The topic of a Note that says what the history lacks."""


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""

    kind: ClassVar[str]
    t_s: float


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """The first line. `plan` is the plan as JSON data (`Plan.to_json()`), secrets redacted."""

    kind: ClassVar[str] = "run"
    run_id: str
    started_epoch_s: float
    plan: dict[str, Any]
    seed: int
    command: str
    versions: dict[str, str]
    workers_expected: int
    schema: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class WorkerEvent(Event):
    """A worker (`local` when there is none). `silent`: it never said hello or sent no window."""

    kind: ClassVar[str] = "worker"
    worker: str
    state: Literal["joined", "lost", "refused", "silent", "raised", "finished"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ClockOffset(Event):
    """A worker's clock minus the master's, with its greatest error."""

    kind: ClassVar[str] = "clock"
    worker: str
    offset_s: float
    error_s: float


@dataclass(frozen=True, slots=True)
class SharesChanged(Event):
    """From `from_s` on, these workers share the schedule. `lost` arrivals nobody sent in between."""

    kind: ClassVar[str] = "shares"
    from_s: float
    workers: tuple[str, ...]
    lost: int = 0


@dataclass(frozen=True, slots=True)
class StepSeen(Event):
    """A step's boundary as it was carried out on one worker."""

    kind: ClassVar[str] = "step"
    step: str
    due_s: float
    seen_s: float
    worker: str


@dataclass(frozen=True, slots=True)
class FaultEvent(Event):
    kind: ClassVar[str] = "fault"
    fault: str
    state: FaultState
    detail: str = ""


@dataclass(frozen=True, slots=True)
class EffectSeen(Event):
    """What was seen of a fault. None: it could not be looked at. `detail` has the figures.

    mechanism: the link was slow, the process gone. use: the load's own bytes, connections or calls
    went through what was faulted. Later events of a fault replace earlier ones.
    """

    kind: ClassVar[str] = "effect"
    fault: str
    mechanism: bool | None
    use: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class ProbeRead(Event):
    kind: ClassVar[str] = "probe"
    probe: str
    value: float | None
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class GeneratorSample(Event):
    """One second of a worker's own health.

    cpu_share: of one core, 0..1, its process; steal_share: of the machine. in_flight: requests sent
    and not answered at `t_s`. loop_lateness_s: the longest its event loop stood still.
    """

    kind: ClassVar[str] = "generator"
    worker: str
    cpu_share: float
    steal_share: float
    loop_lateness_s: float
    users: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class SteadyState(Event):
    """The live view: is the target steady now? For the picture only; the judge works from windows."""

    kind: ClassVar[str] = "steady"
    steady: bool | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Note(Event):
    """Anything a reader of the report should know: `topic` names the source."""

    kind: ClassVar[str] = "note"
    topic: str
    detail: str


@dataclass(frozen=True, slots=True)
class LoadStopped(Event):
    """No new arrivals from here on; `drained_s`: when the last answer or time-out had come."""

    kind: ClassVar[str] = "load_stopped"
    drained_s: float


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """The last line. locust_exceptions: tasks or listeners that raised, on any worker."""

    kind: ClassVar[str] = "end"
    reason: EndReason
    detail: str = ""
    locust_exceptions: int = 0
    listener_failed: bool = False


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole run as it was recorded: what the judge and the reports work from.

    events: in order of `t_s`, the header included. windows: by (due second, request name), merged over
    all workers and final; the name `measure.window.ARRIVALS` holds the schedule's own accounts. folder: where
    it was read from, with what was recorded beside it; None: from nowhere.
    """

    header: RunStarted
    events: tuple[Event, ...]
    windows: Mapping[tuple[int, str], Window]
    complete: bool = field(default=True)  # False: the journal ends without RunEnded
    folder: Path | None = field(default=None, compare=False)
