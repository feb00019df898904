"""Faults on files, folders and the disk. Each kind's work is done by one of the modules `files_*`."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import TypeVar

from chaos_locust.backends.base import Effect, Reading, Undo, mark
from chaos_locust.backends.files import change as files_change
from chaos_locust.backends.files import kept as files_kept
from chaos_locust.backends.files.access import Way, inject_access, left_changed, prepare_access, revert_access
from chaos_locust.backends.files.effect import files_effect
from chaos_locust.backends.files.held import Holders, held_again, living
from chaos_locust.backends.files.look import calls_of, is_mapped, look, look_at_trace, tracers
from chaos_locust.backends.files.place import resolved, user_of
from chaos_locust.backends.files.preflight import files_problems
from chaos_locust.backends.files.touch import Touches
from chaos_locust.backends.files.trace import trace_details, tracer_arguments, watched_processes
from chaos_locust.backends.link.watch import LinkWatch
from chaos_locust.errors import BackendError, ProbeError, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.files import (
    Changing,
    DiskFull,
    FileCorrupt,
    FileTruncate,
    Inodes,
    Traced,
)
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.probes.process import identify, read_pidfile

HOLD_LIMIT_S = 20.0
"""So long a file system may take to be filled, and a process to be traced."""
_LOOK_AGAIN_S = 0.005
_HELD = ("disk_full", "inodes", "slow_io", "io_error")
_ACCESS = ("read_only", "permission_denied")

T = TypeVar("T")


class FilesBackend:
    """An Undo: {backend, kind, mark, path, pid: of the process or None, ...}. `holder`: what the process that
    is the fault was told. `kept`: the folder where what was is kept. dev, ino: of what is changed; with
    runs, size and was, aside, or rows: see files_change and files_access."""

    name = "files"

    def __init__(self, watch: LinkWatch) -> None:
        self._holders = Holders()
        self._touches: dict[str, Touches | None] = {}
        self._lock = threading.Lock()

    def preflight(self, plan: Plan, fault: Fault, target: Target) -> list[Problem]:
        problems = files_problems(fault, target)
        if not problems:
            try:
                self.prepare("preflight", plan, fault, target)
            except BackendError as error:
                problems.append(Problem(f"targets.{target.name}", str(error)))
        return problems

    def open(self, run_id: str, plan: Plan, target: Target) -> Undo | None:
        return None

    def build(self, undo: Undo, target: Target) -> None:
        raise BackendError("nothing is made for a path")

    def prepare(self, run_id: str, plan: Plan, fault: Fault, target: Target) -> Undo:
        if target.path is None:
            raise BackendError(f"target {target.name} has no path")
        path = resolved(target.path)
        undo: Undo = {
            "backend": self.name,
            "kind": fault.kind,
            "mark": mark(run_id, fault.name, longest=80),
            "path": str(path),
            "pid": _pid(target),
        }
        with _in_words(path):
            return self._unseen(undo, lambda: self._prepared(plan, fault, target, path, undo))

    def inject(self, fault: Fault, undo: Undo) -> None:
        with _in_words(undo["path"]):
            self._unseen(undo, lambda: self._inject(undo))

    def adjust(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        raise BackendError(f"a {fault.kind} does not change with time")

    def observe(self, fault: Fault, undo: Undo) -> Reading:
        path, pid = Path(undo["path"]), undo["pid"]
        reading: Reading = {
            "at_s": time.monotonic(),
            "acts": None,
            "told": "",
            "touches": None,
            "calls": None if pid is None else calls_of(pid),
            "mapped": pid is not None and is_mapped(pid, path),
            "traced": None,
            "error": "",
        }
        if isinstance(fault, Traced):
            return reading | self._look_at_trace(undo)
        touches = self._watched(undo["path"])
        try:
            reading["acts"], reading["told"] = self._unseen(undo, lambda: look(undo))
        except OSError as error:
            reading["error"] = f"{path}: {error.strerror}"
        reading["touches"] = None if touches is None else touches.count()
        return reading

    def effect(self, fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        return files_effect(fault, before, during)

    def revert(self, undo: Undo) -> None:
        with _in_words(undo["path"]):
            match undo["kind"]:
                case kind if kind in _HELD:
                    self._holders.end(undo["mark"])
                    return
                case "file_corrupt":
                    files_change.revert_corrupt(undo)
                case "file_truncate":
                    files_change.revert_truncate(undo)
                case "file_missing":
                    files_change.revert_missing(undo)
                case _:
                    revert_access(undo)
            if not self._left(undo):
                files_kept.forget(undo)

    def verify(self, undo: Undo) -> bool:
        with _in_words(undo["path"]):
            return not self._left(undo) and not (undo["kind"] not in _HELD and files_kept.is_kept(undo))

    def describe(self, undo: Undo) -> str:
        return f"the {undo['kind']} on {undo['path']}"

    def scan(self, place: str) -> list[Undo]:
        """place: a folder or file; everything of ours on this machine when it is empty."""
        if "://" in place:
            return []
        found = []
        for pid, arguments in living().items():
            found.append(held_again(self.name, pid, arguments))
        found += files_kept.all_kept()
        if not place:
            return list({undo["mark"]: undo for undo in found}.values())
        real = Path(place).resolve()
        found = [undo for undo in found if Path(undo["path"]).is_relative_to(real)]
        folder = real if real.is_dir() else real.parent
        for aside in files_change.found_aside(folder):
            if any(undo["mark"] == aside["mark"] for undo in found):
                continue
            with contextlib.suppress(OSError):
                it = files_change.identity(Path(aside["aside"]))
                kept = str(files_kept.kept_folder())
                found.append(
                    {"backend": self.name, "kind": "file_missing", "pid": None, "kept": kept} | it | aside
                )
        return found

    # -- each kind --------------------------------------------------------------------------------------

    def _prepared(self, plan: Plan, fault: Fault, target: Target, path: Path, undo: Undo) -> Undo:
        if isinstance(fault, DiskFull | Inodes):
            left = fault.leave if isinstance(fault, Inodes) else fault.leave_bytes or 0
            what = "disk" if isinstance(fault, DiskFull) else "inodes"
            folder = path if path.is_dir() else path.parent
            return undo | {"leave": left, "holder": [what, str(folder), str(left)]}
        if isinstance(fault, Traced):
            processes = watched_processes(target.pidfile)
            holder = ["trace", *tracer_arguments(fault, path, [process.pid for process in processes])]
            return (
                undo
                | trace_details(fault)
                | {"holder": holder, "processes": [asdict(each) for each in processes]}
            )
        files_kept.check_free(path, undo["mark"])
        undo |= {"kept": str(files_kept.kept_folder())} | files_change.identity(path)
        if isinstance(fault, FileCorrupt):
            return files_change.prepare_corrupt(path, undo, fault.runs, Random(f"{plan.seed} {fault.name}"))
        if isinstance(fault, FileTruncate):
            return files_change.prepare_truncate(path, undo, fault.size_bytes or 0)
        assert isinstance(fault, Changing)
        if fault.kind not in _ACCESS:
            return files_change.prepare_missing(path, undo)
        user = user_of(path, undo["pid"])
        way: Way = "flag" if user.mighty else "mode"
        return prepare_access(path, undo | {"user": asdict(user)}, way, fault.kind == "read_only")

    def _inject(self, undo: Undo) -> None:
        if undo["kind"] in _HELD:
            self._holders.start(undo["mark"], *undo["holder"])
            self._holders.wait(undo["mark"], HOLD_LIMIT_S)
            if undo["holder"][0] == "trace":
                self._wait_traced(undo)
            return
        files_kept.keep(undo)
        match undo["kind"]:
            case "file_corrupt":
                files_change.inject_corrupt(undo)
            case "file_truncate":
                files_change.inject_truncate(undo)
            case "file_missing":
                files_change.inject_missing(undo)
            case _:
                inject_access(undo)

    def _wait_traced(self, undo: Undo) -> None:
        give_up_s = time.monotonic() + HOLD_LIMIT_S
        while not tracers(undo):
            told = self._holders.told(undo["mark"])
            if "error" in told or time.monotonic() > give_up_s:
                raise BackendError(
                    f"process {undo['pid']} cannot be traced: {told.get('error', 'no answer')}"
                )
            time.sleep(_LOOK_AGAIN_S)

    def _look_at_trace(self, undo: Undo) -> Reading:
        told = self._holders.told(undo["mark"])
        if "calls" not in told:
            return {"error": told.get("error", ""), "traced": 0}
        if not tracers(undo):
            return {"acts": False, "told": "the process is not traced", "traced": 0}
        acts, text = look_at_trace(undo, told)
        return {"acts": acts, "told": text, "traced": told["calls"]}

    def _left(self, undo: Undo) -> str:
        """What of it is there still; empty: nothing."""
        match undo["kind"]:
            case kind if kind in _HELD:
                return ", ".join(map(str, living(undo["mark"])))
            case "file_corrupt":
                return str(files_change.corrupted(undo) or "")
            case "file_truncate":
                return files_change.left_truncated(undo)
            case "file_missing":
                return undo["aside"] if os.path.lexists(undo["aside"]) else ""
        return ", ".join(left_changed(undo))

    # -- watching ---------------------------------------------------------------------------------------

    def _watched(self, path: str) -> Touches | None:
        """None: the kernel grants no watch."""
        with self._lock:
            if path not in self._touches:
                try:
                    self._touches[path] = Touches(Path(path))
                except OSError:
                    self._touches[path] = None
            return self._touches[path]

    def _unseen(self, undo: Undo, act: Callable[[], T]) -> T:
        """What we do ourselves is not use."""
        touches = self._touches.get(undo["path"])
        return act() if touches is None else touches.unseen(act)


def _pid(target: Target) -> int | None:
    if target.pidfile is None:
        return None
    try:
        pid = read_pidfile(target.pidfile)
    except ProbeError as error:
        raise BackendError(str(error)) from None
    if identify(pid) is None:
        raise BackendError(f"no process has the pid {pid} of {target.pidfile}")
    return pid


@contextmanager
def _in_words(path: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = " (it may be on a file system that is mounted read-only)" if error.errno == errno.EROFS else ""
        raise BackendError(f"{path}: {error.strerror}{hint}") from None
