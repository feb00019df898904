"""What the service is made of: pinned versions, a bill of materials, known vulnerabilities."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from compliance.measures.access.guarded import some_or_unknown
from compliance.measures.base import Beside, Measure, SideEffect, Unsupported
from compliance.measures.operations.osv import NotJudged, read_database
from compliance.measures.operations.packages import Package, canonical, read_requirements, read_sbom
from compliance.site import Site
from compliance.target import Dependencies, Target

_ADVISORY = {
    "id": "BAD-2019-1",
    "modified": "2019-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "jinja2"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.10.1"}]}],
        }
    ],
}
_SBOM = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "components": [
        {"type": "library", "name": "Jinja2", "version": "2.9", "purl": "pkg:pypi/jinja2@2.9"},
        {"type": "library", "name": "left-pad"},
    ],
}


class Pinned(Measure):
    name = "pinned_versions"
    says = "whether what is installed today is what is installed tomorrow"
    side_effect: ClassVar[SideEffect] = "passive"
    beside: ClassVar[Beside] = "everything"
    needs = ("dependencies",)
    fields: ClassVar[Mapping[str, str]] = {
        "unpinned": "required packages that are bound neither to one version nor to a hash",
        "packages": "how many are required",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        path = _described(site).requirements
        if path is None:
            raise Unsupported("the target names no requirements (dependencies.requirements)")
        required = read_requirements(path)
        site.note(f"{path.name}: {', '.join(str(each.package) for each in required)}")
        unpinned = [each.package.name for each in required if not each.is_pinned]
        return {"unpinned": unpinned, "packages": len(required)}

    def bad(self) -> AbstractContextManager[Target]:
        return _bad()


class Materials(Measure):
    name = "sbom"
    says = "whether the bill of materials has everything that is required, with versions"
    side_effect: ClassVar[SideEffect] = "passive"
    beside: ClassVar[Beside] = "everything"
    needs = ("dependencies",)
    fields: ClassVar[Mapping[str, str]] = {
        "missing": "required packages that it does not have in that version; null: no requirements are named",
        "unversioned": "what it has without a version; null: it has nothing",
        "packages": "how many it has",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        described = _described(site)
        if described.sbom is None:
            raise Unsupported("the target names no bill of materials (dependencies.sbom)")
        listed = read_sbom(described.sbom)
        site.note(f"{described.sbom.name}: {', '.join(map(str, listed))}")
        missing = None
        if described.requirements is not None:
            required = [each.package for each in read_requirements(described.requirements)]
            missing = [str(each) for each in required if not _has(listed, each)]
        unversioned = [each.name for each in listed if each.version is None] if listed else None
        return {"missing": missing, "unversioned": unversioned, "packages": len(listed)}

    def bad(self) -> AbstractContextManager[Target]:
        return _bad()


class Vulnerabilities(Measure):
    name = "known_vulnerabilities"
    says = "which required packages have known vulnerabilities, by a database in OSV's form"
    side_effect: ClassVar[SideEffect] = "passive"
    beside: ClassVar[Beside] = "everything"
    needs = ("dependencies",)
    fields: ClassVar[Mapping[str, str]] = {
        "vulnerable": "packages with what is known of them; null: none, but not all could be judged",
        "not_judged": "packages that could not be judged, with the reason",
        "database_age_days": "since the newest advisory of the database was changed",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        described = _described(site)
        if described.vulnerabilities is None:
            raise Unsupported("the target names no database (dependencies.vulnerabilities)")
        database = read_database(described.vulnerabilities)
        vulnerable, not_judged = [], []
        for package in _packages(described):
            try:
                known = database.of(package)
            except NotJudged as error:
                not_judged.append(f"{package}: {error}")
                continue
            if known:
                vulnerable.append(f"{package}: {', '.join(known)}")
            site.note(f"{package}: {', '.join(known) or 'nothing known'}")
        return {
            "vulnerable": some_or_unknown(vulnerable, not_judged),
            "not_judged": not_judged,
            "database_age_days": (site.now() - database.changed_at) // timedelta(days=1),
        }

    def bad(self) -> AbstractContextManager[Target]:
        return _bad()


def _described(site: Site) -> Dependencies:
    assert site.target.dependencies is not None
    return site.target.dependencies


def _has(listed: list[Package], wanted: Package) -> bool:
    return any(
        canonical(each) == canonical(wanted)
        and each.ecosystem in (wanted.ecosystem, "")
        and (wanted.version is None or _same_version(each.version, wanted.version))
        for each in listed
    )


def _same_version(left: str | None, right: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return left is not None and Version(left) == Version(right)
    except InvalidVersion:
        return left == right


def _packages(described: Dependencies) -> list[Package]:
    """What is required, and what the bill of materials has, each once: of one that is required without a
    version, the bill says which."""
    listed = [] if described.sbom is None else read_sbom(described.sbom)
    if described.requirements is None and described.sbom is None:
        raise Unsupported("the target names neither requirements nor a bill of materials")
    required = [] if described.requirements is None else read_requirements(described.requirements)
    found = {(each.ecosystem, canonical(each), each.version): each for each in listed}
    names = {(each.ecosystem, canonical(each)) for each in listed if each.version is not None}
    for package in (each.package for each in required):
        key = (package.ecosystem, canonical(package))
        if package.version is not None or key not in names:
            found.setdefault((*key, package.version), package)
    if not found:
        raise Unsupported("there is no package to be judged")
    return list(found.values())


@contextmanager
def _bad() -> Iterator[Target]:
    """An old package with a vulnerability, a requirement of any version, a bill that is of neither, and a
    database of years ago."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "requirements.txt").write_text("jinja2==2.10\nrequests>=2\n")
        (folder / "sbom.json").write_text(json.dumps(_SBOM))
        (folder / "osv.json").write_text(json.dumps([_ADVISORY]))
        yield Target(
            name="bad",
            dependencies=Dependencies(
                requirements=folder / "requirements.txt",
                sbom=folder / "sbom.json",
                vulnerabilities=folder / "osv.json",
            ),
        )


MEASURES = (Pinned, Materials, Vulnerabilities)
