"""Toxics on HTTP messages on real connections, and TLS on both sides of a proxy."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority

PATIENCE_S = 20.0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.server.seen.append(f"{self.command} {self.path}")  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"0123456789" * 100
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        if self.path.startswith("/chunked"):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(body), 300):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(body[at : at + 300]), body[at : at + 300]))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    do_POST = do_HEAD = do_GET

    def log_message(self, *args: Any) -> None:
        pass


class Shop(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[str] = []
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that leave in the middle are what is tested here


@pytest.fixture
def shop() -> Iterator[Shop]:
    server = Shop()
    yield server
    server.shutdown()
    server.server_close()


class Http:
    """A proxy in front of a shop, its toxics, and clients that keep their connections."""

    def __init__(self, server: Any, shop: Shop, context: ssl.SSLContext | None = None, **more: Any) -> None:
        self.server, self.context = server, context
        document = {"name": "p", "listen": "127.0.0.1:0", "upstream": f"localhost:{shop.port}", **more}
        self.proxy = server.do("POST", "/proxies", document)
        self.port = int(self.proxy["listen"].rpartition(":")[2])
        self._clients: list[http.client.HTTPConnection] = []

    def client(self) -> http.client.HTTPConnection:
        made: Any = (
            http.client.HTTPConnection("localhost", self.port, timeout=PATIENCE_S)
            if self.context is None
            else http.client.HTTPSConnection("localhost", self.port, timeout=PATIENCE_S, context=self.context)
        )
        self._clients.append(made)
        return made

    def add(self, name: str = "t", toxicity: float = 1, **attributes: Any) -> dict[str, Any]:
        document = {"name": name, "type": "http", "toxicity": toxicity, "attributes": attributes}
        return self.server.do("POST", "/proxies/p/toxics", document)

    def remove(self, name: str = "t") -> None:
        self.server.do("DELETE", f"/proxies/p/toxics/{name}")

    def counts(self, name: str = "t") -> dict[str, int]:
        return self.server.do("GET", f"/proxies/p/toxics/{name}")["counts"]

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
def make(embedded: Any, shop: Shop) -> Iterator[Callable[..., Http]]:
    with contextlib.ExitStack() as stack:

        def make_one(target: Shop = shop, context: ssl.SSLContext | None = None, **more: Any) -> Http:
            return stack.enter_context(contextlib.closing(Http(embedded, target, context, **more)))

        yield make_one


def ask(client: http.client.HTTPConnection, path: str = "/", method: str = "GET", body: Any = None) -> Any:
    client.request(method, path, body)
    reply = client.getresponse()
    return reply.status, reply.read()


WHOLE = (200, b"0123456789" * 100)


def test_toxics_come_and_go_on_connections_that_stay(make: Callable[..., Http], shop: Shop) -> None:
    link = make()
    clients = [link.client() for _ in range(5)]
    for client in clients:
        assert ask(client) == WHOLE
    for round_ in range(20):
        link.add(status=503, body="busy", route="/chunked*")
        for client in clients:
            assert ask(client, "/chunked/a") == (503, b"busy")
            assert ask(client, "/") == WHOLE
            assert ask(client, "/", "POST", b"p" * 100_000) == (200, b"p" * 100_000)
            assert ask(client, "/chunked", "POST", (b"c" * 5 for _ in range(9))) == (503, b"busy")
            assert ask(client, "/chunked", "HEAD") == (503, b"")
        assert link.counts()["faulted"] == 15
        assert link.counts()["requests"] == 25
        link.remove()
        for client in clients:
            assert ask(client, "/chunked/b") == WHOLE
        assert "GET /chunked/a" not in shop.seen
        assert len([line for line in shop.seen if line == "GET /chunked/b"]) == 5 * (round_ + 1)


def test_an_exchange_under_way_is_not_touched(make: Callable[..., Http]) -> None:
    """Though the rest of its body looks like a request."""
    link = make()
    rest = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (len(rest) + 5)
    with socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE_S) as sock:
        for begun in (b"", head + b"first"):  # on a new connection, and on one that was used before
            if begun:
                sock.sendall(head + b"hello" + rest)
                assert _answer(sock).endswith(b"hello" + rest)
                sock.sendall(begun)
            else:
                sock.sendall(head + b"hello")
            ask(link.client())  # what was sent before has gone on by now
            link.add(status=503, body="busy")
            sock.sendall(rest)
            assert _answer(sock).endswith(rest)
            sock.sendall(rest)
            assert _answer(sock).endswith(b"\r\n\r\nbusy")
            link.remove()


def _answer(sock: socket.socket) -> bytes:
    reply = http.client.HTTPResponse(sock)
    reply.begin()
    return b"\r\n\r\n" + reply.read()


def test_under_load_every_exchange_is_whole_while_toxics_come_and_go(make: Callable[..., Http]) -> None:
    link = make()
    over = threading.Event()
    answers: list[tuple[int, bytes]] = []
    problems: list[Exception] = []

    def load(number: int) -> None:
        client = link.client()
        try:
            while not over.is_set():
                body = b"%d" % number * 5000 if number % 2 else None
                answer = ask(client, "/chunked" if number % 3 else "/", "POST" if body else "GET", body)
                assert answer in ((503, b"busy"), (200, body or WHOLE[1])), answer
                answers.append(answer)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(15):
        for attributes in ({"status": 503, "body": "busy"}, {"delay_ms": 30}, {"rate": 200_000}):
            seen = len(answers)
            link.add(toxicity=0.5, **attributes)
            until = time.monotonic() + PATIENCE_S
            while len(answers) < seen + 20:
                assert time.monotonic() < until, "the load stands still"
                assert not problems, problems
                time.sleep(0.001)
            link.remove()
    over.set()
    for thread in threads:
        thread.join()
    assert not problems, problems
    assert {status for status, _ in answers} == {200, 503}


def test_every_fault_on_a_real_connection(make: Callable[..., Http]) -> None:
    link = make()
    for path in ("/", "/chunked"):
        client = link.client()
        assert ask(client, path) == WHOLE
        link.add(delay_ms=150)
        begin = time.monotonic()
        assert ask(client, path) == WHOLE
        assert time.monotonic() - begin >= 0.15
        link.remove()
        link.add(rate=5000)
        begin = time.monotonic()
        assert ask(client, path) == WHOLE
        assert time.monotonic() - begin >= 0.19
        link.remove()
        link.add(corrupt_every=100)
        status, body = ask(client, path)
        assert status == 200
        assert len(body) == 1000
        assert 9 <= sum(a != b for a, b in zip(body, WHOLE[1], strict=True)) <= 10
        link.remove()
        link.add(body="other", response_headers={"Content-Type": "a/b"})
        client.request("GET", path)
        reply = client.getresponse()
        assert (reply.status, reply.read(), reply.headers["Content-Type"]) == (200, b"other", "a/b")
        link.remove()
        link.add(truncate=400)
        client.request("GET", path)
        reply = client.getresponse()
        with pytest.raises(http.client.IncompleteRead) as cut:
            reply.read()
        assert len(cut.value.partial) in (300, 400), "http.client keeps whole chunks only"
        link.remove()
        client.close()
        assert ask(client, path) == WHOLE


def test_a_slow_answer_is_held_in_bounded_memory(make: Callable[..., Http], embedded: Any) -> None:
    link = make()
    before = _memory(embedded)
    link.add(rate=10_000)
    with socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE_S) as sock:
        body = b"x" * 30_000_000
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        sock.sendall(head + body)
        assert sock.recv(10).startswith(b"HTTP/1.1")
        assert _memory(embedded) - before < 8_000_000


def _memory(server: Any) -> int:
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096


def test_a_toxic_on_http_stands_next_to_the_upstream(make: Callable[..., Http]) -> None:
    """So a slow link is slow for what is answered here as well."""
    link = make()
    link.server.do("POST", "/proxies/p/toxics", {"type": "latency", "attributes": {"latency": 200}})
    link.add(status=503, body="busy")
    client = link.client()
    begin = time.monotonic()
    assert ask(client) == (503, b"busy")
    assert time.monotonic() - begin >= 0.2


def test_a_toxic_ends_by_itself(make: Callable[..., Http], wait_until: Any) -> None:
    link = make()
    client = link.client()
    begin = time.monotonic()
    link.add(status=503, expires_ms=400)
    assert ask(client)[0] == 503
    wait_until(lambda: ask(client) == WHOLE, "it has ended")
    assert time.monotonic() - begin >= 0.4
    assert link.server.do("GET", "/proxies/p/toxics") == []
    link.add(status=503, expires_ms=300)
    link.server.do("POST", "/proxies/p/toxics/t", {"attributes": {"expires_ms": 60_000}})
    link.add("u", status=500, expires_ms=400)
    wait_until(lambda: len(link.server.do("GET", "/proxies/p/toxics")) == 1, "the later one has ended")
    assert ask(client)[0] == 503, "the limit was set anew"
    link.remove()
    link.add(status=503, expires_ms=60_000)
    link.remove()
    link.add(status=503)
    assert ask(client)[0] == 503, "the limit of an earlier one of that name is gone with it"


def test_what_is_no_http_is_not_held_up(embedded: Any, upstream: Any, connect: Any) -> None:
    port = embedded.proxy(upstream.port)
    there = connect(port)
    for sock in (there,):
        sock.sendall(b"\x00\x01")
        assert sock.recv(2) == b"\x00\x01"
    embedded.do("POST", "/proxies/p/toxics", {"name": "t", "type": "http", "attributes": {"delay_ms": 9}})
    for data in (b"*1\r\n$4\r\nPING\r\n", b"hello\n", b"GET / HTTP/1.1\r\nA: b\r\n\r\n", b"HELLO", b"G"):
        new = connect(port)
        for sock in (there, new):
            sock.sendall(data)
            assert sock.recv(100) == data
        new.shutdown(socket.SHUT_WR)
        assert new.recv(100) == b"bye"
    toxic = embedded.do("GET", "/proxies/p/toxics/t")
    assert toxic["counts"]["untouched_connections"] >= 5


def test_a_client_that_half_closes_gets_its_answer(make: Callable[..., Http]) -> None:
    link = make()
    for attributes in ({"status": 503, "body": "busy", "delay_ms": 100}, {"delay_ms": 100}):
        link.add(**attributes)
        with socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE_S) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            sock.shutdown(socket.SHUT_WR)
            data = b""
            while more := sock.recv(65536):
                data += more
        assert data.endswith(b"busy" if "status" in attributes else WHOLE[1])
        link.remove()


def test_nothing_is_left_of_connections(make: Callable[..., Http], embedded: Any, wait_until: Any) -> None:
    link = make()
    assert ask(link.client()) == WHOLE
    link.close()
    before = embedded.open_files()
    cases = ({"status": 503, "delay_ms": 60_000}, {"delay_ms": 60_000}, {"truncate": 1}, {"rate": 1})
    for attributes in cases:
        link.add(**attributes)
        for data in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3, b"POST / HTTP/1.1\r\nHost: a\r\n"):
            for linger in (False, True):
                sock = socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE_S)
                sock.sendall(data)
                if linger:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.close()
        link.remove()
    wait_until(lambda: embedded.open_files() <= before, "every connection is closed")


@pytest.mark.parametrize(("document", "words"), [
    ({"attributes": {"status": 9}}, "attribute status: is not allowed"),
    ({"attributes": {"stat": 500}}, "'stat' is no attribute of an http toxic"),
    ({"attributes": []}, "cannot unmarshal array"),
    ({"toxicity": "1"}, "cannot unmarshal string"),
])  # fmt: skip
def test_bad_input_is_told_and_changes_nothing(make: Callable[..., Http], document: Any, words: str) -> None:
    link = make()
    reply = link.server.request("POST", "/proxies/p/toxics", json.dumps({"type": "http"} | document).encode())
    assert reply.status == 400
    assert words in reply.body
    assert link.server.do("GET", "/proxies/p/toxics") == []
    link.add(status=503)
    reply = link.server.request("POST", "/proxies/p/toxics/t", json.dumps(document).encode())
    assert reply.status == 400
    assert link.server.do("GET", "/proxies/p/toxics/t")["attributes"] == {"status": 503}


def test_a_plain_client_sees_nothing_of_it(server: Any, upstream: Any) -> None:
    """Only what is asked for by its name is more than Toxiproxy has."""
    server.proxy(upstream.port)
    proxy = server.do("GET", "/proxies/p")
    assert sorted(proxy) == ["Logger", "enabled", "listen", "name", "toxics", "upstream"]
    server.toxic("latency", latency=1)
    assert sorted(server.do("GET", "/proxies/p/toxics")[0]) == [
        "attributes", "name", "stream", "toxicity", "type",
    ]  # fmt: skip
    reply = server.request("GET", "/additions")
    if server.kind == "real":
        assert (reply.status, reply.body) == (404, "404 page not found\n")
    else:
        assert json.loads(reply.body) == {"toxics": ["http"], "tls": True}


# --- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(authority: Authority) -> Iterator[Shop]:
    server = Shop(authority.server_context("localhost"))
    yield server
    server.shutdown()
    server.server_close()


def tls_of(authority: Authority, **changes: Any) -> dict[str, Any]:
    certificate, key = authority.issue("localhost")
    return {"certificate": certificate, "key": key, "upstream_ca": authority.certificate, **changes}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_https(make: Callable[..., Http], secure: Shop, authority: Authority, version: Any) -> None:
    context = authority.client_context()
    context.minimum_version = context.maximum_version = version
    link = make(secure, context, tls=tls_of(authority))
    assert "key" not in link.proxy["tls"]
    assert link.proxy["tls"]["verify"] is True
    clients = [link.client() for _ in range(3)]
    big = bytes(range(256)) * 40_000
    for client in clients:
        assert ask(client) == WHOLE
        assert ask(client, "/", "POST", big) == (200, big)
    link.add(status=503, body="busy", route="/chunked")
    for client in clients:
        assert ask(client, "/chunked") == (503, b"busy")
        assert ask(client, "/", "POST", big) == (200, big)
    link.remove()
    for client in clients:
        assert ask(client, "/chunked") == WHOLE
        client.close()


def test_a_slow_tls_reader_gets_everything(
    make: Callable[..., Http], secure: Shop, authority: Authority
) -> None:
    link = make(secure, None, tls=tls_of(authority))
    body = bytes(range(256)) * 80_000
    raw = socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE_S)
    with authority.client_context().wrap_socket(raw, server_hostname="localhost") as sock:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        sock.sendall(head + body)  # the answer is not read meanwhile
        data = b""
        while more := sock.recv(65536):
            data += more
        assert data.endswith(body)
        assert data.count(b"HTTP/1.1 200") == 1


def test_who_cannot_be_trusted_is_not_talked_to(
    embedded: Any, make: Callable[..., Http], shop: Shop, secure: Shop, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path)
    context = authority.client_context()
    for target, changes in (
        (secure, {"upstream_ca": stranger.certificate}),  # signed by another
        (secure, {"upstream_ca": None}),  # not by anybody whom this machine trusts
        (shop, {}),  # speaks no TLS
    ):
        link = make(target, context, tls=tls_of(authority, **changes))
        with pytest.raises(OSError):  # noqa: PT011 - a reset, or the end of the stream
            ask(link.client())
        assert not secure.seen
        embedded.clear()
    link = make(secure, context, tls=tls_of(authority, upstream_ca=None, verify=False))
    assert ask(link.client()) == WHOLE
    with socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE_S) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            while more := plain.recv(1000):
                assert not more.startswith(b"HTTP")


def test_bad_certificates_are_told_without_what_is_in_them(
    embedded: Any, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue("localhost")
    other_key = authority.issue("other")[1]
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(authority.encrypted(key))
    empty = tmp_path / "empty.pem"
    empty.write_text("secret\n")
    good = {"certificate": certificate, "key": key}
    for tls, words in (
        ([], "tls is no object"),
        (good | {"keys": "x"}, "tls.keys is no key; allowed: certificate, key, upstream_ca, verify"),
        ({"certificate": certificate}, "tls.key is not the absolute path of a file"),
        (good | {"key": "/nowhere/key.pem"}, "tls.key: /nowhere/key.pem cannot be read: No such file"),
        (good | {"key": other_key}, "tls.certificate and tls.key are no pair"),
        (good | {"key": str(empty)}, "tls.certificate and tls.key are no pair"),
        (good | {"key": str(encrypted)}, "is encrypted; give one that is not"),
        (good | {"upstream_ca": str(empty)}, "holds no certificate"),
        (good | {"verify": 1}, "tls.verify is neither true nor false"),
        (good | {"verify": False, "upstream_ca": certificate}, "has no effect with verify: false"),
    ):
        document = {"name": "p", "listen": "127.0.0.1:0", "upstream": "localhost:9", "tls": tls}
        for path, body in (("/proxies", document), ("/populate", [document])):
            reply = embedded.request("POST", path, json.dumps(body).encode())
            assert reply.status == 400, (tls, reply)
            assert words in reply.body.replace("\\u003c", "<"), (tls, reply)
            assert "secret" not in reply.body
    assert embedded.do("GET", "/proxies") == {}
    document["tls"] = good
    assert len(embedded.do("POST", "/populate", [document])["proxies"]) == 1
    assert "tls" in embedded.do("POST", "/populate", [document])["proxies"][0]
