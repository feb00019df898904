"""Holders of faults at files, and tracers (see `holder`): started, and found again by their mark."""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path
from typing import Any

from chaos_locust.backends import holding
from chaos_locust.backends.base import MARK, Undo
from chaos_locust.backends.files import holder
from chaos_locust.errors import BackendError

_PROGRAM = Path(holder.__file__)
_ALONE_S = 2.5


class Holders(holding.HeldProcesses):
    """Those that this process has started. Ended by closing their input, which its death does too."""

    def __init__(self) -> None:
        super().__init__(_mark_of, _ALONE_S)

    def start(self, mark: str, *what: str) -> None:
        """Raises BackendError."""
        self.launch(mark, [sys.executable, "-I", "-S", str(_PROGRAM), mark, *what])

    def wait(self, mark: str, limit_s: float) -> dict[str, Any]:
        """What it tells first. Raises BackendError when it could not do it, or is silent for too long."""
        give_up_s = time.monotonic() + limit_s
        while not (told := self.told(mark)):
            holder = self.mine(mark)
            assert holder is not None
            assert holder.stdout is not None
            left_s = give_up_s - time.monotonic()
            if left_s <= 0:
                raise BackendError(f"nothing was heard of {mark} for {limit_s:g} s")
            select.select([holder.stdout], [], [], left_s)
            if holder.poll() is not None and not self.told(mark):
                raise BackendError(f"{mark} ended at once")
        if "error" in told:
            raise BackendError(told["error"])
        return told


def living(mark: str = "") -> dict[int, list[str]]:
    """pid -> arguments from the mark on: all holders and tracers that live, or those of this mark."""
    return {pid: _marked(arguments) for pid, arguments in holding.living(_mark_of, mark).items()}


def _mark_of(arguments: list[str]) -> str:
    return next(iter(_marked(arguments)), "")


def _marked(arguments: list[str]) -> list[str]:
    """The arguments from our mark on; empty: it is no holder and no tracer of one."""
    is_holder = len(arguments) > 4 and Path(arguments[3]).parts[-2:] == _PROGRAM.parts[-2:]
    own = arguments[4:] if is_holder else arguments
    return own if own and own[0].startswith(MARK) and (is_holder or "-o" in own[1:2]) else []


def held_again(backend: str, pid: int, arguments: list[str]) -> Undo:
    """The Undo of a holder, or of a tracer whose holder is gone, as far as its arguments tell it."""
    kinds = {"disk": "disk_full", "inodes": "inodes"}
    told = arguments[1] if len(arguments) > 1 else ""
    path = arguments[2] if told in kinds else f"process {pid}"
    return {
        "backend": backend,
        "kind": kinds.get(told, "io_error"),
        "mark": arguments[0],
        "path": path,
        "pid": None,
        "processes": [],
    }
