"""Owns the state folder of a shop and ends all its processes, however the supervisor ends.

A process of its own session. It claims the folder, says so (or why not) on its standard output, and then
reads from a pipe that the supervisor holds: `child NAME PID START` for each process that is started, and
`programs FOLDER`, where PostgreSQL's are. End of file means that the supervisor is gone, by kill -9 too.
Argument: the port of the shop.
"""

from __future__ import annotations

import ctypes
import shutil
import signal
import sys
import time
from pathlib import Path

from chaos_locust.demo.processes import Identity, running_in, wait_gone, with_descendants
from chaos_locust.demo.state import CLAIMED, StateInUse, claim

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


def main(port: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        with claim(port) as state:
            print(CLAIMED, flush=True)
            programs, children = Path(), []
            for line in sys.stdin:
                match line.rstrip("\n").split(" "):
                    case ["programs", *words]:
                        programs = Path(" ".join(words))
                    case ["child", name, pid, started]:
                        children.append((name, Identity(int(pid), int(started))))
            reap(children, state, programs, state / "postgres")
    except StateInUse as error:
        print(error, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
