"""Who may use a service, and who may not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from invariants.checkers.answers import Admission
from invariants.machine import Machine, NoAnswer, Refused, of_target, rule


@dataclass
class TokensAreChecked(Machine):
    """tries, pause_s: a good token is turned away only if it is so often, so long apart."""

    name = "tokens_are_checked"
    reason = "A token that nobody checks is an open door, and one that is good has to open it."
    needs = "admitted, good_tokens, bad_tokens"

    tries: int = 3
    pause_s: float = 1.1

    @property
    def statement(self) -> str:
        return "Bad tokens are never admitted, and good ones are, whatever faults act."

    @property
    def checker(self) -> Admission:
        return Admission()

    @rule(value=of_target(lambda target: st.sampled_from(target.bad_tokens)), weight=2)
    def bad(self, client: Any, value: str) -> bool | None:
        admitted: bool | None = client.admitted(value)
        return admitted

    @rule(value=of_target(lambda target: st.sampled_from(target.good_tokens)))
    def good(self, client: Any, value: str) -> bool | None:
        for _ in range(self.tries - 1):
            try:
                admitted: bool | None = client.admitted(value)
            except (Refused, NoAnswer):
                admitted = False
            if admitted is not False:
                return admitted
            self.target.sleep(self.pause_s)
        last: bool | None = client.admitted(value)
        return last
