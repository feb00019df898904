"""What is said of backups: none, old, changed since, open to all, and not to be restored."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos_locust.errors import ChaosError
from compliance.checks import checks, judge
from compliance.measurement import Measurement, Secrets
from compliance.measures.base import Unsupported
from compliance.measures.stores.backups import BackupThere, NewestBackup, Restoring
from compliance.site import Site, Unreachable
from compliance.target import Backups, Target

NOW = datetime(2026, 6, 10, 12, tzinfo=UTC)
DAY_AGE = {"backup_age_max_s": 90_000}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "backups"
    made.mkdir(mode=0o700)
    return made


def site_of(folder: Path, *restore: str) -> Site:
    return Site(
        Target(name="test", backups=Backups(folder=folder, restore=restore or None)),
        Secrets(),
        now=lambda: NOW,
    )


def backup(folder: Path, name: str = "shop.dump", hours_ago: float = 1, content: bytes = b"data") -> Path:
    path = folder / name
    path.write_bytes(content)
    path.chmod(0o600)
    at_s = (NOW - timedelta(hours=hours_ago)).timestamp()
    os.utime(path, (at_s, at_s))
    return path


def entry(name: str = "shop.dump", hours_ago: float = 1, content: bytes = b"data") -> dict[str, Any]:
    at = (NOW - timedelta(hours=hours_ago)).isoformat()
    return {"file": name, "at": at, "sha256": hashlib.sha256(content).hexdigest()}


def manifest(path: Path, *entries: dict[str, Any]) -> None:
    path.write_text(json.dumps({"backups": entries}))


def ends(pid: int, within_s: float = 20) -> bool:
    """A signal is on its way for a moment, and what nobody waits for stays behind as a zombie."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def outcome(check: str, value: Any) -> str:
    found = checks()[check]
    return judge(found, Measurement(found.measure, "ok", value, (), "", "", 0.0), DAY_AGE).answer


def test_an_empty_file_is_no_backup(folder: Path) -> None:
    assert outcome("backups-there", BackupThere().take(site_of(folder))) == "failed"
    backup(folder, content=b"")
    manifest(folder / "manifest.json")
    assert outcome("backups-there", BackupThere().take(site_of(folder))) == "failed"
    backup(folder)
    assert outcome("backups-there", BackupThere().take(site_of(folder))) == "held"


def test_a_folder_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"backups\.folder"):
        BackupThere().take(site_of(tmp_path / "elsewhere"))


@pytest.mark.parametrize("place", ["backups/manifest.json", "backups.json"])
def test_a_good_backup(tmp_path: Path, folder: Path, place: str) -> None:
    backup(folder, "old.dump", hours_ago=50)
    backup(folder)
    manifest(tmp_path / place, entry("old.dump", 50), entry())
    value = NewestBackup().take(site_of(folder))
    assert value == {"age_s": 3600.0, "fits_manifest": True, "others_may_read": False}
    for check in ("backup-age", "backup-integrity", "backup-private"):
        assert outcome(check, value) == "held"


@pytest.mark.parametrize(("file_hours", "manifest_hours"), [(26, 26), (1, 26), (26, 1)])
def test_the_older_of_file_and_manifest_counts(
    folder: Path, file_hours: float, manifest_hours: float
) -> None:
    backup(folder, hours_ago=file_hours)
    manifest(folder / "manifest.json", entry(hours_ago=manifest_hours))
    value = NewestBackup().take(site_of(folder))
    assert value["age_s"] == 26 * 3600
    assert outcome("backup-age", value) == "failed"


def test_a_changed_byte_is_seen(folder: Path) -> None:
    backup(folder, content=b"datA")
    manifest(folder / "manifest.json", entry())
    assert outcome("backup-integrity", NewestBackup().take(site_of(folder))) == "failed"


def test_one_that_the_manifest_does_not_have_does_not_fit(folder: Path) -> None:
    backup(folder, "unknown.dump")
    manifest(folder / "manifest.json", entry())
    assert outcome("backup-integrity", NewestBackup().take(site_of(folder))) == "failed"


def test_one_that_is_being_made_is_not_judged_yet(folder: Path) -> None:
    backup(folder, "new.dump", hours_ago=10 / 3600)
    manifest(folder / "manifest.json", entry())
    assert outcome("backup-integrity", NewestBackup().take(site_of(folder))) == "not_known"


def test_without_a_manifest_it_is_not_known(folder: Path) -> None:
    backup(folder)
    assert outcome("backup-integrity", NewestBackup().take(site_of(folder))) == "not_known"


def test_one_that_everybody_may_read(folder: Path) -> None:
    backup(folder).chmod(0o644)
    assert outcome("backup-private", NewestBackup().take(site_of(folder))) == "held"
    folder.chmod(0o755)
    assert outcome("backup-private", NewestBackup().take(site_of(folder))) == "failed"


@pytest.mark.parametrize("at", [None, "yesterday", "2026-06-10T11:00:00", "2026-06-11T11:00:00+00:00"])
def test_a_time_that_cannot_be_is_no_pass(folder: Path, at: str | None) -> None:
    backup(folder, hours_ago=-30)
    manifest(folder / "manifest.json", entry() | {"at": at})
    with pytest.raises(ChaosError):
        NewestBackup().take(site_of(folder))


def test_no_manifest_by_that_name(folder: Path) -> None:
    backup(folder)
    (folder / "manifest.json").write_text('["backups"]')
    with pytest.raises(ChaosError, match=r"manifest\.json is no manifest"):
        NewestBackup().take(site_of(folder))


def restoring(folder: Path, code: str) -> Any:
    backup(folder, content=b'{"orders": 3, "users": 0}')
    return Restoring().take(site_of(folder, sys.executable, "-c", code, "{backup}"))


def test_what_was_found_in_it(folder: Path) -> None:
    value = restoring(folder, "import sys; print('restoring'); print(open(sys.argv[1]).read())")
    assert {**value, "took_s": 0} == {"restored": True, "things": 3, "kinds_without": ["users"], "took_s": 0}
    assert outcome("backup-restores", value) == "held"


@pytest.mark.parametrize(
    "code",
    [
        "import sys; print(open(sys.argv[1]).read()); sys.exit(1)",
        "pass",
        "print('done')",
        "print('{}')",
        "print('[3]')",
        "print('{\"orders\": 0}')",
        "print('{\"orders\": -1}')",
        "print('{\"orders\": true}')",
        'print(\'{"orders": "many"}\')',
    ],
)
def test_one_that_is_not_restored(folder: Path, code: str) -> None:
    assert outcome("backup-restores", restoring(folder, code)) == "failed"


def test_one_that_takes_too_long_is_ended_and_not_judged(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compliance.measures.stores.backups.RESTORE_S", 2.0)
    backup(folder)
    script = "sleep 600 & echo $! > $1; wait"
    site = site_of(folder, "sh", "-c", script, "sh", str(tmp_path / "pid"))
    with pytest.raises(ChaosError, match="did not end within 2 s"):
        Restoring().take(site)
    left = int((tmp_path / "pid").read_text())
    assert ends(left)


def test_without_a_command_or_a_backup_nothing_is_said(folder: Path) -> None:
    with pytest.raises(Unsupported, match="no backup"):
        Restoring().take(site_of(folder, "true"))
    backup(folder)
    with pytest.raises(Unsupported, match=r"backups\.restore"):
        Restoring().take(site_of(folder))
    with pytest.raises(ChaosError, match="cannot be started"):
        Restoring().take(site_of(folder, str(folder / "no-such-program")))
