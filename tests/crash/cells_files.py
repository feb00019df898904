"""Files, folders and file systems of the test's own, and a process that uses them all the time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .cell import Case, Cell, NotHere

CONTENT = bytes(range(256)) * 40
SIZE, INODES = "8M", 200
_NOBODY = 65534
_LIMIT_S = 10.0

# Opens, reads and rewrites what is there, and tells how its last writing went: [seconds, errno].
_USER = """
import json, os, sys, time
path, told = sys.argv[1:3]
kept = os.open(path, os.O_RDWR) if os.path.isfile(path) else None
while True:
    try:
        os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(64)
    except OSError:
        pass
    if kept is not None:
        begun_s, number = time.monotonic(), 0
        try:
            os.pwrite(kept, os.pread(kept, 16, 0), 0)
        except OSError as error:
            number = error.errno
        with open(told + ".new", "w") as file:
            json.dump([time.monotonic() - begun_s, number], file)
        os.replace(told + ".new", told)
    time.sleep(0.02)
"""
# Only reads: what it may not do to what is put back bit by bit.
_READER = _USER.replace("os.pwrite(kept, os.pread(kept, 16, 0), 0)", "os.pread(kept, 16, 0)")


def until(condition: Callable[[], Any], what: str) -> None:
    give_up_s = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > give_up_s:
            raise AssertionError(f"not within {_LIMIT_S} s: {what}")
        time.sleep(0.01)


@contextmanager
def folder() -> Iterator[Path]:
    """Of a user without root's rights, where we are root; everybody may pass through."""
    made = Path(tempfile.mkdtemp(prefix="files-cell-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


@contextmanager
def used(path: Path, told: Path, program: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", program, str(path), str(told)], cwd="/")
    try:
        if path.is_file():
            until(told.exists, "the file is used")
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def file_system() -> Iterator[Path]:
    if os.geteuid() != 0:
        raise NotHere("needs root, to mount a small file system")
    with folder() as outer:
        place = outer / "disk"
        place.mkdir()
        options = f"size={SIZE},nr_inodes={INODES}"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "cell", place], capture_output=True)
        if done.returncode:
            raise NotHere(f"needs the right to mount: {done.stderr.decode().strip()}")
        try:
            yield place
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)


def filled(kind: str) -> Cell:
    @contextmanager
    def cell() -> Iterator[Case]:
        with file_system() as place, used(place, place / "told", _READER):

            def free() -> int:
                found = os.statvfs(place)
                return found.f_bavail if kind == "disk_full" else found.f_ffree

            before = free()

            def left() -> str:
                return "" if free() == before else f"{free()} free of {before} in {place}"

            yield Case(
                {"it": {"path": str(place)}}, {"kind": kind, "target": "it"}, lambda: free() == 0, left
            )

    return cell


def traced(kind: str, **parameters: Any) -> Cell:
    @contextmanager
    def cell() -> Iterator[Case]:
        if shutil.which("strace") is None:
            raise NotHere("needs the program strace")
        with folder() as place:
            path, told, pidfile = place / "data", place / "told", place / "pid"
            path.write_bytes(CONTENT)
            with used(path, told, _USER) as process:
                pidfile.write_text(str(process.pid))

                def tracer() -> int:
                    rows = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                    return next(int(row.split()[1]) for row in rows if row.startswith("TracerPid:"))

                def spoiled() -> bool:
                    took_s, number = json.loads(told.read_text())
                    return took_s >= 0.09 if kind == "slow_io" else number == 5

                def left() -> str:
                    if tracer():
                        return f"process {process.pid} is traced by {tracer()}"
                    return "its last call was spoiled" if spoiled() else ""

                target = {"path": str(path), "pidfile": str(pidfile)}
                fault = {"kind": kind, "target": "it", **parameters}
                yield Case({"it": target}, fault, lambda: tracer() > 0 and spoiled(), left)

    return cell


def changed(kind: str, **parameters: Any) -> Cell:
    @contextmanager
    def cell() -> Iterator[Case]:
        with folder() as outer:
            place = outer / "data"
            place.mkdir()
            path = place / "file"
            path.write_bytes(CONTENT)
            path.chmod(0o640)
            if os.geteuid() == 0:
                os.chown(place, _NOBODY, _NOBODY)
                os.chown(path, _NOBODY, _NOBODY)
            with used(path, outer / "told", _READER):
                before = state_of(place)
                yield Case(
                    {"it": {"path": str(path)}},
                    {"kind": kind, "target": "it", **parameters},
                    lambda: state_of(place) != before,
                    lambda: "" if state_of(place) == before else f"{before} has become {state_of(place)}",
                )

    return cell


def state_of(place: Path) -> list[tuple[Any, ...]]:
    """Everything about the folder and what is in it, but for times of access and change."""
    found = []
    for path in (place, *sorted(place.iterdir())):
        has = path.lstat()
        about = (path.name, has.st_ino, has.st_mode, has.st_uid, has.st_gid)
        if path.is_file():
            about += (has.st_size, has.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        found.append(about)
    return found


CELLS: dict[str, Cell] = {
    "disk_full": filled("disk_full"),
    "inodes": filled("inodes"),
    "slow_io": traced("slow_io", latency="100ms", calls="write"),
    "io_error": traced("io_error", calls="write"),
    "file_corrupt": changed("file_corrupt"),
    "file_truncate": changed("file_truncate", size="4KB"),
    "file_missing": changed("file_missing"),
    "read_only": changed("read_only"),
    "permission_denied": changed("permission_denied"),
}
