"""Where leases are kept: in the user's state folder, which outlives runs and their results."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from chaos_locust.errors import Problem


def leases_folder(environ: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/chaos-locust/leases`, by default under `~/.local/state`."""
    state = environ.get("XDG_STATE_HOME", "")
    base = (
        Path(state) if os.path.isabs(state) else Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    )
    return base / "chaos-locust" / "leases"


def state_problems(environ: Mapping[str, str]) -> list[Problem]:
    """Why a lease could not be written. Makes the folder."""
    folder = leases_folder(environ)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        trial = folder / f".{os.getpid()}.trial"
        trial.write_bytes(b"x")
        trial.unlink()
    except OSError as error:
        return [Problem("state folder", f"{folder} is not writable: {error.strerror}; set XDG_STATE_HOME")]
    return []
