"""Rules for nftables, and the kernel's account of its queues."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from chaos_locust.backends.packets.holder import SEND_ON, Holder
from chaos_locust.backends.packets.lines import DelayLine
from chaos_locust.backends.packets.netlink import ACCEPT, DROP, Packet, overflow
from chaos_locust.backends.packets.rules import Scope, holder_settings, rules
from chaos_locust.backends.packets.sender import LOCAL_OUT
from chaos_locust.faults.packets import PacketFault
from chaos_locust.faults.registry import parse_fault

BOTH = Scope((("127.0.0.1", 80), ("::1", 80)), None)


def fault(kind: str, **parameters: Any) -> PacketFault:
    data = {"kind": kind, "name": "it", "target": "db", "at": "1s", "for": "5s", **parameters}
    found = parse_fault(data, "")
    assert isinstance(found, PacketFault), found
    return found


def test_scope() -> None:
    assert BOTH.families == ["ip", "ip6"]
    assert Scope.from_json(BOTH.to_json()) == BOTH
    mixed = Scope(BOTH.addresses, ("10.0.0.1",))
    assert mixed.families == ["ip"]
    assert mixed.of_family("ip") == Scope((("127.0.0.1", 80),), ("10.0.0.1",))
    assert Scope.from_json(mixed.to_json()) == mixed


def test_every_rule_that_acts_asks_for_the_target_and_its_peers() -> None:
    text = rules(fault("partition"), Scope(BOTH.addresses, ("10.0.0.1",)), "chaos-x", 20.2)
    matches = [line for line in text.splitlines() if " jump met-" in line]
    assert len(matches) == 6
    for line in matches:
        assert "@targets" in line
        assert "@peers" in line
    assert "127.0.0.1 . 80 timeout 21s" in text
    assert "table ip6" not in text


def test_one_direction() -> None:
    text = rules(fault("packet_loss", share="2.5%", direction="to"), BOTH, "chaos-x", 20)
    assert "jump met-from" not in text
    assert "saddr . th sport" not in text
    assert "numgen random mod 1000000 < 25000 counter name acted jump queue-to" in text


def test_even_the_smallest_share_is_drawn() -> None:
    assert "< 1 " in rules(fault("packet_loss", share="0.00001%"), BOTH, "chaos-x", 20)
    assert "numgen" not in rules(fault("packet_loss", share="100%"), BOTH, "chaos-x", 20)


def test_who_holds_is_told_of_every_queue() -> None:
    settings = holder_settings(fault("packet_delay", delay="1s", direction="both"), BOTH, "chaos-x", 20)
    assert settings["rules"] == [
        [family, "chaos-x", chain] for chain in ("queue-to", "queue-from") for family in ("ip", "ip6")
    ]


def test_what_is_sent_anew_is_left_alone_by_those_before_and_met_by_those_after() -> None:
    kinds = {
        "packet_bandwidth": {"rate": "1KB/s"},
        "packet_delay": {"delay": "1s"},
        "packet_reorder": {"share": "5%"},
    }
    made = [fault(kind, **parameters) for kind, parameters in kinds.items()]
    tags = [holder_settings(each, BOTH, "chaos-x", 20)["tag"] for each in made]
    assert len(set(tags)) == 3
    places = []
    for index, each in enumerate(made):
        text = rules(each, BOTH, "chaos-x", 20)
        left_alone = [f"{tag >> 16:x}:{tag & 0xFFFF:x}" in text for tag in tags]
        assert left_alone == [tag >= index for tag in range(3)]
        places.append(int(text.partition("hook output priority ")[2].partition(";")[0]))
    assert places == sorted(set(places))
    assert places[-1] < -300


@pytest.mark.parametrize(("queues", "count"), [([41000], 7), ([41000, 42000], 12), ([5], 0)])
def test_overflow(queues: list[int], count: int) -> None:
    text = "41000  15715     0 2   128     3     4        0  1\n42000  1 0 2 128 5 0 0 1\n"
    assert overflow(queues, text) == count


UDP = bytes([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1, 1, 1, 2, 2, 0, 8, 0, 0])


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_who_holds_keeps_account_and_order() -> None:
    clock, random = Clock(), Random(1)
    holder = Holder("delay", 1.0, {5: DelayLine(0.1, 0, 0, random)}, random, clock)
    packets = [
        Packet(5, number, 28, memoryview(UDP), hook) for number, hook in ((1, 1), (2, LOCAL_OUT), (3, 1))
    ]
    taken = [holder.take(packet) for packet in packets]
    assert taken == [None, (packets[1], DROP, None), None], "what leaves is taken out of the kernel at once"
    assert holder.release() == []
    assert holder.next_s == pytest.approx(100.1)
    clock.now_s = 100.2
    gone = holder.release()
    assert [(packet.id, verdict) for packet, verdict, _ in gone] == [(1, ACCEPT), (2, SEND_ON), (3, ACCEPT)]
    assert holder.done["released"] == 3
    assert holder.done["held_s"] == pytest.approx(0.6)
    assert holder.waiting == 0


def test_everything_that_is_held_goes_on_at_the_end() -> None:
    clock, random = Clock(), Random(1)
    holder = Holder("delay", 1.0, {5: DelayLine(9, 0, 0, random)}, random, clock)
    holder.take(Packet(5, 1, 28, memoryview(UDP), 1))
    assert holder.release() == []
    assert len(holder.release(everything=True)) == 1
