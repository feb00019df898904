"""The frameworks as data: their controls by id, their profiles, and where each list is from.

`data/<framework>/catalog.yaml` and `profile-<name>.yaml`. Titles are short, and ours where the text of the
framework is copyrighted. The parameters of a profile (`lockout_attempts_max`, ...) say how strict its checks
are. Each says where it is from; what the framework leaves open is chosen by us: such a source begins with
`Ours:`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Literal

import yaml

from chaos_locust.data import did_you_mean
from chaos_locust.errors import ChaosError

FRAMEWORKS = ("fisma", "fedramp", "soc2", "hipaa", "pcidss")

How = Literal["read", "derived", "transcribed"]
Obligation = Literal["required", "addressable"]


class UnknownName(ChaosError):
    """There is no framework, profile or control of that name; says which there are."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a list is from. published: address of who publishes it. how: `read` from a file by a program,
    `derived` from it by a rule that `note` tells, or `transcribed`. sha256: of the file; None: there was none
    at hand to take it of."""

    name: str
    version: str
    published: str
    how: How
    file: str | None = None
    sha256: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Control:
    """group: family, category, safeguard or requirement that it belongs to. obligation: only HIPAA tells
    these apart. superseded_by: the control that took its place; such a one is in no profile."""

    id: str
    title: str
    group: str
    obligation: Obligation | None = None
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """What of a framework applies, and how strictly. controls: ids, in the framework's order. parameters:
    JSON values by name; parameter_sources: where each is from."""

    name: str
    title: str
    controls: tuple[str, ...]
    parameters: Mapping[str, Any]
    parameter_sources: Mapping[str, str]
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Framework:
    """controls, profiles: by id and by name. default_profile: None where only the owner of a system can say
    which applies."""

    id: str
    title: str
    version: str
    sources: tuple[Source, ...]
    controls: Mapping[str, Control]
    profiles: Mapping[str, Profile]
    default_profile: str | None

    def control(self, control_id: str) -> Control:
        """Raises UnknownName, which names the nearest ones."""
        if control_id in self.controls:
            return self.controls[control_id]
        near = difflib.get_close_matches(control_id.upper(), self.controls, n=3)
        hint = f"did you mean {', '.join(near)}? " if near else ""
        example = next(iter(self.controls))
        raise UnknownName(
            f"{self.id} has no control {control_id!r}; {hint}it has {len(self.controls)}, such as {example}"
        )

    def profile(self, name: str | None = None) -> Profile:
        """None: the default. Raises UnknownName, which names those that there are."""
        wanted = self.default_profile if name is None else name
        if wanted is None:
            allowed = ", ".join(f"{each.name} ({each.title})" for each in self.profiles.values())
            raise UnknownName(f"{self.id} has no default profile, say which applies; allowed: {allowed}")
        if wanted not in self.profiles:
            raise UnknownName(f"{self.id} has no profile {wanted!r}; {did_you_mean(wanted, self.profiles)}")
        return self.profiles[wanted]


def load(framework_id: str) -> Framework:
    """Raises UnknownName."""
    if framework_id not in FRAMEWORKS:
        raise UnknownName(f"there is no framework {framework_id!r}; {did_you_mean(framework_id, FRAMEWORKS)}")
    folder = files("compliance") / "data" / framework_id
    written = _yaml(folder / "catalog.yaml")
    controls = _by_id(
        Control(group=group["title"], **control)
        for group in written["groups"]
        for control in group["controls"]
    )
    profiles = {
        name: _profile(_yaml(folder / f"profile-{name}.yaml"), controls) for name in written["profiles"]
    }
    return Framework(
        id=written["id"],
        title=written["title"],
        version=written["version"],
        sources=_sources(written["sources"]),
        controls=controls,
        profiles=profiles,
        default_profile=written["default_profile"],
    )


def _profile(written: Mapping[str, Any], controls: Mapping[str, Control]) -> Profile:
    chosen = tuple(str(each) for each in written["controls"])
    unknown = [each for each in chosen if each not in controls]
    if unknown or len(set(chosen)) != len(chosen):
        raise ValueError(f"profile {written['name']}: twice or not in the catalogue: {unknown or chosen}")
    parameters = written["parameters"]
    return Profile(
        name=written["name"],
        title=written["title"],
        controls=chosen,
        parameters={name: each["value"] for name, each in parameters.items()},
        parameter_sources={name: each["source"] for name, each in parameters.items()},
        sources=_sources(written["sources"]),
    )


def _by_id(controls: Iterable[Control]) -> dict[str, Control]:
    found: dict[str, Control] = {}
    for control in controls:
        if control.id in found:
            raise ValueError(f"two controls have the id {control.id}")
        found[control.id] = control
    return found


def _sources(written: Iterable[Mapping[str, Any]]) -> tuple[Source, ...]:
    return tuple(Source(**each) for each in written)


def _yaml(file: Traversable) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built
    return yaml.load(file.read_text("utf-8"), loader)  # both are safe loaders
