"""Bytes on this machine's open TCP connections, read from the kernel (NETLINK_SOCK_DIAG, as `ss -ti` does).

Nothing is run, no rights are needed, and the kernel filters by port, so that a reading costs little
beside thousands of connections of a load generator.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from chaos_locust.errors import ProbeError

Peer = tuple[str, int]
"""Address and port of the side that connected."""

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_INET_DIAG_INFO = 2
_ESTABLISHED, _TIME_WAIT, _LISTEN = 1, 6, 10
_BYTES_RECEIVED_AT = 128  # tcpi_bytes_received in struct tcp_info
_MAPPED = bytes(10) + b"\xff\xff"
_MESSAGE_BYTES = 72  # struct inet_diag_msg


def received_bytes(port: int) -> dict[Peer, int]:
    """Bytes received from each peer on the open connections that were accepted on a local port.

    A connection whose peer has closed is no longer among them. Raises ProbeError.
    """
    found: dict[Peer, int] = {}
    for peer, _, attributes in _dump(1 << _ESTABLISHED, local_port=port):
        info = attributes.get(_INET_DIAG_INFO, b"")
        if len(info) < _BYTES_RECEIVED_AT + 8:
            raise ProbeError("this kernel does not tell the bytes of a connection")
        found[peer] = struct.unpack_from("=Q", info, _BYTES_RECEIVED_AT)[0]
    return found


def ended_connections(port: int) -> set[Peer]:
    """Who had a connection to this port that ended within the last minute, as far as the kernel remembers."""
    seen = {peer for peer, _, _ in _dump(1 << _TIME_WAIT, local_port=port)}
    return seen | {own for _, own, _ in _dump(1 << _TIME_WAIT, remote_port=port)}


def is_listened_on(port: int) -> bool:
    """Whether somebody on this machine listens on the port."""
    return any(True for _ in _dump(1 << _LISTEN, local_port=port))


def _dump(
    states: int, local_port: int = 0, remote_port: int = 0
) -> Iterator[tuple[Peer, Peer, dict[int, bytes]]]:
    """(remote side, local side, attributes) of each TCP socket in these states."""
    for family in (socket.AF_INET, socket.AF_INET6):
        request = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 1 << (_INET_DIAG_INFO - 1), 0, states)
        request += (
            struct.pack("!HH", local_port, remote_port) + bytes(36) + b"\xff" * 8
        )  # any interface, any cookie
        header = struct.pack("=IHHII", 16 + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, 1, 0)
        try:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
                link.settimeout(2.0)
                link.send(header + request)
                yield from _answers(link)
        except OSError as error:
            raise ProbeError(f"the kernel does not tell the TCP connections: {error}") from None


def _answers(link: socket.socket) -> Iterator[tuple[Peer, Peer, dict[int, bytes]]]:
    while True:
        data = link.recv(1 << 18)
        at = 0
        while at + 16 <= len(data):
            size, kind = struct.unpack_from("=IH", data, at)
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                (code,) = struct.unpack_from("=i", data, at + 16)
                raise OSError(-code, f"netlink error {-code}")
            yield _socket(data[at + 16 : at + size])
            at += (size + 3) & ~3


def _socket(message: bytes) -> tuple[Peer, Peer, dict[int, bytes]]:
    family = message[0]
    local_port, remote_port = struct.unpack_from("!HH", message, 4)
    local, remote = message[8:24], message[24:40]
    if family == socket.AF_INET:
        local, remote = local[:4], remote[:4]
    elif local.startswith(_MAPPED) and remote.startswith(_MAPPED):  # IPv4 on a socket for both
        family, local, remote = socket.AF_INET, local[12:], remote[12:]
    attributes: dict[int, bytes] = {}
    at = _MESSAGE_BYTES
    while at + 4 <= len(message):
        size, kind = struct.unpack_from("=HH", message, at)
        if size < 4:
            break
        attributes[kind] = message[at + 4 : at + size]
        at += (size + 3) & ~3
    text = socket.inet_ntop
    return (text(family, remote), remote_port), (text(family, local), local_port), attributes
