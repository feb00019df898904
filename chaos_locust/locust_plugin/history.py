"""The history of a run: what the users of all workers did, a JSON line each, on the master's clock."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from chaos_locust.errors import ChaosError
from chaos_locust.locust_plugin.operations import Row
from chaos_locust.measure.clock import ClockError


class HistoryFile:
    """Written as the workers report. Every method raises ChaosError when the file cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ChaosError(f"cannot create the history {path}: {error.strerror}") from error

    def add(self, rows: Sequence[Row], clock: ClockError) -> None:
        """Operations of one worker. Each is widened by how far its clock may be off: what seems to be over
        before another one began is over then on every clock."""
        lines = memoryview("".join(_line(row, clock) for row in rows).encode())
        try:
            while lines:
                lines = lines[os.write(self._fd, lines) :]
        except OSError as error:
            raise ChaosError(f"cannot write the history {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Make everything durable."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise ChaosError(f"cannot write the history {self.path}: {error.strerror}") from error
        finally:
            os.close(self._fd)


def _line(row: Row, clock: ClockError) -> str:
    """An operation as `invariants.history` reads it."""
    start_s, end_s, rest = row
    widened_s = clock.within(start_s, start_s if end_s is None else end_s)
    end = "" if end_s is None else f'"end_s":{end_s + widened_s:.9f},'
    return f'{{"start_s":{start_s - widened_s:.9f},{end}"widened_s":{widened_s:.9f},{rest[1:]}\n'
