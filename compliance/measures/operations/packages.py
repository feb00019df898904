"""What a service is made of, as files say: requirements, and a bill of materials in CycloneDX's or SPDX's
JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from chaos_locust.errors import ChaosError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PYPI = "pypi"
_OPTION = re.compile(r"\s--?[a-z][-a-z]*[ =]\S+")
_PURL = re.compile(r"pkg:(?P<type>[^/]+)/(?P<name>[^@?#]+)(@(?P<version>[^?#]+))?")


@dataclass(frozen=True, slots=True)
class Package:
    """ecosystem: as in its package URL, such as pypi; empty: not said. version: None: not said."""

    ecosystem: str
    name: str
    version: str | None

    def __str__(self) -> str:
        return f"{self.name} {self.version or '(no version)'}"


@dataclass(frozen=True, slots=True)
class Required:
    """A line of the requirements. is_pinned: to one version, or to one file by its hash."""

    package: Package
    is_pinned: bool


def read_requirements(path: Path) -> list[Required]:
    """Those of the files that it names with -r too; what does not apply to any system of ours is left in, for
    it is installed somewhere. Raises ChaosError."""
    found = [each for line in _lines(path, ()) if (each := _required(line, path)) is not None]
    if not found:
        raise ChaosError(f"{path} names no package")
    return found


def read_sbom(path: Path) -> list[Package]:
    """Raises ChaosError."""
    try:
        document = json.loads(_text(path))
    except ValueError as error:
        raise ChaosError(
            f"{path} is no JSON ({error}); SBOMs are read as JSON of CycloneDX or SPDX"
        ) from None
    try:
        if isinstance(document, dict) and document.get("bomFormat") == "CycloneDX":
            found = [_cyclonedx(each) for each in _components(document)]
        elif isinstance(document, dict) and "spdxVersion" in document:
            described = set(_described(document))
            found = [_spdx(each) for each in document["packages"] if each["SPDXID"] not in described]
        else:
            raise ChaosError(f"{path} is neither CycloneDX nor SPDX")
    except (KeyError, TypeError, AttributeError) as error:
        raise ChaosError(f"{path} is no SBOM that can be read: {type(error).__name__}: {error}") from None
    return found


def canonical(package: Package) -> str:
    """Its name as its ecosystem tells names apart."""
    if package.ecosystem in (PYPI, ""):
        return re.sub(r"[-_.]+", "-", package.name).lower()
    return package.name


def _lines(path: Path, above: tuple[Path, ...]) -> Iterator[str]:
    """With those of files that are included, comments and continuations gone."""
    if path in above:
        raise ChaosError(f"{path} includes itself")
    for line in re.sub(r"\\\n", " ", _text(path)).splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        included = re.fullmatch(r"(-r|--requirement)[ =]*(\S+)", line)
        if included:
            yield from _lines(path.parent / included[2], (*above, path))
        elif re.match(r"-e|--editable", line):
            yield re.sub(r"^(-e|--editable)[ =]*", "", line)
        elif re.match(r"-c|--constraint", line):
            raise ChaosError(f"{path} has constraints beside it; give the list that was pinned by them")
        elif line and not line.startswith("-"):
            yield line


def _required(line: str, path: Path) -> Required | None:
    from packaging.requirements import InvalidRequirement, Requirement

    has_hash = "--hash" in line
    bare = _OPTION.sub("", line).strip()
    try:
        requirement = Requirement(bare)
    except InvalidRequirement:
        if re.match(r"(\w+\+)?\w+://|[./]|\S+\.(whl|zip|tar\.gz)$", bare):  # a place, and no name
            return Required(Package(PYPI, bare, None), is_pinned=has_hash)
        raise ChaosError(f"{path}: {bare!r} is no requirement that can be read") from None
    version = _only_version(requirement)
    by_commit = re.search(r"@[0-9a-f]{40}\b", requirement.url or "") is not None
    return Required(
        Package(PYPI, requirement.name, version), is_pinned=version is not None or by_commit or has_hash
    )


def _only_version(requirement: Requirement) -> str | None:
    exact = [
        each.version
        for each in requirement.specifier
        if each.operator in ("==", "===") and not each.version.endswith(".*")
    ]
    return exact[0] if exact else None


def _components(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for each in document.get("components", ()):
        yield each
        yield from _components(each)


def _cyclonedx(component: Mapping[str, Any]) -> Package:
    return _by_purl(component.get("purl"), component["name"], component.get("version"))


def _described(document: Mapping[str, Any]) -> Iterator[str]:
    """What the document is about as a whole: the service itself is none of its parts."""
    yield from document.get("documentDescribes", ())
    for each in document.get("relationships", ()):
        if (each["spdxElementId"], each["relationshipType"]) == ("SPDXRef-DOCUMENT", "DESCRIBES"):
            yield each["relatedSpdxElement"]


def _spdx(package: Mapping[str, Any]) -> Package:
    purls = [
        each["referenceLocator"]
        for each in package.get("externalRefs", ())
        if each.get("referenceType") == "purl"
    ]
    version = package.get("versionInfo")
    return _by_purl(
        purls[0] if purls else None, package["name"], None if version == "NOASSERTION" else version
    )


def _by_purl(purl: str | None, name: str, version: str | None) -> Package:
    found = _PURL.match(purl or "")
    if found is None:
        return Package("", name, version or None)
    in_purl = unquote(found["version"]) if found["version"] else None
    return Package(found["type"].lower(), unquote(found["name"]), in_purl or version or None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ChaosError(f"{path}: {error}") from None
