"""Faults on the clock of a process that was started with a clock of its own (libfaketime).

The target is started as `chaos-locust clock FILE -- COMMAND...`, and the plan's target gives `clock: FILE`.
Only the wall clock is changed, for that process and what it starts; monotonic clocks and timers go on.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PlainSerializer, ValidatorFunctionWrapHandler, WithJsonSchema, WrapValidator
from pydantic import model_validator as validated

from chaos_locust.data import PositiveSeconds, refusal
from chaos_locust.errors import Problem
from chaos_locust.faults.base import Fault
from chaos_locust.units import format_duration, format_share, parse_share

STEP_S = 0.5
"""A clock that changes with time is set so often."""


def _signed(value: Any, magnitude: ValidatorFunctionWrapHandler) -> Any:
    """A magnitude with a sign before it: `-120s`, or a negative number where a number may be given."""
    if isinstance(value, str) and value.strip()[:1] in ("-", "+"):
        sign, rest = value.strip()[0], value.strip()[1:]
        return -magnitude(rest) if sign == "-" else magnitude(rest)
    if isinstance(value, float) and value < 0:
        return -magnitude(type(value)(-value))
    return magnitude(value)


def _rate(value: object) -> float:
    """`2%` or `-2%`: seconds gained each second."""
    text = str(value).strip()
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    share = parse_share(abs(float(text)) if is_number else text.lstrip("+-"))
    if not 0 < share <= 0.5:
        raise ValueError(f"'{value}' is not allowed; give more than 0%, up to 50%, such as 1% or -1%")
    return -share if text.startswith("-") else share


SignedSeconds = Annotated[
    PositiveSeconds,
    WrapValidator(_signed),
    PlainSerializer(lambda value: ("-" if value < 0 else "") + format_duration(abs(value))),
    WithJsonSchema({"type": "string", "pattern": r"^\s*[+-]?\d", "examples": ["120s", "-1h"]}),
]
Rate = Annotated[
    float,
    WrapValidator(lambda value, _: _rate(value)),
    PlainSerializer(lambda value: ("-" if value < 0 else "") + format_share(abs(value))),
    WithJsonSchema({"type": "string", "pattern": r"^\s*[+-]?\d.*%$", "examples": ["1%", "-0.5%"]}),
]


class ClockFault(Fault):
    """Base of the faults on a clock."""

    family: ClassVar[str] = "clock"
    needs: ClassVar[tuple[str, ...]] = ("clock",)
    undo: ClassVar[str] = "the guardian sets the clock's file back, or `chaos-locust cleanup` does"
    effect_text: ClassVar[str] = (
        "the target's own Date header is off by it (or the clock that it reads, where it sends none), and "
        "the load used the target"
    )

    def clashes_with(self, other: Fault) -> str:
        return "a target has one clock" if isinstance(other, ClockFault) else ""

    def offset_at(self, elapsed_s: float) -> float | None:
        """Seconds by which the clock is to be ahead; None: it is to stand still."""
        raise NotImplementedError


class ClockSkew(ClockFault):
    """The clock is wrong by `offset` all the time: one step at the beginning, one back at the end."""

    kind: ClassVar[str] = "clock_skew"
    summary: ClassVar[str] = "sets the target's clock ahead by offset, or behind with a minus"

    offset_s: SignedSeconds = Field(
        alias="offset", description="How far the clock is ahead, such as 120s; behind: -120s."
    )

    def offset_at(self, elapsed_s: float) -> float:
        return self.offset_s


class ClockJump(ClockFault):
    """The clock jumps by `offset` and back, over and over: it goes backwards again and again, as one that two
    time servers pull at. It is wrong for the first half of every `every`."""

    kind: ClassVar[str] = "clock_jump"
    summary: ClassVar[str] = "makes the target's clock jump by offset and back, over and over"
    changes: ClassVar[bool] = True

    offset_s: SignedSeconds = Field(
        alias="offset", description="How far it jumps, such as 30s; behind: -30s."
    )
    every_s: PositiveSeconds = Field(
        default=4.0, alias="every", description="From jump to jump, in whole seconds, such as 4s."
    )

    @validated(mode="after")
    def _can_be_followed(self) -> Self:
        if self.every_s % (2 * STEP_S):
            text = f"'{format_duration(self.every_s)}' is not allowed; give whole seconds, such as 4s"
            raise refusal([Problem("every", text)])
        return self

    def offset_at(self, elapsed_s: float) -> float:
        return self.offset_s if elapsed_s % self.every_s < self.every_s / 2 else 0.0


class ClockFreeze(ClockFault):
    """The clock stands still, at the whole second in which the fault began; at the end it is right again."""

    kind: ClassVar[str] = "clock_freeze"
    summary: ClassVar[str] = "stops the target's clock"

    def offset_at(self, elapsed_s: float) -> None:
        return None


class ClockDrift(ClockFault):
    """The clock gains `rate` of each second, or loses it, in steps of half a second."""

    kind: ClassVar[str] = "clock_drift"
    summary: ClassVar[str] = "makes the target's clock go fast by rate, or slow with a minus"
    changes: ClassVar[bool] = True

    rate: Rate = Field(description="Gained each second, such as 2% (20 ms a second); lost: -2%.")

    def offset_at(self, elapsed_s: float) -> float:
        return round(self.rate * elapsed_s, 6)


FAULTS: tuple[type[Fault], ...] = (ClockSkew, ClockJump, ClockFreeze, ClockDrift)
