"""Faults that Chaos Mesh does: an experiment of a user as it is. Those in our words: `chaos_mesh_words`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, model_validator

from chaos_locust.data import refusal, within
from chaos_locust.errors import Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.chaos_mesh_manifest import embedded, manifest_problems, read_manifest, translated
from chaos_locust.faults.kubernetes import KubernetesFault
from chaos_locust.units import format_duration

Json = dict[str, Any]


def _judged(manifest: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if manifest is not None and (problems := manifest_problems(translated(manifest)[0])):
        raise refusal(problems)
    return manifest


class ChaosMeshFault(KubernetesFault):
    """Base of the faults that a Chaos Mesh in the cluster does."""

    family: ClassVar[str] = "chaos_mesh"
    undo: ClassVar[str] = "by the guardian or `cleanup`; Chaos Mesh itself ends it 15s after its time"
    effect_text: ClassVar[str] = "all records of Chaos Mesh are Injected, and the load reaches the pods"
    rights: ClassVar[tuple[tuple[str, str, str], ...]] = ()

    @property
    def acts(self) -> tuple[str, str]:
        """(kind of Chaos Mesh, action)"""
        raise NotImplementedError


class ChaosMesh(ChaosMeshFault):
    """An experiment of Chaos Mesh as it is: PodChaos, NetworkChaos, StressChaos, IOChaos, TimeChaos,
    DNSChaos, HTTPChaos or a Schedule of one of them. It gets a name of its own, our label, and `for` as its
    duration; of a Schedule `for` is how long it is there, and each of its experiments lasts as long as it
    says. A namespace that it does not give is that of the target, whose pods the load has to reach.
    """

    kind: ClassVar[str] = "chaos_mesh"
    summary: ClassVar[str] = "does an experiment of Chaos Mesh, given as its YAML"

    file: str | None = Field(default=None, min_length=1, exclude=True, description="YAML with one experiment")
    manifest: Annotated[Mapping[str, Any] | None, AfterValidator(_judged)] = Field(
        default=None, description="the experiment itself, instead of a file"
    )
    image: str = Field(
        default="busybox:stable",
        min_length=1,
        description="of the pod that ends a Schedule; with sh and sleep",
    )

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        problems = super().contradictions(data)
        if (data.get("file") is None) == (data.get("manifest") is None):
            which = "neither is given" if data.get("file") is None else "both are given"
            problems.append(Problem("file", f"{which}; give file: (a YAML file) or manifest:"))
        return problems

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        if isinstance(data.get("file"), str) and data.get("manifest") is None:
            try:
                manifest = read_manifest(data["file"])
            except ValueError as error:
                raise refusal([Problem("file", str(error))]) from None
            judged = translated(manifest)[0] if isinstance(manifest, Mapping) else manifest
            if problems := manifest_problems(judged):
                raise refusal(within(f"file ({data['file']})", problems))
            data = {**data, "manifest": manifest}
        return data

    @property
    def experiment(self) -> Json:
        """As Chaos Mesh 2 takes it."""
        assert self.manifest is not None
        return translated(self.manifest)[0]

    @property
    def acts(self) -> tuple[str, str]:
        kind, spec = embedded(self.experiment)
        return kind, str(spec.get("action", ""))

    def warnings(self) -> list[str]:
        assert self.manifest is not None
        manifest, notes = translated(self.manifest)
        _, spec = embedded(manifest)
        given, lasts = spec.get("duration"), format_duration(self.duration_s or 0.0)
        if manifest["kind"] != "Schedule" and given is not None and given != lasts:
            notes.append(f"its duration {given} does not count; for: {lasts} does")
        return notes

    def clashes_with(self, other: Fault) -> str:
        if isinstance(other, ChaosMeshFault) and other.acts == self.acts:
            return f"both are {' '.join(self.acts).strip()}"
        return ""


FAULTS: tuple[type[Fault], ...] = (ChaosMesh,)
