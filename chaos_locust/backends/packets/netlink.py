"""The kernel's packet queues (NFQUEUE) and the rule that fills them, over netlink. Standard library alone.

The rule is xt's NFQUEUE as nftables takes it, for nftables' own `queue` is missing from many kernels. With
"bypass" packets go their way as soon as nobody holds the queue.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

DROP, ACCEPT = 0, 1
WHOLE = 0xFFFF
FAMILIES = {"ip": socket.AF_INET, "ip6": socket.AF_INET6}

_NETLINK_NETFILTER, _SOL_NETLINK, _NO_ENOBUFS, _SO_RCVBUFFORCE = 12, 270, 5, 33
_ERROR, _DONE_BY_NOW = 2, 0
_REQUEST, _ACK, _CREATE, _APPEND = 1, 4, 0x400, 0x800
_NFTABLES, _QUEUE = 10, 3
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE = _NFTABLES << 8, _NFTABLES << 8 | 3, _NFTABLES << 8 | 6
_PACKET, _VERDICT, _CONFIG = _QUEUE << 8, _QUEUE << 8 | 1, _QUEUE << 8 | 2
_BIND, _COPY_PACKET, _BYPASS = 1, 2, 1
_NESTED = 0x8000
_RECEIVE_BYTES = 32_000_000
_LONGEST_MESSAGE = 1 << 17


class Packet(NamedTuple):
    """A packet that waits in a queue. size: bytes of the network layer; data: its beginning, or all of it.
    hook: where it was taken. mark: the kernel's for it. leaves_by: the index of the interface, or 0."""

    queue: int
    id: int
    size: int
    data: memoryview
    hook: int = 0
    mark: int = 0
    leaves_by: int = 0


class Netlink:
    """One socket to the kernel's netfilter. Raises OSError when the kernel refuses."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        self._sequence = 0
        self.refused = 0
        """Verdicts on packets that the kernel had no longer."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def add_queue_rule(self, family: str, table: str, chain: str, queue: int) -> None:
        """Every packet that comes to the chain goes to the queue; on its way, while nobody holds that."""
        self._batch([self._queue_rule(family, table, chain, queue)], commit=True)

    def try_queue_rule(self, family: str) -> None:
        """Whether the kernel would take such a rule; nothing is changed: the batch is never committed."""
        table, chain = "chaos-trial", "trial"
        made = [
            self._message(_NEW_TABLE, _CREATE, family, 0, _text(1, table)),
            self._message(_NEW_CHAIN, _CREATE, family, 0, _text(1, table) + _text(3, chain)),
            self._queue_rule(family, table, chain, 0),
        ]
        self._batch(made, commit=False)

    def bind(self, queue: int, longest: int, copied: int = WHOLE) -> None:
        """Takes the queue, of at most `longest` packets, with that many bytes of each.

        Raises OSError: EBUSY when somebody has it.
        """
        command = _attribute(1, struct.pack(">BxH", _BIND, 0))
        self._ask(self._message(_CONFIG, _ACK, "", queue, command))
        settings = _attribute(2, struct.pack(">IB", copied, _COPY_PACKET)) + _number(3, longest)
        self._ask(self._message(_CONFIG, _ACK, "", queue, settings))

    def listen(self) -> None:
        """From now on `packets` gives what comes, without waiting."""
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BYTES)
        self._socket.setsockopt(_SOL_NETLINK, _NO_ENOBUFS, 1)  # the kernel counts what it drops: `overflow`
        self._socket.setblocking(False)

    def packets(self, most: int) -> Iterator[Packet]:
        for _ in range(most):
            try:
                data = self._socket.recv(_LONGEST_MESSAGE)
            except BlockingIOError:
                return
            kind, code, queue = _opened(data)
            if kind == _PACKET:
                yield _packet(queue, memoryview(data))
            elif kind == _ERROR and code == -errno.ENOENT:
                self.refused += 1

    def decide(self, verdicts: Iterable[tuple[Packet, int, bytes | None]]) -> None:
        """(packet, ACCEPT or DROP, what it is replaced by), in this order."""
        messages = []
        for packet, verdict, data in verdicts:
            body = _attribute(2, struct.pack(">II", verdict, packet.id))
            if data is not None:
                body += _attribute(10, data)
            messages.append(self._message(_VERDICT, 0, "", packet.queue, body))
        if messages:
            self._socket.sendto(b"".join(messages), (0, 0))

    def _queue_rule(self, family: str, table: str, chain: str, queue: int) -> bytes:
        info = struct.pack("=HHHxx", queue, 1, _BYPASS)
        target = _text(1, "NFQUEUE") + _number(2, 3) + _attribute(3, info)
        expression = _text(1, "target") + _nest(2, target)
        rule = _text(1, table) + _text(2, chain) + _nest(4, _nest(1, expression))
        return self._message(_NEW_RULE, _CREATE | _APPEND, family, 0, rule)

    def _batch(self, messages: Sequence[bytes], commit: bool) -> None:
        """Raises OSError with the kernel's first reason."""
        begin = self._message(_BATCH_BEGIN, 0, "", _NFTABLES, b"")
        end = self._message(_BATCH_END, 0, "", _NFTABLES, b"") if commit else b""
        # The acknowledgement of the last message comes after every refusal.
        *others, last = messages
        acknowledged = last[:6] + struct.pack("=H", struct.unpack_from("=H", last, 6)[0] | _ACK) + last[8:]
        self._ask(b"".join([begin, *others, acknowledged]) + end)

    def _ask(self, message: bytes) -> None:
        self._socket.sendto(message, (0, 0))
        while True:
            kind, code, _ = _opened(self._socket.recv(_LONGEST_MESSAGE))
            if kind == _ERROR:
                if code == _DONE_BY_NOW:
                    return
                raise OSError(-code, os.strerror(-code))

    def _message(self, kind: int, flags: int, family: str, resource: int, body: bytes) -> bytes:
        self._sequence += 1
        header = struct.pack("=IHHII", 20 + len(body), kind, flags | _REQUEST, self._sequence, 0)
        return header + struct.pack(">BBH", FAMILIES.get(family, 0), 0, resource) + body


def overflow(queues: Iterable[int], text: str) -> int:
    """Packets that the kernel dropped because a queue was full, from /proc/net/netfilter/nfnetlink_queue."""
    rows = [[int(field) for field in line.split()] for line in text.splitlines()]
    return sum(row[5] + row[6] for row in rows if row[0] in set(queues))


def _opened(data: bytes) -> tuple[int, int, int]:
    """(kind, code of an error, queue of a packet)."""
    kind, code, queue = struct.unpack_from("=H", data, 4), struct.unpack_from("=i", data, 16), data[18:20]
    return kind[0], code[0], int.from_bytes(queue, "big")


def _packet(queue: int, data: memoryview) -> Packet:
    identity = size = hook = mark = leaves_by = 0
    payload, at = data[:0], 20
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        match kind:
            case 1:
                identity, hook = struct.unpack_from(">I2xB", data, at + 4)
            case 3:
                mark = struct.unpack_from(">I", data, at + 4)[0]
            case 6:
                leaves_by = struct.unpack_from(">I", data, at + 4)[0]
            case 10:
                payload = data[at + 4 : at + length]
            case 13:
                size = struct.unpack_from(">I", data, at + 4)[0]
        at += (length + 3) & ~3
    return Packet(queue, identity, size or len(payload), payload, hook, mark, leaves_by)


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def _nest(kind: int, data: bytes) -> bytes:
    return _attribute(kind | _NESTED, data)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack(">I", value))
