"""Which invariants hold for which targets: what `--target` names, as a mapping from names to what is bound.

A module gives its own as a mapping, by the names of `chaos-locust invariants list`:

    BINDINGS = {"queue_never_loses_messages": Bound(Orders(), iterations=50)}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from chaos_locust.errors import ChaosError
from chaos_locust.redact import redact_text
from invariants.imported import CannotImport, imported, imported_module
from invariants.targets.base import Target

SHOP = "shop"

SCHEMES = {
    "firestore": "firestore",
    "postgres": "sql",
    "postgresql": "sql",
    "redis": "redis",
    "rediss": "redis",
    "valkey": "redis",
}
"""Of a URL -> the file of `invariants.targets` that knows such servers, by its `bindings(url)`."""


class InvalidTarget(ChaosError):
    """What `--target` gives is no target; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One invariant's target, and what fits this target better than what is usual.

    target: see `invariants.targets.base.Target`. options: of the invariant. faults: a plan's file or its
    mapping. None: what is usual. note: what has to be known of it, in one sentence.
    """

    target: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    faults: Any = None
    iterations: int | None = None
    steps: int | None = None
    concurrency: int | None = None
    budget_s: float | None = None
    note: str = ""


def bindings_of(spec: str, wanted: Sequence[str] = ()) -> Mapping[str, Bound]:
    """By the invariants' names. Nothing is connected to.

    spec: `shop`; a URL of a server; or `module:attribute`, a target, a mapping from names to targets or
    `Bound`, or a function that gives either. A target alone is bound to the names that are `wanted`. Raises
    InvalidTarget.
    """
    if spec == SHOP:
        return _checked(spec, import_module("invariants.targets.shop").BINDINGS, wanted)
    if "://" in spec:
        scheme = spec.partition("://")[0]
        if scheme not in SCHEMES:
            raise _invalid(spec, f"URLs of {', '.join(sorted(SCHEMES))} are known")
        server = _from(spec, imported_module, f"invariants.targets.{SCHEMES[scheme]}")
        by_url: Callable[[str], Mapping[str, Bound]] = server.bindings
        return _checked(spec, by_url(spec), wanted)
    module, colon, attribute = spec.partition(":")
    if not (colon and module and attribute):
        raise _invalid(spec, "allowed are shop, a URL such as redis://127.0.0.1:6379, or module:attribute")
    found = _from(spec, imported, spec)
    if callable(found) and not isinstance(found, Target):
        found = found()
    return _checked(spec, found, wanted)


def _checked(spec: str, found: Any, wanted: Sequence[str]) -> Mapping[str, Bound]:
    if isinstance(found, Bound | Target):
        if not wanted:
            raise _invalid(spec, "it is one target; name the invariants that it is for, or give a mapping")
        return {name: _bound(spec, name, found) for name in wanted}
    if isinstance(found, Mapping):
        return {str(name): _bound(spec, name, each) for name, each in found.items()}
    raise _invalid(
        spec, f"it is a {type(found).__name__}; allowed are a Target and a mapping from names to them"
    )


def _bound(spec: str, name: object, given: Any) -> Bound:
    if isinstance(given, Bound):
        return given
    if isinstance(given, Target):
        return Bound(given)
    raise _invalid(spec, f"{name} is a {type(given).__name__}; allowed are a Target and a Bound")


def _from(spec: str, importing: Callable[[str], Any], name: str) -> Any:
    try:
        return importing(name)
    except CannotImport as error:
        raise _invalid(spec, str(error)) from None


def _invalid(spec: str, why: str) -> InvalidTarget:
    return InvalidTarget(f"--target {redact_text(spec)}: {why}")
