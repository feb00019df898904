"""Faults on a process, found by its pid file."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from chaos_locust.faults.base import Fault

Signal = Annotated[
    Literal["KILL", "TERM", "INT", "QUIT", "ABRT", "SEGV"],
    BeforeValidator(lambda value: value.removeprefix("SIG") if isinstance(value, str) else value),
]


class Kill(Fault):
    """The process gets a signal that ends it. Whoever runs it has to start it again."""

    kind: ClassVar[str] = "kill"
    summary: ClassVar[str] = "ends the process by a signal (default KILL); nothing of ours starts it again"
    family: ClassVar[str] = "process"
    needs: ClassVar[tuple[str, ...]] = ("pidfile",)
    instant: ClassVar[bool] = True
    undo: ClassVar[str] = "nothing to undo: the target's own supervisor starts it again"
    effect_text: ClassVar[str] = "the process is gone, and the load's bytes went through it just before"

    signal: Signal = "KILL"


class Pause(Fault):
    """The process is stopped (SIGSTOP) and continued (SIGCONT)."""

    kind: ClassVar[str] = "pause"
    summary: ClassVar[str] = "stops the process and lets it go on afterwards"
    family: ClassVar[str] = "process"
    needs: ClassVar[tuple[str, ...]] = ("pidfile",)
    undo: ClassVar[str] = "the guardian sends SIGCONT, or `chaos-locust cleanup` does"
    effect_text: ClassVar[str] = "the process is stopped, and the load's connections reach it"


FAULTS: tuple[type[Fault], ...] = (Kill, Pause)
