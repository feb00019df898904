"""`invariants:` of a plan: which checkers judge what users wrote to the history, and how.

Which checkers and options there are, those who check know; here only the form is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from chaos_locust.data import Data, check_mapping
from chaos_locust.errors import InvalidPlan, Problem
from chaos_locust.plan.objectives import Severity


@dataclass(frozen=True, slots=True)
class Invariant:
    """check: the checker's name. options: as they are typed. keys: a pattern such as `account-*`, so that
    only operations on such keys are judged; None: all."""

    check: str
    options: Mapping[str, Any] = field(default_factory=dict)
    keys: str | None = None
    severity: Severity = "error"

    @property
    def text(self) -> str:
        """`cache-consistency (stale 2s, keys user-*)`"""
        given = {**self.options, **({"keys": self.keys} if self.keys is not None else {})}
        shown = (
            f"{key} {value if isinstance(value, str) else json.dumps(value)}" for key, value in given.items()
        )
        return f"{self.check} ({', '.join(shown)})" if given else self.check


@dataclass(frozen=True, slots=True)
class PlannedInvariant:
    """statement: what must hold, empty when its checker does not say. kinds: of the operations that are
    looked at, empty: all. options: every one of the checker, as a plan has them."""

    invariant: Invariant
    statement: str
    kinds: tuple[str, ...]
    options: Mapping[str, str]


class InvariantItem(Data):
    """What every checker takes; the others are options of the one that is named."""

    check: str = Field(min_length=1)
    keys: str | None = Field(default=None, min_length=1)
    severity: Severity = "error"


def read_invariant(value: object) -> Invariant:
    """From a name or a mapping. Raises InvalidPlan."""
    if isinstance(value, Invariant):
        return value
    if isinstance(value, str):
        value = {"check": value}
    check_mapping(value, [*InvariantItem.document_keys(), "options of the checker"])
    assert isinstance(value, Mapping)
    if "check" not in value:
        raise InvalidPlan([Problem("check", "is missing; it names the checker")])
    known = InvariantItem.document_keys()
    item = InvariantItem(**{key: value[key] for key in known if key in value})
    options = {key: each for key, each in value.items() if key not in known}
    return Invariant(item.check, options, item.keys, item.severity)


def invariant_to_json(invariant: Invariant) -> str | dict[str, Any]:
    data: dict[str, Any] = {"check": invariant.check, **invariant.options}
    if invariant.keys is not None:
        data["keys"] = invariant.keys
    if invariant.severity != "error":
        data["severity"] = invariant.severity
    return invariant.check if len(data) == 1 else data
