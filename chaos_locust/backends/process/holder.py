"""A process of ours that is a fault, or ends one: it lives for as long as somebody holds its input open.

    python -S -m chaos_locust.backends.process.holder MARK DEADLINE_S JOB

DEADLINE_S is on CLOCK_BOOTTIME. JOB is JSON: {undo: an Undo} does nothing until the end, and then undoes;
{cores: [...], share} keeps each of these cores busy for that share of its time; {bytes, rate: bytes a second
or None, procs: the file that brings it into a cgroup or None} takes memory. It ends when its input does,
which the death of whoever started it sees to, or at the deadline. Standard library alone: it starts quickly.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from chaos_locust.backends.process.undo import is_undone, undo_action
from chaos_locust.errors import BackendError

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_PERIOD_S = 0.02
_CHUNK_BYTES = 16 * 1024**2
_TICK_S = 0.05
_LOOK_EVERY_S = 1.0  # the time of select stands still while the machine sleeps
_SPINS = 2000
_UNDO_AGAIN_S = 0.2
_GIVE_UP_S = 60.0


def main() -> None:
    os.set_blocking(1, False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    deadline_s, job = float(sys.argv[2]), json.loads(sys.argv[3])
    if "undo" in job:
        while wait(deadline_s, _LOOK_EVERY_S):
            pass
        _undo(job["undo"])
    elif "share" in job:
        _burn(job, deadline_s)
    else:
        _take_memory(job, deadline_s)


def wait(deadline_s: float, longest_s: float) -> bool:
    """Until the end or for so long; whether to go on."""
    left_s = deadline_s - time.clock_gettime(time.CLOCK_BOOTTIME)
    ready, _, _ = select.select([0], [], [], max(0.0, min(left_s, longest_s)))
    return left_s > 0 and not (ready and not os.read(0, 100))


def say(**fields: object) -> None:
    """A line for whoever reads; nothing may stop this process."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(fields).encode() + b"\n")


def _undo(undo: Any) -> None:
    give_up_s = time.monotonic() + _GIVE_UP_S
    while time.monotonic() < give_up_s:
        with contextlib.suppress(BackendError):
            undo_action(undo)
            if is_undone(undo):
                return
        time.sleep(_UNDO_AGAIN_S)


def _burn(job: Any, deadline_s: float) -> None:
    own = os.getpid()
    for core in job["cores"]:
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == own:
                os.sched_setaffinity(0, {core})
                _keep_busy(job["share"])
            os._exit(1)
    say(ready=True)
    while wait(deadline_s, _LOOK_EVERY_S):
        pass


def _keep_busy(share: float) -> None:
    """Its CPU time is `share` of the time. What others took from it is made up for, as far as two periods."""
    goal_s, end_s = time.process_time(), time.monotonic()
    while True:
        end_s = max(end_s + _PERIOD_S, time.monotonic())
        goal_s = min(goal_s, time.process_time() + 2 * _PERIOD_S) + share * _PERIOD_S
        while time.process_time() < goal_s and time.monotonic() < end_s:
            for _ in range(_SPINS):
                pass
        time.sleep(max(0.0, end_s - time.monotonic()))


def _take_memory(job: Any, deadline_s: float) -> None:
    wanted, rate, size = job["bytes"], job["rate"], 0
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")  # when it is short, ours is ended first
        if job["procs"] is not None:
            Path(job["procs"]).write_text(str(os.getpid()))
        memory = mmap.mmap(-1, wanted, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        say(error=f"no memory can be taken: {error.strerror}")
        return
    zeros, begun_s = memoryview(bytes(_CHUNK_BYTES)), time.monotonic()
    while wait(deadline_s, _TICK_S if rate is not None or size == wanted else 0):
        due = wanted if rate is None else min(wanted, int(rate * (time.monotonic() - begun_s)))
        if due > size:
            chunk = min(due - size, _CHUNK_BYTES)
            memory[size : size + chunk] = zeros[:chunk]  # a page that is written to is there
            size += chunk
            say(ready=size == wanted, held=size)


if __name__ == "__main__":
    main()
