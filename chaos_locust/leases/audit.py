"""Who did what to whom, when, with which result: one line for each action, kept beyond runs and results."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import socket
import time
from datetime import UTC, datetime
from typing import Any

from chaos_locust.leases.store import LeaseStore
from chaos_locust.redact import redact

AUDIT_NAME = "audit.jsonl"


def who() -> str:
    """`user@host`."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may know no names
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


class Audit:
    """The append-only file `audit.jsonl` in the state folder, readable by its user alone.

    by: which of our programs acts: guardian, cleanup or abort.
    """

    def __init__(self, store: LeaseStore, by: str) -> None:
        self.path = store.folder.parent / AUDIT_NAME
        self._by, self._who = by, who()

    def write(self, run_id: str, action: str, what: str, on: str, result: str) -> dict[str, Any]:
        """Returns the line, without secrets. Never fails: undoing comes before writing."""
        epoch_s = time.time()
        line: dict[str, Any] = redact(
            {
                "at": datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds"),
                "epoch_s": epoch_s,
                "who": self._who,
                "pid": os.getpid(),
                "by": self._by,
                "run_id": run_id,
                "action": action,
                "what": what,
                "on": on,
                "result": result,
            }
        )
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(self.path, flags, 0o600)
            try:
                os.write(descriptor, json.dumps(line).encode() + b"\n")  # one write: lines never mix
            finally:
                os.close(descriptor)
        return line
