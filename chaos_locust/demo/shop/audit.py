"""The audit log: who did what, to what, from where, and whether it was allowed.

What changes the shop's data is recorded by the statement that changes it (orders.py, catalogue.py). Log-ins
and refusals change nothing there: they are written to a file before they are answered, and taken from there
to the database as soon as it can be, each once, also after a crash.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from chaos_locust.demo.servers import RETENTION_DAYS
from chaos_locust.demo.settings import Settings
from chaos_locust.demo.shop.database import Database
from chaos_locust.demo.shop.errors import Unavailable

BATCH = 500
PAGE = 5000
AGAIN_S = 0.5
LONGEST = 200  # of a name or a path, as far as it is recorded: anybody may send any
DROPPING_QUEUE = 20  # with the lapse `audit-gap-under-load`
DROPPING_S = 0.03

_INSERT = """
INSERT INTO audit_log (event, at, user_name, action, object, outcome, source)
SELECT * FROM unnest(
  $1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
ON CONFLICT (event) DO NOTHING"""
_READ = """
SELECT id, at, user_name, action, object, outcome, source FROM audit_log
WHERE at >= $1 AND id > $2 ORDER BY id LIMIT $3"""


@dataclass(frozen=True, slots=True)
class Event:
    """at: seconds since the epoch. user: None if nobody is known to have done it."""

    event: str
    at: float
    user: str | None
    action: str
    object: str
    outcome: str
    source: str


class AuditLog:
    """Notes events that have no transaction of their own, and reads all of them."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self.drops = settings.has("audit-gap-under-load")
        path = settings.state / "audit-spool.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        *lines, torn = path.read_bytes().split(b"\n")
        if torn:  # the shop died while it was written: it was not answered
            os.ftruncate(self._file, os.fstat(self._file).st_size - len(torn))
        self._waiting = deque(Event(**json.loads(line)) for line in lines)
        self._noted = asyncio.Event()
        self._moving = asyncio.Lock()

    def note(self, user: str | None, action: str, what: str, outcome: str, source: str) -> None:
        """Once this returns it is in the log, soon; after a crash too, unless the disk was full."""
        name = None if user is None else _storable(user)
        event = Event(uuid.uuid4().hex, time.time(), name, action, _storable(what), outcome, source)
        if self.drops:
            if len(self._waiting) < DROPPING_QUEUE:
                self._waiting.append(event)
        else:
            self._store(json.dumps(asdict(event)).encode() + b"\n")
            self._waiting.append(event)
        self._noted.set()

    def _store(self, line: bytes) -> None:
        """The line as a whole, or nothing of it: then it is known to this process alone."""
        size = os.fstat(self._file).st_size
        try:
            stored = os.write(self._file, line)
        except OSError:
            stored = 0
        if stored < len(line):
            os.ftruncate(self._file, size)

    async def keep_moving(self) -> None:
        """For ever: take what was noted to the database."""
        while True:
            self._noted.clear()
            try:
                await (self._move_or_drop() if self.drops else self.move())
            except Unavailable:
                await asyncio.sleep(AGAIN_S)
            else:
                await self._noted.wait()

    async def move(self) -> None:
        """Take all that was noted to the database. Raises Unavailable."""
        async with self._moving:
            while self._waiting:
                batch = [self._waiting[index] for index in range(min(BATCH, len(self._waiting)))]
                async with self._database.connection() as connection:
                    await connection.execute(_INSERT, *_columns(batch))
                for _ in batch:
                    self._waiting.popleft()
            os.ftruncate(self._file, 0)

    async def move_the_last(self) -> None:
        """At the end of a process whose file ends with it."""
        try:
            await self.move()
        except Unavailable:
            print("audit records are lost: the database does not take them", file=sys.stderr)

    async def _move_or_drop(self) -> None:
        """The lapse `audit-gap-under-load`: one after the other, and what takes long is lost."""
        while self._waiting:
            event = self._waiting.popleft()
            try:
                async with asyncio.timeout(DROPPING_S), self._database.connection() as connection:
                    await connection.execute(_INSERT, *_columns([event]))
            except (TimeoutError, Unavailable):
                continue

    async def read(self, since: datetime, after: int) -> dict[str, Any]:
        """Records from that time on with a higher id, oldest first. `next`: the `after` of the next page,
        None if there is none. Raises Unavailable."""
        if not self.drops:
            await self.move()
        async with self._database.connection() as connection:
            rows = await connection.fetch(_READ, since, after, PAGE)
        records = [_as_json(row) for row in rows]
        more = records[-1]["id"] if len(records) == PAGE else None
        return {"retention_days": RETENTION_DAYS, "records": records, "next": more}

    def close(self) -> None:
        os.close(self._file)


def _storable(text: str) -> str:
    """As PostgreSQL takes it: no NUL, and nothing that UTF-8 does not have."""
    return text[:LONGEST].replace("\0", "").encode(errors="replace").decode()


def _columns(batch: list[Event]) -> list[list[Any]]:
    return [
        [uuid.UUID(each.event) for each in batch],
        [datetime.fromtimestamp(each.at, UTC) for each in batch],
        [each.user for each in batch],
        [each.action for each in batch],
        [each.object for each in batch],
        [each.outcome for each in batch],
        [each.source for each in batch],
    ]


def _as_json(row: Any) -> dict[str, Any]:
    names = {"user_name": "user"}
    values = {names.get(name, name): value for name, value in row.items()}
    return {**values, "at": row["at"].isoformat()}
