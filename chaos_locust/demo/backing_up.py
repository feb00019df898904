"""`python -m chaos_locust.demo.backing_up STATE PROGRAMS`: a backup at once, and then regularly.

A process of its own, so that one that takes long holds up nothing. PROGRAMS is the folder of PostgreSQL's.
With a third argument, a backup, that is restored into a database that is dropped again, and what was in it is
printed as JSON.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from chaos_locust.demo.backups import EVERY_S, Backups, restored
from chaos_locust.demo.logins import database_url
from chaos_locust.demo.settings import Settings

AGAIN_S = 5
NICER = 10  # than the shop itself


def main(settings: Settings, programs: Path) -> None:
    os.nice(NICER)
    backups, pause_s = Backups(settings.state), 0
    while True:
        time.sleep(pause_s)
        try:
            backups.make(programs, database_url(settings))
            pause_s = EVERY_S
        except subprocess.CalledProcessError as error:  # pg_dump has said why
            print(f"no backup: pg_dump ended with {error.returncode}", file=sys.stderr, flush=True)
            pause_s = AGAIN_S


def try_out(settings: Settings, programs: Path, backup: Path) -> int:
    try:
        print(restored(programs, settings, backup).strip())
    except subprocess.CalledProcessError as error:  # the program has said why
        print(f"not restored: {Path(error.cmd[0]).name} ended with {error.returncode}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    shop, folder = Settings.read(Path(sys.argv[1])), Path(sys.argv[2])
    if len(sys.argv) > 3:
        sys.exit(try_out(shop, folder, Path(sys.argv[3])))
    main(shop, folder)
