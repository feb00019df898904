"""The common faults of Chaos Mesh in our words: each is data from which its experiment is made."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from chaos_locust.data import Bytes, BytesPerSecond, Name, PositiveSeconds, Seconds, Share, refusal
from chaos_locust.errors import Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.chaos_mesh import ChaosMeshFault
from chaos_locust.faults.clock import SignedSeconds
from chaos_locust.faults.kubernetes import Many
from chaos_locust.units import format_duration, format_share

Json = dict[str, Any]

ERRORS = {"EIO": 5, "EACCES": 13, "EMFILE": 24, "ENOSPC": 28, "EROFS": 30}
"""Of Linux, whatever this runs on."""


def _whole_percent(share: float) -> float:
    if abs(share * 100 - round(share * 100)) > 1e-9 or round(share * 100) == 0:
        raise ValueError(f"'{format_share(share)}' is finer than Chaos Mesh goes; give whole percent")
    return share


WholePercent = Annotated[Share, AfterValidator(_whole_percent)]


class Drawn(ChaosMeshFault):
    """Base of those in our words: on pods of the target, drawn by the plan's seed from the ready ones."""

    takes_container: ClassVar[bool] = False

    count: Many = Field(default="1", description="2, 50% (rounded up) or all")

    @property
    def acts(self) -> tuple[str, str]:
        kind, spec = self.spec()
        return kind, str(spec.get("action", ""))

    def spec(self) -> tuple[str, Json]:
        """(kind of Chaos Mesh, its spec but for the pods and the duration)"""
        raise NotImplementedError


class MeshPodFailure(Drawn):
    """The containers of the pods are replaced by ones that do nothing."""

    kind: ClassVar[str] = "mesh_pod_failure"
    summary: ClassVar[str] = "makes pods fail, and work again afterwards"

    def spec(self) -> tuple[str, Json]:
        return "PodChaos", {"action": "pod-failure"}


class MeshNetwork(Drawn):
    """What the pods send is late, lost, doubled or damaged, comes slower, or does not come: any of the first
    four together, or `rate`, or `partition`. `to` names the target at the other end: then only what goes to
    its pods is met, and by a partition what comes from them as well."""

    kind: ClassVar[str] = "mesh_network"
    summary: ClassVar[str] = "delays, loses, doubles, damages or limits what pods send, or cuts them off"

    latency_s: PositiveSeconds | None = Field(default=None, alias="latency")
    jitter_s: Seconds = Field(default=0.0, alias="jitter")
    loss: Share | None = None
    duplicate: Share | None = None
    corrupt: Share | None = None
    correlation: Share | None = Field(default=None, description="how much a packet is like the one before")
    rate_bytes_per_s: BytesPerSecond | None = Field(default=None, alias="rate")
    partition: bool = False
    to: Name | None = Field(default=None, description="another target of the plan")

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        netem, others = self._netem(), [self.rate_bytes_per_s is not None, self.partition]
        if bool(netem) + sum(others) != 1:
            which = "nothing is given" if not netem and not any(others) else "too much is given"
            allowed = "latency, loss, duplicate and corrupt (any of them), or rate, or partition: true"
            raise refusal([Problem("", f"{which}; give {allowed}")])
        if self.jitter_s and self.latency_s is None:
            raise refusal([Problem("jitter", "has no effect without latency")])
        if self.correlation is not None and not netem:
            raise refusal([Problem("correlation", "has no effect without latency, loss, duplicate, corrupt")])
        return self

    def _netem(self) -> Json:
        """All of it spelled out: a Chaos Mesh without its webhooks fills nothing in, and then fails."""
        alike = {"correlation": _percent(self.correlation or 0.0)}
        found: Json = {
            key: {key: _percent(share), **alike}
            for key in ("loss", "duplicate", "corrupt")
            if (share := getattr(self, key)) is not None
        }
        if self.latency_s is not None:
            jitter = format_duration(self.jitter_s)
            found["delay"] = {"latency": format_duration(self.latency_s), "jitter": jitter, **alike}
        return found

    def spec(self) -> tuple[str, Json]:
        if self.partition:
            return "NetworkChaos", {"action": "partition", "direction": "both" if self.to else "to"}
        if (rate := self.rate_bytes_per_s) is not None:
            # tc sends as much at once as comes in a hundredth of a second, and keeps what comes in a second
            limits = {"rate": f"{rate}bps", "buffer": max(rate // 100, 10_000), "limit": max(rate, 10_000)}
            return "NetworkChaos", {"action": "bandwidth", "bandwidth": limits}
        netem = self._netem()
        return "NetworkChaos", {"action": next(iter(netem)) if len(netem) == 1 else "netem", **netem}


class MeshStress(Drawn):
    """Processes in the container that use up CPU time or memory; its limits are theirs too."""

    kind: ClassVar[str] = "mesh_stress"
    summary: ClassVar[str] = "uses up CPU time or memory in a container of pods"
    takes_container: ClassVar[bool] = True

    cpu: int | None = Field(default=None, ge=1, description="so many processes that calculate")
    load: WholePercent = Field(default=1.0, description="of one CPU's time, of each of them")
    memory_bytes: Bytes | None = Field(default=None, alias="memory")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.cpu is None and self.memory_bytes is None:
            raise refusal([Problem("", "nothing is given; give cpu or memory, or both")])
        return self

    def spec(self) -> tuple[str, Json]:
        stressors: Json = {}
        if self.cpu is not None:
            stressors["cpu"] = {"workers": self.cpu, "load": round(self.load * 100)}
        if self.memory_bytes is not None:
            stressors["memory"] = {"workers": 1, "size": f"{self.memory_bytes}B"}
        return "StressChaos", {"stressors": stressors}


class MeshIo(Drawn):
    """What a container reads and writes in a volume takes `latency` longer, or meets an `error`."""

    kind: ClassVar[str] = "mesh_io"
    summary: ClassVar[str] = "makes reading and writing in a volume slow, or fail"
    takes_container: ClassVar[bool] = True

    volume: str = Field(pattern="^/", description="where it is mounted in the container")
    path: str | None = Field(default=None, pattern="^/", description="only these files, such as /data/**/*")
    latency_s: PositiveSeconds | None = Field(default=None, alias="latency")
    error: Literal["EIO", "EACCES", "EMFILE", "ENOSPC", "EROFS"] | None = None
    share: WholePercent = Field(default=1.0, description="of the calls")

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.latency_s is None) == (self.error is None):
            raise refusal([Problem("", "give latency or error, and not both")])
        return self

    def spec(self) -> tuple[str, Json]:
        found: Json = {"volumePath": self.volume, "percent": round(self.share * 100)}
        if self.path is not None:
            found["path"] = self.path
        if self.latency_s is not None:
            return "IOChaos", {"action": "latency", "delay": format_duration(self.latency_s), **found}
        return "IOChaos", {"action": "fault", "errno": ERRORS[str(self.error)], **found}


class MeshTime(Drawn):
    """The wall clock of a container's processes is ahead or behind by `offset`."""

    kind: ClassVar[str] = "mesh_time"
    summary: ClassVar[str] = "shifts the wall clock of a container of pods"
    takes_container: ClassVar[bool] = True

    offset_s: SignedSeconds = Field(alias="offset")

    def spec(self) -> tuple[str, Json]:
        sign = "-" if self.offset_s < 0 else ""
        return "TimeChaos", {"timeOffset": f"{sign}{format_duration(abs(self.offset_s))}"}


class MeshDns(Drawn):
    """Names that the pods ask for are not found, or are found at random addresses. Needs the DNS server of
    Chaos Mesh."""

    kind: ClassVar[str] = "mesh_dns"
    summary: ClassVar[str] = "answers names that pods ask for with errors or random addresses"

    answer: Literal["error", "random"] = "error"
    names: tuple[str, ...] = Field(default=(), description="such as db.shop.*; by default all")

    def spec(self) -> tuple[str, Json]:
        return "DNSChaos", {"action": self.answer} | ({"patterns": list(self.names)} if self.names else {})


class MeshHttp(Drawn):
    """What the pods answer at `port` comes `latency` later, has another `status`, or is cut off (`abort`)."""

    kind: ClassVar[str] = "mesh_http"
    summary: ClassVar[str] = "delays, changes or cuts off what pods answer over HTTP"

    port: int = Field(ge=1, le=65535)
    path: str = Field(default="*", min_length=1, description="such as /api/*")
    latency_s: PositiveSeconds | None = Field(default=None, alias="latency")
    status: int | None = Field(default=None, ge=100, le=599)
    abort: bool = False

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.latency_s is not None) + (self.status is not None) + self.abort != 1:
            raise refusal([Problem("", "give one of latency, status, abort: true")])
        return self

    def spec(self) -> tuple[str, Json]:
        found: Json = {"target": "Response", "port": self.port, "path": self.path}
        if self.latency_s is not None:
            return "HTTPChaos", {**found, "delay": format_duration(self.latency_s)}
        return "HTTPChaos", found | ({"abort": True} if self.abort else {"replace": {"code": self.status}})


def _percent(share: float) -> str:
    """As Chaos Mesh has it: `12.5`."""
    return format_share(share).removesuffix("%")


FAULTS: tuple[type[Fault], ...] = (
    MeshPodFailure,
    MeshNetwork,
    MeshStress,
    MeshIo,
    MeshTime,
    MeshDns,
    MeshHttp,
)
