"""The bytes that clients have sent through a proxy, and an address to reach its link at.

A Toxiproxy adds a connection's bytes to its counters when the connection ends, so that a pool's
connections would be invisible to them for as long as they live. What is open is therefore read from the
kernel and added: ended + open is exact where the proxy runs on this machine.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

from chaos_locust.probes.sockets import is_listened_on, received_bytes

_COUNTER = "toxiproxy_proxy_received_bytes_total"
_ROW = re.compile(rf"^{_COUNTER}\{{(?P<labels>.*)\}} (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_WILDCARDS = ("", "0.0.0.0", "::", "[::]", "*")


@dataclass(frozen=True, slots=True)
class LinkBytes:
    """sent: by clients to the target so far. exact: False when bytes of open connections are missing."""

    sent: int
    exact: bool


def link_bytes(metrics: str, proxy: str, address: tuple[str, int] | None) -> LinkBytes:
    """From the Prometheus text of the proxy server, and the kernel where `address` is on this machine.

    Raises ProbeError.
    """
    ended = ended_bytes(metrics, proxy)
    if address is None or not is_local(address[0]) or not is_listened_on(address[1]):
        return LinkBytes(ended, exact=False)
    return LinkBytes(ended + sum(received_bytes(address[1]).values()), exact=True)


def ended_bytes(metrics: str, proxy: str) -> int:
    """What clients sent over connections that have ended, by the counters."""
    total = 0
    for row in _ROW.finditer(metrics):
        labels = {name: re.sub(r"\\(.)", r"\1", value) for name, value in _LABEL.findall(row["labels"])}
        if labels.get("proxy") == proxy and labels.get("direction") == "upstream":
            total += int(float(row["value"]))
    return total


def link_address(listen: str, api_host: str) -> tuple[str, int] | None:
    """Where a proxy's listening address can be reached from here.

    None: it listens on the loopback of another machine.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if host in _WILDCARDS:
        host = api_host
    elif is_loopback(host) and not is_loopback(api_host):
        return None
    return (host, int(port)) if port.isdecimal() else None


def is_loopback(host: str) -> bool:
    try:
        return all(str(row[4][0]).startswith("127.") or row[4][0] == "::1" for row in _resolve(host))
    except OSError:
        return False


def is_local(host: str) -> bool:
    """Whether the address is one of this machine's: only then can a socket be bound to it."""
    try:
        for family, _, _, _, place in _resolve(host):
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind((place[0], 0))
            return True
    except OSError:
        pass
    return False


def _resolve(host: str) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)  # type: ignore[return-value]
