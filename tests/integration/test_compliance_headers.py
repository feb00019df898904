"""What is said of headers, banners and methods, against a good service, and with each thing wrong alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from chaos_locust.errors import ChaosError
from compliance.measures.bad import BadHandler, bad_service
from compliance.measures.web.banners import Banners, Methods
from compliance.measures.web.headers import OtherOrigins, PrivateCaching, SecurityHeaders
from compliance.site import Unreachable
from compliance.target import Http, Target
from tests.integration.compliance_judged import failed, site_of, taken
from tests.servers.certificates import certificate, server_tls
from tests.servers.small_shop import small_shop

ALL = (SecurityHeaders, PrivateCaching, OtherOrigins, Banners, Methods)


def test_a_good_service_but_without_tls() -> None:
    with small_shop() as (target, _):
        found = {measure.name: failed(measure, target) for measure in ALL}
    assert found == {**{measure.name: set() for measure in ALL}, "security_headers": {"hsts"}}


@pytest.mark.parametrize(
    ("max_age", "holds"),
    [
        ("max-age=31536000; includeSubDomains", True),
        ('includeSubDomains; max-age="31536000"', True),
        ("max-age=300", False),
        ("max-age=0", False),
        ("", False),
    ],
)
def test_hsts_over_tls(tmp_path: Path, max_age: str, holds: bool) -> None:
    class Sends(BadHandler):
        def end_headers(self) -> None:
            self.send_header("Strict-Transport-Security", max_age)
            super().end_headers()

    pem = certificate(tmp_path)
    with bad_service(Sends, server_tls(pem)) as url:
        found = failed(SecurityHeaders, Target(name="test", http=Http(url=url, ca=pem)))
    assert ("hsts" not in found) == holds


@pytest.mark.parametrize(
    ("measure", "lapse", "expected"),
    [
        (SecurityHeaders, "no-X-Content-Type-Options", {"nosniff"}),
        (SecurityHeaders, "no-Content-Security-Policy", {"framing"}),
        (SecurityHeaders, "no-Referrer-Policy", {"referrer"}),
        (PrivateCaching, "no-Cache-Control", {"private-caching"}),
        (OtherOrigins, "reflects-origin", {"other-origins"}),
        (Banners, "banner", {"banner"}),
        (Methods, "trace-method", {"trace-method"}),
    ],
)
def test_each_thing_wrong_alone(measure: Any, lapse: str, expected: set[str]) -> None:
    with small_shop(lapse) as (target, _):
        assert failed(measure, target) - {"hsts"} == expected


@pytest.mark.parametrize(
    ("header", "refused"),
    [
        (("Content-Security-Policy", "default-src 'self'"), False),
        (("Content-Security-Policy", "frame-ancestors *"), False),
        (("Content-Security-Policy", "default-src 'self'; frame-ancestors 'self' https://a.test"), True),
        (("X-Frame-Options", "DENY"), True),
        (("X-Frame-Options", "ALLOWALL"), False),
    ],
)
def test_frames(header: tuple[str, str], refused: bool) -> None:
    class Sends(BadHandler):
        def end_headers(self) -> None:
            self.send_header(*header)
            super().end_headers()

    with bad_service(Sends) as url:
        found = taken(SecurityHeaders, Target(name="test", http=Http(url=url)))
    assert (found["can_be_framed"] == []) == refused


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        (("Via", "1.1 gate"), []),
        (("Via", "1.1 varnish/6.0"), ["Via: 1.1 varnish/6.0"]),
        (("Server", "nginx"), []),
        (("Server", "nginx/1.18.0"), ["Server: nginx/1.18.0"]),
        (("X-Powered-By", "Express"), ["X-Powered-By: Express"]),
    ],
)
def test_banners(header: tuple[str, str], shown: list[str]) -> None:
    class Sends(BadHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header(*header)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    with bad_service(Sends) as url:
        assert taken(Banners, Target(name="test", http=Http(url=url))) == {"shown": shown}


def test_a_product_on_an_error_page_is_found() -> None:
    class Page(BadHandler):
        def do_GET(self) -> None:
            page = b"<center>nginx/1.18.0 (Ubuntu)</center>"
            self.send_response_only(404)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

    with bad_service(Page) as url:
        assert taken(Banners, Target(name="test", http=Http(url=url))) == {"shown": ["nginx/1.18.0"]}


@pytest.mark.parametrize("measure", ALL)
def test_a_target_that_is_down_proves_nothing(measure: Any) -> None:
    with small_shop() as (target, _):
        pass
    with pytest.raises(Unreachable):
        measure().take(site_of(target))


def test_a_target_that_only_fails_proves_nothing() -> None:
    class Fails(BadHandler):
        def do_GET(self) -> None:
            self.send_response_only(requests.codes.unavailable)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with bad_service(Fails) as url, pytest.raises(ChaosError, match="fails"):
        Banners().take(site_of(Target(name="test", http=Http(url=url))))
