"""Accounts: whatever is transferred, the sum stays, and no balance becomes negative.

The `bank` of Jepsen; what it shows is read skew and lost transfers.
"""

from __future__ import annotations

from dataclasses import dataclass

from invariants.checkers.base import Checked, Violation
from invariants.history import History


@dataclass(frozen=True, slots=True)
class Bank:
    """`read` with {account: balance} as result; `transfer`. total: the sum of all balances."""

    total: float
    may_be_negative: bool = False

    @property
    def name(self) -> str:
        return "bank"

    def check(self, history: History) -> Checked:
        violations = []
        reads = [op for op in history.of("read") if op.happened]
        for read in reads:
            total = sum(read.result.values())
            if total != self.total:
                title = f"the balances add up to {total}, not to {self.total}"
                violations.append(Violation(self.name, title, (read,), "wrong total"))
            negative = sorted(account for account, balance in read.result.items() if balance < 0)
            if negative and not self.may_be_negative:
                title = f"the balance of {', '.join(negative)} is negative"
                violations.append(Violation(self.name, title, (read,), "negative balance"))
        transfers = sum(op.happened for op in history.of("transfer"))
        doubt = ""
        if not reads or not transfers:
            doubt = "no transfer happened" if reads else "the balances were never read"
        return Checked(tuple(violations), doubt, {"reads": len(reads), "transfers": transfers})
