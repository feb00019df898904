"""What was before a file was changed: kept beside the leases, on the disk before anything is changed.

For each fault `MARK.json`, its Undo, by which `cleanup --scan` finds it without a lease; and `MARK.part`,
what was cut off a file.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import IO

from chaos_locust.backends.base import MARK, Undo
from chaos_locust.backends.state import leases_folder
from chaos_locust.errors import BackendError


def kept_folder() -> Path:
    return leases_folder(os.environ).parent / "files"


def part_of(undo: Undo) -> Path:
    return Path(undo["kept"]) / f"{undo['mark']}.part"


def keep(undo: Undo) -> None:
    """Returns when it is on the disk. Raises BackendError."""
    _write(_undo_of(undo), json.dumps(undo).encode())


def keep_part(undo: Undo, source: IO[bytes], offset: int) -> None:
    """The rest of an open file from `offset` on. Raises BackendError."""
    source.seek(offset)
    _write(part_of(undo), source)


def forget(undo: Undo) -> None:
    """Raises BackendError."""
    try:
        for path in (part_of(undo), _undo_of(undo)):
            _draft(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
    except OSError as error:
        raise BackendError(f"what was kept of {undo['path']} cannot be removed: {error.strerror}") from None


def is_kept(undo: Undo) -> bool:
    return _undo_of(undo).exists() or part_of(undo).exists()


def all_kept() -> list[Undo]:
    """Every Undo that is kept, whoever made it. Raises BackendError when one cannot be read."""
    found = []
    for path in sorted(kept_folder().glob(f"{MARK}*.json")):
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise BackendError(f"{path} cannot be read: {error}") from None
    return found


def check_free(path: Path, mark: str) -> None:
    """Raises BackendError when another fault has changed the path, something in it, or what it is in: it
    would be put back as that fault has made it."""
    for undo in all_kept():
        other = Path(undo["path"])
        if undo["mark"] != mark and (other.is_relative_to(path) or path.is_relative_to(other)):
            raise BackendError(
                f"{other} is changed by another fault already ({undo['mark']}); if its run is over, "
                "`chaos-locust cleanup` puts it back"
            )


def _undo_of(undo: Undo) -> Path:
    return Path(undo["kept"]) / f"{undo['mark']}.json"


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}")


def _write(path: Path, content: bytes | IO[bytes]) -> None:
    draft = _draft(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            if isinstance(content, bytes):
                stream.write(content)
            else:
                shutil.copyfileobj(content, stream, 1 << 20)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise BackendError(f"{path} cannot be written: {error.strerror}") from None
