"""Faults that limit the process itself, by its cgroup or its limits; a holder takes them back at its end."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chaos_locust.backends.base import MARK, Reading, Undo
from chaos_locust.backends.process.held import MARGIN_S, Holders
from chaos_locust.backends.resources.cgroup import (
    Cgroup,
    cgroup_of,
    check_child,
    check_writable,
    figures,
    is_turned_on_for_us,
    make_child,
    number,
)
from chaos_locust.backends.resources.descriptors import (
    free_below,
    limit_with_spare,
    lower,
    open_files,
    soft_limit,
)
from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault
from chaos_locust.faults.resources import CpuThrottle, FileDescriptors, MemoryLimit
from chaos_locust.probes.process import ProcessId, identify
from chaos_locust.probes.process_tree import tree
from chaos_locust.units import format_share

_PERIOD_US = 100_000


class Throttle:
    """Reading: {throttled, periods: so far, or None}."""

    def __init__(self, holders: Holders) -> None:
        self._holders = holders

    def prepare(self, fault: CpuThrottle, victim: ProcessId, mark: str) -> Undo:
        own = _own_cgroup(victim, "cpu")
        check_child(own)
        allowed = _cores_allowed(own)
        if allowed is not None and allowed <= fault.limit:
            raise BackendError(
                f"limit: the cgroup {own.folder} of process {victim.pid} allows {format_share(allowed)} of a "
                "core already; give less"
            )
        return _child_undo(own, mark)

    def begin(self, fault: CpuThrottle, undo: Undo) -> None:
        child, quota = Path(undo["folder"]), round(fault.limit * _PERIOD_US)
        limits = {"cpu.cfs_period_us": str(_PERIOD_US), "cpu.cfs_quota_us": str(quota)}
        if undo["version"] == 2:
            limits = {"cpu.max": f"{quota} {_PERIOD_US}"}
        _hold(self._holders, fault, undo)
        make_child(Cgroup(child.parent, undo["version"], "cpu"), child, limits, undo["process"]["pid"])

    def read(self, fault: CpuThrottle, undo: Undo) -> Reading:
        found = figures(Path(undo["folder"]) / "cpu.stat")
        return {"throttled": found.get("nr_throttled"), "periods": found.get("nr_periods")}


class MemoryCap:
    """Reading: {limit, used: bytes or None, met: how often, ended: processes that the kernel ended}."""

    def __init__(self, holders: Holders) -> None:
        self._holders = holders

    def prepare(self, fault: MemoryLimit, victim: ProcessId, mark: str) -> Undo:
        own = _own_cgroup(victim, "memory")
        if own.version == 1 or own.is_root:
            check_child(own)
            return _child_undo(own, mark)
        others = set(own.members()) - set(tree(victim.pid))
        if others:
            raise BackendError(
                f"the cgroup {own.folder} of process {victim.pid} holds {len(others)} other processes, which "
                "would be limited too; start the target in one of its own, such as by systemd-run --scope"
            )
        check_writable(own.folder / "memory.max")
        before, used = number(own.folder / "memory.max"), number(own.folder / "memory.current")
        ours = ((used or 0) + fault.spare_bytes) // os.sysconf("SC_PAGESIZE") * os.sysconf("SC_PAGESIZE")
        if before is not None and before <= ours:
            raise BackendError(f"spare: the cgroup {own.folder} is limited to {before:,} bytes already")
        return {
            "action": "memory",
            "folder": str(own.folder),
            "file": "memory.max",
            "before": "max" if before is None else str(before),
            "ours": str(ours),
        }

    def begin(self, fault: MemoryLimit, undo: Undo) -> None:
        _hold(self._holders, fault, undo)
        folder = Path(undo["folder"])
        if undo["action"] == "cgroup":
            own = Cgroup(folder.parent, undo["version"], "memory")
            name = "memory.limit_in_bytes" if own.version == 1 else "memory.max"
            make_child(own, folder, {name: str(fault.spare_bytes)}, undo["process"]["pid"])
            return
        try:
            (folder / undo["file"]).write_text(undo["ours"])
        except OSError as error:
            raise BackendError(f"the limit of {folder} cannot be set: {error.strerror}") from None

    def read(self, fault: MemoryLimit, undo: Undo) -> Reading:
        folder = Path(undo["folder"])
        if (folder / "memory.max").exists():
            events = figures(folder / "memory.events")
            return {
                "limit": number(folder / "memory.max"),
                "used": number(folder / "memory.current"),
                "met": events.get("max"),
                "ended": events.get("oom_kill"),
            }
        return {
            "limit": number(folder / "memory.limit_in_bytes"),
            "used": number(folder / "memory.usage_in_bytes"),
            "met": number(folder / "memory.failcnt"),
            "ended": figures(folder / "memory.oom_control").get("oom_kill"),
        }


class Descriptors:
    """Reading: {limits: [(pid, soft limit now, ours, descriptors left)]} of the processes that live."""

    def __init__(self, holders: Holders) -> None:
        self._holders = holders

    def prepare(self, fault: FileDescriptors, victim: ProcessId, mark: str) -> Undo:
        limits: list[dict[str, Any]] = []
        for pid in tree(victim.pid):
            member, before = identify(pid), soft_limit(pid)
            if member is None or before is None:
                continue
            ours = fault.limit
            if ours is None:
                assert fault.spare is not None
                ours = limit_with_spare(open_files(pid), fault.spare)
            if before == -1 or ours < before:
                limits.append({"process": asdict(member), "before": before, "ours": ours})
            elif pid == victim.pid:
                given = "limit" if fault.limit is not None else "spare"
                raise BackendError(
                    f"{given}: process {pid} may open {before} files, no more than that; give less"
                )
        return {"action": "descriptors", "limits": limits}

    def begin(self, fault: FileDescriptors, undo: Undo) -> None:
        _hold(self._holders, fault, undo)
        lower(undo["limits"])

    def read(self, fault: FileDescriptors, undo: Undo) -> Reading:
        found = []
        for each in undo["limits"]:
            pid = each["process"]["pid"]
            if ProcessId(**each["process"]).state is None:
                continue
            try:
                soft = soft_limit(pid)
                if soft is not None:
                    found.append((pid, soft, each["ours"], free_below(open_files(pid), each["ours"])))
            except BackendError:
                continue
        return {"limits": found}


def _hold(holders: Holders, fault: Fault, undo: Undo) -> None:
    """The holder is there before the limit, so that there is no moment at which nobody would end it."""
    assert fault.duration_s is not None
    known = {key: value for key, value in undo.items() if key != "link"}
    holders.start(undo["mark"], fault.duration_s + MARGIN_S, {"undo": known})


def _own_cgroup(victim: ProcessId, controller: str) -> Cgroup:
    own = cgroup_of(victim.pid, controller)
    if any(part.startswith(MARK) for part in own.folder.parts):
        raise BackendError(f"process {victim.pid} is limited already by the cgroup {own.folder} of a run")
    return own


def _child_undo(own: Cgroup, mark: str) -> Undo:
    return {
        "action": "cgroup",
        "folder": str(own.folder / mark),
        "version": own.version,
        "controller": own.controller,
        "turn_off": is_turned_on_for_us(own, MARK),
    }


def _cores_allowed(own: Cgroup) -> float | None:
    """The quota that is in force in this cgroup, in cores; None: none."""
    try:
        if own.version == 2:
            quota, period = (own.folder / "cpu.max").read_text().split()
        else:
            quota = (own.folder / "cpu.cfs_quota_us").read_text()
            period = (own.folder / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):
        return None
