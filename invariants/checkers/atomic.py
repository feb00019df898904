"""Transactions: all of one is seen, or nothing of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from invariants.checkers.base import Checked, Violation
from invariants.history import History, Operation


@dataclass(frozen=True, slots=True)
class TransactionAtomicity:
    """`transaction` with {name: value} as value, what it writes, each value used once; `read` with
    {name: value} as result, null for a name that is not there. Names are written by one transaction only."""

    @property
    def name(self) -> str:
        return "transaction-atomicity"

    def check(self, history: History) -> Checked:
        transactions = history.of("transaction")
        reads = [op for op in history.of("read") if op.happened]
        violations = []
        for transaction in transactions:
            wanted: dict[str, Any] = transaction.value
            for read in reads:
                names = [name for name in wanted if name in read.result]
                found = [name for name in names if read.result[name] == wanted[name]]
                violation = self._judge(transaction, read, names, found)
                if violation is not None:
                    violations.append(violation)
                    break
        happened = sum(op.happened for op in transactions)
        doubt = ""
        if not reads or not happened:
            doubt = "nothing was read" if happened else "no transaction was acknowledged"
        return Checked(tuple(violations), doubt, {"transactions": happened, "reads": len(reads)})

    def _judge(
        self, transaction: Operation, read: Operation, names: list[str], found: list[str]
    ) -> Violation | None:
        if 0 < len(found) < len(names):
            missing = ", ".join(sorted(set(names) - set(found)))
            title = f"a part of a transaction was seen: {', '.join(sorted(found))} without {missing}"
            return self._of(title, "half seen", transaction, read)
        if found and transaction.outcome == "fail":
            return self._of("a transaction failed and left traces", "traces", transaction, read)
        if names and not found and transaction.happened and transaction.end_s < read.start_s:
            return self._of("an acknowledged transaction is not there at all", "lost", transaction, read)
        return None

    def _of(self, title: str, anomaly: str, transaction: Operation, read: Operation) -> Violation:
        return Violation(self.name, title, (transaction, read), anomaly)
