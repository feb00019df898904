"""Documents in all their versions, and transactions over them with optimistic concurrency.

A transaction reads what was committed when it began. It commits if nothing that it read has changed since,
at one instant, under one lock: so transactions that read and write are serializable in the order of their
commits, and read-only ones see one instant.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc

from .firestore_writes import Refusal, name_of, written


@dataclass
class Transaction:
    """names, collections: what it read, as (parent, collection); a document that is not there counts too."""

    token: bytes
    read_us: int
    read_only: bool
    names: set[str] = field(default_factory=set)
    collections: set[tuple[str, str]] = field(default_factory=set)


class Store:
    """Thread-safe. Times are in microseconds since the epoch, and no two commits have the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions: dict[str, list[tuple[int, Any | None]]] = {}
        self._open: dict[bytes, Transaction] = {}
        self._numbers = itertools.count(1)
        self._last_us = 0

    def now_us(self) -> int:
        """A time that shows all that has been committed, and nothing that will be."""
        with self._lock:
            return self._tick()

    def begin(self, read_only: bool, read_us: int | None = None, instead_of: bytes = b"") -> Transaction:
        """instead_of: a transaction that failed, which is over by that."""
        with self._lock:
            self._open.pop(instead_of, None)
            at_us = self._tick() if read_us is None else read_us
            transaction = Transaction(b"transaction-%d" % next(self._numbers), at_us, read_only)
            self._open[transaction.token] = transaction
            return transaction

    def transaction(self, token: bytes) -> Transaction:
        """Raises Refusal."""
        with self._lock:
            return self._known(token)

    def rollback(self, token: bytes) -> None:
        """Raises Refusal."""
        with self._lock:
            del self._open[self._known(token).token]

    def document(self, name: str, at_us: int) -> Any | None:
        with self._lock:
            return self._at(name, at_us)

    def collection(self, parent: str, collection: str, at_us: int) -> list[Any]:
        """By name. collection: its id, or "" for all directly below the parent."""
        with self._lock:
            found = [
                self._at(name, at_us) for name in sorted(self._versions) if _lies_in(name, parent, collection)
            ]
        return [document for document in found if document is not None]

    def commit(self, writes: Iterable[Any], token: bytes) -> tuple[int, list[Any]]:
        """(the time, a WriteResult for each write): all of them, or none with a Refusal."""
        with self._lock:
            if token:
                self._validate(self._known(token), writes)
            time_us, results = self._tick(), []
            after: dict[str, Any | None] = {}
            for write in writes:
                name = name_of(write)
                before = after[name] if name in after else self._at(name, time_us)
                after[name], result = written(write, before, time_us)
                results.append(result)
            for name, document in after.items():
                self._versions.setdefault(name, []).append((time_us, document))
            self._open.pop(token, None)
            return time_us, results

    def _validate(self, transaction: Transaction, writes: Iterable[Any]) -> None:
        if transaction.read_only:
            if list(writes):
                raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "The transaction is read-only.")
            return
        changed = [name for name, versions in self._versions.items() if versions[-1][0] > transaction.read_us]
        for name in changed:
            if name in transaction.names or any(_lies_in(name, *each) for each in transaction.collections):
                raise Refusal(grpc.StatusCode.ABORTED, f"Too much contention: {name} was changed meanwhile.")

    def _known(self, token: bytes) -> Transaction:
        if token not in self._open:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "The transaction is not known, or is over.")
        return self._open[token]

    def _at(self, name: str, at_us: int) -> Any | None:
        for time_us, document in reversed(self._versions.get(name, ())):
            if time_us <= at_us:
                return document
        return None

    def _tick(self) -> int:
        self._last_us = max(self._last_us + 1, time.time_ns() // 1000)
        return self._last_us


def _lies_in(name: str, parent: str, collection: str) -> bool:
    below = name.removeprefix(f"{parent}/").split("/") if name.startswith(f"{parent}/") else []
    return len(below) == 2 and collection in ("", below[0])
