"""Adds an attestation or a waiver to a file of decisions, whose comments and layout stay as they are.

The entry is added as text, and only when the file then says what it said before, and the entry.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from chaos_locust.errors import ChaosError, InvalidPlan, Problem
from chaos_locust.plan.documents import read_yaml
from compliance.decisions import read_decisions, sha256_of

_NEW_FILE = """\
# What people decided about controls: attestations, exclusions, waivers, plans. Each has controls of one
# framework, a statement, an owner, an approver who is somebody else, and is good until the day of expires_on.
"""
_KEY = re.compile(r"\S[^:]*:")


@dataclass(frozen=True, slots=True)
class Entry:
    """evidence: a file; its hash is taken when it is written down."""

    section: Literal["attestations", "waivers"]
    framework: str
    controls: tuple[str, ...]
    statement: str
    owner: str
    approver: str
    decided_on: str
    expires_on: str
    evidence: Path | None = None

    def to_json(self, folder: Path) -> dict[str, Any]:
        """As in a file of that folder. Raises InvalidPlan when the evidence is not there."""
        data: dict[str, Any] = {
            "framework": self.framework,
            "controls": list(self.controls),
            "statement": self.statement,
            "owner": self.owner,
            "approver": self.approver,
            "decided_on": self.decided_on,
            "expires_on": self.expires_on,
        }
        if self.evidence is None:
            return data
        if not self.evidence.is_file():
            raise InvalidPlan([Problem("--evidence", f"there is no file {self.evidence}")])
        return data | {
            "evidence": os.path.relpath(self.evidence.resolve(), folder.resolve()),
            "sha256": sha256_of(self.evidence),
        }


def add(path: Path, entry: Entry, known: Callable[[str], frozenset[str]]) -> dict[str, Any]:
    """Returns what was added. known: see `read_decisions`. The file is left alone unless all of it is right.
    Raises InvalidPlan, ChaosError."""
    data = entry.to_json(path.parent)
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else _NEW_FILE
        after = added(before, entry.section, data)
        candidate = path.with_name(f".{path.name}.new")
        candidate.write_text(after, encoding="utf-8")
        try:
            read_decisions(candidate, known)
            candidate.replace(path)
        finally:
            candidate.unlink(missing_ok=True)
    except (OSError, UnicodeDecodeError) as error:
        raise ChaosError(f"{path} cannot be written: {error}") from error
    return data


def added(text: str, section: str, data: dict[str, Any]) -> str:
    """The text of the file with the entry as the last one of its section. Raises ChaosError when that cannot
    be done without changing anything else."""
    lines = text.splitlines()
    at = next((place for place, line in enumerate(lines) if re.match(rf"{section}\s*:", line)), None)
    if at is None:
        lines += [*([""] if lines else []), f"{section}:"]
        at = len(lines) - 1
    elif re.fullmatch(rf"{section}\s*:\s*(\[\s*\]|null|~)\s*(#.*)?", lines[at]):
        lines[at] = re.sub(r":\s*(\[\s*\]|null|~)", ":", lines[at], count=1)
    end, indent = at + 1, "  "
    for place in range(at + 1, len(lines)):
        line = lines[place]
        if _KEY.match(line) and not line.startswith(("#", "-")):
            break
        if line.strip() and not line.lstrip().startswith("#"):
            indent = line[: len(line) - len(line.lstrip())] if end == at + 1 else indent
            end = place + 1
    block = yaml.safe_dump([data], sort_keys=False, allow_unicode=True, width=100).splitlines()
    after = "\n".join([*lines[:end], *(indent + line for line in block), *lines[end:]]) + "\n"
    _check(text, after, section, data)
    return after


def _check(before: str, after: str, section: str, data: dict[str, Any]) -> None:
    try:
        was, now = read_yaml(before) or {}, read_yaml(after)
    except ValueError as error:
        raise ChaosError(f"the file of decisions {error}") from None
    if not isinstance(was, dict):
        raise ChaosError("the file of decisions is no mapping of attestations, exclusions, waivers, plans")
    if now != {**was, section: [*(was.get(section) or []), data]}:
        raise ChaosError(
            f"the entry cannot be added without changing something else, for {section} is written in a way "
            "of its own; write it as a list of lines that begin with `- `"
        )
