"""What is said of TLS, against real servers of every version and with every kind of certificate."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from bench.ports import free_port
from compliance.checks import checks, judge
from compliance.measurement import Measurement, Secrets
from compliance.measures.bad import BadHandler, bad_service
from compliance.measures.web.tls import Certificate, PlainHttp, TlsVersions
from compliance.measures.web.tls_hello import agreed_suite
from compliance.site import Site, Unreachable
from compliance.target import Http, Target
from tests.servers.certificates import certificate, server_tls


def site_of(url: str, **http: Any) -> Site:
    return Site(Target(name="test", http=Http(url=url, timeout_s=5.0, **http)), Secrets())


def outcome(check: str, value: Any, **parameters: Any) -> str:
    found = checks()[check]
    return judge(found, Measurement(found.measure, "ok", value, (), "", "", 0.0), parameters).answer


@pytest.mark.parametrize("lowest", [1.0, 1.1, 1.2, 1.3])
def test_the_lowest_version_is_found(tmp_path: Path, lowest: float) -> None:
    tls = server_tls(certificate(tmp_path), lowest, ciphers="ALL:@SECLEVEL=0:!aNULL:!eNULL")
    with bad_service(BadHandler, tls) as url:
        value = TlsVersions().take(site_of(url))
    assert value == {"lowest": lowest, "highest": 1.3, "accepts_weak_ciphers": False}
    assert outcome("tls-version", value, tls_min=1.2) == ("failed" if lowest < 1.2 else "held")
    assert outcome("tls-ciphers", value) == "held"


def test_the_highest_version_is_found(tmp_path: Path) -> None:
    with bad_service(BadHandler, server_tls(certificate(tmp_path), 1.2, 1.2)) as url:
        assert TlsVersions().take(site_of(url))["highest"] == 1.2


@pytest.mark.parametrize("ciphers", ["NULL-SHA256", "AECDH-AES128-SHA"])
def test_one_broken_cipher_among_good_ones_is_found(tmp_path: Path, ciphers: str) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    tls = server_tls(certificate(tmp_path, key=key), ciphers=f"ECDHE+AESGCM:{ciphers}:@SECLEVEL=0")
    with bad_service(BadHandler, tls) as url:
        value = TlsVersions().take(site_of(url))
    assert value["accepts_weak_ciphers"] is True
    assert outcome("tls-ciphers", value) == "failed"


@contextmanager
def takes_3des(tls: ssl.SSLContext) -> Iterator[str]:
    """A real server of TLS, behind one that takes 3DES: our own library has forgotten how."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with link:
                hello = link.recv(4096, socket.MSG_PEEK)
                if b"\x00\x0a\x00\x0d" in hello:  # two of the 3DES suites, side by side
                    link.recv(4096)
                    body = b"\x03\x03" + bytes(32) + b"\0" + b"\x00\x0a" + b"\0"
                    message = b"\x02\0\0" + bytes([len(body)]) + body
                    record = b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message
                    link.sendall(record[:7])  # in two pieces, as networks do
                    link.sendall(record[7:])
                else:
                    with suppress(OSError):
                        tls.wrap_socket(link, server_side=True).close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def test_a_cipher_that_our_own_library_lacks_is_found(tmp_path: Path) -> None:
    with takes_3des(server_tls(certificate(tmp_path))) as url:
        site = site_of(url)
        assert TlsVersions().take(site)["accepts_weak_ciphers"] is True
    assert "0x000A" in site.evidence[-1]


def test_an_alert_is_no_agreement() -> None:
    assert agreed_suite(b"\x15\x03\x03\x00\x02\x02\x28") is None
    assert agreed_suite(b"") is None


def test_a_good_certificate(tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    with bad_service(BadHandler, server_tls(pem)) as url:
        value = Certificate().take(site_of(url, ca=pem))
    assert value == {"trusted": True, "days_left": 90, "key_bits": 3072}
    for check in ("certificate-trusted", "certificate-lasts", "certificate-strength"):
        assert outcome(check, value) == "held"


@pytest.mark.parametrize(
    ("made", "failing"),
    [
        ({"days": -2.0}, {"certificate-trusted", "certificate-lasts"}),
        ({"days": 3.0}, {"certificate-lasts"}),
        ({"name": "127.0.0.2"}, {"certificate-trusted"}),
        ({"key": 1024}, {"certificate-strength", "certificate-trusted"}),
    ],
    ids=["expired", "nearly expired", "for another name", "short key"],
)
def test_a_bad_certificate(tmp_path: Path, made: dict[str, Any], failing: set[str]) -> None:
    if "key" in made:
        made = {"key": rsa.generate_private_key(public_exponent=65537, key_size=made["key"])}
    pem = certificate(tmp_path, **made)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.set_ciphers("DEFAULT:@SECLEVEL=0")
    tls.load_cert_chain(pem)
    with bad_service(BadHandler, tls) as url:
        value = Certificate().take(site_of(url, ca=pem))
    about = ("certificate-trusted", "certificate-lasts", "certificate-strength")
    assert {check for check in about if outcome(check, value) == "failed"} == failing


def test_a_certificate_that_nobody_known_signed(tmp_path: Path) -> None:
    with bad_service(BadHandler, server_tls(certificate(tmp_path))) as url:
        assert Certificate().take(site_of(url))["trusted"] is False


def test_plain_http_beside_tls(tmp_path: Path) -> None:
    class Redirects(BadHandler):
        def do_GET(self) -> None:
            self.send_response(308)
            self.send_header("Location", "https://127.0.0.1/")
            self.send_header("Content-Length", "0")
            self.end_headers()

    tls = server_tls(certificate(tmp_path))
    with bad_service(BadHandler, tls) as url, bad_service() as open_, bad_service(Redirects) as redirects:
        answered = PlainHttp().take(site_of(url, plain=open_))
        redirected = PlainHttp().take(site_of(url, plain=redirects))
        closed = PlainHttp().take(site_of(url, plain=f"http://127.0.0.1:{free_port()}"))
    assert outcome("no-plain-http", answered) == "failed"
    assert outcome("no-plain-http", redirected) == "held"
    assert outcome("no-plain-http", closed) == "held"


@pytest.mark.parametrize("measure", [TlsVersions, Certificate, PlainHttp])
def test_a_target_that_is_down_proves_nothing(measure: Any) -> None:
    dead = f"https://127.0.0.1:{free_port()}"
    with pytest.raises(Unreachable):
        measure().take(site_of(dead, plain=f"http://127.0.0.1:{free_port()}"))
