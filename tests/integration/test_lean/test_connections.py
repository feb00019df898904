"""Connections of the lean user: TLS, IPv6, proxies, time-outs, and when a connection is used again."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import gevent
import pytest
from locust.exception import StopTest

from tests.certificates import Authority
from tests.integration.test_lean.conftest import Make
from tests.integration.test_lean.server import Site

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def raw_server(serve: Callable[[socket.socket, int], None]) -> Iterator[int]:
    """`serve` is called with each connection and how many came before it; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            count = 0
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                Thread(target=handle, args=(connection, count), daemon=True).start()
                count += 1

        def handle(connection: socket.socket, count: int) -> None:
            with connection:
                serve(connection, count)

        thread = Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def named(user: Any, name: str) -> None:
    """The last request failed with an error of this class."""
    assert type(user.reports[-1]["exception"]).__name__ == name


# -- TLS --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


def test_tls_is_verified(make_lean: Make, authority: Authority) -> None:
    with Site(authority.server_context("localhost")) as site:
        url = f"https://localhost:{site.port}"
        user = make_lean(host=url, ssl_context_factory=authority.client_context)
        told = [user.client.get("/echo").json() for _ in range(3)]
        assert len({each["port"] for each in told}) == 1
        assert user.client.get("/large").content == b"0123456789" * 30_000
        assert user.client.post("/echo", data=b"x" * 200_000).json()["body"] == "x" * 200_000
        stranger = make_lean(host=url)
        assert stranger.client.get("/echo").status_code == 0
        named(stranger, "SSLCertVerificationError")
        assert make_lean(host=url, insecure=True).client.get("/echo").status_code == 200


def test_a_certificate_of_another_name_is_refused(make_lean: Make, authority: Authority) -> None:
    with Site(authority.server_context("other.test")) as site:
        user = make_lean(host=f"https://localhost:{site.port}", ssl_context_factory=authority.client_context)
        user.client.get("/echo")
        named(user, "SSLCertVerificationError")


def test_the_server_is_told_the_name(make_lean: Make, authority: Authority) -> None:
    names: list[str | None] = []
    context = authority.server_context("localhost")
    context.sni_callback = lambda _, name, __: names.append(name)
    with Site(context) as site:
        user = make_lean(host=f"https://localhost:{site.port}", ssl_context_factory=authority.client_context)
        user.client.get("/echo")
    assert names == ["localhost"]


def test_a_server_that_speaks_no_tls(make_lean: Make, site: Site) -> None:
    user = make_lean(host=site.url.replace("http:", "https:"), insecure=True)
    user.client.get("/echo")
    assert isinstance(user.reports[0]["exception"], ssl.SSLError)


# -- addresses and proxies --------------------------------------------------------------------------


def test_ipv6(make_lean: Make) -> None:
    with Site(address="::1") as site:
        told = make_lean(host=site.url).client.get("/echo").json()
        assert told["headers"]["host"] == f"[::1]:{site.port}"


def test_a_name_that_does_not_exist(make_lean: Make) -> None:
    user = make_lean(host="http://nothing.invalid")
    user.client.get("/")
    named(user, "gaierror")


def test_a_proxy_gets_the_whole_url(make_lean: Make, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", site.url.replace("//", "//us:p%40ss@"))
    told = make_lean(host="http://shop.test").client.get("/echo?a=b")
    assert told.status_code == 200
    asked = site.asked[-1]
    assert (asked["path"], asked["headers"]["host"]) == ("http://shop.test/echo?a=b", "shop.test")
    assert asked["headers"]["proxy-authorization"] == "Basic dXM6cEBzcw=="


def test_no_proxy(make_lean: Make, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "example.test,127.0.0.1")
    assert make_lean().client.get("/echo").status_code == 200
    monkeypatch.setenv("no_proxy", "")
    user = make_lean()
    user.client.get("/echo")
    named(user, "ConnectionRefusedError")


@pytest.mark.parametrize("status", [200, 407])
def test_tls_goes_through_a_tunnel(
    make_lean: Make, authority: Authority, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    asked: list[bytes] = []

    def tunnel(connection: socket.socket, _: int) -> None:
        asked.append(connection.recv(10_000))
        connection.sendall(f"HTTP/1.1 {status} Said\r\n\r\n".encode())
        if status == 200:
            with socket.create_connection(("127.0.0.1", site.port)) as other:
                Thread(target=pump, args=(other, connection), daemon=True).start()
                pump(connection, other)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(10_000):
                sink.sendall(data)
        except OSError:
            pass  # the other direction has ended

    with Site(authority.server_context("shop.test")) as site, raw_server(tunnel) as port:
        who = "us:pass"
        monkeypatch.setenv("https_proxy", f"http://{who}@127.0.0.1:{port}")
        user = make_lean(host="https://shop.test", ssl_context_factory=authority.client_context)
        response = user.client.get("/echo")
        assert asked[0].startswith(b"CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n")
        assert b"Proxy-Authorization: Basic dXM6cGFzcw==\r\n" in asked[0]
        if status == 200:
            assert "proxy-authorization" not in response.json()["headers"]
        else:
            named(user, "ProxyFailed")
        user.client.close()


# -- when a connection is used again ----------------------------------------------------------------


@pytest.mark.parametrize(("method", "sent"), [("GET", 2), ("PUT", 2), ("POST", 1), ("PATCH", 1)])
def test_a_request_is_sent_again_only_if_that_does_no_harm(make_lean: Make, method: str, sent: int) -> None:
    """The server closes a kept connection just when the next request arrives on it."""
    asked: list[bytes] = []

    def serve(connection: socket.socket, count: int) -> None:
        first = connection.recv(10_000)
        if count:
            asked.append(first)
        connection.sendall(OK)
        if not count:
            asked.append(connection.recv(10_000))

    with raw_server(serve) as port:
        user = make_lean(host=f"http://127.0.0.1:{port}")
        user.client.get("/first")
        response = user.client.request(method, "/second", data=b"x")
        assert len(asked) == sent
        assert response.status_code == (200 if sent == 2 else 0)


def test_a_new_connection_that_ends_at_once_is_not_tried_again(make_lean: Make) -> None:
    counts: list[int] = []

    def serve(connection: socket.socket, count: int) -> None:
        counts.append(count)
        connection.recv(10_000)

    with raw_server(serve) as port:
        user = make_lean(host=f"http://127.0.0.1:{port}")
        user.client.get("/")
        named(user, "CutOff")
    assert counts == [0]


def test_what_was_interrupted_is_not_continued(make_lean: Make) -> None:
    """The reply to a request whose greenlet was killed must not be taken for that to the next one."""

    def serve(connection: socket.socket, _: int) -> None:
        while request := connection.recv(10_000):
            path = request.split()[1]
            body = b"late" if path == b"/slow" else path
            if path == b"/slow":
                arrived.set()
                killed.wait(20)
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            except OSError:
                return

    arrived = Event()
    killed = Event()
    with raw_server(serve) as port:
        user = make_lean(host=f"http://127.0.0.1:{port}")
        task = gevent.spawn(user.client.get, "/slow")
        while not arrived.is_set():
            gevent.sleep(0.01)
        task.kill()
        killed.set()
        assert [user.client.get(f"/{n}").text for n in range(3)] == ["/0", "/1", "/2"]
        assert len(user.reports) == 3


def test_an_early_refusal_is_read(make_lean: Make) -> None:
    """The server answers in the middle of a large upload and closes."""

    def serve(connection: socket.socket, _: int) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(100_000):
            pass

    with raw_server(serve) as port:
        response = make_lean(host=f"http://127.0.0.1:{port}").client.post("/", data=b"x" * 3_000_000)
        assert response.status_code == 413


def test_a_stream_that_is_left_closes_its_connection(make_lean: Make) -> None:
    with Site() as site:
        user = make_lean(host=site.url, concurrency=1)
        client = user.client
        left = client.get("/large", stream=True)
        assert left.read(10) == b"0123456789"
        left.release()
        client.get("/large", stream=True)
        user.reports.clear()  # now it is forgotten
        assert client.get("/echo").status_code == 200
        assert len({asked["port"] for asked in site.asked}) == 3


# -- time-outs and limits ---------------------------------------------------------------------------


def test_connecting_has_a_time_out_of_its_own(make_lean: Make) -> None:
    def serve(connection: socket.socket, _: int) -> None:
        while connection.recv(10_000):
            pass  # no TLS will come of it

    with raw_server(serve) as port:
        user = make_lean(host=f"https://127.0.0.1:{port}", connection_timeout=0.3)
        user.client.get("/")
        named(user, "ConnectTimeout")


def test_the_time_out_holds_for_all_redirects_together(make_lean: Make) -> None:
    def serve(connection: socket.socket, _: int) -> None:
        while connection.recv(10_000):
            time.sleep(0.1)  # a slow server
            connection.sendall(b"HTTP/1.1 302 F\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n")

    with raw_server(serve) as port:
        user = make_lean(host=f"http://127.0.0.1:{port}", network_timeout=0.5)
        user.client.get("/")
        named(user, "ReplyTimeout")


def test_a_time_out_of_the_task_is_a_failure_of_the_request(make_lean: Make) -> None:
    with raw_server(lambda connection, _: connection.recv(10_000) and connection.recv(1) and None) as port:
        user = make_lean(host=f"http://127.0.0.1:{port}")
        with gevent.Timeout(0.2):
            user.client.get("/")
        named(user, "Timeout")


@pytest.mark.parametrize("url", ["no-scheme/", "http://", "ftp://a/", "http://a:x/", "http://[::1/"])
def test_a_host_that_is_no_url_is_said(make_lean: Make, url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|Invalid"):
        make_lean(host=url).client.get("")


def test_a_shared_pool_is_refused(make_lean: Make) -> None:
    with pytest.raises(StopTest, match="client_pool"):
        make_lean(client_pool=object())


def test_unknown_arguments_are_mistakes(make_lean: Make) -> None:
    with pytest.raises(TypeError, match="timeout"):
        make_lean().client.get("/echo", timeout=5)
