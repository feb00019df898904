"""Earlier audits of the same target, framework and profile: since when each violation is known, and what has
changed since the last one.

A violation is gone when its check held, not when it could not be seen; and one that came back is new.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from chaos_locust.errors import ChaosError
from compliance.measurement import digest
from compliance.result import AuditResult
from compliance.trail import Told

DOCUMENT = "audit.json"
UNSIGNED = ("sha256", "trail")
"""What is added to a document after its digest was taken."""

Key = tuple[str, str]
"""Control and check."""


class ChangedDocument(ChaosError):
    """A document of an earlier audit is not what was written."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Since the audit of `since`. gone: their check held now. not_seen: was a violation, and now is neither
    that nor known to be mended (it could not be assessed, or was left out)."""

    since: str
    new: tuple[Key, ...]
    still: tuple[Key, ...]
    gone: tuple[Key, ...]
    not_seen: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class History:
    """open: violations that the audits so far left open, and when each was first seen. since: of the last
    audit; empty: there was none."""

    open: Mapping[Key, date]
    since: str

    def difference(self, result: AuditResult) -> Difference | None:
        """None: there is no earlier audit."""
        if not self.since:
            return None
        now = {each.key for each in result.violations}
        held = {
            (judged.control.id, outcome.check.id)
            for judged in result.controls
            for outcome in judged.outcomes
            if outcome.answer == "held"
        }
        before = set(self.open)
        return Difference(
            self.since,
            tuple(sorted(now - before)),
            tuple(sorted(now & before)),
            tuple(sorted((before - now) & held)),
            tuple(sorted(before - now - held)),
        )

    def new(self, result: AuditResult) -> set[Key]:
        """All of them where there was no audit before."""
        return {each.key for each in result.violations} - set(self.open)


def history_of(documents: Sequence[Mapping[str, Any]]) -> History:
    """documents: of one target, framework and profile, in any order."""
    seen: dict[Key, date] = {}
    ordered = sorted(documents, key=_when)
    for document in ordered:
        held = {
            (control["id"], outcome["check"])
            for control in document["controls"]
            for outcome in control["outcomes"]
            if outcome["answer"] == "held"
        }
        seen = {key: first for key, first in seen.items() if key not in held}
        for violation in document["violations"]:
            key = violation["control_id"], violation["check"]
            seen.setdefault(key, date.fromisoformat(violation["first_seen"]))
    return History(seen, ordered[-1]["audited_at"] if ordered else "")


def _when(document: Mapping[str, Any]) -> tuple[str, int]:
    """Of two in the same second, the one that is later in the trail is the later one."""
    return document["audited_at"], document.get("trail", {}).get("number", 0)


def read_audits(folder: Path) -> list[dict[str, Any]]:
    """The documents of all audits in the folders below it. Raises ChangedDocument."""
    return [read_document(path) for path in documents_in(folder)]


def history_for(documents: Sequence[Mapping[str, Any]], target: str, framework: str, profile: str) -> History:
    """documents: of whatever audits."""
    wanted = (target, framework, profile)
    return history_of(
        [each for each in documents if (each["target"], each["framework"], each["profile"]) == wanted]
    )


def latest(folder: Path, framework: str | None = None) -> tuple[Path, dict[str, Any]]:
    """The document of the last audit in the folders below it, and its file; framework: of this one. Raises
    ChaosError when there is none, ChangedDocument."""
    read = {path: read_document(path) for path in documents_in(folder)}
    found = {path: each for path, each in read.items() if framework is None or each["framework"] == framework}
    if not found:
        others = ", ".join(sorted({each["framework"] for each in read.values()}))
        what = "no audit" if framework is None else f"no audit by {framework}"
        hint = f"there are audits by {others}" if others else "`chaos-locust compliance audit` makes one"
        raise ChaosError(f"there is {what} in {folder}; {hint}")
    path = max(found, key=lambda each: _when(found[each]))
    return path, found[path]


def documents_in(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*/{DOCUMENT}"))


def read_document(path: Path) -> dict[str, Any]:
    """Raises ChangedDocument when it is not what was written."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ChangedDocument(f"{path} cannot be read as an audit ({error}); move it away") from None
    if not isinstance(document, dict) or document.get("sha256") != digest(signed(document)):
        raise ChangedDocument(f"{path} is not as the audit wrote it; move it away")
    return document


def signed(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a document's digest is taken of."""
    return {key: value for key, value in document.items() if key not in UNSIGNED}


def told_by(path: Path, trail: str) -> Told | None:
    """What an audit's document keeps of its entry in the trail of that file name; None: it is of another
    one. Raises ChangedDocument."""
    kept = read_document(path).get("trail") or {}
    if kept.get("file") != trail:
        return None
    return Told(str(path), kept["number"], kept["hash"])
