"""Faults that take CPU, memory or file descriptors away from a process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from chaos_locust.data import Bytes, BytesPerSecond, Share
from chaos_locust.errors import Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.process import RestartStorm
from chaos_locust.units import format_share

LEAST_CPU = 0.01


def _at_least_one_percent(value: float) -> float:
    if value < LEAST_CPU:
        raise ValueError(f"'{format_share(value)}' is not allowed; give 1% to 100%")
    return value


def _not_all(value: float) -> float:
    if value >= 1:
        raise ValueError(f"'{format_share(value)}' is not allowed; give less than 100%")
    return value


CpuShare = Annotated[Share, AfterValidator(_at_least_one_percent)]
MemoryLevel = Annotated[Share, AfterValidator(_not_all)]


def one_of(data: Mapping[str, Any], first: tuple[str, ...], second: tuple[str, ...]) -> list[Problem]:
    """Problems unless exactly one of two keys is given, each with all its names."""
    given = [any(data.get(key) is not None for key in keys) for keys in (first, second)]
    if given[0] != given[1]:
        return []
    which = "both are given" if given[0] else "neither is given"
    return [Problem(first[0], f"{which}; give {first[0]} or {second[0]}")]


class ResourceFault(Fault):
    """Base of the faults on what a process needs; the processes that it started belong to it."""

    family: ClassVar[str] = "resources"
    needs: ClassVar[tuple[str, ...]] = ("pidfile",)


class Limiting(ResourceFault):
    """Base of the faults that limit the process itself."""

    def clashes_with(self, other: Fault) -> str:
        if isinstance(other, RestartStorm):
            return "the limit is on one process, and the restart_storm replaces it"
        return super().clashes_with(other)


class Pressing(ResourceFault):
    """Base of the faults that take something away for all, done by processes of ours."""

    undo: ClassVar[str] = "it is held by processes of ours, which die with the guardian, or at their deadline"


class CpuThrottle(Limiting):
    """The process may use only a share of one core (a cgroup's quota, in periods of 100 ms).

    Needs the right to write the process's cgroup, which root has where /sys/fs/cgroup is writable. A process
    that is started anew by a supervisor is not limited any more.
    """

    kind: ClassVar[str] = "cpu_throttle"
    summary: ClassVar[str] = "lets the process use at most a share of one core"
    undo: ClassVar[str] = (
        "a process of ours takes it out of its cgroup when the guardian ends or dies; the cgroup carries the "
        "mark"
    )
    effect_text: ClassVar[str] = (
        "the kernel held the process back (nr_throttled) and its CPU time stayed within the limit, and the "
        "load used it"
    )

    limit: CpuShare = Field(description="Of one core, 1% to 100%; all its threads and children together.")


class CpuPressure(Pressing):
    """Processes of ours keep cores busy, each of them a share of its time, at the usual priority.

    They run on the cores that the target may run on. What the target itself uses comes on top.
    """

    kind: ClassVar[str] = "cpu_pressure"
    summary: ClassVar[str] = "keeps cores busy that the process runs on"
    effect_text: ClassVar[str] = (
        "the cores are busy by our processes' CPU time, and the load used the process"
    )

    share: CpuShare = Field(description="Of each core, 1% to 100%.")
    cores: int | None = Field(default=None, ge=1, description="How many; by default all that it may run on.")


class MemoryPressure(Pressing):
    """Memory is taken and touched, up to a level or of a size, and kept.

    It is that of the process's cgroup where that has a limit, else that of the machine. More than is free
    less a reserve is refused. When memory runs out all the same, the kernel is told to end ours first.
    """

    kind: ClassVar[str] = "memory_pressure"
    summary: ClassVar[str] = "takes memory up to a level, or so much of it"
    effect_text: ClassVar[str] = "the memory is held by our process, and the load used the target"

    level: MemoryLevel | None = Field(default=None, description="How full the memory is then, such as 80%.")
    size_bytes: Bytes | None = Field(default=None, alias="size", description="How much is taken.")

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        return super().contradictions(data) + one_of(data, ("level",), ("size", "size_bytes"))


class MemoryLeak(Pressing):
    """Memory is taken and touched at a rate, up to a limit, and kept. Otherwise as `memory_pressure`."""

    kind: ClassVar[str] = "memory_leak"
    summary: ClassVar[str] = "takes memory at a rate, up to limit"
    effect_text: ClassVar[str] = "our process's memory grows at the rate, and the load used the target"

    rate_bytes_per_s: BytesPerSecond = Field(alias="rate", description="How much each second.")
    limit_bytes: Bytes = Field(alias="limit", description="How much at most.")


class MemoryLimit(Limiting):
    """The process gets so much more memory and no more (a cgroup's limit); then the kernel takes its page
    cache away, and ends it when that does not help. That kill is what the target has to cope with: nothing
    of ours starts it again.

    Needs the right to write the process's cgroup. In cgroup v2 a process that shares its cgroup with others
    is refused, because they would be limited too.
    """

    kind: ClassVar[str] = "memory_limit"
    summary: ClassVar[str] = "lets the process have at most `spare` more memory"
    undo: ClassVar[str] = CpuThrottle.undo
    effect_text: ClassVar[str] = "the process met the limit (failcnt, memory.events), and the load used it"

    spare_bytes: Bytes = Field(alias="spare", description="What it may take beyond what it has.")


class FileDescriptors(Limiting):
    """The process may have only so many files and sockets open (RLIMIT_NOFILE, the soft limit); what it has
    open stays. More give EMFILE, "Too many open files".
    """

    kind: ClassVar[str] = "file_descriptors"
    summary: ClassVar[str] = "limits how many files and sockets the process may have open"
    undo: ClassVar[str] = "a process of ours puts the limit back when the guardian ends or dies"
    effect_text: ClassVar[str] = "the process was seen with no descriptor left, and the load used it"

    limit: int | None = Field(default=None, ge=1, description="How many, those that are open included.")
    spare: int | None = Field(default=None, ge=0, description="How many more than are open at the onset.")

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        return super().contradictions(data) + one_of(data, ("limit",), ("spare",))


FAULTS: tuple[type[Fault], ...] = (
    CpuThrottle,
    CpuPressure,
    MemoryPressure,
    MemoryLeak,
    MemoryLimit,
    FileDescriptors,
)
