"""Known vulnerabilities in OSV's form (https://ossf.github.io/osv-schema/), and which packages have them.

Packages of PyPI are judged, by their own rules for versions. Anything else is not, and that is said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaos_locust.errors import ChaosError
from compliance.measures.operations.packages import PYPI, Package, canonical

if TYPE_CHECKING:
    from packaging.version import Version

Advisory = Mapping[str, Any]


class NotJudged(Exception):
    """Whether a package has a vulnerability cannot be told; the text says why."""


@dataclass(frozen=True, slots=True)
class Database:
    """Of PyPI's packages. changed_at: when the newest of all its advisories was."""

    advisories: tuple[Advisory, ...]
    changed_at: datetime

    def of(self, package: Package) -> list[str]:
        """The ids of its vulnerabilities, with other names of each. Raises NotJudged."""
        if package.ecosystem != PYPI:
            raise NotJudged(
                f"packages of {package.ecosystem or 'an ecosystem that is not said'} are not judged"
            )
        if not self.advisories:
            raise NotJudged("the database has nothing of PyPI")
        version = _version(package.version)
        found, unclear = [], ""
        for advisory in self.advisories:
            for affected in _about(advisory, canonical(package)):
                try:
                    if _has(affected, version, str(package.version)):
                        found.append(" = ".join([advisory["id"], *advisory.get("aliases", ())]))
                        break
                except NotJudged as error:
                    unclear = f"{advisory['id']}: {error}"
        if unclear and not found:
            raise NotJudged(unclear)
        return found


def read_database(path: Path) -> Database:
    """A list of advisories, an object with it under `vulns`, or one in each line. Those withdrawn are left
    out. Raises ChaosError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ChaosError(f"{path}: {error}") from None
    try:
        found = _documents(text)
        changed_at = max(_time(each["modified"]) for each in found)
        of_pypi = [
            each for each in found if not each.get("withdrawn") and any(map(_is_pypi, each["affected"]))
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ChaosError(f"{path} is not in OSV's form: {type(error).__name__}: {error}") from None
    return Database(tuple(of_pypi), changed_at)


def _documents(text: str) -> list[Advisory]:
    try:
        document = json.loads(text)
    except ValueError:
        document = [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(document, dict):
        document = document.get("vulns", [document])
    return list(document)


def _is_pypi(affected: Mapping[str, Any]) -> bool:
    return str(affected.get("package", {}).get("ecosystem", "")).partition(":")[0].lower() == PYPI


def _about(advisory: Advisory, name: str) -> Iterable[Mapping[str, Any]]:
    return [
        each
        for each in advisory["affected"]
        if _is_pypi(each) and canonical(Package(PYPI, each["package"]["name"], None)) == name
    ]


def _has(affected: Mapping[str, Any], version: Version, as_written: str) -> bool:
    """As the schema's section on evaluation has it: a version that is listed, or lies in a range."""
    listed = affected.get("versions", ())
    if as_written in listed or any(_version(each) == version for each in listed if _can_be_read(each)):
        return True
    ranges = [each for each in affected.get("ranges", ()) if each["type"] != "GIT"]
    if not ranges and not listed:
        raise NotJudged("it tells of commits, and of no versions")
    return any(_is_within(version, each["events"]) for each in ranges)


def _is_within(version: Version, events: Iterable[Mapping[str, str]]) -> bool:
    dated = [(kind, text, None if text in ("0", "*") else _version(text))
             for event in events for kind, text in event.items()]  # fmt: skip
    limits = [at for kind, _, at in dated if kind == "limit"]
    if limits and not any(at is None or version < at for at in limits):
        return False
    is_in = False
    # At the same version, what ends a range comes after what begins it.
    order = {"introduced": 0, "last_affected": 1, "fixed": 2}
    steps = [each for each in dated if each[0] in order]
    for kind, _, at in sorted(
        steps, key=lambda each: (each[2] is not None, each[2] or version, order[each[0]])
    ):
        if kind == "introduced" and (at is None or version >= at):
            is_in = True
        elif at is not None and (
            (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at)
        ):
            is_in = False
    return is_in


def _version(text: str | None) -> Version:
    from packaging.version import InvalidVersion, Version

    if text is None:
        raise NotJudged("it has no version")
    try:
        return Version(text)
    except InvalidVersion:
        raise NotJudged(f"{text!r} is no version of PyPI") from None


def _can_be_read(text: str) -> bool:
    try:
        _version(text)
    except NotJudged:
        return False
    return True


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
