"""Targets on Firestore, Google's or an emulator, for `--target firestore://PROJECT[/DATABASE]`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaos_locust.errors import ChaosError, DirtyTarget
from invariants.bindings import Bound, InvalidTarget
from invariants.machine import NoAnswer, Refused, TargetDown
from invariants.targets.base import Target

if TYPE_CHECKING:
    from invariants.targets.firestore_link import Link

DEFAULT = "(default)"
"""The name of the database that a project has at first."""
FORGET_LIMIT_S = 30.0
"""So long it is tried to delete documents, for a link may only just be coming back."""
_PATIENCE_S = 0.1


@dataclass
class FirestoreTarget(Target):
    """One database of a project. Each sequence has a collection of its own there; nothing else is touched.

    host: `host:port` of an emulator. None: that of FIRESTORE_EMULATOR_HOST, and if that is not set, Google's
    service with the credentials of the environment. answer_limit_s: so long each request may take.
    """

    project: str
    database: str = DEFAULT
    host: str | None = None
    answer_limit_s: float = 5.0

    def __post_init__(self) -> None:
        for name, value in (("project", self.project), ("database", self.database)):
            if not value or "/" in value:
                raise InvalidTarget(f"{name} '{value}' is not allowed; give its id")

    def link(self, scope: str) -> Link:
        """A connection of its own, made when it is first used. Raises TargetDown; ChaosError: the extra is
        missing."""
        try:
            from invariants.targets.firestore_link import Link
        except ImportError:
            raise ChaosError(
                "invariants on Firestore need Google's client: pip install 'chaos-locust[firestore]'"
            ) from None
        database = f"projects/{self.project}/databases/{self.database}"
        return Link(self._host(), database, _collection_of(scope), self.answer_limit_s)

    def check(self) -> None:
        """Raises TargetDown; ChaosError: the extra is missing."""
        link = self.link("check")
        try:
            link.get(["nothing"])
        except Refused as error:
            raise TargetDown(f"{self._place()} does not answer: {error}") from None
        finally:
            link.close()

    def forget(self, scope: str) -> None:
        """Deletes the collection. What was sent before and arrives later stays; no other sequence sees it.
        Raises DirtyTarget."""
        link, end_s = self.link(scope), self.clock() + FORGET_LIMIT_S
        try:
            while True:
                try:
                    link.delete_all()
                    return
                except (Refused, NoAnswer) as error:
                    if self.clock() > end_s:
                        raise DirtyTarget(
                            f"the collection {_collection_of(scope)} could not be deleted from "
                            f"{self._place()}: {error}"
                        ) from None
                self.sleep(_PATIENCE_S)
        finally:
            link.close()

    def _host(self) -> str | None:
        return self.host or os.environ.get("FIRESTORE_EMULATOR_HOST") or None

    def _place(self) -> str:
        return f"Firestore at {self._host() or 'Google'}, project {self.project}"


class FirestoreClient:
    """One lane's connection."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def close(self) -> None:
        self.link.close()


@dataclass
class FirestoreTransactions(FirestoreTarget):
    """Several documents are written in one transaction, and read at one instant."""

    def connect(self, scope: str) -> TransactionsClient:
        return TransactionsClient(self.link(scope))


class TransactionsClient(FirestoreClient):
    def transaction(self, values: Mapping[str, int]) -> None:
        self.link.transact(lambda transaction: values)

    def read(self, names: Sequence[str]) -> dict[str, int | None]:
        return self.link.get(names) if names else {}


@dataclass
class FirestoreRegisters(FirestoreTarget):
    """One document for each key; compare-and-set reads and writes in one transaction."""

    def connect(self, scope: str) -> RegistersClient:
        return RegistersClient(self.link(scope))


class RegistersClient(FirestoreClient):
    def read(self, key: str) -> int | None:
        return self.link.get([key])[key]

    def write(self, key: str, value: int) -> None:
        self.link.transact(lambda transaction: {key: value})

    def cas(self, key: str, old: int | None, new: int) -> bool:
        def work(transaction: bytes) -> Mapping[str, int] | None:
            return {key: new} if self.link.get([key], transaction)[key] == old else None

        return self.link.transact(work)


def bindings(url: str) -> Mapping[str, Bound]:
    """The invariants that `firestore://PROJECT[/DATABASE]` can be asked for. Raises InvalidTarget."""
    scheme, _, rest = url.partition("://")
    project, _, database = rest.partition("/")
    if scheme != "firestore" or not project or "/" in database or set(rest) & set("?#@"):
        raise InvalidTarget(
            f"'{url}' is not allowed; give firestore://PROJECT or firestore://PROJECT/DATABASE"
        )
    named = (project, database or DEFAULT)
    return {
        "transactions_are_atomic": Bound(FirestoreTransactions(*named), concurrency=4),
        "registers_are_linearizable": Bound(FirestoreRegisters(*named), concurrency=4),
    }


def _collection_of(scope: str) -> str:
    return f"chaos-locust-{scope}"
