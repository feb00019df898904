"""Faults by processes of ours in the containers of pods, which end by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from chaos_locust.data import Bytes
from chaos_locust.errors import Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.kubernetes import KubernetesFault, Many
from chaos_locust.faults.resources import MemoryLevel, one_of


def _absolute(value: str) -> str:
    if not value.startswith("/") or "\0" in value or "/../" in f"{value}/":
        raise ValueError(f"'{value}' is not allowed; give an absolute path in the container, such as /data")
    return value


InContainer = Annotated[str, AfterValidator(_absolute)]


class Inside(KubernetesFault):
    """Base. The processes are begun as by `kubectl exec`, so that they have the container's limits, rights
    and volumes, and nothing is added to the pod. The image needs sh, grep, head, sleep, tail and tr."""

    undo: ClassVar[str] = (
        "by the guardian, by `cleanup`, or by `cleanup --scan`; the processes end 15 s after their time by "
        "themselves, and with their container"
    )
    rights: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("get", "", "pods/exec"),
        ("create", "", "pods/exec"),
        ("get", "", "pods"),
        ("patch", "", "pods"),
    )

    count: Many = Field(default="1", description="2, 50% (rounded up) or all")

    def clashes_with(self, other: Fault) -> str:
        if isinstance(other, Inside):
            return "a pod carries the mark of one fault, and both may draw the same"
        return super().clashes_with(other)


class PodCpuPressure(Inside):
    """Processes of ours keep the CPU busy in containers. A container with a CPU limit is throttled when they
    have used it up; one without competes with everything on its node."""

    kind: ClassVar[str] = "pod_cpu_pressure"
    summary: ClassVar[str] = "keeps the CPU busy in containers of pods"
    effect_text: ClassVar[str] = (
        "our processes used the CPU, or the kernel throttled the container for it, and the load reached the "
        "pods"
    )

    cores: int = Field(default=1, ge=1, le=64, description="so many busy processes, of one core each")


class PodMemoryPressure(Inside):
    """Memory is taken in containers, and kept. More than is free under the container's limit, or on the node,
    less a reserve is refused. When it runs out all the same, the kernel is told to end ours first; where it
    ends a container as a whole (the kubelet's default with cgroup v2), it ends the target too."""

    kind: ClassVar[str] = "pod_memory_pressure"
    summary: ClassVar[str] = "takes memory in containers of pods, up to a level, or so much of it"
    effect_text: ClassVar[str] = "our processes hold the memory, and the load reached the pods"

    level: MemoryLevel | None = Field(
        default=None, description="how full the container's limit is then, such as 80%; it must have one"
    )
    size_bytes: Bytes | None = Field(default=None, alias="size", description="how much is taken")

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        return super().contradictions(data) + one_of(data, ("level",), ("size", "size_bytes"))


class PodDiskFull(Inside):
    """The file system of `path` in containers is filled with `size`, and no further than `leave` free. What
    fills it has no name: it is gone with the process that holds it, whatever ends that. A volume on the
    node's own disk (emptyDir, hostPath, the container's root) is filled for everybody there; the kubelet
    does not count it for the volume's sizeLimit."""

    kind: ClassVar[str] = "pod_disk_full"
    summary: ClassVar[str] = "fills a file system of pods by size, until only `leave` is free"
    effect_text: ClassVar[str] = "our processes hold the room, and the load reached the pods"

    path: InContainer = Field(description="a folder in the container")
    size_bytes: Bytes = Field(alias="size", description="how much is taken at most")
    leave_bytes: Bytes | None = Field(
        default=None,
        alias="leave",
        description="left free at least, such as 1MB; by default 15% of it, below which kubelets evict pods",
    )


FAULTS: tuple[type[Fault], ...] = (PodCpuPressure, PodMemoryPressure, PodDiskFull)
