"""Addresses as Go reads, resolves and prints them: `host:port`, `[v6]:port`, `:port`, and "" for any."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass

Resolver = Callable[[str], list[str]]


class AddressError(ValueError):
    """An address cannot be used; its text is what Go would say."""


@dataclass(frozen=True, slots=True)
class Address:
    """A resolved address. `host` is an IP without brackets, or "" for any."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def is_any(self) -> bool:
        return not self.host or ipaddress.ip_address(self.host.partition("%")[0]).is_unspecified


def split_host_port(address: str) -> tuple[str, str]:
    """Raises `AddressError`."""

    def wrong(why: str) -> AddressError:
        return AddressError(f"address {address}: {why}")

    colon = address.rfind(":")
    if colon < 0:
        raise wrong("missing port in address")
    host = address[:colon]
    after = 0
    if address.startswith("["):
        end = address.find("]")
        if end < 0:
            raise wrong("missing ']' in address")
        if end + 1 != colon:
            many = address[end + 1 : end + 2] == ":"
            raise wrong("too many colons in address" if many else "missing port in address")
        host, after = address[1:end], end + 1
    elif ":" in host:
        raise wrong("too many colons in address")
    if "[" in address[1 if after else 0 :]:
        raise wrong("unexpected '[' in address")
    if "]" in address[after:]:
        raise wrong("unexpected ']' in address")
    return host, address[colon + 1 :]


def parse_port(text: str) -> int:
    """A number or the name of a TCP service; "" is 0. Raises `AddressError`."""
    if re.fullmatch(r"[+-]?[0-9]*", text) and text not in ("+", "-"):
        # So many digits are out of range whatever they are.
        port = int(text[:12] or "0")
        if not 0 <= port <= 65535:
            raise AddressError(f"address {text}: invalid port")
        return port
    try:
        return socket.getservbyname(text.lower(), "tcp")
    except OSError:
        raise AddressError(f"lookup tcp/{text}: unknown port") from None


def resolve(address: str, resolver: Resolver) -> list[Address]:
    """All addresses that `address` means, IPv4 first. Raises `AddressError`.

    `resolver` maps a host name to its IPs and raises OSError if there are none.
    """
    if not address:
        return [Address("", 0)]
    host, port_text = split_host_port(address)
    port = parse_port(port_text)
    if not host:
        return [Address("", port)]
    try:
        ip = ipaddress.ip_address(host)
        mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
        return [Address(str(mapped or ip), port)]
    except ValueError:
        pass
    try:
        found = [Address(ip, port) for ip in resolver(host)]
    except OSError:
        found = []
    if not found:
        raise AddressError(f"lookup {host}: no such host")
    return sorted(found, key=lambda a: a.family == socket.AF_INET6)


def listen(address: str, resolver: Resolver) -> socket.socket:
    """Returns a listening, non-blocking socket. Raises `AddressError` with Go's words for what failed."""
    try:
        where = resolve(address, resolver)[0]
    except AddressError as error:
        raise AddressError(f"listen tcp: {error}") from None
    dual_stack = where.is_any and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual_stack else where.family
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual_stack else 1)
        sock.bind(("::" if dual_stack else where.host, where.port))
        sock.listen(4096)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        reason = (error.strerror or str(error))[:1].lower() + (error.strerror or str(error))[1:]
        raise AddressError(f"listen tcp {where}: bind: {reason}") from None
    return sock


def bound(sock: socket.socket) -> str:
    """The address that a listening socket has, as text."""
    host, port = sock.getsockname()[:2]
    return str(Address(host, port))
