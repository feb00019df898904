"""How long the two checkers take whose work grows fastest: `python -m bench.checkers`.

10,000 operations of 10 processes on one register, all answered and with 1 % that never were; 20,000
transactions on lists. Each with the time that it may take.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from bench.simulated import register, transactions
from invariants.checkers.base import Checked
from invariants.checkers.linearizable import Linearizable
from invariants.checkers.list_append import ListAppend
from invariants.history import History

SEED = 1


def main() -> None:
    """Prints a table."""
    table = Table("history", "said", "CPU time (s)", "may take (s)", title="Checkers")
    rows: list[tuple[str, Callable[[], Checked], float]] = []
    for text, share in (("all answered", 0.0), ("1 % never answered", 0.01)):
        history = History(tuple(register(10_000, 10, SEED, share)))
        rows.append((f"10,000 on a register, {text}", lambda of=history: Linearizable().check(of), 10.0))
    lists = transactions(20_000, 10, 10, SEED)
    rows.append(("20,000 transactions on lists", lambda: ListAppend().check(lists), 2.0))
    for text, check, limit_s in rows:
        began_s = time.process_time()
        checked = check()
        said = "violated" if checked.violations else checked.inconclusive or "upheld"
        table.add_row(text, said, f"{time.process_time() - began_s:.2f}", f"{limit_s:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
