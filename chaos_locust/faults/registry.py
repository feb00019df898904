"""Every fault kind: the built-in ones, and those of installed packages by entry points."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

from chaos_locust.data import check_mapping, within
from chaos_locust.errors import ChaosError, InvalidPlan, Problem
from chaos_locust.faults import (
    chaos_mesh,
    chaos_mesh_words,
    clock,
    containers,
    files,
    http,
    identity,
    kubernetes,
    kubernetes_config,
    kubernetes_inside,
    network,
    packets,
    postgres,
    process,
    redis,
    resources,
)
from chaos_locust.faults.base import Fault

_ALL = "`chaos-locust faults` lists them all"

BUILT_IN: tuple[type[Fault], ...] = (
    *network.FAULTS,
    *http.FAULTS,
    *packets.FAULTS,
    *process.FAULTS,
    *resources.FAULTS,
    *files.FAULTS,
    *clock.FAULTS,
    *containers.FAULTS,
    *kubernetes.FAULTS,
    *kubernetes_inside.FAULTS,
    *kubernetes_config.FAULTS,
    *chaos_mesh.FAULTS,
    *chaos_mesh_words.FAULTS,
    *postgres.FAULTS,
    *redis.FAULTS,
    *identity.FAULTS,
)


def find_kinds(installed: Iterable[EntryPoint]) -> Mapping[str, type[Fault]]:
    """Kind -> class. Raises ChaosError naming an entry point that is no fault or whose kind is taken."""
    kinds = {cls.kind: cls for cls in BUILT_IN}
    for entry in installed:
        try:
            cls = entry.load()
        except Exception as error:
            raise ChaosError(f"fault kind {entry.name} ({entry.value}) cannot be loaded: {error}") from error
        if not (isinstance(cls, type) and issubclass(cls, Fault)):
            raise ChaosError(f"fault kind {entry.name} ({entry.value}) is no subclass of Fault")
        if kinds.setdefault(cls.kind, cls) is not cls:
            raise ChaosError(f"fault kind {cls.kind} ({entry.value}) is there already")
    return MappingProxyType(kinds)


KINDS: Mapping[str, type[Fault]] = find_kinds(entry_points(group="chaos_locust.faults"))


def parse_fault(data: object, place: str) -> Fault | list[Problem]:
    """The fault that a mapping with `kind` describes, or everything that is wrong with it."""
    try:
        if isinstance(data, Fault):
            return data
        check_mapping(data, ["kind", *Fault.document_keys()])
        assert isinstance(data, Mapping)
        kind = data.get("kind")
        if kind is None:
            raise InvalidPlan([Problem("kind", f"is missing; {_ALL}")])
        if not isinstance(kind, str) or kind not in KINDS:
            close = difflib.get_close_matches(str(kind), KINDS, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise InvalidPlan([Problem("kind", f"'{kind}' is no fault kind; {hint}{_ALL}")])
        return KINDS[kind](**{key: value for key, value in data.items() if key != "kind"})
    except InvalidPlan as error:
        return within(place, error.problems)
