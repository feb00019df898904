"""Faults on a TCP link, done by a proxy that speaks Toxiproxy's HTTP API."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, AliasChoices, Field, model_validator

from chaos_locust.data import Bytes, BytesPerSecond, PositiveSeconds, Seconds, refusal
from chaos_locust.errors import Problem
from chaos_locust.faults.base import Fault, ProxyFault
from chaos_locust.units import format_duration, format_size


def _whole(unit: str, per_second: int) -> AfterValidator:
    def check(value_s: float) -> float:
        if Decimal(repr(value_s)) * per_second % 1:
            raise ValueError(f"'{format_duration(value_s)}' is finer than a proxy goes; give whole {unit}")
        return value_s

    return AfterValidator(check)


def _whole_kilobytes(value: int) -> int:
    if value % 1000:
        raise ValueError(f"'{value}B/s' is finer than a proxy goes; give whole KB/s")
    return value


Milliseconds = Annotated[Seconds, _whole("milliseconds", 1000)]
PositiveMilliseconds = Annotated[PositiveSeconds, _whole("milliseconds", 1000)]
Microseconds = Annotated[Seconds, _whole("microseconds", 1_000_000)]


class Latency(ProxyFault):
    """Every chunk arrives `latency` later, give or take `jitter`."""

    kind: ClassVar[str] = "latency"
    summary: ClassVar[str] = "delays everything on the link by latency, give or take jitter"
    effect_text: ClassVar[str] = "the link answers later by the delay, and the load's bytes went through"

    latency_s: PositiveMilliseconds = Field(alias="latency")
    jitter_s: Milliseconds = Field(default=0.0, alias="jitter")


class GradualLatency(ProxyFault):
    """The delay goes from `from` to `latency` during `for`, a step each second."""

    kind: ClassVar[str] = "gradual_latency"
    summary: ClassVar[str] = (
        "delays everything on the link, a step each second, by from up or down to latency"
    )
    effect_text: ClassVar[str] = "the delay on the link follows the ramp, and the load's bytes went through"
    changes: ClassVar[bool] = True

    latency_s: Milliseconds = Field(alias="latency")
    from_s: Milliseconds = Field(
        default=0.0, validation_alias=AliasChoices("from", "start"), serialization_alias="from"
    )
    jitter_s: Milliseconds = Field(default=0.0, alias="jitter")

    @model_validator(mode="after")
    def _changes(self) -> Self:
        if self.from_s == self.latency_s:
            raise refusal([Problem("from", "equals latency, so nothing would change; use kind latency")])
        return self

    def latency_at(self, elapsed_s: float) -> float:
        """Seconds of delay `elapsed_s` after the onset, in whole milliseconds."""
        assert self.duration_s is not None
        part = min(max(elapsed_s / self.duration_s, 0.0), 1.0)
        return round(self.from_s + (self.latency_s - self.from_s) * part, 3)


class Bandwidth(ProxyFault):
    """The link carries at most `rate` bytes a second."""

    kind: ClassVar[str] = "bandwidth"
    summary: ClassVar[str] = "limits the link to rate"
    effect_text: ClassVar[str] = "the proxy lists the limit, and the load's bytes went through"

    rate_bytes_per_s: Annotated[BytesPerSecond, AfterValidator(_whole_kilobytes)] = Field(alias="rate")


class Timeout(ProxyFault):
    """Data is held back; with `after`, the connection is closed then."""

    kind: ClassVar[str] = "timeout"
    summary: ClassVar[str] = "holds all data back; with `after` it closes the connection that much later"
    effect_text: ClassVar[str] = "no answer comes over the link, and the load tried to use it"

    after_s: PositiveMilliseconds | None = Field(default=None, alias="after")


class Reset(ProxyFault):
    """The connection is reset, at once or `after` its first data."""

    kind: ClassVar[str] = "reset"
    summary: ClassVar[str] = "resets connections (TCP RST), `after` a time or at once"
    effect_text: ClassVar[str] = "a connection over the link is reset, and the load tried to use it"

    after_s: Milliseconds = Field(default=0.0, alias="after")


class SlowClose(ProxyFault):
    """A closed connection stays open for `delay` more."""

    kind: ClassVar[str] = "slow_close"
    summary: ClassVar[str] = "delays the closing of connections by delay"
    effect_text: ClassVar[str] = "the proxy lists it, and the load's bytes went through"

    delay_s: PositiveMilliseconds = Field(alias="delay")


class Slicer(ProxyFault):
    """Data comes in small pieces of `size`, give or take `variation`, with `delay` between them."""

    kind: ClassVar[str] = "slicer"
    summary: ClassVar[str] = "cuts data into pieces of size, give or take variation, delay apart"
    effect_text: ClassVar[str] = "the proxy lists it, and the load's bytes went through"

    size_bytes: Bytes = Field(alias="size")
    variation_bytes: Bytes | None = Field(default=None, alias="variation")
    delay_s: Microseconds = Field(default=0.0, alias="delay")

    @model_validator(mode="after")
    def _varies_less_than_its_size(self) -> Self:
        if self.variation_bytes is not None and self.variation_bytes >= self.size_bytes:
            limit = f"give less than size, which is {format_size(self.size_bytes)}"
            raise refusal(
                [Problem("variation", f"'{format_size(self.variation_bytes)}' is not allowed; {limit}")]
            )
        return self


class Limit(ProxyFault):
    """The connection is closed after `bytes` went through."""

    kind: ClassVar[str] = "limit"
    summary: ClassVar[str] = "closes each connection after bytes went through"
    effect_text: ClassVar[str] = "the proxy lists it, and the load's bytes went through"

    limit_bytes: Bytes = Field(alias="bytes")


class Down(Fault):
    """The proxy refuses connections and drops those it has."""

    kind: ClassVar[str] = "down"
    summary: ClassVar[str] = "refuses new connections and drops all that are open"
    family: ClassVar[str] = "proxy"
    needs: ClassVar[tuple[str, ...]] = ProxyFault.needs
    undo: ClassVar[str] = ProxyFault.undo
    effect_text: ClassVar[str] = "the link refuses connections, and the load used it just before"

    def clashes_with(self, other: Fault) -> str:
        return "on a link that is down nothing else can act" if other.needs == self.needs else ""


class Flap(Down):
    """The link goes down and comes back, over and over: `down` long, then `up` long."""

    kind: ClassVar[str] = "flap"
    summary: ClassVar[str] = (
        "takes the link down and up again and again, each time as long as `down` and `up`"
    )
    effect_text: ClassVar[str] = "the link refuses connections now and then, and the load used it just before"
    changes: ClassVar[bool] = True

    down_s: Annotated[PositiveSeconds, Field(ge=0.5)] = Field(default=1.0, alias="down")
    up_s: Annotated[PositiveSeconds, Field(ge=0.5)] = Field(default=1.0, alias="up")

    def is_down_at(self, elapsed_s: float) -> bool:
        """Whether the link is down so long after the onset, which begins a time of being down."""
        return elapsed_s % (self.down_s + self.up_s) < self.down_s

    def next_change_s(self, elapsed_s: float) -> float:
        cycle_s = self.down_s + self.up_s
        begun_s = elapsed_s // cycle_s * cycle_s
        return begun_s + (self.down_s if elapsed_s - begun_s < self.down_s else cycle_s)


FAULTS: tuple[type[Fault], ...] = (
    Latency,
    GradualLatency,
    Bandwidth,
    Timeout,
    Reset,
    SlowClose,
    Slicer,
    Limit,
    Down,
    Flap,
)
