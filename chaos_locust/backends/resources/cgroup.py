"""Control groups, versions 1 and 2: a cgroup of ours below a process's own, so that its own limits hold on.

In version 2 a cgroup with processes may have no child with a limit, except a threaded one, and that for CPU
alone. So memory is limited there on the process's own cgroup, if it has that to itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path

from chaos_locust.errors import BackendError
from chaos_locust.probes.process_tree import tree

_LIMIT_S = 5.0
_LOOK_AGAIN_S = 0.01


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The cgroup of a process that `controller` (cpu, memory) looks at. version: 1 or 2."""

    folder: Path
    version: int
    controller: str

    @property
    def is_root(self) -> bool:
        return self.version == 2 and not (self.folder / "cgroup.type").exists()

    def members(self) -> list[int]:
        """The pids in it and below it."""
        return [pid for file in self.folder.rglob("cgroup.procs") for pid in _numbers(file)]


def cgroup_of(pid: int, controller: str) -> Cgroup:
    """Raises BackendError when the kernel or this machine has none."""
    found = None
    for line in _read(Path(f"/proc/{pid}/cgroup")).splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            found = _mounted("cgroup", controller, path)
            if found is not None:
                return Cgroup(found, 1, controller)
        elif not names:
            found = _mounted("cgroup2", "", path)
            if found is not None and controller in _words(found / "cgroup.controllers"):
                return Cgroup(found, 2, controller)
    raise BackendError(
        f"this machine shows no cgroup with a {controller} controller for process {pid}; is /sys/fs/cgroup "
        "mounted, and with all of its folders?"
    )


def check_child(own: Cgroup) -> None:
    """Raises BackendError with the reason why a child cgroup with a limit could not be made."""
    folder, needed = own.folder, ["cgroup.procs"]
    if own.version == 2:
        if own.controller != "cpu" and not own.is_root:
            raise BackendError(f"cgroup v2 limits no {own.controller} below {folder}")
        if own.controller not in _words(folder / "cgroup.subtree_control"):
            needed.append("cgroup.subtree_control")
            if _children(folder):
                raise BackendError(
                    f"the controller {own.controller} is off below {folder}, where there are other cgroups; "
                    f"turn it on: echo +{own.controller} > {folder}/cgroup.subtree_control"
                )
        if not own.is_root and _read(folder / "cgroup.type") == "domain invalid":
            raise BackendError(f"{folder} is an invalid cgroup, which can hold no limit")
    for path in (folder, *(folder / name for name in needed)):
        check_writable(path)


def check_writable(path: Path) -> None:
    """Raises BackendError."""
    if not os.access(path, os.W_OK):
        raise BackendError(f"the cgroup file {path} is not writable; needs root, and /sys/fs/cgroup writable")


def make_child(own: Cgroup, child: Path, limits: dict[str, str], pid: int) -> None:
    """The cgroup `child` with these limits, and the process and its descendants in it. Raises BackendError.
    `remove_child` takes it back, also when this failed half way."""
    try:
        child.mkdir()
        if own.version == 2:
            if not own.is_root:
                (child / "cgroup.type").write_text("threaded")
            if own.controller not in _words(own.folder / "cgroup.subtree_control"):
                (own.folder / "cgroup.subtree_control").write_text(f"+{own.controller}")
        for name, value in limits.items():
            (child / name).write_text(value)
    except OSError as error:
        raise BackendError(f"the cgroup {child} cannot be made: {error.strerror}") from None
    deadline_s = time.monotonic() + _LIMIT_S
    while outside := [p for p in tree(pid) if _is_in(p, own)]:
        for member in outside:
            _move(member, child)
        if time.monotonic() > deadline_s:
            raise BackendError(f"process {outside[0]} cannot be moved to the cgroup {child}")
    if not _members(child):
        raise BackendError(f"process {pid} is gone")


def remove_child(child: Path) -> None:
    """Puts what is in it back into the cgroup above, and removes it. Idempotent. Raises BackendError."""
    deadline_s = time.monotonic() + _LIMIT_S
    while child.exists():
        for member in _members(child):
            _move(member, child.parent)
        try:
            child.rmdir()
        except FileNotFoundError:
            break
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline_s:
                raise BackendError(f"the cgroup {child} cannot be removed: {error.strerror}") from None
            time.sleep(_LOOK_AGAIN_S)


def is_turned_on_for_us(own: Cgroup, prefix: str) -> bool:
    """Whether the controller has to be turned on below it, or was so by other runs of ours: `turn_off`."""
    children = _children(own.folder)
    off = own.controller not in _words(own.folder / "cgroup.subtree_control")
    return own.version == 2 and (
        off or (bool(children) and all(name.startswith(prefix) for name in children))
    )


def turn_off(own: Cgroup) -> None:
    """The controller below a cgroup of version 2, unless it has other children."""
    control = own.folder / "cgroup.subtree_control"
    if own.version == 2 and own.folder.exists() and not _children(own.folder):
        with contextlib.suppress(OSError):
            if own.controller in _words(control):
                control.write_text(f"-{own.controller}")


def figures(file: Path) -> dict[str, int]:
    """`name value` lines of a file such as cpu.stat; empty when it is not there."""
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdecimal()}


def number(file: Path) -> int | None:
    """What a file such as memory.max holds; None: no limit, or not there."""
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text())
    return None


def marked_below(prefix: str) -> list[Cgroup]:
    """Every cgroup on this machine whose name begins so."""
    found = []
    for kind, _, point, options in _mounts():
        for folder, names, _ in os.walk(point):
            found += [
                Cgroup(Path(folder) / name, 1 if kind == "cgroup" else 2, controller)
                for name in names
                if name.startswith(prefix)
                for controller in ("cpu", "memory")
                if kind == "cgroup2" or controller in options
            ]
    return found


def _move(pid: int, folder: Path) -> None:
    try:
        (folder / "cgroup.procs").write_text(str(pid))
    except ProcessLookupError:
        pass
    except OSError as error:
        raise BackendError(
            f"process {pid} cannot be moved to the cgroup {folder}: {error.strerror}"
        ) from None


def _members(folder: Path) -> list[int]:
    # In version 2 a threaded cgroup tells its threads alone; any thread moves its process.
    threads = folder / "cgroup.threads"
    return _numbers(threads if threads.exists() else folder / "cgroup.procs")


def _is_in(pid: int, own: Cgroup) -> bool:
    with contextlib.suppress(BackendError):
        return cgroup_of(pid, own.controller).folder == own.folder
    return False


def _children(folder: Path) -> list[str]:
    return [entry.name for entry in os.scandir(folder) if entry.is_dir()]


def _numbers(file: Path) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in file.read_text().split()]
    return []


def _words(file: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return file.read_text().split()
    return []


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise BackendError(f"{file} cannot be read: {error.strerror}") from None


def _mounted(kind: str, controller: str, path: str) -> Path | None:
    """Where a path of /proc/PID/cgroup is found in our file system."""
    for each, root, point, options in _mounts():
        if each == kind and (not controller or controller in options):
            inside = os.path.relpath(path, root)
            if not inside.startswith("..") and (Path(point) / inside).is_dir():
                return Path(point) / inside
    return None


def _mounts() -> list[tuple[str, str, str, list[str]]]:
    """(kind, root, mount point, options) of every mounted cgroup hierarchy."""
    found = []
    for line in _read(Path("/proc/self/mountinfo")).splitlines():
        first, _, second = line.partition(" - ")
        kind, _, options = second.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            root, point = first.split()[3:5]
            found.append((kind, root, point, options.split(",")))
    return found
