"""Ends all processes of a shop and removes its state, however the supervisor ended.

A process of its own session that reads from a pipe the supervisor holds: one line `pid start name` for
each child. End of file means that the supervisor is gone, by kill -9 too. Arguments: state folder, then
the folders of PostgreSQL's programs and data.
"""

from __future__ import annotations

import ctypes
import shutil
import signal
import sys
import time
from pathlib import Path

from chaos_locust.demo.processes import Identity, running_in, wait_gone, with_descendants

REMOVING_S = 5
IPC_RMID = 0


def reap(children: list[tuple[str, Identity]], state: Path, programs: Path, data: Path) -> None:
    """End the children, what descends from them, and the database's orphans; then remove the state."""
    everyone = with_descendants(identity for _, identity in children) | running_in(programs, data)
    databases = {identity for name, identity in children if name == "postgres"}
    for identity in everyone:
        identity.send(signal.SIGCONT)  # a stopped process heeds no other signal but KILL
    for database in databases:
        database.send(signal.SIGQUIT)  # killed outright it would leave shared memory behind
    for identity in everyone - with_descendants(databases):
        identity.send(signal.SIGKILL)
    wait_gone(databases, timeout_s=3)
    deadline = time.monotonic() + REMOVING_S
    while state.exists() and time.monotonic() < deadline:
        # While the database is being prepared its programs start others, so look again.
        left = everyone | running_in(programs, data)
        for identity in left:
            identity.send(signal.SIGKILL)
        wait_gone(left, timeout_s=1)
        remove_shared_memory(data)
        shutil.rmtree(state, ignore_errors=True)


def remove_shared_memory(data: Path) -> None:
    """Remove the segment that a killed PostgreSQL leaves; its lock file tells pid, key and id."""
    try:
        lock = (data / "postmaster.pid").read_text().splitlines()
        pid, segment = abs(int(lock[0])), int(lock[6].split()[1])
    except (OSError, ValueError, IndexError):
        return
    for row in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]:
        _, number, _, _, creator, _, attached, *_ = map(int, row.split())
        if (number, creator, attached) == (segment, pid, 0):
            ctypes.CDLL(None).shmctl(segment, IPC_RMID, None)


def main(arguments: list[str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    children = []
    for line in sys.stdin:
        pid, started, name = line.split()
        children.append((name, Identity(int(pid), int(started))))
    reap(children, *map(Path, arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
