"""Holders of faults at processes (see `holder`): started, and found again by their mark."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import chaos_locust
from chaos_locust.backends import holding
from chaos_locust.backends.base import MARK
from chaos_locust.errors import BackendError

_PROGRAM = "chaos_locust.backends.process.holder"
_LISTEN_S = 0.02
MARGIN_S = 15.0
"""A holder ends by itself so long after its fault was due to."""
_MARK_AT, _JOB_AT = 4, 6  # in: python -S -m PROGRAM MARK DEADLINE_S JOB


class Holders(holding.HeldProcesses):
    """Those that this process has started; they end with it."""

    def __init__(self) -> None:
        super().__init__(_mark_of)

    def start(self, mark: str, lasts_s: float, job: Mapping[str, Any]) -> None:
        """Returns when the process is there, not when it is ready. lasts_s: it ends by itself after that.
        One with this mark from before is ended. Raises BackendError."""
        if self.mine(mark) is not None:
            self.end(mark)
        deadline_s = time.clock_gettime(time.CLOCK_BOOTTIME) + lasts_s
        paths = [str(Path(chaos_locust.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        program = [sys.executable, "-S", "-m", _PROGRAM, mark, f"{deadline_s:.3f}", json.dumps(job)]
        self.launch(mark, program, {**os.environ, "PYTHONPATH": os.pathsep.join(paths)})

    def wait_for(self, mark: str, word: str, limit_s: float) -> None:
        """Until it has told `word`. Raises BackendError when it could not do its job, or tells nothing new
        for so long."""
        told: dict[str, Any] = {}
        give_up_s = time.monotonic() + limit_s
        while not told.get(word):
            holder = self.mine(mark)
            assert holder is not None
            assert holder.stdout is not None
            ended, news = holder.poll() is not None, self.told(mark)
            if ended and not news.get(word):
                raise BackendError(news.get("error") or f"process {mark} ended at once")
            if news != told:
                told, give_up_s = news, time.monotonic() + limit_s
            if time.monotonic() > give_up_s:
                raise BackendError(f"process {mark} tells nothing for {limit_s:g} s")
            select.select([holder.stdout], [], [], _LISTEN_S)

    def pid(self, mark: str) -> int | None:
        """Of a holder that this process started and that lives."""
        holder = self.mine(mark)
        return holder.pid if holder is not None and holder.poll() is None else None


def living(mark: str = "") -> dict[int, tuple[str, dict[str, Any]]]:
    """pid -> (mark, job) of all holders that live, or of those with this mark; whoever started them."""
    return {
        pid: (arguments[_MARK_AT], json.loads(arguments[_JOB_AT]))
        for pid, arguments in holding.living(_mark_of, mark).items()
    }


def _mark_of(arguments: list[str]) -> str:
    if len(arguments) != _JOB_AT + 1 or arguments[_MARK_AT - 1] != _PROGRAM:
        return ""
    return arguments[_MARK_AT] if arguments[_MARK_AT].startswith(MARK) else ""
