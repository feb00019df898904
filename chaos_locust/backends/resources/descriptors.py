"""How many files a process may have open, and has: RLIMIT_NOFILE, the soft limit alone."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from itertools import count
from typing import Any

from chaos_locust.errors import BackendError
from chaos_locust.probes.process import ProcessId, identify
from chaos_locust.probes.process_tree import tree

Limits = list[dict[str, Any]]
"""For each process {process: as of ProcessId, before: its soft limit, ours}."""


def soft_limit(pid: int) -> int | None:
    """None: it is gone. Raises BackendError."""
    try:
        return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
    except ProcessLookupError:
        return None
    except PermissionError:
        raise BackendError(
            f"process {pid} belongs to another user: no right to change its limits; needs root"
        ) from None


def set_soft_limit(victim: ProcessId, soft: int) -> None:
    """Raises BackendError. Of one that is gone: nothing."""
    try:
        hard = resource.prlimit(victim.pid, resource.RLIMIT_NOFILE)[1]
        if victim.state is not None:
            wanted = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
            resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, (wanted, hard))
    except ProcessLookupError:
        pass
    except OSError as error:
        raise BackendError(f"the limit of process {victim.pid} cannot be set: {error.strerror}") from None


def lower(limits: Limits) -> None:
    for each in limits:
        set_soft_limit(ProcessId(**each["process"]), each["ours"])


def put_back(root: ProcessId, limits: Limits) -> None:
    """Of these processes and of those that they started meanwhile, where the limit is still ours."""
    for victim, before in _lowered(root, limits):
        set_soft_limit(victim, before)


def is_put_back(root: ProcessId, limits: Limits) -> bool:
    return not list(_lowered(root, limits))


def open_files(pid: int) -> set[int]:
    """The numbers of its descriptors. Raises BackendError; empty when it is gone."""
    try:
        return {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise BackendError(f"the open files of process {pid} cannot be read: {error.strerror}") from None


def limit_with_spare(used: set[int], spare: int) -> int:
    """The limit below which `spare` numbers are free: a new descriptor gets the lowest free number."""
    if spare == 0:
        return next(number for number in count() if number not in used)
    free = (number for number in count() if number not in used)
    return next(number for index, number in enumerate(free, 1) if index == spare) + 1


def free_below(used: set[int], limit: int) -> int:
    return limit - sum(number < limit for number in used)


def _lowered(root: ProcessId, limits: Limits) -> Iterator[tuple[ProcessId, int]]:
    """(process, its limit before) of each that has a limit of ours."""
    known = {each["process"]["pid"] for each in limits}
    inherited = {each["ours"]: each["before"] for each in limits}
    family = tree(root.pid) if root.state is not None else []
    for each in limits:
        victim = ProcessId(**each["process"])
        if victim.state is not None and soft_limit(victim.pid) == each["ours"]:
            yield victim, each["before"]
    for pid in family:
        if pid in known:
            continue
        with contextlib.suppress(BackendError):  # one that became another user's took its limit with it
            soft, child = soft_limit(pid), identify(pid)
            if soft in inherited and child is not None:
                yield child, inherited[soft]
