"""Telling processes apart, and ending those that are ours: by pid and start time, never by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that no later one can be mistaken for: pid and start time (clock ticks since boot)."""

    pid: int
    started: int

    def alive(self) -> bool:
        """Whether it still runs; one that waits to be reaped does not."""
        stat = _stat(self.pid)
        return stat is not None and stat.started == self.started and stat.state not in "ZX"

    def send(self, number: signal.Signals) -> None:
        """Signal it, if it is still that process."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:  # The descriptor holds on to one process, so that nobody can take its pid after the check.
            if self.alive():
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    parent: int
    started: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before it may hold spaces and brackets
    return _Stat(fields[0], int(fields[1]), int(fields[19]))


def identify(pid: int) -> Identity | None:
    """The identity of a pid, None if there is no such process."""
    stat = _stat(pid)
    return Identity(pid, stat.started) if stat else None


def with_descendants(roots: Iterable[Identity]) -> set[Identity]:
    """The roots that still run, with all that descend from them."""
    stats = {int(name): _stat(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    found = {root for root in roots if root.alive()}
    grown = True
    while grown:
        pids = {identity.pid for identity in found}
        children = {Identity(pid, s.started) for pid, s in stats.items() if s and s.parent in pids}
        grown = not children <= found
        found |= children
    return found


def running_in(programs: Path, folder: Path) -> set[Identity]:
    """Processes that run one of those programs (a folder of them) in that working folder.

    PostgreSQL's back-ends outlive a killed postmaster while they are stopped, and then nobody is their
    parent any more; but they all sit in the data folder.
    """
    found = set()
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.readlink(f"/proc/{name}/cwd") == str(folder):
                identity = identify(int(name))
                if identity and Path(os.readlink(f"/proc/{name}/exe")).parent == programs:
                    found.add(identity)
        except OSError:  # gone meanwhile, or another user's
            continue
    return found


def wait_gone(identities: Iterable[Identity], timeout_s: float) -> bool:
    """Wait until none of them runs; False if the time was not enough."""
    deadline = time.monotonic() + timeout_s
    left = set(identities)
    while left := {identity for identity in left if identity.alive()}:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
