"""What people decide about controls that no probe can judge, or that are to be left: written down, owned,
approved by somebody else, and for a time only. One YAML file:

    attestations:   somebody states that a control is met, with evidence
    exclusions:     a control does not apply, with a justification
    waivers:        a violation is known and accepted until a date: it stays a violation, but fails no gate
    plans:          a violation is being mended by a date (an entry of a plan of action and milestones)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from chaos_locust.data import Data, nested_in
from chaos_locust.errors import ChaosError, InvalidPlan, Problem
from chaos_locust.plan.documents import load_yaml, parse

Kind = Literal["attestation", "exclusion", "waiver", "plan"]


class Item(Data):
    """controls: ids of one framework. decided_on, expires_on: the last day on which it is good. evidence: a
    file, by its path from the file of decisions, and its SHA-256 as it was when it was written down."""

    framework: str
    controls: tuple[str, ...] = Field(min_length=1)
    statement: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    approver: str = Field(min_length=1)
    decided_on: date
    expires_on: date
    evidence: str = ""
    sha256: str = ""

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        found = []
        owner, approver = (str(data.get(key, "")).strip() for key in ("owner", "approver"))
        if owner and owner.casefold() == approver.casefold():
            found.append(Problem("approver", f"'{approver}' is the owner; must be somebody else"))
        if str(data.get("expires_on", "9")) < str(data.get("decided_on", "")):
            found.append(Problem("expires_on", f"'{data['expires_on']}' is before decided_on"))
        if bool(data.get("evidence")) != bool(data.get("sha256")):
            found.append(Problem("sha256", "goes with evidence, which could be changed unseen without it"))
        return found


class Document(Data):
    attestations: tuple[Annotated[Item, nested_in(Item)], ...] = ()
    exclusions: tuple[Annotated[Item, nested_in(Item)], ...] = ()
    waivers: tuple[Annotated[Item, nested_in(Item)], ...] = ()
    plans: tuple[Annotated[Item, nested_in(Item)], ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    kind: Kind
    item: Item

    def is_good(self, today: date) -> bool:
        return self.item.decided_on <= today <= self.item.expires_on


def read_decisions(path: Path, known: Callable[[str], frozenset[str]]) -> list[Decision]:
    """known: the ids of a framework's controls; raises ChaosError for a framework that there is none of.
    Raises InvalidPlan with every problem."""
    data = load_yaml(path)
    if not isinstance(data, Mapping):
        raise InvalidPlan([Problem(str(path), f"must be a mapping of {', '.join(Document.document_keys())}")])
    document = parse(Document, data, {})
    problems: list[Problem] = []
    found = []
    sections: dict[Kind, tuple[Item, ...]] = {
        "attestation": document.attestations,
        "exclusion": document.exclusions,
        "waiver": document.waivers,
        "plan": document.plans,
    }
    for kind, items in sections.items():
        for number, item in enumerate(items):
            problems += _problems(f"{kind}s[{number}]", item, path.parent, known)
            found.append(Decision(kind, item))
    if problems:
        raise InvalidPlan(problems)
    return found


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _problems(place: str, item: Item, folder: Path, known: Callable[[str], frozenset[str]]) -> list[Problem]:
    try:
        ids = known(item.framework)
    except ChaosError as error:
        return [Problem(f"{place}.framework", str(error))]
    found = [
        Problem(f"{place}.controls", f"'{each}' is no control of {item.framework}")
        for each in item.controls
        if each not in ids
    ]
    if item.evidence:
        evidence = folder / item.evidence
        if not evidence.is_file():
            found.append(Problem(f"{place}.evidence", f"there is no file {evidence}"))
        elif sha256_of(evidence) != item.sha256:
            found.append(Problem(f"{place}.sha256", f"{evidence} has changed since it was written down"))
    return found
