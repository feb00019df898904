"""Processes of ours that are a fault for as long as they live: started, listened to, ended by their mark."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chaos_locust.errors import BackendError
from chaos_locust.probes.process import command_line, identify

MarkOf = Callable[[list[str]], str]
"""The mark in a command line; empty: it is none of the family's."""

_END_LIMIT_S = 5.0
_LOOK_AGAIN_S = 0.002


class HeldProcesses:
    """Those of one family that this process has started. They end with it, when their input is closed.

    mark_of: tells the family's. alone_s: so long a process may take to end when its input is closed, before
    it is killed.
    """

    def __init__(self, mark_of: MarkOf, alone_s: float = 0.0) -> None:
        self._mark_of, self._alone_s = mark_of, alone_s
        self._mine: dict[str, subprocess.Popen[bytes]] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def launch(self, mark: str, program: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        """Returns when the process is there, not when it is ready. Raises BackendError."""
        try:
            holder = subprocess.Popen(
                program,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd="/",
                env=environ,
                start_new_session=True,
            )
        except OSError as error:
            raise BackendError(f"no process can be started: {error.strerror}") from None
        assert holder.stdout is not None
        os.set_blocking(holder.stdout.fileno(), False)
        with self._lock:
            self._mine[mark] = holder

    def mine(self, mark: str) -> subprocess.Popen[bytes] | None:
        """The process with this mark that this process started."""
        return self._mine.get(mark)

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
            _end_child(holder, self._alone_s)
        give_up_s = time.monotonic() + _END_LIMIT_S
        while found := living(self._mark_of, mark):
            for pid in found:
                self._kill(pid, mark)
            if time.monotonic() > give_up_s:
                raise BackendError(f"process {next(iter(found))} ({mark}) does not end")
            time.sleep(_LOOK_AGAIN_S)

    def _kill(self, pid: int, mark: str) -> None:
        """The descriptor is opened first, so that the pid cannot be another's by the time of the signal."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if self._mark_of(command_line(pid)) == mark:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            pass
        except PermissionError:
            raise BackendError(
                f"process {pid} ({mark}) belongs to another user: no right to end it"
            ) from None
        finally:
            os.close(descriptor)


def living(mark_of: MarkOf, mark: str = "") -> dict[int, list[str]]:
    """pid -> command line of all of the family that live, or of those with this mark; anybody's."""
    found = {}
    for name in os.listdir("/proc"):
        arguments = command_line(int(name)) if name.isdecimal() else []
        own = mark_of(arguments)
        if own and mark in ("", own) and identify(int(name)) is not None:
            found[int(name)] = arguments
    return found


def _end_child(holder: subprocess.Popen[bytes], alone_s: float) -> None:
    assert holder.stdin is not None
    assert holder.stdout is not None
    if alone_s:
        holder.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            holder.wait(alone_s)
    # Before its input is closed, where it shall not do what it does at that.
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
