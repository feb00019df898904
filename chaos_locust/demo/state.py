"""The state folder of a shop: one owner at a time, nothing left of a dead one."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLAIMED = "claimed"  # what the reaper says once it has the folder
REAPING_S = 10  # a shop that was just killed may still be being cleaned up


class StateInUse(Exception):
    """The state folder belongs to somebody else; the text says which."""


@contextmanager
def claim(folder: Path, patience_s: float = REAPING_S) -> Iterator[None]:
    """Makes the state folder and holds its lock; removes it at the end.

    What a dead shop left is removed first. Raises StateInUse when its owner still lives after `patience_s`,
    or is another user.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            folder.mkdir(mode=0o700)
            break
        except FileExistsError:
            _remove_if_left_over(folder, in_time=time.monotonic() < deadline)
            time.sleep(0.05)
    # PostgreSQL may run as another user, who must get through to the data folder.
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_if_left_over(folder: Path, in_time: bool) -> None:
    """Remove the folder if it is ours and nobody holds its lock. Raises StateInUse."""
    try:
        owner = folder.lstat()
        lock = os.open(folder / "lock", os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        if in_time:  # being made or being removed
            return
        raise StateInUse(f"{folder} exists and is not a shop's; remove it or take --ports free") from None
    except OSError as error:
        raise StateInUse(f"{folder} is not ours ({error.strerror}); take --ports free") from None
    try:
        if owner.st_uid != os.geteuid():
            raise StateInUse(f"{folder} belongs to another user; take --ports free")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    except BlockingIOError:
        if not in_time:
            raise StateInUse(f"{folder} belongs to a shop that is running; take --ports free") from None
    finally:
        os.close(lock)
