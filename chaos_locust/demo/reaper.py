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


def reap(children: list[Identity], state: Path, programs: Path, foreign: set[int]) -> None:
    """End the children, what descends from them, and the database's orphans; then remove the state.

    `foreign` are the segments of shared memory that were there before the shop.
    """
    ended = set(children)
    deadline = time.monotonic() + REMOVING_S
    while state.exists() and time.monotonic() < deadline:
        # Again and again: while the database is being prepared, its programs start others.
        left = with_descendants(children) | running_in(programs, state / "postgres")
        for identity in left:
            identity.send(signal.SIGKILL)  # also for those that are stopped, who heed nothing else
        wait_gone(left, timeout_s=1)
        ended |= left
        shutil.rmtree(state, ignore_errors=True)
    creators = {identity.pid for identity in ended}
    for segment, (creator, attached) in segments().items():
        if segment not in foreign and creator in creators and not attached:
            ctypes.CDLL(None).shmctl(segment, IPC_RMID, None)  # a killed PostgreSQL leaves one behind


def segments() -> dict[int, tuple[int, int]]:
    """The machine's System V shared memory: by id, the pid of the creator and how many are attached."""
    rows = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {int(row[1]): (int(row[4]), int(row[6])) for row in map(str.split, rows)}


def main(state: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        with claim(state):
            print(CLAIMED, flush=True)
            programs, children, foreign = Path(), [], set(segments())
            for line in sys.stdin:
                match line.rstrip("\n").split(" "):
                    case ["programs", *words]:
                        programs = Path(" ".join(words))
                    case ["child", pid, started]:
                        children.append(Identity(int(pid), int(started)))
            reap(children, state, programs, foreign)
    except StateInUse as error:
        print(error, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
