"""Faults on a container, done through the Docker API."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from chaos_locust.data import Bytes, PositiveSeconds
from chaos_locust.faults.base import Fault
from chaos_locust.faults.process import Signal
from chaos_locust.units import format_duration, format_size

LEAST_CPUS = 0.01
LEAST_MEMORY_BYTES = 6 * 1024 * 1024
LONGEST_GRACE_S = 10.0


def _cpus(value: float) -> float:
    if not LEAST_CPUS <= value < float("inf"):
        raise ValueError(f"'{value:g}' is not allowed; give {LEAST_CPUS:g} at least, such as 0.5")
    return value


def _memory(value: int) -> int:
    if value < LEAST_MEMORY_BYTES:
        raise ValueError(f"'{format_size(value)}' is not allowed; Docker takes 6MiB at least")
    return value


def _grace(value_s: float) -> float:
    if value_s % 1 or value_s > LONGEST_GRACE_S:
        raise ValueError(f"'{format_duration(value_s)}' is not allowed; give whole seconds, up to 10s")
    return value_s


class ContainerFault(Fault):
    """Base of the faults on a container: the one of that name or id at the Docker of DOCKER_HOST."""

    family: ClassVar[str] = "containers"
    needs: ClassVar[tuple[str, ...]] = ("container",)
    undo: ClassVar[str] = (
        "by the guardian, by `cleanup`, or by `cleanup --scan` from a volume that says what was before"
    )

    def clashes_with(self, other: Fault) -> str:
        if isinstance(other, ContainerFault) and self.kind in ("container_pause", "container_stop"):
            return "on a container that is paused or stopped nothing else can begin or end"
        return super().clashes_with(other)


class ContainerKill(ContainerFault):
    """The container's first process gets a signal. A container that was killed through Docker's API is not
    restarted by Docker, whatever its restart policy; what runs it (Kubernetes, Swarm, ...) has to, or use
    container_stop, which starts it again."""

    kind: ClassVar[str] = "container_kill"
    summary: ClassVar[str] = "ends the container by a signal (default KILL); nothing of ours starts it again"
    instant: ClassVar[bool] = True
    undo: ClassVar[str] = "nothing to undo: whatever runs the container starts it again"
    effect_text: ClassVar[str] = "the container is down, and packets reached it just before"

    signal: Signal = Field(default="KILL", description="KILL, TERM, INT, QUIT, ABRT or SEGV")


class ContainerPause(ContainerFault):
    """All processes of the container are frozen; its connections stay open."""

    kind: ClassVar[str] = "container_pause"
    summary: ClassVar[str] = "freezes the container and lets it go on afterwards"
    effect_text: ClassVar[str] = "Docker tells that it is paused, and packets reach it"


class ContainerStop(ContainerFault):
    """The container is stopped, and started again afterwards. Not for one that is removed when it stops
    (--rm)."""

    kind: ClassVar[str] = "container_stop"
    summary: ClassVar[str] = "stops the container and starts it again afterwards"
    effect_text: ClassVar[str] = "the container is down, and packets reached it just before"

    grace_s: Annotated[PositiveSeconds, AfterValidator(_grace)] = Field(
        default=2.0, alias="grace", description="between TERM and KILL; whole seconds, up to 10s"
    )


class ContainerCpu(ContainerFault):
    """The container gets `cpus` of CPU time at most, by its cgroup's quota."""

    kind: ClassVar[str] = "container_cpu"
    summary: ClassVar[str] = "limits the container's CPU time to cpus"
    effect_text: ClassVar[str] = "the kernel throttled it, and packets reach it"

    cpus: Annotated[float, AfterValidator(_cpus)] = Field(description="of one CPU's time, such as 0.5")


class ContainerMemory(ContainerFault):
    """The container gets `memory` at most, swap included. Where that is less than it uses, the kernel takes
    back what it can (and refuses the limit on cgroup v1 otherwise), and then kills a process of it. A
    container that ended so is started again afterwards."""

    kind: ClassVar[str] = "container_memory"
    summary: ClassVar[str] = "limits the container's memory"
    effect_text: ClassVar[str] = (
        "it uses nine tenths of the limit at least or was killed by it, and packets reach it"
    )

    memory_bytes: Annotated[Bytes, AfterValidator(_memory)] = Field(
        alias="memory", description="at least 6MiB; below what it is limited to now"
    )


class ContainerDisconnect(ContainerFault):
    """The container is taken off a network, and put back with its aliases, links and addresses.

    An address that Docker chose comes back only where the network has a subnet that a user gave it; else
    Docker chooses again.
    """

    kind: ClassVar[str] = "container_disconnect"
    summary: ClassVar[str] = "takes the container off its networks, and puts it back afterwards"
    effect_text: ClassVar[str] = "Docker lists it in none of them, and packets reached it just before"

    network: str | None = Field(
        default=None, min_length=1, description="only this one; by default all of them"
    )


FAULTS: tuple[type[Fault], ...] = (
    ContainerKill,
    ContainerPause,
    ContainerStop,
    ContainerCpu,
    ContainerMemory,
    ContainerDisconnect,
)
