"""Faults on a process, found by its pid file."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from chaos_locust.data import PositiveSeconds, refusal
from chaos_locust.errors import Problem
from chaos_locust.faults.base import Fault
from chaos_locust.units import format_duration

SHORTEST_INTERVAL_S = 0.5

Signal = Annotated[
    Literal["KILL", "TERM", "INT", "QUIT", "ABRT", "SEGV"],
    BeforeValidator(lambda value: value.removeprefix("SIG") if isinstance(value, str) else value),
    Field(description="The signal, such as TERM."),
]


def _an_interval(value_s: float) -> float:
    if value_s < SHORTEST_INTERVAL_S:
        limit = format_duration(SHORTEST_INTERVAL_S)
        raise ValueError(f"'{format_duration(value_s)}' is not allowed; give {limit} at least")
    return value_s


class ProcessFault(Fault):
    """Base of the faults on the process that the pid file names."""

    family: ClassVar[str] = "process"
    needs: ClassVar[tuple[str, ...]] = ("pidfile",)


class Kill(ProcessFault):
    """The process gets a signal that ends it. Whoever runs it has to start it again."""

    kind: ClassVar[str] = "kill"
    summary: ClassVar[str] = "ends the process by a signal (default KILL); nothing of ours starts it again"
    instant: ClassVar[bool] = True
    undo: ClassVar[str] = "nothing to undo: the target's own supervisor starts it again"
    effect_text: ClassVar[str] = "the process is gone, and the load's bytes went through it just before"

    signal: Signal = "KILL"


class Pause(ProcessFault):
    """The process is stopped (SIGSTOP) and continued (SIGCONT). Its children run on."""

    kind: ClassVar[str] = "pause"
    summary: ClassVar[str] = "stops the process and lets it go on afterwards"
    undo: ClassVar[str] = (
        "a process of ours that was there before the stop continues it when the guardian ends or dies"
    )
    effect_text: ClassVar[str] = "the process is stopped, and the load's connections reach it"


class RestartStorm(ProcessFault):
    """The process is killed, and again each time that its supervisor has started it anew, `every` so long.

    The new process is known by the pid file, which the supervisor has to write, and by its command line,
    which has to be the one of the first. While there is none, nothing is killed. Looked at twice a second.
    """

    kind: ClassVar[str] = "restart_storm"
    summary: ClassVar[str] = "kills the process again and again as its supervisor starts it anew"
    changes: ClassVar[bool] = True
    undo: ClassVar[str] = "it ends with the guardian; the target's own supervisor starts the process again"
    effect_text: ClassVar[str] = (
        "the process was killed, started anew and killed again, and the load's bytes went through it"
    )

    every_s: Annotated[PositiveSeconds, AfterValidator(_an_interval)] = Field(
        alias="every", description="The time from one kill to the next, 500ms or more."
    )
    signal: Signal = "KILL"
    times: int = Field(default=100, ge=2, description="It is killed so often at most.")

    @model_validator(mode="after")
    def _kills_twice(self) -> Self:
        if self.duration_s is not None and self.every_s >= self.duration_s:
            shown = format_duration(self.every_s)
            raise refusal(
                [Problem("every", f"'{shown}' is not allowed; give less than for, or use kind kill")]
            )
        return self

    def clashes_with(self, other: Fault) -> str:
        if isinstance(other, Pause):
            return "a process that is killed again and again cannot be paused"
        return super().clashes_with(other)


FAULTS: tuple[type[Fault], ...] = (Kill, Pause, RestartStorm)
