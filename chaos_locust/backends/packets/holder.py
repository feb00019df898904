"""The process that holds packets for a fault: when it dies, the kernel lets them pass.

`packets_system.HolderProcess` starts it, with our mark as its argument. Its first line of input tells what
to do (`serve`); each further line is answered by a line with what it has done so far. At the end of its
input (whoever started it is dead), at SIGTERM or at its deadline it lets everything go that it holds, in
order, and ends. Standard library alone, for it has to start quickly.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import json
import os
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

from chaos_locust.backends.packets.lines import Line, corrupted, flow_of, line_for
from chaos_locust.backends.packets.netlink import ACCEPT, DROP, WHOLE, Netlink, Packet, overflow
from chaos_locust.backends.packets.sender import Sender

LONGEST_QUEUE = 16_384
_HEADERS = 128  # bytes of a packet that tell its flow
_NUMBERS = range(20_000, 60_000)
_TRIES = 50
_AT_ONCE = 512
_NICENESS = -10
_QUEUES_FILE = "/proc/self/net/netfilter/nfnetlink_queue"


SEND_ON = 2
Decision = tuple[Packet, int, bytes | None]
"""(packet, ACCEPT, DROP or SEND_ON, what it is replaced by)"""


class Holder:
    """Decides on the packets of some queues: drops them all, corrupts a share, or holds them back by the
    line of their queue."""

    def __init__(
        self,
        how: str,
        share: float,
        lines: Mapping[int, Line],
        random: Random,
        clock: Callable[[], float],
    ) -> None:
        self._how, self._share, self._lines, self._random, self._clock = how, share, lines, random, clock
        self._held: list[tuple[float, int, float, bytes, Packet, bool]] = []
        self._of_flow: Counter[bytes] = Counter()
        self._order = 0
        self.done: dict[str, float] = dict.fromkeys(
            ("handled", "dropped", "changed", "released", "overtaken", "held_s", "held_squared", "bytes"), 0
        )

    @property
    def waiting(self) -> int:
        return len(self._held)

    @property
    def next_s(self) -> float | None:
        return self._held[0][0] if self._held else None

    def take(self, packet: Packet) -> Decision | None:
        """What is decided at once."""
        self.done["handled"] += 1
        if self._how == "drop":
            self.done["dropped"] += 1
            return packet, DROP, None
        if self._how == "corrupt":
            return self._corrupt(packet)
        now_s, flow = self._clock(), flow_of(packet.data)
        due_s = self._lines[packet.queue].due_s(now_s, flow, packet.size)
        if due_s is None:
            self.done["dropped"] += 1
            return packet, DROP, None
        if due_s <= now_s:
            self.done["overtaken"] += self._of_flow[flow] > 0
            return packet, ACCEPT, None
        self._order += 1
        self._of_flow[flow] += 1
        sent_on = Sender.takes(packet)
        heapq.heappush(self._held, (due_s, self._order, now_s, flow, packet, sent_on))
        return (packet, DROP, None) if sent_on else None

    def _corrupt(self, packet: Packet) -> Decision:
        """Drawn here and not by the rules: what those see may be cut into many packets on its way to us."""
        if self._random.random() >= self._share:
            return packet, ACCEPT, None
        self.done["changed"] += 1
        if packet.size > len(packet.data):  # of 65,532 bytes and more, which cannot be put back changed:
            return packet, DROP, None  # the receiver would drop it
        return packet, ACCEPT, corrupted(packet.data, self._random)

    def release(self, everything: bool = False) -> list[Decision]:
        """Those whose time has come, in order."""
        now_s, gone = self._clock(), list[Decision]()
        while self._held and (everything or self._held[0][0] <= now_s):
            _, _, came_s, flow, packet, sent_on = heapq.heappop(self._held)
            gone.append((packet, SEND_ON if sent_on else ACCEPT, None))
            self._of_flow[flow] -= 1
            if not self._of_flow[flow]:
                del self._of_flow[flow]
            done, held_s = self.done, now_s - came_s
            done["released"] += 1
            done["bytes"] += packet.size
            done["held_s"] += held_s
            done["held_squared"] += held_s * held_s
        return gone


def serve(settings: Mapping[str, Any]) -> None:
    """settings: {how, lasts_s, rules: [[family, table, chain], ...], ...}; the rules of one chain share a
    queue. how: drop, corrupt, delay, reorder or rate; with what `line_for` needs, and tag, of `Sender`."""
    deadline_s = time.monotonic() + settings["lasts_s"]
    with contextlib.suppress(OSError):  # else its waiting for a processor would come on top of each delay
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    kernel, random, numbers = Netlink(), Random(), dict[str, int]()
    copied = _HEADERS if settings["how"] == "drop" else WHOLE
    for chain in dict.fromkeys(chain for _, _, chain in settings["rules"]):
        numbers[chain] = _bind_any(kernel, random, copied)
    delays = settings["how"] in ("delay", "reorder", "rate")
    lines = {number: line_for(settings, random) for number in numbers.values()} if delays else {}
    sender = Sender(settings["tag"]) if delays else None
    holder = Holder(settings["how"], settings.get("share", 1.0), lines, random, time.monotonic)
    for family, table, chain in settings["rules"]:
        kernel.add_queue_rule(family, table, chain, numbers[chain])
    kernel.listen()
    _say({"ready": True})
    ended = _ended_by_signal()
    asked = b""
    while (now_s := time.monotonic()) < deadline_s:
        wait_s = max(min(deadline_s, holder.next_s or deadline_s) - now_s, 0)
        ready, _, _ = select.select([kernel, sys.stdin, ended], [], [], wait_s)
        decided = [verdict for packet in kernel.packets(_AT_ONCE) if (verdict := holder.take(packet))]
        _carry_out(kernel, sender, decided)
        _carry_out(kernel, sender, holder.release())
        if ended in ready:
            break
        if sys.stdin in ready:
            read = os.read(sys.stdin.fileno(), 4096)
            if not read:
                break
            *lines_asked, asked = (asked + read).split(b"\n")
            for _ in lines_asked:
                with open(_QUEUES_FILE, encoding="ascii") as queues:
                    full = overflow(numbers.values(), queues.read())
                lost = kernel.refused + (sender.failed if sender else 0)
                _say(holder.done | {"overflow": full, "lost": lost, "waiting": holder.waiting})
    # The rules may have let go already, with packets in the queue that nobody has read.
    _carry_out(
        kernel,
        sender,
        [verdict for packet in kernel.packets(LONGEST_QUEUE) if (verdict := holder.take(packet))],
    )
    _carry_out(kernel, sender, holder.release(everything=True))


def _carry_out(kernel: Netlink, sender: Sender | None, decisions: Iterable[Decision]) -> None:
    """In this order."""
    verdicts: list[Decision] = []
    for decision in decisions:
        if decision[1] == SEND_ON and sender is not None:
            kernel.decide(verdicts)
            verdicts = []
            sender.send(decision[0])
        else:
            verdicts.append(decision)
    kernel.decide(verdicts)


def _bind_any(kernel: Netlink, random: Random, copied: int) -> int:
    for _ in range(_TRIES):
        number = random.choice(_NUMBERS)
        try:
            kernel.bind(number, LONGEST_QUEUE, copied)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.EPERM):
                raise
            last = error
        else:
            return number
    raise last


def _ended_by_signal() -> int:
    """A descriptor that can be read after SIGTERM. A terminal's signals are for others."""
    reader, writer = os.pipe2(os.O_NONBLOCK)
    signal.signal(signal.SIGTERM, lambda *_: os.write(writer, b"x"))
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    return reader


def _say(message: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more: the end of the input tells
        os.write(sys.stdout.fileno(), json.dumps(message).encode() + b"\n")


def main() -> None:
    with os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0) as source:
        line = source.readline()
    if not line:
        return  # whoever started it died at once
    settings = json.loads(line)
    try:
        if settings.get("how") == "check":
            trial = Netlink()
            for family in settings["families"]:
                trial.try_queue_rule(family)
            _bind_any(trial, Random(), _HEADERS)
            _say({"ready": True})
        else:
            serve(settings)
    except OSError as error:
        _say({"error": error.strerror or str(error)})
