"""The rules of nftables for a fault on packets, as text for `nft -f`. Pure.

One table for each family of addresses, named by our mark. Each packet meets them once: whatever comes over
loopback where it arrives, and doubles are made where packets leave, for one made where packets arrive over
loopback would arrive, and be doubled, again. All but doubles go through a queue, drops as well: a drop by a
rule would last until somebody takes the rule away, and on its way out its sender would be told of it as an
error, which no network does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from chaos_locust.faults.base import Fault
from chaos_locust.faults.packets import (
    PacketBandwidth,
    PacketCorrupt,
    PacketDelay,
    PacketDuplicate,
    PacketFault,
    PacketLoss,
    PacketReorder,
)

_MILLION = 1_000_000
_DOUBLE = 0x40000000  # in the mark of a packet that was made by `dup`
# As programs here see addresses: before theirs are translated, and after those of answers are.
_OUTPUT_PRIORITY, _INPUT_PRIORITY, _FORWARD_PRIORITY = -300, 150, 0
# What these hold on its way out is sent anew when its time has come (`sender`), with their tag, and
# so passes all rules again. Each comes before what does not hold, and leaves alone what has its tag or one
# of those after it: so every fault meets every packet once.
_HOLDING = (PacketBandwidth, PacketDelay, PacketReorder)
_FIRST_TAG = 0x4C4A0010  # the lowest four bits, which choose a band of some queueing disciplines, are zero
_NEXT_TAG = 0x10


@dataclass(frozen=True, slots=True)
class Scope:
    """Which packets: to and from these (address, port), of these peers; no peers: of everybody."""

    addresses: tuple[tuple[str, int], ...]
    peers: tuple[str, ...] | None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scope:
        peers = None if data["peers"] is None else tuple(data["peers"])
        return cls(tuple((host, port) for host, port in data["addresses"]), peers)

    def to_json(self) -> dict[str, Any]:
        return {
            "addresses": [list(address) for address in self.addresses],
            "peers": None if self.peers is None else list(self.peers),
        }

    def of_family(self, family: str) -> Scope | None:
        """None: none of its packets are of this family."""
        version = 4 if family == "ip" else 6
        addresses = tuple(a for a in self.addresses if ip_address(a[0]).version == version)
        peers = (
            None if self.peers is None else tuple(p for p in self.peers if ip_address(p).version == version)
        )
        return Scope(addresses, peers) if addresses and peers != () else None

    @property
    def families(self) -> list[str]:
        return [family for family in ("ip", "ip6") if self.of_family(family) is not None]


def rules(fault: PacketFault, scope: Scope, table: str, lasts_s: float) -> str:
    """The tables; their timers end the fault after `lasts_s`."""
    parts = [(family, scope.of_family(family)) for family in scope.families]
    return "".join(_table(fault, part, family, table, lasts_s) for family, part in parts if part)


def needs_holder(fault: Fault) -> bool:
    """Whether the kernel needs a process that holds packets; doubles it makes alone."""
    return not isinstance(fault, PacketDuplicate)


def holder_settings(fault: PacketFault, scope: Scope, table: str, lasts_s: float) -> dict[str, Any]:
    """What the process that holds this fault's packets is told."""
    settings: dict[str, Any]
    match fault:
        case PacketDelay():
            settings = {"how": "delay", "delay_s": fault.delay_s, "jitter_s": fault.jitter_s}
            settings["correlation"] = fault.correlation or 0.0
        case PacketReorder():
            settings = {"how": "reorder", "share": fault.share, "delay_s": fault.delay_s}
        case PacketBandwidth():
            settings = {"how": "rate", "rate_bytes_per_s": fault.rate_bytes_per_s}
        case PacketCorrupt():
            settings = {"how": "corrupt", "share": fault.share}
        case _:
            settings = {"how": "drop"}
    queues = [[family, table, f"queue-{way}"] for way in fault.directions for family in scope.families]
    settings |= {"lasts_s": lasts_s, "rules": queues}
    return settings | {"tag": _tags(fault)[0]} if isinstance(fault, _HOLDING) else settings


def _tags(fault: PacketFault) -> list[int]:
    """Its own, and those of the faults after it; empty: it does not hold packets."""
    own = next((rank for rank, kind in enumerate(_HOLDING) if isinstance(fault, kind)), len(_HOLDING))
    return [_FIRST_TAG + rank * _NEXT_TAG for rank in range(own, len(_HOLDING))]


def _table(fault: PacketFault, scope: Scope, family: str, table: str, lasts_s: float) -> str:
    kind = "ipv4_addr" if family == "ip" else "ipv6_addr"
    timer = f"timeout {math.ceil(lasts_s)}s"
    targets = ", ".join(f"{host} . {port} {timer}" for host, port in scope.addresses)
    lines = ["counter matched {", "}", "counter acted {", "}"]
    lines += [
        "set targets {",
        f"type {kind} . inet_service",
        "flags timeout",
        f"elements = {{ {targets} }}",
        "}",
    ]
    if scope.peers is not None:
        lines += ["set peers {", f"type {kind}", f"elements = {{ {', '.join(scope.peers)} }}", "}"]
    for way in fault.directions:
        lines += [f"chain queue-{way} {{", "}"]
        lines += [f"chain met-{way} {{", *_acts(fault, way, family), "}"]
    output_priority = _OUTPUT_PRIORITY - len(_tags(fault))
    hooks = (("input", _INPUT_PRIORITY), ("forward", _FORWARD_PRIORITY), ("output", output_priority))
    for hook, priority in hooks:
        lines += [f"chain {hook} {{", f"type filter hook {hook} priority {priority}; policy accept;"]
        lines += _matches(fault, scope, family, hook)
        lines.append("}")
    return "\n".join([f"table {family} {table} {{", *lines, "}", ""])


def _matches(fault: PacketFault, scope: Scope, family: str, hook: str) -> Sequence[str]:
    lines = []
    if isinstance(fault, PacketDuplicate):
        if hook == "input":
            lines.append("iif lo return")
    elif hook == "output":
        lines.append("oif lo return")
        if tags := ", ".join(f"{tag >> 16:x}:{tag & 0xFFFF:x}" for tag in _tags(fault)):
            lines.append(f"meta priority {{ {tags} }} return")
    for way in fault.directions:
        target, port, peer = ("daddr", "dport", "saddr") if way == "to" else ("saddr", "sport", "daddr")
        peers = "" if scope.peers is None else f" {family} {peer} @peers"
        packet = f"meta l4proto {{ tcp, udp }} {family} {target} . th {port} @targets{peers}"
        lines.append(f"{packet} jump met-{way}")
    return lines


def _acts(fault: PacketFault, way: str, family: str) -> Sequence[str]:
    share = ""
    if isinstance(fault, PacketLoss | PacketDuplicate) and fault.share < 1:
        share = f"numgen random mod {_MILLION} < {max(1, round(fault.share * _MILLION))} "
    met, acted = "counter name matched", f"{share}counter name acted"
    if isinstance(fault, PacketDuplicate):
        double = f"meta mark set meta mark | {_DOUBLE:#x} dup to {family} daddr"
        back = f"meta mark set meta mark & {~_DOUBLE & 0xFFFFFFFF:#x}"
        return [f"meta mark & {_DOUBLE:#x} == {_DOUBLE:#x} return", met, f"{acted} {double} {back}"]
    return [met, f"{acted} jump queue-{way}"]
