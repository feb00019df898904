"""Faults on the wall clock of a process that runs under libfaketime: the file that it reads is set."""

from __future__ import annotations

import contextlib
import email.utils
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from chaos_locust.backends.base import Effect, Reading, Undo, mark
from chaos_locust.backends.clock import file as clock_file
from chaos_locust.backends.clock.effect import clock_effect
from chaos_locust.backends.clock.file import RIGHT
from chaos_locust.backends.link.watch import LinkWatch
from chaos_locust.backends.process.use import link_before, resolve, use_reading
from chaos_locust.errors import BackendError, ProbeError, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.clock import ClockFault
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.probes.process import ProcessId, identify, listening_ports

_ASK_LIMIT_S = 1.0
_QUESTION = b"HEAD / HTTP/1.0\r\nUser-Agent: chaos-locust\r\n\r\n"
_DATE = re.compile(rb"\r\ndate: *([^\r]+)\r\n", re.IGNORECASE)


class ClockBackend:
    """An Undo: {backend, mark, file, process: who is watched or None, link: see process_use}. Undoing sets
    the file to the right time where it carries the mark."""

    name = "clock"

    def __init__(self, watch: LinkWatch) -> None:
        self._watch = watch
        self._ports: dict[int, int | None] = {}
        self._lock = threading.Lock()

    def preflight(self, plan: Plan, fault: Fault, target: Target) -> list[Problem]:
        place = f"targets.{target.name}"
        try:
            clock_file.environment(Path("/"), {})
            self.prepare("preflight", plan, fault, target)
        except BackendError as error:
            return [Problem(place, str(error))]
        file = Path(target.clock or "").resolve()
        if not os.access(file.parent, os.W_OK | os.X_OK):
            return [Problem(place, f"{file.parent} is not ours to write in, so the clock cannot be set")]
        if file.stat().st_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
            return [Problem(place, f"{file} belongs to another user; run as that user or as root")]
        return []

    def open(self, run_id: str, plan: Plan, target: Target) -> Undo | None:
        return None

    def build(self, undo: Undo, target: Target) -> None:
        raise BackendError("nothing is made for a clock")

    def prepare(self, run_id: str, plan: Plan, fault: Fault, target: Target) -> Undo:
        if target.clock is None:
            raise BackendError(f"target {target.name} has no clock")
        file, own = Path(target.clock).resolve(), mark(run_id, fault.name)
        setting = clock_file.read(file)
        if setting.mark not in (None, own):
            raise BackendError(f"the clock {file} is set by another fault ({setting.mark})")
        if setting.mark is None and setting.text != RIGHT:
            raise BackendError(f"the clock {file} says {setting.text} instead of {RIGHT}")
        link = link_before(run_id, plan, target)
        process = asdict(_process(target, file))
        return {"backend": self.name, "mark": own, "file": str(file), "process": process, "link": link}

    def inject(self, fault: Fault, undo: Undo) -> None:
        self._set(fault, undo, 0.0)

    def adjust(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        self._set(fault, undo, elapsed_s)

    def observe(self, fault: Fault, undo: Undo) -> Reading:
        file, process = Path(undo["file"]), ProcessId(**undo["process"])
        reading: Reading = {
            "at_s": time.monotonic(),
            "set": None,
            "age_s": 0.0,
            "date": None,
            "probe": None,
            "under": clock_file.clock_of(process.pid) == file,
            "use": None,
            "error": "",
        }
        try:
            setting = clock_file.read(file)
            date = self._date(process)
            asked_s = time.time()
            shown_s = _shown_by(file)
            answered_s = time.time()
            if clock_file.read(file) == setting:  # else it was set in between
                middle_s = (asked_s + answered_s) / 2
                reading["set"] = setting.now(middle_s) - middle_s
                reading["age_s"] = asked_s - setting.set_s
                reading["probe"] = (shown_s - answered_s, shown_s - asked_s)
                reading["date"] = date
        except (BackendError, OSError, subprocess.SubprocessError) as error:
            reading["error"] = str(error)
        reading["use"] = use_reading(self._watch, process, undo["link"])
        return reading

    def effect(self, fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        return clock_effect(fault, before, during)

    def revert(self, undo: Undo) -> None:
        file = Path(undo["file"])
        with contextlib.suppress(OSError):
            clock_file.draft_of(file).unlink(missing_ok=True)
        if self._is_set(undo):
            clock_file.write(file, RIGHT, None)

    def verify(self, undo: Undo) -> bool:
        return not self._is_set(undo)

    def describe(self, undo: Undo) -> str:
        return f"the wrong clock {undo['file']}"

    def scan(self, place: str) -> list[Undo]:
        """place: a clock's file, or a folder of such; empty: those that processes here run under."""
        if "://" in place:
            return []
        if not place:
            files = {clock for _, clock in clock_file.processes_under()}
        else:
            path = Path(place).resolve()
            files = set(path.iterdir()) if path.is_dir() else {path}
        found = []
        for file in sorted(file for file in files if file.is_file()):
            with contextlib.suppress(BackendError):
                if (own := clock_file.read(file).mark) is not None:
                    found.append({"backend": self.name, "mark": own, "file": str(file)})
        return found

    def _set(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        assert isinstance(fault, ClockFault)
        file = Path(undo["file"])
        setting = clock_file.read(file)
        if setting.mark not in (None, undo["mark"]):
            raise BackendError(f"the clock {file} is set by another fault")
        offset_s = fault.offset_at(elapsed_s)
        text = str(int(time.time())) if offset_s is None else f"{offset_s:+.6f}"
        if (text, undo["mark"]) != (setting.text, setting.mark):
            clock_file.write(file, text, undo["mark"])

    def _is_set(self, undo: Undo) -> bool:
        file = Path(undo["file"])
        return file.exists() and clock_file.read(file).mark == undo["mark"]

    def _date(self, process: ProcessId) -> float | None:
        """How far ahead the Date header is that the process sends; None: it sends none."""
        with self._lock:
            if process.pid not in self._ports:
                self._ports[process.pid] = next(
                    (port for port in _ports_of(process) if self._ask(port) is not None), None
                )
            port = self._ports[process.pid]
        return None if port is None else self._ask(port)

    def _ask(self, port: int) -> float | None:
        answer = b""
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), _ASK_LIMIT_S) as link,
        ):
            self._watch.ports.add_own(link.getsockname()[:2])
            link.sendall(_QUESTION)
            while b"\r\n\r\n" not in answer and (data := link.recv(65536)):
                answer += data
        found = _DATE.search(answer) if answer.startswith(b"HTTP/") else None
        if found is None:
            return None
        with contextlib.suppress(ValueError):
            return (
                email.utils.parsedate_to_datetime(found[1].decode("ascii", "replace")).timestamp()
                - time.time()
            )
        return None


def _process(target: Target, file: Path) -> ProcessId:
    """Whose clock it is: the process of the pid file, else the first that runs under it and listens."""
    if target.pidfile is not None:
        found = resolve(target.pidfile)
        if clock_file.clock_of(found.pid) != file:
            raise BackendError(
                f"process {found.pid} of {target.pidfile} does not run under the clock {file}; start it as "
                f"`chaos-locust clock {file} -- COMMAND`"
            )
        return found
    under = [process for pid, _ in clock_file.processes_under(file) if (process := identify(pid)) is not None]
    if not under:
        raise BackendError(
            f"no process that we may look at runs under the clock {file}; start the target as "
            f"`chaos-locust clock {file} -- COMMAND`"
        )
    return next((process for process in under if _ports_of(process)), under[0])


def _ports_of(process: ProcessId) -> list[int]:
    try:
        return sorted(listening_ports(process.pid))
    except ProbeError:
        return []


def _shown_by(file: Path) -> float:
    """Seconds since 1970 by the clock that a process under it sees. Raises as `subprocess.run` does."""
    environ = clock_file.environment(file, {"PATH": os.defpath, "LC_ALL": "C"})
    done = subprocess.run(
        ["date", "+%s.%N"], env=environ, capture_output=True, text=True, timeout=_ASK_LIMIT_S, check=True
    )
    return float(done.stdout)
