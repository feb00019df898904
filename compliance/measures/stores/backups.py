"""The backups: whether there are any, how old, as they were made, for whose eyes, and whether they restore.

A manifest says what was made: `manifest.json` in the folder of the backups, or FOLDER.json beside it, with
`{"backups": [{"file": name, "at": ISO 8601 with its offset, "sha256": hex}, ...]}`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any, ClassVar

from chaos_locust.errors import ChaosError
from compliance.measures.base import Beside, Measure, SideEffect, Unsupported
from compliance.site import Site, Unreachable
from compliance.target import Backups, Target

RESTORE_S, LOOK_S = 300.0, 0.2
CLOCKS_APART_S = 60.0  # as far as another machine's clock may be ahead
BEING_MADE_S = 60.0
OTHERS = 0o004


class BackupThere(Measure):
    name = "backups"
    says = "whether there are backups"
    side_effect: ClassVar[SideEffect] = "passive"
    beside: ClassVar[Beside] = "everything"
    needs = ("backups",)
    fields: ClassVar[Mapping[str, str]] = {"count": "files and folders that are not empty"}

    def take(self, site: Site) -> Mapping[str, Any]:
        return {"count": len(_backups(site))}

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "empty.dump").touch()
            yield Target(name="bad", backups=Backups(folder=Path(folder)))


class NewestBackup(Measure):
    name = "newest_backup"
    says = "how old the newest backup is, whether it is as it was made, and for whose eyes"
    side_effect: ClassVar[SideEffect] = "passive"
    beside: ClassVar[Beside] = "everything"
    needs = ("backups",)
    fields: ClassVar[Mapping[str, str]] = {
        "age_s": "since it was made, as its file and the manifest say; the older counts",
        "fits_manifest": "whether its SHA-256 is the manifest's; null: there is none, or not yet",
        "others_may_read": "whether the modes of file and folder let every user of the machine read it",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        newest = _newest(site)
        manifest = _manifest(newest.parent)
        entry = None if manifest is None else manifest.get(newest.name)
        made_at = datetime.fromtimestamp(_changed_at_s(newest), UTC)
        if entry is not None:
            made_at = min(made_at, _time(entry))
        age_s = (site.now() - made_at).total_seconds()
        if age_s < -CLOCKS_APART_S:
            raise ChaosError(f"{newest.name} is of {made_at.isoformat()}, which is yet to come")
        site.note(f"{newest.name}, made {made_at.isoformat()}; in the manifest: {entry}")
        return {
            "age_s": round(max(age_s, 0.0), 1),
            "fits_manifest": _fits(newest, manifest, entry, age_s),
            "others_may_read": all(each.stat().st_mode & OTHERS for each in (newest, newest.parent)),
        }

    @contextmanager
    def bad(self) -> Iterator[Target]:
        """One of two years ago, of which a byte has changed since, for everybody to read."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            backup = folder / "shop.dump"
            backup.write_bytes(b"all there was.")
            with backup.open("rb") as file:
                sha256 = file_digest(file, "sha256").hexdigest()
            entry = {"file": backup.name, "at": "2020-01-01T00:00:00+00:00", "sha256": sha256}
            (folder / "manifest.json").write_text(json.dumps({"backups": [entry]}))
            backup.write_bytes(b"all there was!")
            folder.chmod(0o755)
            backup.chmod(0o644)
            yield Target(name="bad", backups=Backups(folder=folder))


class Restoring(Measure):
    name = "restore_test"
    says = "whether the newest backup can be restored, and what is found in it"
    side_effect: ClassVar[SideEffect] = "active"
    beside: ClassVar[Beside] = "everything"
    needs = ("backups",)
    fields: ClassVar[Mapping[str, str]] = {
        "restored": "whether the command of backups.restore ended well, and said what it found",
        "things": "how many things it found, all kinds together",
        "kinds_without": "kinds of which it found none",
        "took_s": "the time it took",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.backups is not None
        command = site.target.backups.restore
        if command is None:
            raise Unsupported("the target has no command that restores a backup (backups.restore)")
        newest = _newest(site)
        began_s = site.clock()
        code, printed = _ran([each.replace("{backup}", str(newest)) for each in command], site)
        took_s = round(site.clock() - began_s, 3)
        found = _counts(printed) if code == 0 else None
        return {
            "restored": found is not None,
            "things": sum((found or {}).values()),
            "kinds_without": sorted(name for name, count in (found or {}).items() if not count),
            "took_s": took_s,
        }

    @contextmanager
    def bad(self) -> Iterator[Target]:
        """Something that says it found everything, and fails."""
        code = "import sys; print(open(sys.argv[1]).read()); sys.exit(1)"
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "shop.dump").write_text('{"orders": 4}')
            restore = (sys.executable, "-c", code, "{backup}")
            yield Target(name="bad", backups=Backups(folder=Path(folder), restore=restore))


def _backups(site: Site) -> list[Path]:
    """Raises Unreachable."""
    assert site.target.backups is not None
    folder = site.target.backups.folder
    try:
        found = [each for each in folder.iterdir() if each.name != "manifest.json" and each.name[0] != "."]
        return [each for each in found if _holds_something(each)]
    except OSError as error:
        raise Unreachable(f"backups.folder: {error}") from None


def _newest(site: Site) -> Path:
    found = _backups(site)
    if not found:
        raise Unsupported("there is no backup")
    return max(found, key=lambda each: (_changed_at_s(each), each.name))


def _holds_something(path: Path) -> bool:
    if path.is_dir():
        return any(each.is_file() and each.stat().st_size for each in path.rglob("*"))
    return path.stat().st_size > 0


def _changed_at_s(path: Path) -> float:
    return (
        max(each.stat().st_mtime for each in (path, *path.rglob("*")))
        if path.is_dir()
        else path.stat().st_mtime
    )


def _manifest(folder: Path) -> Mapping[str, Mapping[str, Any]] | None:
    """Its entries by file; None: there is none. Raises ChaosError."""
    path = next(
        (
            each
            for each in (folder / "manifest.json", folder.with_name(f"{folder.name}.json"))
            if each.is_file()
        ),
        None,
    )
    if path is None:
        return None
    try:
        return {entry["file"]: entry for entry in json.loads(path.read_text())["backups"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ChaosError(f"{path} is no manifest of backups: {type(error).__name__}: {error}") from None


def _time(entry: Mapping[str, Any]) -> datetime:
    try:
        at = datetime.fromisoformat(entry["at"])
    except (KeyError, TypeError, ValueError):
        at = None
    if at is None or at.tzinfo is None:
        raise ChaosError(
            f"the manifest does not say when {entry['file']} was made, as ISO 8601 with an offset"
        )
    return at


def _fits(backup: Path, manifest: object, entry: Mapping[str, Any] | None, age_s: float) -> bool | None:
    """One that the manifest does not have was not made by whoever makes them, or is being made."""
    if manifest is None or backup.is_dir():
        return None
    if entry is None:
        return False if age_s > BEING_MADE_S else None
    with backup.open("rb") as file:
        return bool(file_digest(file, "sha256").hexdigest() == entry.get("sha256"))


def _ran(command: list[str], site: Site) -> tuple[int, str]:
    """Its exit code and what it printed. Raises ChaosError where it does not end in time, or the audit is
    given up."""
    try:
        running = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise ChaosError(f"backups.restore cannot be started: {error}") from None
    until_s, printed = site.clock() + RESTORE_S, None
    try:
        while printed is None:
            with suppress(subprocess.TimeoutExpired):
                printed, complaints = running.communicate(timeout=LOOK_S)
            if printed is None and site.over.is_set():
                raise ChaosError("the audit was given up")
            if printed is None and site.clock() > until_s:
                raise ChaosError(f"backups.restore did not end within {RESTORE_S:g} s")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)  # and what it has left running
        running.wait()
    site.note(
        f"backups.restore ended with {running.returncode}\n{printed[:2000]}\n{complaints[-2000:]}".strip()
    )
    return running.returncode, printed


def _counts(printed: str) -> dict[str, int] | None:
    """How many of each kind: the JSON object that was printed, or the last line of what was; None: no such
    thing."""
    lines = printed.strip().splitlines()
    for text in (printed, lines[-1] if lines else ""):
        try:
            found = json.loads(text)
        except ValueError:
            continue
        if (
            isinstance(found, dict)
            and found
            and all(type(each) is int and each >= 0 for each in found.values())
        ):
            return found
    return None


MEASURES = (BackupThere, NewestBackup, Restoring)
