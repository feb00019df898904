"""Sends packets on that were taken from a queue. Standard library alone.

A packet that waits in a queue on its way out still counts as unsent for its socket, and TCP lets few of
those be: its sender would be held back far more than by a delay on the network. So such a packet is taken
out of the kernel at once, and sent from here when its time has come.
"""

from __future__ import annotations

import socket
import struct

from chaos_locust.backends.packets.netlink import Packet

LOCAL_OUT = 3
_TCP = 6
_FITS_ANY_LINK = 1280  # TCP's packets always fit; a longer datagram might have to be cut first
_SO_PRIORITY, _SO_MARK = 12, 36


class Sender:
    """tag: by it the rules know what was sent from here (`meta priority`). Raises OSError without rights."""

    def __init__(self, tag: int) -> None:
        self._sockets = {
            version: socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
            for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6))
        }
        for each in self._sockets.values():
            each.setsockopt(socket.SOL_SOCKET, _SO_PRIORITY, tag)
        self.failed = 0
        """Packets that the kernel would not send."""

    @staticmethod
    def takes(packet: Packet) -> bool:
        if packet.hook != LOCAL_OUT or packet.size != len(packet.data):
            return False
        is_tcp = packet.data[9 if packet.data[0] >> 4 == 4 else 6] == _TCP
        return is_tcp or packet.size <= _FITS_ANY_LINK

    def send(self, packet: Packet) -> None:
        version = packet.data[0] >> 4
        if version == 4:
            address: tuple[object, ...] = (socket.inet_ntop(socket.AF_INET, packet.data[16:20]), 0)
        else:
            address = (socket.inet_ntop(socket.AF_INET6, packet.data[24:40]), 0, 0, packet.leaves_by)
        mark = (socket.SOL_SOCKET, _SO_MARK, struct.pack("=I", packet.mark))
        try:
            self._sockets[version].sendmsg([packet.data], [mark], 0, address)
        except OSError:
            self.failed += 1
