"""Owns the state folder of a shop and ends all its processes, however the supervisor ends.

A process of its own session. It claims the folder, says so (or why not) on its standard output, and then
reads from a pipe that the supervisor holds: `child PID START` for each process that is started, and
`programs FOLDER`, where PostgreSQL's are. End of file means that the supervisor is gone, by kill -9 too.
Argument: the state folder.
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


def reap(children: list[Identity], state: Path, programs: Path, data: Path) -> None:
    """End the children, what descends from them, and the database's orphans; then remove the state."""
    deadline = time.monotonic() + REMOVING_S
    while state.exists() and time.monotonic() < deadline:
        # Again and again: while the database is being prepared, its programs start others.
        left = with_descendants(children) | running_in(programs, data)
        for identity in left:
            identity.send(signal.SIGKILL)  # also for those that are stopped, who heed nothing else
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


def main(state: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        with claim(state):
            print(CLAIMED, flush=True)
            programs, children = Path(), []
            for line in sys.stdin:
                match line.rstrip("\n").split(" "):
                    case ["programs", *words]:
                        programs = Path(" ".join(words))
                    case ["child", pid, started]:
                        children.append(Identity(int(pid), int(started)))
            reap(children, state, programs, state / "postgres")
    except StateInUse as error:
        print(error, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
