"""Every fault on what a process needs, each on a web server of its own, watched through /proc."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.crash.cell import Case, Cell, NotHere
from tests.crash.cells_process import holders
from tests.servers.hungry import hungry

_CGROUPS = Path("/sys/fs/cgroup")


def cgroups(pid: int) -> list[Path]:
    """Where the process is, in every hierarchy that is mounted at the usual place."""
    found = []
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            for base in (_CGROUPS / names, _CGROUPS / "unified", _CGROUPS):
                if (base / "cgroup.procs").exists() and (base / path.lstrip("/")).is_dir():
                    found.append(base / path.lstrip("/"))
                    break
    return found


def is_unified() -> bool:
    return (_CGROUPS / "cgroup.controllers").exists()


def writable(controller: str) -> None:
    """Raises NotHere where no cgroup with a limit can be made."""
    base = _CGROUPS if is_unified() else _CGROUPS / controller
    if not os.access(base, os.W_OK) or not os.access(base / "cgroup.procs", os.W_OK):
        raise NotHere(f"{base} is not writable; needs root and a writable /sys/fs/cgroup")
    if controller == "memory" and is_unified() and controller not in _enabled():
        raise NotHere(f"the controller {controller} is off below {base}")


def _enabled() -> list[str]:
    return (_CGROUPS / "cgroup.subtree_control").read_text().split()


@contextmanager
def own_cgroup(pid: int) -> Iterator[None]:
    """The process in a cgroup of its own, as a service has it; version 1 needs none."""
    if not is_unified():
        yield
        return
    home, place = cgroups(pid)[0], _CGROUPS / f"tests-{pid}"
    place.mkdir()
    try:
        (place / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for member in (place / "cgroup.procs").read_text().split():
            (home / "cgroup.procs").write_text(member)
        place.rmdir()


class Limits:
    """The limits of one process's cgroups, and those of cgroups of ours that it was seen in."""

    def __init__(self, pid: int) -> None:
        self._pid, self._ours = pid, set[Path]()
        self._memory = self._memory_limits()

    def in_ours(self) -> bool:
        self._ours |= {folder for folder in cgroups(self._pid) if folder.name.startswith("chaos-")}
        return any(folder.name.startswith("chaos-") for folder in cgroups(self._pid))

    def memory_changed(self) -> bool:
        return self._memory_limits() != self._memory

    def left(self) -> str:
        found = [f"the server is in {folder}" for folder in cgroups(self._pid) if "chaos-" in str(folder)]
        found += [f"{folder} is there" for folder in self._ours if folder.exists()]
        if self.memory_changed():
            found.append(f"its limits are {self._memory_limits()} and were {self._memory}")
        return "; ".join(found)

    def _memory_limits(self) -> list[str]:
        limits = [folder / "memory.max" for folder in cgroups(self._pid)]
        return [path.read_text() for path in limits if path.exists()]


def open_files_limit(pid: int) -> str:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line.split()[3] for line in lines if line.startswith("Max open files"))


def resident_mb(pid: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("RssAnon:")), 0.0)


def limiting(kind: str, controller: str, **parameters: Any) -> Cell:
    @contextmanager
    def make() -> Iterator[Case]:
        writable(controller)
        with hungry() as server, own_cgroup(server.pid):
            limits = Limits(server.pid)
            yield Case(
                targets={"web": {"pidfile": str(server.pidfile)}},
                fault={"kind": kind, "target": "web", **parameters},
                acting=lambda: limits.in_ours() or limits.memory_changed(),
                left=lambda: "; ".join(filter(None, [limits.left(), *holders(f'"pid": {server.pid}')])),
            )

    return make


def pressing(kind: str, word: str, acts: Callable[[list[str]], bool], **parameters: Any) -> Cell:
    """word: what is in the arguments of our processes of this fault alone."""

    @contextmanager
    def make() -> Iterator[Case]:
        own = random.SystemRandom().randrange(1001, 10000, 2)
        values = {key: value.format(own) for key, value in parameters.items()}
        with hungry() as server:
            yield Case(
                targets={"web": {"pidfile": str(server.pidfile)}},
                fault={"kind": kind, "target": "web", **values},
                acting=lambda: acts(holders(word.format(own))),
                left=lambda: "; ".join(holders(word.format(own))),
            )

    return make


@contextmanager
def file_descriptors() -> Iterator[Case]:
    with hungry() as server:
        before = open_files_limit(server.pid)

        def left() -> str:
            now = open_files_limit(server.pid)
            found = holders(f'"pid": {server.pid}')
            return "; ".join([*found, *([f"the limit is {now} and was {before}"] if now != before else [])])

        yield Case(
            targets={"web": {"pidfile": str(server.pidfile)}},
            fault={"kind": "file_descriptors", "target": "web", "spare": 2},
            acting=lambda: open_files_limit(server.pid) != before,
            left=left,
        )


def _pid(found: str) -> str:
    return found.split()[1]


def takes_memory(found: list[str]) -> bool:
    return any(resident_mb(_pid(each)) > 20 for each in found)


CELLS: dict[str, Cell] = {
    "cpu_throttle": limiting("cpu_throttle", "cpu", limit="20%"),
    "cpu_pressure": pressing("cpu_pressure", '"share": 0.10{}', lambda found: len(found) > 1, share="10.{}%"),
    "memory_pressure": pressing("memory_pressure", '"bytes": 300{}1', takes_memory, size="300{}1B"),
    "memory_leak": pressing("memory_leak", '"bytes": 301{}1', takes_memory, rate="30MB/s", limit="301{}1B"),
    "memory_limit": limiting("memory_limit", "memory", spare="50MB"),
    "file_descriptors": file_descriptors,
}
