"""What a fault may wait for in place of a time: a steady target, or another fault.

steady for 10s              the target has been steady so long
slow-db active              slow-db acts (an instant one: it came)
slow-db active for 5s       ... and has acted so long
slow-db over                slow-db is undone (an instant one: it came)
slow-db over for 5s         ... so long ago
recovered after slow-db     slow-db is undone, and the target has been steady since
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from chaos_locust.data import NAME_PATTERN
from chaos_locust.units import format_duration, parse_duration

FaultPart = Literal["active", "over"]
_STEADY = re.compile(r"steady\s+for\s+(.+)")
_PART = re.compile(rf"({NAME_PATTERN})\s+(active|over)(?:\s+for\s+(.+))?")
_RECOVERED = re.compile(rf"recovered\s+after\s+({NAME_PATTERN})")
WHEN_PATTERN = (
    rf"^\s*(steady\s+for\s+\S.*|{NAME_PATTERN}\s+(active|over)(\s+for\s+\S.*)?"
    rf"|recovered\s+after\s+{NAME_PATTERN})\s*$"
)


@dataclass(frozen=True, slots=True)
class When:
    """A condition. fault: the other one; None for `steady`. for_s: how long it has to be so."""

    state: Literal["steady", "active", "over", "recovered"]
    fault: str | None = None
    for_s: float = 0.0

    def __str__(self) -> str:
        if self.state == "recovered":
            return f"recovered after {self.fault}"
        lasting = f" for {format_duration(self.for_s)}" if self.for_s or self.state == "steady" else ""
        return f"{self.fault} {self.state}{lasting}" if self.fault else f"{self.state}{lasting}"


def parse_when(text: object) -> When:
    """Raises ValueError that says what is allowed."""
    if isinstance(text, When):
        return text
    words = text.strip() if isinstance(text, str) else ""
    if match := _STEADY.fullmatch(words):
        return When("steady", for_s=parse_duration(match[1]))
    if match := _RECOVERED.fullmatch(words):
        return When("recovered", match[1])
    if match := _PART.fullmatch(words):
        return When(cast(FaultPart, match[2]), match[1], parse_duration(match[3]) if match[3] else 0.0)
    raise ValueError(
        f"'{text}' is no condition; allowed: steady for 10s, FAULT active, FAULT active for 5s, FAULT over, "
        "FAULT over for 5s, recovered after FAULT"
    )


WhenField = Annotated[
    When | None,
    BeforeValidator(lambda value: value if value is None else parse_when(value)),
    PlainSerializer(lambda value: None if value is None else str(value)),
    WithJsonSchema({"type": "string", "pattern": WHEN_PATTERN}),
]
