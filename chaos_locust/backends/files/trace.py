"""The command line of strace that delays or fails a process's calls on some files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from chaos_locust.backends.base import Undo
from chaos_locust.backends.files.place import files_in
from chaos_locust.backends.process.use import resolve
from chaos_locust.errors import BackendError
from chaos_locust.faults.files import IoError, SlowIo, Traced
from chaos_locust.probes.process import ProcessId, identify
from chaos_locust.probes.process_tree import tree

MOST_FILES = 500
CALLS = {
    "read": ("read", "pread64", "readv", "preadv", "preadv2", "sendfile", "copy_file_range"),
    "write": ("write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate", "fallocate"),
    "sync": ("fsync", "fdatasync", "sync_file_range"),
}


def program() -> str | None:
    return shutil.which("strace")


def watched_processes(pidfile: str | None) -> list[ProcessId]:
    """The process and its descendants. Raises BackendError for one that is never touched."""
    if pidfile is None:
        raise BackendError("the target gives no process: give pidfile")
    return [found for pid in tree(resolve(pidfile).pid) if (found := identify(pid)) is not None]


def tracer_arguments(fault: Traced, path: Path, pids: Sequence[int]) -> list[str]:
    """Raises BackendError when there is no strace, or no file or too many."""
    strace = program()
    if strace is None:
        raise BackendError("the program strace is not there; install it (Debian: apt-get install strace)")
    files = files_in(path)
    if not files:
        raise BackendError(f"{path} holds no file whose calls could be met")
    if len(files) > MOST_FILES:
        raise BackendError(f"{path} holds {len(files):,} files; at most {MOST_FILES} can be told to strace")
    names = [name for kind, names in CALLS.items() if fault.calls in (kind, "all") for name in names]
    calls = ",".join(f"?{name}" for name in names)  # `?`: not every machine has all of them
    if isinstance(fault, SlowIo):
        what = f"delay_enter={round(fault.latency_s * 1e6)}"
    else:
        assert isinstance(fault, IoError)
        what = f"error={fault.error}"
    rules = ["-e", f"trace={calls}", "-e", f"inject={calls}:{what}", "-e", "signal=none"]
    chosen = [word for name in files for word in ("-P", str(name))]
    attached = [word for pid in pids for word in ("-p", str(pid))]
    return [strace, "-f", "-q", "-q", "-T", "-s", "0", *rules, *chosen, *attached]


def trace_details(fault: Traced) -> Undo:
    """What of the fault an Undo has, to tell its effect by."""
    if isinstance(fault, SlowIo):
        return {"latency_s": fault.latency_s}
    assert isinstance(fault, IoError)
    return {"error": fault.error}
