"""Targets on Firestore with one planted defect each, as real programs have them; their invariants find it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from invariants.machine import NoAnswer, Refused
from invariants.targets.firestore import (
    FirestoreRegisters,
    FirestoreTransactions,
    RegistersClient,
    TransactionsClient,
)


@dataclass
class OneByOne(FirestoreTransactions):
    """Each document is written and read for itself."""

    def connect(self, scope: str) -> OneByOneClient:
        return OneByOneClient(self.link(scope))


class OneByOneClient(TransactionsClient):
    def transaction(self, values: Mapping[str, int]) -> None:
        for place, (name, value) in enumerate(values.items()):
            try:
                super().transaction({name: value})
            except Refused as error:
                if place:
                    raise NoAnswer(f"after {place} of {len(values)}: {error}") from None
                raise

    def read(self, names: Sequence[str]) -> dict[str, int | None]:
        return {name: super(OneByOneClient, self).read([name])[name] for name in names}


@dataclass
class WrittenOneByOne(FirestoreTransactions):
    """Each document is written for itself; they are read at one instant."""

    def connect(self, scope: str) -> WrittenOneByOneClient:
        return WrittenOneByOneClient(self.link(scope))


class WrittenOneByOneClient(OneByOneClient):
    def read(self, names: Sequence[str]) -> dict[str, int | None]:
        return TransactionsClient.read(self, names)


@dataclass
class ReadOutside(FirestoreRegisters):
    """Compare-and-set reads outside of the transaction in which it writes."""

    def connect(self, scope: str) -> ReadOutsideClient:
        return ReadOutsideClient(self.link(scope))


class ReadOutsideClient(RegistersClient):
    def cas(self, key: str, old: int | None, new: int) -> bool:
        return self.read(key) == old and self.link.transact(lambda transaction: {key: new})
