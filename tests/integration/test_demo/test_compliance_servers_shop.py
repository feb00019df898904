"""The shop's database, cache and packages, as an audit sees them; and who gets to see their passwords."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from compliance.auditor import Auditor
from compliance.catalogue import FRAMEWORKS, load
from compliance.checks import checks, judge
from compliance.measurement import Measurement
from compliance.measures.registry import measures
from compliance.target import Target, load_target

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")
TOPICS = ("database", "redis_server", "dependencies")
PROFILES = [profile for name in FRAMEWORKS for profile in load(name).profiles.values()]
ADVISORIES = (
    Path(__file__).parents[1] / "data" / "osv.json"
)  # two of the years 2022 and 2023, of old versions
PLAN = """
name: sessions of the database end, and the cache is emptied
host: ${SHOP_URL}
requests: [{path: /products}]
targets:
  database: {postgres: "${SHOP_POSTGRES}"}
  cache: {redis: "${SHOP_CACHE}"}
load: [{step: base, rate: 20/s, for: 14s}]
warm_up: 2s
baseline: 5s
faults:
  - {name: ended, kind: postgres_terminate_backends, target: database, every: 1s, user: shop, at: 8s, for: 3s}
  - {name: emptied, kind: redis_flush, target: cache, keys: "*", at: 12s}
objectives: [error_rate < 50% during run]
"""


def target_of(shop: Any) -> Target:
    return load_target(Path(shop.ready["env"]["SHOP_TARGET"]), {**os.environ, **shop.ready["env"]})


@pytest.fixture
def target(shop: Any) -> Target:
    return target_of(shop)


def ours() -> list[str]:
    return [name for name, each in measures().items() if each.__module__.rpartition(".")[2] in TOPICS]


def answers(found: Measurement) -> dict[str, str]:
    """By check: what every profile of every framework says."""
    about = [each for each in checks().values() if each.measure == found.measure]
    said = {each.id: {judge(each, found, one.parameters).answer for one in PROFILES} for each in about}
    return {check: several.pop() if len(several) == 1 else str(several) for check, several in said.items()}


def with_packages(target: Target, **change: Path) -> Target:
    assert target.dependencies is not None
    return target.model_copy(update={"dependencies": target.dependencies.model_copy(update=change)})


def violated(target: Target) -> set[str]:
    """Of PCI DSS, as far as packages tell."""
    alone = Target(name="packages", dependencies=target.dependencies)
    framework = load("pcidss")
    return {each.control_id for each in Auditor(alone).audit(framework, framework.profile()).violations}


def test_the_healthy_shop_holds_all_that_can_be_measured(target: Target) -> None:
    found = {name: Auditor(target).measure(name) for name in ours()}
    unknown = {name: each.reason for name, each in found.items() if each.status != "ok"}
    assert set(unknown) == {"sbom", "known_vulnerabilities"}
    assert "names no database" in unknown["known_vulnerabilities"]
    said = {
        check: answer
        for name in found
        if name not in unknown
        for check, answer in answers(found[name]).items()
    }
    assert said == dict.fromkeys(said, "held")
    assert len(said) == 13
    assert all("not_known" in answers(found[name]).values() for name in unknown)


@pytest.mark.parametrize(
    ("lapse", "measure", "failed"),
    [
        ("trusting-database", "postgres_logins", "database-password-needed"),
        ("open-cache", "redis_strangers", "redis-password-needed"),
    ],
)
def test_a_lapse_turns_its_check_and_no_other(start_shop: Any, lapse: str, measure: str, failed: str) -> None:
    target = target_of(start_shop(lapse))
    said = {
        check: answer for name in ours() for check, answer in answers(Auditor(target).measure(name)).items()
    }
    assert [check for check, answer in said.items() if answer == "failed"] == [failed]
    assert failed in answers(Auditor(target).measure(measure))


def test_what_the_shop_runs_with_is_judged_by_what_is_known(target: Target, tmp_path: Path) -> None:
    """Nothing is known of what is installed; but who says so has not looked for years."""
    found = Auditor(with_packages(target, vulnerabilities=ADVISORIES)).measure("known_vulnerabilities")
    assert answers(found) == {"no-known-vulnerabilities": "held", "vulnerabilities-current": "failed"}
    assert target.dependencies is not None
    assert target.dependencies.requirements is not None
    listed = target.dependencies.requirements.read_text().splitlines()
    old = ["PyJWT==2.3.0" if each.startswith("PyJWT==") else each for each in listed]
    assert old != listed
    (tmp_path / "old.txt").write_text("\n".join(old))
    changed = with_packages(target, vulnerabilities=ADVISORIES, requirements=tmp_path / "old.txt")
    found = Auditor(changed).measure("known_vulnerabilities")
    assert found.value["vulnerable"] == ["PyJWT 2.3.0: PYSEC-2022-202 = CVE-2022-29217 = GHSA-ffqj-6fqr-9h24"]
    assert answers(found)["no-known-vulnerabilities"] == "failed"
    advisories = json.loads(ADVISORIES.read_text())
    advisories[1]["modified"] = datetime.now(UTC).isoformat()  # as if they had been fetched today
    (tmp_path / "osv.json").write_text(json.dumps(advisories))
    assert violated(with_packages(target, vulnerabilities=tmp_path / "osv.json")) == set()
    assert violated(with_packages(changed, vulnerabilities=tmp_path / "osv.json")) == {
        "6.3.1",
        "6.3.3",
        "11.3.1",
    }


def test_the_list_of_packages_is_of_what_the_shop_has_loaded(shop: Any, target: Target) -> None:
    """Compiled modules are mapped into its processes, by their files."""
    assert target.dependencies is not None
    assert target.dependencies.requirements is not None
    listed = {
        line.partition("==")[0].lower() for line in target.dependencies.requirements.read_text().split()
    }
    mapped = {
        each.path for name in ("shop", "identity") for each in psutil.Process(shop.pid(name)).memory_maps()
    }
    loaded = {
        path.partition("/site-packages/")[2].partition("/")[0].partition(".")[0]
        for path in mapped
        if "/site-packages/" in path
    }
    assert {"asyncpg", "uvloop", "httptools", "pydantic_core"} <= loaded
    unlisted = {name for name in loaded if name.lower() not in listed and not name.startswith("_")}
    assert unlisted <= {"yaml"}, "of the programs that start and audit it"


# -- passwords -------------------------------------------------------------------------------------------


def secrets_of(shop: Any) -> set[bytes]:
    found = {word.encode() for word in json.loads((shop.state / "logins.json").read_text()).values()}
    assert len(found) == 4
    return found


def seen_in_processes(words: set[bytes]) -> Iterator[str]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes()
        except OSError:  # it has ended
            continue
        if any(word in line for word in words):
            yield line.decode(errors="replace")


def seen_in_files(folder: Path, words: set[bytes]) -> list[Path]:
    files = [each for each in folder.rglob("*") if each.is_file()]
    assert files
    return [each for each in files if any(word in each.read_bytes() for word in words)]


def test_passwords_are_new_for_each_shop_and_only_their_owner_reads_them(shop: Any, start_shop: Any) -> None:
    words = secrets_of(shop)
    assert not words & secrets_of(start_shop())
    holders = seen_in_files(shop.state, words)
    assert {each.name for each in holders} == {"logins.json", "pgpass", "env", "target.yaml"}
    assert all(each.stat().st_mode & 0o077 == 0 for each in [*holders, shop.ready_file])
    assert not any(word in shop.output.read_bytes() for word in words)


def test_no_list_of_processes_no_journal_and_no_report_shows_a_password(shop: Any, tmp_path: Path) -> None:
    words = secrets_of(shop)
    (tmp_path / "plan.yaml").write_text(PLAN)
    results = tmp_path / "results"
    audit = ("compliance", "audit", "--framework", "pcidss", "--target", shop.ready["env"]["SHOP_TARGET"])
    for arguments in (
        ("run", "plan.yaml", "--results", str(results)),
        (*audit, "--output", str(results / "audits")),
    ):
        environ = {**os.environ, **shop.ready["env"], "PYTHONPATH": str(ROOT)}
        with (tmp_path / "said").open("ab") as said:
            started = subprocess.Popen(
                [*COMMAND, *arguments], cwd=tmp_path, env=environ, stdout=said, stderr=said
            )
        try:
            while started.poll() is None:
                assert list(seen_in_processes(words)) == []
                with contextlib.suppress(subprocess.TimeoutExpired):
                    started.wait(0.05)
        finally:
            started.kill()
            started.wait()
        assert started.returncode in (0, 4), (tmp_path / "said").read_text()  # a busy machine decides less
    assert seen_in_files(tmp_path, words) == []
    assert list(results.rglob("verdict.json"))
    assert list(results.rglob("audit.json"))
