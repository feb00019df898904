"""What files say of packages, and what a database in OSV's form says of those."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.errors import ChaosError
from compliance.checks import checks, judge
from compliance.measurement import Measurement, Secrets
from compliance.measures.operations.dependencies import Materials, Pinned, Vulnerabilities
from compliance.measures.operations.packages import Package, read_requirements, read_sbom
from compliance.site import Site
from compliance.target import Dependencies, Target

HASH = f"--hash=sha256:{64 * 'a'}"
EVENTS = [{"introduced": "0"}, {"fixed": "2.10.1"}]


def site_of(**files: Path) -> Site:
    def now() -> datetime:
        return datetime(2026, 6, 10, tzinfo=UTC)

    return Site(Target(name="test", dependencies=Dependencies(**files)), Secrets(), now=now)


def written(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def advisory(name: str = "jinja2", ecosystem: str = "PyPI", **affected: Any) -> dict[str, Any]:
    return {
        "id": "GHSA-1",
        "aliases": ["CVE-2019-1"],
        "modified": "2026-06-01T00:00:00Z",
        "affected": [{"package": {"ecosystem": ecosystem, "name": name}, **affected}],
    }


def ranged(*events: Mapping[str, str], kind: str = "ECOSYSTEM") -> dict[str, Any]:
    return {"ranges": [{"type": kind, "events": list(events)}]}


def outcome(check: str, value: Any) -> str:
    found = checks()[check]
    return judge(found, Measurement(found.measure, "ok", value, (), "", "", 0.0), {}).answer


def judged(folder: Path, requirement: str, *advisories: Any) -> Any:
    return Vulnerabilities().take(
        site_of(
            requirements=written(folder, "requirements.txt", requirement),
            vulnerabilities=written(folder, "osv.json", list(advisories)),
        )
    )


@pytest.mark.parametrize(
    ("line", "is_pinned"),
    [
        ("jinja2==2.10", True),
        ("Jinja2 == 2.10  # why", True),
        ("jinja2[i18n]==2.10 ; python_version >= '3.11'", True),
        (f"jinja2==2.10 \\\n    {HASH}", True),
        (f"https://example.org/jinja2-2.10.whl {HASH}", True),
        (f"jinja2 @ git+https://example.org/jinja2@{40 * '0'}", True),
        ("jinja2 @ git+https://example.org/jinja2@main", False),
        ("jinja2", False),
        ("jinja2>=2.10", False),
        ("jinja2~=2.10", False),
        ("jinja2==2.*", False),
        ("-e ./jinja2", False),
    ],
)
def test_what_is_pinned(tmp_path: Path, line: str, is_pinned: bool) -> None:
    path = written(tmp_path, "requirements.txt", f"--index-url https://example.org\n# list\n{line}\n")
    assert [each.is_pinned for each in read_requirements(path)] == [is_pinned]
    value = Pinned().take(site_of(requirements=path))
    assert outcome("dependencies-pinned", value) == ("held" if is_pinned else "failed")


def test_requirements_in_other_files_count(tmp_path: Path) -> None:
    written(tmp_path, "more.txt", "requests\n")
    path = written(tmp_path, "requirements.txt", "-r more.txt\njinja2==2.10\n")
    assert Pinned().take(site_of(requirements=path)) == {"unpinned": ["requests"], "packages": 2}


@pytest.mark.parametrize(
    "content", ["", "# nothing\n", "jinja2 = 2.10\n", "-r requirements.txt\n", "jinja2\n-c constraints.txt\n"]
)
def test_a_list_that_cannot_be_read_is_no_pass(tmp_path: Path, content: str) -> None:
    with pytest.raises(ChaosError, match=r"requirements\.txt"):
        read_requirements(written(tmp_path, "requirements.txt", content))


def cyclonedx(*components: Mapping[str, Any]) -> dict[str, Any]:
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": list(components)}


def spdx(name: str, version: str, purl: str) -> dict[str, Any]:
    reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
    package = {"SPDXID": "SPDXRef-1", "name": name, "versionInfo": version, "externalRefs": [reference]}
    root = {"SPDXID": "SPDXRef-0", "name": "shop", "versionInfo": "1"}
    return {"spdxVersion": "SPDX-2.3", "documentDescribes": ["SPDXRef-0"], "packages": [root, package]}


@pytest.mark.parametrize(
    "document",
    [
        cyclonedx({"name": "Jinja2", "version": "2.10", "purl": "pkg:pypi/jinja2@2.10"}),
        cyclonedx({"name": "x", "version": "1", "components": [{"name": "jinja2", "version": "2.10"}]}),
        spdx("jinja2", "2.10", "pkg:pypi/jinja2@2.10"),
        spdx("jinja2", "NOASSERTION", "pkg:pypi/jinja2@2.10"),
    ],
)
def test_a_bill_has_what_is_required(tmp_path: Path, document: Any) -> None:
    sbom = written(tmp_path, "sbom.json", document)
    for required, missing in (
        ("Jinja2==2.10.0", []),
        ("jinja2", []),
        ("jinja2==2.11", ["jinja2 2.11"]),
        ("requests==2.0", ["requests 2.0"]),
    ):
        requirements = written(tmp_path, "requirements.txt", required)
        value = Materials().take(site_of(requirements=requirements, sbom=sbom))
        assert value["missing"] == missing
        assert outcome("sbom-complete", value) == ("failed" if missing else "held")


def test_the_service_itself_is_no_part_of_its_bill(tmp_path: Path) -> None:
    document = spdx("jinja2", "2.10", "pkg:pypi/jinja2@2.10")
    del document["documentDescribes"]
    assert len(read_sbom(written(tmp_path, "sbom.json", document))) == 2
    document["relationships"] = [
        {
            "spdxElementId": "SPDXRef-DOCUMENT",
            "relationshipType": "DESCRIBES",
            "relatedSpdxElement": "SPDXRef-0",
        },
        {
            "spdxElementId": "SPDXRef-0",
            "relationshipType": "DEPENDS_ON",
            "relatedSpdxElement": "SPDXRef-1",
        },
    ]
    assert read_sbom(written(tmp_path, "sbom.json", document)) == [Package("pypi", "jinja2", "2.10")]


def test_a_package_of_another_ecosystem_is_another(tmp_path: Path) -> None:
    sbom = written(tmp_path, "sbom.json", cyclonedx({"name": "redis", "purl": "pkg:npm/redis@4.0.0"}))
    requirements = written(tmp_path, "requirements.txt", "redis==4.0.0")
    assert Materials().take(site_of(requirements=requirements, sbom=sbom))["missing"] == ["redis 4.0.0"]


def test_completeness_is_not_known_without_requirements(tmp_path: Path) -> None:
    value = Materials().take(site_of(sbom=written(tmp_path, "sbom.json", cyclonedx({"name": "left-pad"}))))
    assert outcome("sbom-complete", value) == "not_known"
    assert outcome("sbom-versions", value) == "failed"


@pytest.mark.parametrize("content", ["<bom/>", "[]", {"packages": []}, cyclonedx({"version": "1"})])
def test_what_is_no_bill_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ChaosError, match=r"sbom\.json"):
        read_sbom(written(tmp_path, "sbom.json", content))


def test_the_name_and_version_of_a_package_url(tmp_path: Path) -> None:
    component = {"name": "pad", "purl": "pkg:npm/%40left/pad@1.0%2Bx?arch=any#sub"}
    assert read_sbom(written(tmp_path, "sbom.json", cyclonedx(component))) == [
        Package("npm", "@left/pad", "1.0+x")
    ]


@pytest.mark.parametrize(
    ("version", "affected", "is_vulnerable"),
    [
        ("2.10", ranged(*EVENTS), True),
        ("2.10.1", ranged(*EVENTS), False),
        ("2.10.1rc1", ranged(*EVENTS), True),
        ("2.9", ranged({"introduced": "2.10"}), False),
        ("3.0", ranged({"introduced": "2.10"}), True),
        ("2.10", ranged({"introduced": "0"}, {"last_affected": "2.10"}), True),
        ("2.10.post1", ranged({"introduced": "0"}, {"last_affected": "2.10"}), False),
        ("3.5", ranged(*EVENTS, {"introduced": "3.0"}, {"fixed": "3.6"}), True),
        ("2.11", ranged({"fixed": "3.6"}, {"introduced": "3.0"}, *EVENTS), False),
        ("2.10", ranged({"introduced": "0"}, {"limit": "2.0"}), False),
        ("2.10.0", {"versions": ["2.10"]}, True),
        ("2.11", {"versions": ["2.10", "who-knows"]}, False),
    ],
)
def test_ranges_are_as_the_schema_has_them(
    tmp_path: Path, version: str, affected: Any, is_vulnerable: bool
) -> None:
    value = judged(tmp_path, f"Jinja2=={version}", advisory(**affected))
    found = [f"Jinja2 {version}: GHSA-1 = CVE-2019-1"] if is_vulnerable else []
    assert value == {"vulnerable": found, "not_judged": [], "database_age_days": 9}
    assert outcome("no-known-vulnerabilities", value) == ("failed" if is_vulnerable else "held")


@pytest.mark.parametrize(
    ("requirement", "found"),
    [
        ("jinja2", advisory(**ranged(*EVENTS))),  # no version
        ("jinja2==2.10", advisory(**ranged(*EVENTS, kind="GIT"))),  # nothing but commits
        ("jinja2===who-knows", advisory(**ranged(*EVENTS))),
        ("jinja2==2.10", advisory(**ranged({"introduced": "who-knows"}))),
        ("jinja2==2.10", advisory(ecosystem="npm", **ranged(*EVENTS))),  # nothing of PyPI
        ("jinja2==2.10", advisory(**ranged(*EVENTS)) | {"withdrawn": "2026-06-01T00:00:00Z"}),
        (f"https://example.org/jinja2.whl {HASH}", advisory(**ranged(*EVENTS))),
    ],
)
def test_what_cannot_be_judged_is_no_pass(tmp_path: Path, requirement: str, found: Any) -> None:
    value = judged(tmp_path, requirement, found)
    assert value["vulnerable"] is None
    assert len(value["not_judged"]) == 1
    assert outcome("no-known-vulnerabilities", value) == "not_known"


def test_one_that_is_vulnerable_fails_whatever_else_cannot_be_judged(tmp_path: Path) -> None:
    value = judged(tmp_path, "jinja2==2.10\nrequests", advisory(**ranged(*EVENTS)))
    assert len(value["not_judged"]) == 1
    assert outcome("no-known-vulnerabilities", value) == "failed"


def test_a_bill_of_nothing_is_no_pass(tmp_path: Path) -> None:
    sbom = written(tmp_path, "sbom.json", cyclonedx())
    value = Materials().take(site_of(sbom=sbom))
    assert outcome("sbom-complete", value) == outcome("sbom-versions", value) == "not_known"
    required = site_of(sbom=sbom, requirements=written(tmp_path, "requirements.txt", "jinja2==2.10"))
    assert outcome("sbom-complete", Materials().take(required)) == "failed"
    database = written(tmp_path, "osv.json", [advisory(**ranged(*EVENTS))])
    with pytest.raises(ChaosError, match="no package"):
        Vulnerabilities().take(site_of(sbom=sbom, vulnerabilities=database))


def test_packages_of_the_bill_are_judged_too(tmp_path: Path) -> None:
    component = {"name": "jinja2", "purl": "pkg:pypi/jinja2@2.10"}
    site = site_of(
        requirements=written(tmp_path, "requirements.txt", "jinja2\n"),
        sbom=written(tmp_path, "sbom.json", cyclonedx(component, {"name": "x", "purl": "pkg:npm/x@1"})),
        vulnerabilities=written(tmp_path, "osv.json", {"vulns": [advisory(**ranged(*EVENTS))]}),
    )
    value = Vulnerabilities().take(site)
    assert value["vulnerable"] == ["jinja2 2.10: GHSA-1 = CVE-2019-1"]
    assert value["not_judged"] == ["x 1: packages of npm are not judged"]


def test_an_old_database_is_told(tmp_path: Path) -> None:
    old = advisory(name="other", **ranged(*EVENTS)) | {"modified": "2026-05-01T00:00:00Z"}
    value = judged(tmp_path, "jinja2==2.10", old)
    assert value["database_age_days"] == 40
    assert outcome("vulnerabilities-current", value) == "failed"


def test_one_advisory_in_each_line_is_read_too(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(advisory(name=name, **ranged(*EVENTS))) for name in ("jinja2", "other"))
    requirements = written(tmp_path, "requirements.txt", "other==1.0")
    database = written(tmp_path, "osv.jsonl", lines)
    value = Vulnerabilities().take(site_of(requirements=requirements, vulnerabilities=database))
    assert value["vulnerable"] == ["other 1.0: GHSA-1 = CVE-2019-1"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"vulns": []}', '[{"id": "x"}]', "no json"])
def test_what_is_no_database_is_refused(tmp_path: Path, content: str) -> None:
    requirements = written(tmp_path, "requirements.txt", "jinja2==2.10")
    database = written(tmp_path, "osv.json", content)
    with pytest.raises(ChaosError, match=r"osv\.json"):
        Vulnerabilities().take(site_of(requirements=requirements, vulnerabilities=database))
