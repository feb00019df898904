"""A harmless question over a TCP link, in the protocol that is spoken there, to feel what the link does.

postgres: SSLRequest, answered with one byte before any login. redis: PING, answered with or without a
password. http: HEAD /. greeting: nothing is sent, the server speaks first (MySQL, SMTP, SSH).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Protocol = Literal["postgres", "redis", "http", "greeting"]
Outcome = Literal["answered", "silent", "closed", "reset", "refused", "unreachable"]
Address = tuple[str, int]

QUESTIONS: Mapping[Protocol, bytes] = MappingProxyType(
    {
        "postgres": b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        "redis": b"PING\r\n",
        "http": b"HEAD / HTTP/1.0\r\nUser-Agent: chaos-locust\r\n\r\n",
        "greeting": b"",
    }
)
_PORTS: Mapping[int, Protocol] = MappingProxyType(
    {
        5432: "postgres",
        6432: "postgres",
        6379: "redis",
        80: "http",
        8000: "http",
        8080: "http",
        3306: "greeting",
    }
)
_WORDS: Mapping[str, Protocol] = MappingProxyType(
    {
        "postgres": "postgres",
        "pg": "postgres",
        "redis": "redis",
        "valkey": "redis",
        "http": "http",
        "mysql": "greeting",
    }
)
_DETECT_LIMIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Hello:
    """first_s, whole_s, closed_s: from the question to the first byte, the whole answer, the end of the
    connection; None: it did not come. sent, received: bytes."""

    outcome: Outcome
    sent: int = 0
    received: int = 0
    first_s: float | None = None
    whole_s: float | None = None
    closed_s: float | None = None


def say_hello(
    address: Address,
    protocol: Protocol,
    limit_s: float,
    to_the_end: bool = False,
    on_connected: Callable[[Address], None] = lambda own: None,
) -> Hello:
    """Asks once over a connection of its own. to_the_end: waits for the other side to close too.

    on_connected: gets our side of the connection before anything is sent.
    """
    try:
        link = socket.create_connection(address, limit_s)
    except ConnectionRefusedError:
        return Hello("refused")
    except OSError:
        return Hello("unreachable")
    with link:
        on_connected(link.getsockname()[:2])
        return _ask(link, protocol, limit_s, to_the_end)


def detect(
    address: Address, hints: Sequence[str], upstream_port: int, on_connected: Callable[[Address], None]
) -> Protocol | None:
    """What is spoken at `address`; each question is asked at most once. hints: names of the target."""
    for protocol in _candidates(hints, upstream_port):
        hello = say_hello(address, protocol, _DETECT_LIMIT_S, on_connected=on_connected)
        if hello.outcome == "answered":
            return protocol
        if hello.outcome in ("refused", "unreachable"):
            break
    return None


def _candidates(hints: Sequence[str], upstream_port: int) -> list[Protocol]:
    """The likely ones first. Listening disturbs nobody; a HEAD puzzles PostgreSQL and Redis the least."""
    likely = [protocol for word, protocol in _WORDS.items() if any(word in hint.lower() for hint in hints)]
    if upstream_port in _PORTS:
        likely.append(_PORTS[upstream_port])
    everything: list[Protocol] = ["greeting", "http", "postgres", "redis"]
    return list(dict.fromkeys([*likely, *everything]))


def _ask(link: socket.socket, protocol: Protocol, limit_s: float, to_the_end: bool) -> Hello:
    question = QUESTIONS[protocol]
    started_s = time.monotonic()
    answer = b""
    first_s = whole_s = closed_s = None
    outcome: Outcome = "silent"
    try:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.sendall(question)
        while whole_s is None or to_the_end:
            left_s = started_s + limit_s - time.monotonic()
            if left_s <= 0:
                break
            link.settimeout(left_s)
            data = link.recv(65536)
            now_s = time.monotonic() - started_s
            if not data:
                closed_s = now_s
                break
            answer += data
            first_s = now_s if first_s is None else first_s
            if whole_s is None and _is_whole(protocol, answer):
                whole_s = now_s
        if whole_s is None and closed_s is not None:
            outcome = "closed"
    except TimeoutError:
        pass
    except OSError:
        outcome = "reset"
    if whole_s is not None:
        outcome = "answered"
    return Hello(outcome, len(question), len(answer), first_s, whole_s, closed_s)


def _is_whole(protocol: Protocol, answer: bytes) -> bool:
    match protocol:
        case "postgres":
            return answer[:1] in (b"S", b"N")
        case "redis":
            return answer[:1] in (b"+", b"-") and answer.endswith(b"\r\n")
        case "http":
            return answer.startswith(b"HTTP/") and b"\r\n\r\n" in answer
        case "greeting":
            return bool(answer)
