"""What a target really is: two runs whose faults reach the same thing would undo each other's.

A name in one plan may be another name in the next, so things are compared, not names: the proxy at its API,
the process, the server, the file. Addresses are resolved, so that `localhost` and 127.0.0.1 are one.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from chaos_locust.errors import ProbeError
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.probes.process import identify, read_pidfile

Thing = tuple[str, str]
"""(kind, which one): such as ("proxy", "127.0.0.1:8474 postgres")."""

_PORTS = {"http": 80, "https": 443, "postgres": 5432, "postgresql": 5432}
_PORT_OF_STORES = 6379


def things_of(plan: Plan) -> dict[Thing, str]:
    """Everything that the plan's faults reach, with the name of its target. Resolves names and pid files."""
    found: dict[Thing, str] = {}
    for fault in plan.faults:
        target = plan.targets[fault.target]
        for need in fault.needs:
            for thing in _things(plan, target, need):
                found.setdefault(thing, target.name)
    return found


def meet(one: Thing, other: Thing) -> bool:
    """Whether both are the same, or a file and a folder that it is in."""
    if one[0] != other[0] or one[0] != "path":
        return one == other
    first, second = Path(one[1]), Path(other[1])
    return first.is_relative_to(second) or second.is_relative_to(first)


def _things(plan: Plan, target: Target, need: str) -> Iterator[Thing]:
    match need:
        case "link" if target.proxy is not None:
            for api in _servers(plan.proxy_api):
                yield "proxy", f"{api} {target.proxy}"
        case "link" if target.listen is not None:
            for address in _addresses(target.listen):
                yield "listen", address
        case "pidfile" if target.pidfile is not None:
            yield "pidfile", _real(target.pidfile)
            try:
                process = identify(read_pidfile(target.pidfile))
            except ProbeError:
                return
            if process is not None:
                yield "process", f"{process.pid} started at {process.start_ticks}"
        case "addresses":
            for text in target.addresses or ():
                for address in _addresses(text):
                    yield "address", f"{address} in {target.namespace or 'our namespace'}"
        case "path" | "clock":
            if (path := getattr(target, need)) is not None:
                yield "path", _real(path)
        case "container" if target.container is not None:
            yield "container", target.container
        case "kubernetes" if target.kubernetes is not None:
            yield "kubernetes", f"{plan.kubernetes.context or 'the current context'}: {target.kubernetes}"
        case "postgres" | "redis":
            if (url := getattr(target, need)) is not None:
                for server in _servers(url):
                    yield need, server


def _real(path: str) -> str:
    return str(Path(path).expanduser().resolve())


def _servers(url: str) -> Iterator[str]:
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme, _PORT_OF_STORES)
    yield from _resolved(parts.hostname or "", port)


def _addresses(address: str) -> Iterator[str]:
    host, _, port = address.rpartition(":")
    yield from _resolved(host.strip("[]"), int(port))


def _resolved(host: str, port: int) -> Iterator[str]:
    """host:port of each address of a name; the name itself where it cannot be resolved."""
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        yield f"{host}:{port}"
        return
    yield from sorted({f"{row[4][0]}:{port}" for row in rows})
