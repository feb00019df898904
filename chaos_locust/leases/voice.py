"""What a guardian says: to its run over a pipe, and to the file `guardian.jsonl` that the report reads."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

JOURNAL_NAME = "guardian.jsonl"
INTERNAL = ("opened", "refused", "closed", "heartbeat")
"""Events between the guardian and its client alone."""

_KINDS: Mapping[str, str] = {"effect": "effect", "note": "note"}


class Voice:
    """Never blocks and never fails: undoing comes first."""

    def __init__(self, output: int) -> None:
        self.start_epoch_s = time.time()
        self._file: Any = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._lock = threading.Lock()
        self._writer = threading.Thread(target=self._write, args=(output,), daemon=True)
        self._writer.start()

    def open(self, folder: str) -> None:
        with contextlib.suppress(OSError):
            self._file = (Path(folder) / JOURNAL_NAME).open("a", encoding="utf-8")

    def emit(self, event: str, **fields: Any) -> None:
        message = {"event": event, "epoch_s": time.time(), **fields}
        if event not in INTERNAL:
            self._keep(_KINDS.get(event, "fault"), event, message)
        self._lines.put(json.dumps(message))

    def keep(self, line: Mapping[str, Any]) -> None:
        """For the file alone: a line of the audit."""
        self._keep("audit", str(line["action"]), {"event": "audit", **line})

    def close(self) -> None:
        """Waits a moment for what is still to be told."""
        self._lines.put(None)
        self._writer.join(1.0)

    def _keep(self, kind: str, state: str, message: Mapping[str, Any]) -> None:
        line = {"kind": kind, "t_s": round(message["epoch_s"] - self.start_epoch_s, 6), "state": state}
        with self._lock:
            if self._file is not None:
                with contextlib.suppress(OSError):
                    self._file.write(json.dumps({**line, **message}) + "\n")
                    self._file.flush()

    def _write(self, output: int) -> None:
        while (line := self._lines.get()) is not None:
            try:
                os.write(output, line.encode() + b"\n")
            except OSError:
                return  # nobody listens any more
