"""Holders: processes of ours that are the fault for as long as they live, found again by their mark."""

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
from pathlib import Path
from typing import Any

from chaos_locust.backends import files_holder
from chaos_locust.backends.base import MARK, Undo
from chaos_locust.errors import BackendError
from chaos_locust.probes.process import command_line, identify

_PROGRAM = Path(files_holder.__file__).name
_END_LIMIT_S = 5.0
_LOOK_AGAIN_S = 0.005


class Holders:
    """Those that this process has started. Ended by closing their input, which its death does too."""

    def __init__(self) -> None:
        self._mine: dict[str, subprocess.Popen[bytes]] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def start(self, mark: str, *what: str) -> None:
        """Raises BackendError."""
        program = [sys.executable, "-I", "-S", files_holder.__file__, mark, *what]
        try:
            holder = subprocess.Popen(
                program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", start_new_session=True
            )
        except OSError as error:
            raise BackendError(f"no process can be started: {error.strerror}") from None
        assert holder.stdout is not None
        os.set_blocking(holder.stdout.fileno(), False)
        with self._lock:
            self._mine[mark] = holder

    def wait(self, mark: str, limit_s: float) -> dict[str, Any]:
        """What it tells first. Raises BackendError when it could not do it, or is silent for too long."""
        give_up_s = time.monotonic() + limit_s
        while not (told := self.told(mark)):
            holder = self._mine[mark]
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

    def told(self, mark: str) -> dict[str, Any]:
        """The last that it told; empty: nothing, or it is not ours."""
        with self._lock:
            holder = self._mine.get(mark)
            if holder is not None and holder.stdout is not None:
                with contextlib.suppress(OSError, ValueError):
                    while data := os.read(holder.stdout.fileno(), 1 << 16):
                        self._told[mark] = json.loads(data.splitlines()[-1])
            return self._told.get(mark, {})

    def end(self, mark: str) -> None:
        """Returns when no process with this mark lives, whoever started it. Raises BackendError."""
        with self._lock:
            holder = self._mine.pop(mark, None)
            self._told.pop(mark, None)
        if holder is not None:
            assert holder.stdin is not None
            assert holder.stdout is not None
            holder.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                holder.wait(_END_LIMIT_S / 2)
            if holder.poll() is None:
                holder.kill()
                holder.wait()
            holder.stdout.close()
        for pid in living(mark):
            _kill(pid, mark)
        give_up_s = time.monotonic() + _END_LIMIT_S
        while pids := living(mark):
            if time.monotonic() > give_up_s:
                raise BackendError(f"process {pids[0]} ({mark}) does not end")
            time.sleep(_LOOK_AGAIN_S)


def living(mark: str = "") -> dict[int, list[str]]:
    """pid -> arguments from the mark on: all holders and tracers that live, or those of this mark."""
    found = {}
    for name in os.listdir("/proc"):
        own = _marked(command_line(int(name))) if name.isdecimal() else []
        if own and mark in ("", own[0]) and identify(int(name)) is not None:
            found[int(name)] = own
    return found


def _marked(arguments: list[str]) -> list[str]:
    """The arguments from our mark on; empty: it is no holder and no tracer of one."""
    is_holder = len(arguments) > 4 and Path(arguments[3]).name == _PROGRAM
    own = arguments[4:] if is_holder else arguments
    return own if own and own[0].startswith(MARK) and (is_holder or "-o" in own[1:2]) else []


def _kill(pid: int, mark: str) -> None:
    """The descriptor is opened first, so that the pid cannot be another's by the time of the signal."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if _marked(command_line(pid))[:1] == [mark]:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise BackendError(f"process {pid} ({mark}) belongs to another user: no right to end it") from None
    finally:
        os.close(descriptor)


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
