"""Faults on packets between addresses, done by the kernel."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from chaos_locust.data import BytesPerSecond, PositiveSeconds, Seconds, Share, refusal
from chaos_locust.errors import Problem
from chaos_locust.faults.base import Fault
from chaos_locust.units import format_duration

PacketDirection = Literal["to", "from", "both"]
ShareOfPackets = Annotated[Share, Field(description="of the packets, drawn for each packet")]
_BOTH_WAYS = "`to` the target, `from` it, or both, each by itself"

_QUEUE_UNDO = (
    "a process has the packets' queue: it dies with the guardian, and the kernel lets them pass; a timer of "
    "the kernel ends it as well"
)


class PacketFault(Fault):
    """Base of the faults on packets: TCP and UDP, IPv4 and IPv6, between the target's `addresses` and its
    `peers` (without those: everybody), in the target's `namespace` or in ours.

    A packet over loopback counts once, and may be of up to 64 KB there. With segmentation offload that also
    holds elsewhere for loss and duplicate, which see packets before they are cut for the network.
    """

    family: ClassVar[str] = "packets"
    needs: ClassVar[tuple[str, ...]] = ("addresses",)

    direction: PacketDirection = Field(default="both", description=_BOTH_WAYS)

    @property
    def directions(self) -> tuple[str, ...]:
        return ("to", "from") if self.direction == "both" else (self.direction,)

    def clashes_with(self, other: Fault) -> str:
        if not (isinstance(other, PacketFault) and set(self.directions) & set(other.directions)):
            return ""
        if self.kind == other.kind:
            return f"both are {self.kind} in the same direction"
        return ""


class PacketLoss(PacketFault):
    """A share of the packets never arrives; whoever sends them is not told."""

    kind: ClassVar[str] = "packet_loss"
    summary: ClassVar[str] = "loses a share of the packets"
    undo: ClassVar[str] = _QUEUE_UNDO
    effect_text: ClassVar[str] = "the kernel counts packets that it dropped, of the load's that it met"

    share: ShareOfPackets


class PacketDuplicate(PacketFault):
    """A share of the packets arrives twice."""

    kind: ClassVar[str] = "packet_duplicate"
    summary: ClassVar[str] = "sends a share of the packets twice"
    undo: ClassVar[str] = "a timer of the kernel ends it; before that the guardian or `chaos-locust cleanup`"
    effect_text: ClassVar[str] = "the kernel counts packets that it doubled, of the load's that it met"

    share: ShareOfPackets


class PacketCorrupt(PacketFault):
    """One bit of a packet is flipped after its checksum was made, so that the receiver drops it.

    That holds on loopback as well: the checksum is completed before, and looked at after; packets of more
    than 65,531 bytes, which only loopback has, are dropped right here instead. UDP without a checksum would
    arrive as corrupted data.
    """

    kind: ClassVar[str] = "packet_corrupt"
    summary: ClassVar[str] = "flips a bit in a share of the packets, which the receiver's checksum finds"
    undo: ClassVar[str] = _QUEUE_UNDO
    effect_text: ClassVar[str] = "packets that were changed are counted, of the load's that were met"

    share: ShareOfPackets


class PacketReorder(PacketFault):
    """A share of the packets is held back for `delay`, so that those after them in their flow overtake.

    Where nothing follows within that time, they only come late.
    """

    kind: ClassVar[str] = "packet_reorder"
    summary: ClassVar[str] = "holds a share of the packets back, so that later ones overtake them"
    undo: ClassVar[str] = _QUEUE_UNDO
    effect_text: ClassVar[str] = "packets that overtook are counted, of the load's that were met"

    share: ShareOfPackets
    delay_s: PositiveSeconds = Field(default=0.01, alias="delay", description="so long a packet is held back")


class PacketDelay(PacketFault):
    """Every packet arrives `delay` later, give or take `jitter`, evenly spread; a flow keeps its order."""

    kind: ClassVar[str] = "packet_delay"
    summary: ClassVar[str] = "delays every packet by delay, give or take jitter; a flow keeps its order"
    undo: ClassVar[str] = _QUEUE_UNDO
    effect_text: ClassVar[str] = "how long packets of the load were held is measured on each of them"

    direction: PacketDirection = Field(
        default="from", description=f"{_BOTH_WAYS}: then a round trip takes twice the delay longer"
    )
    delay_s: PositiveSeconds = Field(alias="delay")
    jitter_s: Seconds = Field(default=0.0, alias="jitter", description="at most the delay")
    correlation: Share | None = Field(
        default=None,
        description="the probability that a packet is delayed exactly as the one before it in its flow",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        problems = []
        if self.jitter_s > self.delay_s:
            limit = f"give at most the delay, which is {format_duration(self.delay_s)}"
            problems.append(Problem("jitter", f"'{format_duration(self.jitter_s)}' is not allowed; {limit}"))
        if self.correlation is not None and not self.jitter_s:
            problems.append(Problem("correlation", "has no effect without jitter"))
        if problems:
            raise refusal(problems)
        return self


class PacketBandwidth(PacketFault):
    """At most `rate` bytes a second pass in each direction, headers included, one packet after the other.

    What would have to wait longer than half a second for its turn is dropped.
    """

    kind: ClassVar[str] = "packet_bandwidth"
    summary: ClassVar[str] = "limits all packets together to rate, in each direction"
    undo: ClassVar[str] = _QUEUE_UNDO
    effect_text: ClassVar[str] = "the bytes of the load that passed are counted, and kept to the rate"

    rate_bytes_per_s: BytesPerSecond = Field(alias="rate")


class Partition(PacketFault):
    """Nothing passes between the target's addresses and its peers, or nothing in one direction.

    Whoever sends is not told: connections wait, and others of the same hosts go on.
    """

    kind: ClassVar[str] = "partition"
    summary: ClassVar[str] = "cuts the target's addresses off from its peers, in one direction or both"
    needs: ClassVar[tuple[str, ...]] = ("addresses", "peers")
    undo: ClassVar[str] = _QUEUE_UNDO
    effect_text: ClassVar[str] = "the kernel counts what the load tried to send, and let nothing of it pass"

    def clashes_with(self, other: Fault) -> str:
        if isinstance(other, PacketFault) and set(self.directions) & set(other.directions):
            return "through a partition nothing passes that another fault could act on"
        return ""


FAULTS: tuple[type[Fault], ...] = (
    PacketLoss,
    PacketDuplicate,
    PacketCorrupt,
    PacketReorder,
    PacketDelay,
    PacketBandwidth,
    Partition,
)
