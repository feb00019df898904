"""Sets that keep what was added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from invariants.checkers.elements import SetFull
from invariants.machine import Machine, fresh, rule


@dataclass
class ElementsNeverDisappear(Machine):
    """stale_s: an acknowledged element may be missing from reads for so long, 0 for not at all."""

    name = "elements_never_disappear"
    reason = "An entry that was acknowledged and is gone is noticed by a customer, or by nobody."
    needs = "a client with `add(element)` and `read() -> [element]`"

    stale_s: float = 0.0

    @property
    def statement(self) -> str:
        within = f" that starts more than {self.stale_s:g} s later" if self.stale_s else " that starts later"
        return f"Every acknowledged element is in every read{within}, and nothing is read that was not added."

    @property
    def checker(self) -> SetFull:
        return SetFull(self.stale_s)

    @rule(weight=3, value=fresh())
    def add(self, client: Any, value: int) -> None:
        client.add(value)

    @rule(closing=True)
    def settle(self, client: Any) -> None:
        """What was added last has to be seen too, when the read that comes next starts."""
        self.target.sleep(self.stale_s)

    @rule(weight=2, closing=True)
    def read(self, client: Any) -> list[int]:
        elements: list[int] = client.read()
        return elements
