"""A program of its own, which imports nothing of ours: holds a fault for as long as somebody wants it.

    files/holder.py MARK disk FOLDER LEAVE_BYTES     fills the file system of FOLDER
    files/holder.py MARK inodes FOLDER LEAVE         uses up its inodes
    files/holder.py MARK trace STRACE OPTIONS...     runs strace, named MARK, and counts what it did

It ends, and with it what it holds, at the end of its input or with the process that started it. What it
takes are files without a name (O_TMPFILE), which the kernel removes with their last descriptor; strace is
sent SIGKILL by the kernel when this process dies, and its tracees go on. It says where it is as JSON lines.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable

LOOK_EVERY_S = 0.1
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_DONE = re.compile(rb"\((?:INJECTED|DELAYED)\)(?: <([0-9.]+)>)?")


def say(**fields: object) -> None:
    """A line for whoever reads; one that finds no room is lost, for nothing may stop this process."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(fields).encode() + b"\n")


def wanted(parent: int, *others: int) -> bool:
    """Waits a moment; whether to go on."""
    ready, _, _ = select.select([0, *others], [], [], LOOK_EVERY_S)
    return os.getppid() == parent and (0 not in ready or bool(os.read(0, 100)))


def unnamed(folder: str) -> int:
    return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


def free_bytes(file: int) -> int:
    found = os.fstatvfs(file)
    return found.f_frsize * (found.f_bfree if os.geteuid() == 0 else found.f_bavail)


def fill(file: int, leave: int) -> int:
    """Grows the file until `leave` bytes are free; returns its size."""
    block = os.fstatvfs(file).f_frsize
    size = os.fstat(file).st_size
    step = free_bytes(file) - leave
    while step >= block and free_bytes(file) - leave >= block:
        step = min(step, free_bytes(file) - leave) // block * block
        try:
            os.posix_fallocate(file, size, step)
        except OSError:
            step //= 2
        size = max(os.fstat(file).st_size, size)
    return size


def hold_disk(parent: int, folder: str, leave: str) -> None:
    file = unnamed(folder)
    while True:
        size = fill(file, int(leave))
        say(ready=True, held=size)
        if not wanted(parent):
            return


def hold_inodes(parent: int, folder: str, leave: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    held: list[int] = []
    while True:
        with contextlib.suppress(OSError):
            while os.fstatvfs(place).f_favail > int(leave):
                held.append(unnamed(folder))
        say(ready=True, held=len(held))
        if not wanted(parent):
            return


def hold_trace(parent: int, program: str, *options: str) -> None:
    read, write = os.pipe()
    own = os.getpid()

    def die_with_us() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != own:
            os._exit(1)

    tracer = subprocess.Popen(
        [sys.argv[1], "-o", f"/proc/self/fd/{write}", *options], executable=program,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        pass_fds=[write], preexec_fn=die_with_us,
    )  # fmt: skip
    os.close(write)
    assert tracer.stderr is not None
    shortest_s: float | None = None
    calls, rest, told_s = 0, b"", 0.0
    while wanted(parent, read):
        if select.select([read], [], [], 0)[0]:
            data = os.read(read, 1 << 16)
            if not data:
                say(error=tracer.stderr.read().decode(errors="replace").strip() or "strace ended")
                break
            *lines, rest = (rest + data).split(b"\n")
            for found in filter(None, map(_DONE.search, lines)):
                calls += 1
                if found[1]:
                    shortest_s = min(float(found[1]), shortest_s if shortest_s is not None else 1e9)
        if time.monotonic() - told_s > LOOK_EVERY_S:
            told_s = time.monotonic()
            say(ready=True, tracer=tracer.pid, calls=calls, shortest_s=shortest_s)
    tracer.kill()
    tracer.wait()


def main() -> None:
    parent = os.getppid()
    os.set_blocking(1, False)
    holds: dict[str, Callable[..., None]] = {"disk": hold_disk, "inodes": hold_inodes, "trace": hold_trace}
    try:
        holds[sys.argv[2]](parent, *sys.argv[3:])
    except OSError as error:
        say(error=error.strerror)


if __name__ == "__main__":
    main()
