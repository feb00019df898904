"""Connections and requests that an HTTP library would not make: paths as they are written, bodies that are
sent piece by piece until somebody has had enough."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from compliance.site import Site, Unreachable

PIECE_BYTES = 16_384
MOST_ANSWER_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """status: None: the connection was closed without an answer. took_all: whether the whole request was
    taken before the answer came. text: of the answer, its beginning."""

    status: int | None
    took_all: bool
    text: str


def address(site: Site) -> tuple[str, int, bool]:
    """Host, port, and whether it is TLS."""
    assert site.target.http is not None
    parts = urlsplit(site.target.http.url)
    is_tls = parts.scheme == "https"
    return parts.hostname or "", parts.port or (443 if is_tls else 80), is_tls


def connect(host: str, port: int, site: Site) -> socket.socket:
    """Raises Unreachable."""
    assert site.target.http is not None
    try:
        return socket.create_connection((host, port), timeout=site.target.http.timeout_s)
    except OSError as error:
        raise Unreachable(f"{host}:{port}: {error}") from None


def exchange(site: Site, method: str, path: str, headers: Iterable[str], body: Iterable[bytes]) -> RawAnswer:
    """One request; what is not taken any more when an answer comes is not sent. headers: `Name: value`.
    Raises Unreachable: no connection, or no answer in time."""
    assert site.target.http is not None
    host, port, is_tls = address(site)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}:{port}", "Connection: close", *headers, "", ""]
    link = connect(host, port, site)
    try:
        if is_tls:
            ca = site.target.http.ca
            context = ssl.create_default_context(cafile=str(ca) if ca is not None else None)
            link = context.wrap_socket(link, server_hostname=host)
        answer, took_all = _sent(link, ["\r\n".join(lines).encode("latin-1"), *body])
        if b"\r\n" not in answer:  # of an early one the status is all that matters, and not all close then
            answer += _rest(link)
    except TimeoutError as error:
        raise Unreachable(f"{method} {path[:100]}: {error}") from None
    except (ConnectionError, ssl.SSLEOFError):
        answer, took_all = b"", False
    except OSError as error:
        raise Unreachable(f"{method} {path[:100]}: {error}") from None
    finally:
        link.close()
    first = answer.split(b"\r\n", 1)[0].split(b" ")
    status = int(first[1]) if len(first) > 1 and first[1].isdigit() else None
    said = "closed" if status is None else str(status)
    site.note(f"{method} {path[:200]}: {said}{'' if took_all else ', before all of it was taken'}")
    return RawAnswer(status, took_all, answer.decode(errors="replace"))


def _sent(link: socket.socket, pieces: Iterable[bytes]) -> tuple[bytes, bool]:
    """What came back meanwhile, and whether everything was sent before. Raises OSError."""
    for piece in pieces:
        left = memoryview(piece)
        while left:
            readable, _, _ = select.select([link], [link], [], link.gettimeout())[:3]
            if readable and (early := _at_hand(link)) is not None:
                return early, False
            left = left[link.send(left[:PIECE_BYTES]) :]
    return b"", True


def _at_hand(link: socket.socket) -> bytes | None:
    """None: nothing yet but what TLS keeps to itself."""
    timeout_s = link.gettimeout()
    link.settimeout(0)
    try:
        return link.recv(MOST_ANSWER_BYTES)
    except (BlockingIOError, ssl.SSLWantReadError):
        return None
    finally:
        link.settimeout(timeout_s)


def _rest(link: socket.socket) -> bytes:
    found = b""
    try:
        while len(found) < MOST_ANSWER_BYTES and (more := link.recv(MOST_ANSWER_BYTES)):
            found += more
    except ConnectionError:
        pass  # closed with a part of the request not read: what came before is the answer
    except TimeoutError:
        if not found:
            raise
    return found
