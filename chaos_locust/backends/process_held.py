"""Holders (see `process_holder`): started, listened to, ended, and found again by their mark."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import chaos_locust
from chaos_locust.backends.base import MARK
from chaos_locust.errors import BackendError
from chaos_locust.probes.process import command_line, identify

_PROGRAM = "chaos_locust.backends.process_holder"
_LIMIT_S = 5.0
_LOOK_AGAIN_S = 0.002
MARGIN_S = 15.0
"""A holder ends by itself so long after its fault was due to."""
_MARK_AT, _JOB_AT = 4, 6  # in: python -S -m PROGRAM MARK DEADLINE_S JOB


class Holders:
    """Those that this process has started; they end with it."""

    def __init__(self) -> None:
        self._mine: dict[str, subprocess.Popen[bytes]] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def start(self, mark: str, lasts_s: float, job: Mapping[str, Any]) -> None:
        """Returns when the process is there, not when it is ready. lasts_s: it ends by itself after that.
        One with this mark from before is ended. Raises BackendError."""
        if mark in self._mine:
            self.end(mark)
        deadline_s = time.clock_gettime(time.CLOCK_BOOTTIME) + lasts_s
        paths = [str(Path(chaos_locust.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            holder = subprocess.Popen(
                [sys.executable, "-S", "-m", _PROGRAM, mark, f"{deadline_s:.3f}", json.dumps(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd="/",
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,
            )
        except OSError as error:
            raise BackendError(f"no process can be started: {error.strerror}") from None
        assert holder.stdout is not None
        os.set_blocking(holder.stdout.fileno(), False)
        with self._lock:
            self._mine[mark] = holder

    def wait_for(self, mark: str, word: str, limit_s: float) -> None:
        """Until it has told `word`. Raises BackendError when it could not do its job, or tells nothing new
        for so long."""
        told: dict[str, Any] = {}
        give_up_s = time.monotonic() + limit_s
        while not told.get(word):
            holder = self._mine[mark]
            assert holder.stdout is not None
            ended, news = holder.poll() is not None, self.told(mark)
            if ended and not news.get(word):
                raise BackendError(news.get("error") or f"process {mark} ended at once")
            if news != told:
                told, give_up_s = news, time.monotonic() + limit_s
            if time.monotonic() > give_up_s:
                raise BackendError(f"process {mark} tells nothing for {limit_s:g} s")
            select.select([holder.stdout], [], [], _LOOK_AGAIN_S * 10)

    def told(self, mark: str) -> dict[str, Any]:
        """The last that it told; empty: nothing, or it is not ours."""
        with self._lock:
            holder = self._mine.get(mark)
            if holder is not None and holder.stdout is not None:
                with contextlib.suppress(BlockingIOError, ValueError):
                    while data := os.read(holder.stdout.fileno(), 1 << 16):
                        self._told[mark] = json.loads(data.splitlines()[-1])
            return self._told.get(mark, {})

    def pid(self, mark: str) -> int | None:
        """Of a holder that this process started and that lives."""
        holder = self._mine.get(mark)
        return holder.pid if holder is not None and holder.poll() is None else None

    def end(self, mark: str) -> None:
        """Returns when no process with this mark lives, whoever started it. Raises BackendError."""
        with self._lock:
            holder = self._mine.pop(mark, None)
            self._told.pop(mark, None)
        if holder is not None:
            holder.kill()
            holder.wait()
            for stream in (holder.stdin, holder.stdout):
                if stream is not None:
                    stream.close()
        give_up_s = time.monotonic() + _LIMIT_S
        while found := living(mark):
            for pid in found:
                _kill(pid, mark)
            if time.monotonic() > give_up_s:
                raise BackendError(f"process {next(iter(found))} ({mark}) does not end")
            time.sleep(_LOOK_AGAIN_S)


def living(mark: str = "") -> dict[int, tuple[str, dict[str, Any]]]:
    """pid -> (mark, job) of all holders that live, or of those with this mark; whoever started them."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        each = _holder(command_line(int(name)))
        if each is not None and mark in ("", each[0]) and identify(int(name)) is not None:
            found[int(name)] = each
    return found


def _holder(arguments: list[str]) -> tuple[str, dict[str, Any]] | None:
    if len(arguments) != _JOB_AT + 1 or arguments[_MARK_AT - 1] != _PROGRAM:
        return None
    mark = arguments[_MARK_AT]
    return (mark, json.loads(arguments[_JOB_AT])) if mark.startswith(MARK) else None


def _kill(pid: int, mark: str) -> None:
    """The descriptor is opened first, so that the pid cannot be another's by the time of the signal."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if (each := _holder(command_line(pid))) is not None and each[0] == mark:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise BackendError(f"process {pid} ({mark}) belongs to another user: no right to end it") from None
    finally:
        os.close(descriptor)
