"""Every reason that is known beforehand why a fault on a path could not be injected. Changes nothing."""

from __future__ import annotations

import os
import resource
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from chaos_locust.backends.files.access import attempt, flag_problem
from chaos_locust.backends.files.kept import kept_folder
from chaos_locust.backends.files.look import free_bytes, free_inodes
from chaos_locust.backends.files.place import (
    SPARE_BYTES,
    entries,
    file_system_problem,
    folder_of,
    resolved,
    user_of,
)
from chaos_locust.backends.files.trace import watched_processes
from chaos_locust.errors import BackendError, ProbeError, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.files import DiskFull, FileCorrupt, FileMissing, FileTruncate, Inodes, Traced
from chaos_locust.plan.parts import Target
from chaos_locust.probes.process import ProcessId, identify, read_pidfile
from chaos_locust.units import format_size

MOST_KEPT_BYTES = 1_000_000_000  # copied and synced between the lease and the fault
_SPARE_DESCRIPTORS = 50
_CAP_SYS_PTRACE = 19
_PTRACE_SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")


def files_problems(fault: Fault, target: Target) -> list[Problem]:
    try:
        if target.path is None:
            raise BackendError(f"gives no path, which a {fault.kind} needs")
        path = resolved(target.path)
        found = list(_reasons(fault, target, path))
    except (BackendError, ProbeError) as error:
        found = [str(error)]
    except OSError as error:
        found = [f"{target.path}: {error.strerror}"]
    return [Problem(f"targets.{target.name}", text) for text in found]


def _reasons(fault: Fault, target: Target, path: Path) -> Iterator[str]:
    if isinstance(fault, DiskFull | Inodes):
        yield from _filling(fault, target, path)
    elif isinstance(fault, Traced):
        yield from _tracing(target)
    elif isinstance(fault, FileCorrupt | FileTruncate):
        if not path.is_file():
            yield f"{path} is a folder; a {fault.kind} needs a file"
        elif not os.access(path, os.W_OK | os.R_OK):
            yield f"{path} is not ours to read and write; run as its owner or as root"
        elif isinstance(fault, FileTruncate):
            yield from _room_for(path.stat().st_size - (fault.size_bytes or 0))
    elif isinstance(fault, FileMissing):
        folder = path.parent.stat()
        sticky = folder.st_mode & stat.S_ISVTX and os.geteuid() not in (0, folder.st_uid, path.lstat().st_uid)
        if sticky or not os.access(path.parent, os.W_OK | os.X_OK):
            yield f"{path.parent} is not ours to rename in; run as its owner or as root"
    else:
        yield from _access(fault, target, path)


def _filling(fault: DiskFull | Inodes, target: Target, path: Path) -> Iterator[str]:
    folder = folder_of(path)
    left_bytes = fault.leave_bytes or 0 if isinstance(fault, DiskFull) else 0
    if reason := file_system_problem(path, target.root_disk, left_bytes):
        yield reason
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600))
    except OSError as error:
        yield f"no file without a name can be made in {folder}: {error.strerror}"
        return
    if isinstance(fault, DiskFull):
        free = free_bytes(folder)
        if free <= left_bytes:
            yield f"{format_size(free)} are free on the file system of {path} already"
        found = os.statvfs(folder)
        if os.geteuid() != 0 and found.f_bfree != found.f_bavail and user_of(path, _pid(target)).uid == 0:
            yield f"the target is root, for whom a part of {path}'s file system is reserved; run as root"
        return
    inodes = free_inodes(folder)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - _SPARE_DESCRIPTORS
    if inodes is None:
        yield f"the file system of {path} counts no inodes, so they cannot be used up"
    elif inodes <= fault.leave:
        yield f"{inodes} inodes are free on the file system of {path} already"
    elif inodes - fault.leave > most:
        where = f"{inodes:,} inodes are free on the file system of {path}"
        yield f"{where}; one process may hold {most:,} (ulimit -Hn)"


def _tracing(target: Target) -> Iterator[str]:
    for process in watched_processes(target.pidfile):
        rows = _status(process)
        if int(rows["TracerPid"]):
            yield f"process {process.pid} is traced already, by process {rows['TracerPid'].strip()}"
        if _may_trace_all():
            continue
        if int(rows["Uid"].split()[0]) != os.geteuid():
            yield f"process {process.pid} belongs to another user: tracing it needs root or CAP_SYS_PTRACE"
        elif _PTRACE_SCOPE.exists() and _PTRACE_SCOPE.read_text().strip() != "0":
            yield f"only CAP_SYS_PTRACE may trace here ({_PTRACE_SCOPE} is not 0); run as root"


def _room_for(size: int) -> Iterator[str]:
    if size > MOST_KEPT_BYTES:
        yield f"{format_size(size)} would have to be kept; at most {format_size(MOST_KEPT_BYTES)} are"
        return
    place = kept_folder()
    existing = next(folder for folder in (place, *place.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < size + SPARE_BYTES:
        room = f"{place}, which has {format_size(free)}"
        yield f"{format_size(size)} would have to be kept in {room}; set XDG_STATE_HOME"


def _access(fault: Fault, target: Target, path: Path) -> Iterator[str]:
    user = user_of(path, _pid(target))
    if user.mighty:
        whose = "the target's process has" if target.pidfile else f"the owner of {path} is root and has"
        if fault.kind == "permission_denied":
            yield (
                f"{whose} root's rights, which no mode stops; give the pidfile of a process without them, or "
                "use read_only or file_missing"
            )
        elif reason := flag_problem(path):
            yield f"{whose} root's rights: {reason}"
        return
    names = entries(path) if fault.kind == "read_only" else ["."]
    foreign = next((n for n in names if os.geteuid() not in (0, (path / n).lstat().st_uid)), None)
    if foreign is not None:
        yield f"{path / foreign} is not ours to change; run as its owner or as root"
        return
    if met := attempt(user, path, fault.kind):
        yield f"{path} is refused to user {user.uid} already ({met})"


def _pid(target: Target) -> int | None:
    return None if target.pidfile is None else read_pidfile(target.pidfile)


def _status(process: ProcessId) -> dict[str, str]:
    try:
        rows = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError as error:
        if identify(process.pid) is None:
            raise BackendError(f"process {process.pid} has just ended") from None
        raise BackendError(f"process {process.pid} cannot be looked at: {error.strerror}") from None
    return dict(row.split(":", 1) for row in rows)


def _may_trace_all() -> bool:
    row = next(r for r in Path("/proc/self/status").read_text().splitlines() if r.startswith("CapEff:"))
    return bool(int(row.split()[1], 16) >> _CAP_SYS_PTRACE & 1)
