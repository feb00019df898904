"""A process that is killed each time that its supervisor has started it anew."""

from __future__ import annotations

import signal

from chaos_locust.backends.process.signals import kill
from chaos_locust.backends.process.use import resolve
from chaos_locust.errors import BackendError, ProbeError
from chaos_locust.faults.process import RestartStorm
from chaos_locust.probes.process import ProcessId, command_line, listening_ports


class Storm:
    """What one restart_storm has done so far. first: the process at the onset."""

    def __init__(self, fault: RestartStorm, pidfile: str, first: ProcessId) -> None:
        self.killed = 0
        self.ports = _ports(first)  # it is seldom seen while it listens
        self._fault, self._pidfile = fault, pidfile
        self._arguments = command_line(first.pid)
        self._last, self._last_s = first, 0.0

    def begin(self) -> None:
        """The first kill. Raises BackendError."""
        self._kill(self._last)

    def go_on(self, elapsed_s: float) -> None:
        """The next kill, if it is due and there is a process to kill. Raises BackendError."""
        if self.killed >= self._fault.times or elapsed_s - self._last_s < self._fault.every_s:
            return
        found = self.current()
        if found is not None and found != self._last:
            self._last, self._last_s = found, elapsed_s
            self._kill(found)

    def current(self) -> ProcessId | None:
        """The process that the pid file names now, if it is the same program and may be touched: a pid file
        that nobody has written anew may name anybody."""
        try:
            found = resolve(self._pidfile)
        except BackendError:
            return None
        return found if command_line(found.pid) == self._arguments else None

    def _kill(self, victim: ProcessId) -> None:
        kill(victim, signal.Signals[f"SIG{self._fault.signal}"])
        self.killed += 1


def _ports(first: ProcessId) -> set[int]:
    try:
        return listening_ports(first.pid)
    except ProbeError:
        return set()
