"""The HTTP client of targets: what did not happen for certain is told from what may have."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from invariants.machine import NoAnswer, Refused
from invariants.targets.http import HttpClient, InvalidAddress

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + b'{"a": 12}'


def answer(status: int, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def read_request(connection: socket.socket) -> bytes:
    text = b""
    while b"\r\n\r\n" not in text:
        part = connection.recv(65536)
        if not part:
            return b""
        text += part
    return text


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[str]]]:
    """A server that does `serve` with each connection; its address and the first lines that it read."""
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    seen.append("connected")
                    serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", seen
        finally:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
            thread.join()


def always(reply: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(reply)

    return serve


def once(reply: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(reply)

    return serve


def test_one_connection_is_kept() -> None:
    with serving(always(OK)) as (url, seen):
        client = HttpClient(url)
        assert [client.ask("GET", "/") for _ in range(3)] == [{"a": 12}] * 3
        client.close()
    assert seen == ["connected"]


def test_a_connection_that_the_service_closed_is_made_anew_before_anything_is_sent() -> None:
    with serving(once(OK)) as (url, seen):
        client = HttpClient(url)
        assert client.ask("POST", "/", {}) == {"a": 12}
        until_closed(client)
        assert client.ask("POST", "/", {}) == {"a": 12}
        client.close()
    assert seen == ["connected", "connected"]


def until_closed(client: HttpClient) -> None:
    sock = client._connection.sock
    assert sock is not None
    assert select.select([sock], [], [], 10)[0]


def test_what_could_not_be_sent_did_not_happen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Refused, match="cannot be reached"):
        HttpClient(f"http://127.0.0.1:{port}").ask("POST", "/", {})


@pytest.mark.parametrize(
    "reply", [b"", b"HTTP/1.1 201 X\r\nContent-Length: 99\r\n\r\n{", b"nonsense\r\n\r\n"]
)
def test_what_was_sent_and_not_answered_wholly_may_have_happened(reply: bytes) -> None:
    with serving(once(reply)) as (url, _), pytest.raises(NoAnswer):
        HttpClient(url).ask("POST", "/", {})


def test_what_is_not_answered_in_time_may_have_happened() -> None:
    ended = threading.Event()

    def silent(connection: socket.socket) -> None:
        read_request(connection)
        ended.wait(30)

    with serving(silent) as (url, _):
        with pytest.raises(NoAnswer, match="TimeoutError"):
            HttpClient(url, timeout_s=0.2).ask("POST", "/", {})
        ended.set()


@pytest.mark.parametrize(
    ("method", "status", "raised"),
    [
        ("POST", 404, Refused),
        ("POST", 409, Refused),
        ("POST", 503, Refused),
        ("POST", 500, NoAnswer),
        ("PUT", 502, NoAnswer),
        ("GET", 500, Refused),
        ("POST", 302, Refused),
    ],
)
def test_what_an_answer_says_of_what_happened(method: str, status: int, raised: type[Exception]) -> None:
    with serving(always(answer(status, b"why"))) as (url, _):
        client = HttpClient(url)
        with pytest.raises(raised, match=f"{status} why"):
            client.ask(method, "/")
        assert client.send(method, "/").status == status
        client.close()


@pytest.mark.parametrize("url", ["127.0.0.1:80", "ftp://127.0.0.1", "http://"])
def test_an_address_has_to_be_one(url: str) -> None:
    with pytest.raises(InvalidAddress, match="give http://HOST:PORT"):
        HttpClient(url)
