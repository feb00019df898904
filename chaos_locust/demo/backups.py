"""Backups of the shop's database, with a manifest of what there is; and a trial of one."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from chaos_locust.demo.accounts import write_private
from chaos_locust.demo.logins import database_url
from chaos_locust.demo.servers import minimal_environment
from chaos_locust.demo.settings import Settings

EVERY_S = 15 * 60  # see backing_up.py
KEPT = 8

_COUNTS = """
SELECT json_build_object(
  'products', (SELECT count(*) FROM products), 'reviews', (SELECT count(*) FROM reviews),
  'orders', (SELECT count(*) FROM orders), 'audit_log', (SELECT count(*) FROM audit_log))"""


class Backup(TypedDict):
    """file: its name in the folder. at: when it was begun, as ISO 8601; what it holds is as of then."""

    file: str
    at: str
    size_bytes: int
    sha256: str
    took_s: float


class Backups:
    """The folder of one shop's backups, in the format that pg_restore reads."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "backups"
        self.manifest = state / "backups.json"

    def all(self) -> list[Backup]:
        """Oldest first."""
        if not self.manifest.exists():
            return []
        told: list[Backup] = json.loads(self.manifest.read_text())["backups"]
        return [each for each in told if (self.folder / each["file"]).exists()]

    def make(self, programs: Path, url: str) -> Backup:
        """Raises CalledProcessError."""
        begun, started = datetime.now(UTC), time.monotonic()
        path = self.folder / f"{begun:%Y%m%dT%H%M%S.%f}Z.dump"
        part = self.manifest.with_suffix(".part")
        subprocess.run(
            [programs / "pg_dump", "--format=custom", "--compress=1", f"--file={part}", url],
            env=minimal_environment(),
            check=True,
            umask=0o077,
        )
        took_s = round(time.monotonic() - started, 3)
        content = part.read_bytes()
        made = Backup(
            file=path.name,
            at=begun.isoformat(),
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            took_s=took_s,
        )
        kept = [*self.all(), made][-KEPT:]
        # The manifest first: there is never a backup that it does not tell of.
        write_private(self.manifest, json.dumps({"every_s": EVERY_S, "backups": kept}, indent=2))
        part.replace(path)
        for old in set(self.folder.glob("*.dump")) - {self.folder / each["file"] for each in kept}:
            old.unlink()
        return made


def restored(programs: Path, settings: Settings, backup: Path) -> str:
    """Restore it beside the others, and drop that again; how many rows it had, as JSON.

    Raises CalledProcessError.
    """
    name = f"restored_{uuid.uuid4().hex}"
    url, beside = database_url(settings), database_url(settings, database=name)
    environment = {**minimal_environment(), "PGOPTIONS": "-c statement_timeout=0"}

    def run(program: str, *arguments: str) -> str:
        command = [str(programs / program), *arguments]
        return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    run("createdb", f"--maintenance-db={url}", name)
    try:
        options = ["--exit-on-error", "--no-owner", "--no-privileges", f"--dbname={beside}"]
        run("pg_restore", *options, str(backup))
        return run("psql", "--no-psqlrc", "--tuples-only", "--no-align", f"--command={_COUNTS}", beside)
    finally:
        run("dropdb", f"--maintenance-db={url}", name)


def restore_command(settings: Settings, programs: Path) -> list[str]:
    """What restores {backup} for a trial and prints what was in it, whatever the working folder."""
    here = Path(__file__).resolve().parents[2]
    module = [sys.executable, "-m", "chaos_locust.demo.backing_up"]
    return ["env", f"PYTHONPATH={here}", *module, str(settings.state), str(programs), "{backup}"]
