"""The parts of the lean user that do no I/O: reading replies, decoding bodies, writing requests, cookies."""

from __future__ import annotations

import gzip
import io
import random
import zlib
from collections.abc import Iterable
from importlib import import_module

import brotli
import pytest
from httptools import HttpResponseParser
from hypothesis import given
from hypothesis import strategies as st

from chaos_locust.locust_plugin.lean.connecting import Origin, Proxies, Proxy
from chaos_locust.locust_plugin.lean.cookies import Cookies
from chaos_locust.locust_plugin.lean.decoding import PIECE_BYTES, Decoding, codings, decoded
from chaos_locust.locust_plugin.lean.failures import BadEncoding, BodyTooLarge
from chaos_locust.locust_plugin.lean.reader import ReplyReader, header_lines
from chaos_locust.locust_plugin.lean.writing import Head, Target, redirected

NAMES = st.text("abcXYZ-_1!", min_size=1, max_size=8).filter(lambda name: name.lower() != "te")
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=12)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), st.binary(max_size=40), st.integers(0, 3), st.data())
def test_a_reply_is_the_same_however_it_is_cut(
    headers: list[tuple[str, str]], body: bytes, interim: int, data: st.DataObject
) -> None:
    """Heads are split by ourselves: as llhttp does it."""
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    head = f"HTTP/1.1 200 OK\r\n{''.join(lines)}Content-Length: {len(body)}\r\n\r\n".encode("latin-1")
    whole = b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" * interim + head + body
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=6)))
    reader = ReplyReader()
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        if start != end:
            reader.feed(whole[start:end])
    assert (reader.done, reader.reusable, reader.status, reader.take_body()) == (True, True, 200, body)
    assert header_lines(reader.head) == seen_by_llhttp(head)


def seen_by_llhttp(head: bytes) -> list[tuple[str, str]]:
    class Seen:
        def __init__(self) -> None:
            self.pairs: list[tuple[str, str]] = []

        def on_header(self, name: bytes, value: bytes) -> None:
            self.pairs.append((name.decode("latin-1"), value.decode("latin-1").rstrip(" \t")))

    seen = Seen()
    HttpResponseParser(seen).feed_data(head)
    return seen.pairs


def zstandard(body: bytes) -> bytes:
    try:
        return bytes(import_module("compression.zstd").compress(body))
    except ImportError:
        return bytes(import_module("backports.zstd").compress(body))


ALL = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard}
CODED = {coding: ALL[coding] for coding in codings()}
"""zstd only where Python or a package has it."""


@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("size", [0, 2, 400_000])
def test_codings(coding: str, size: int) -> None:
    body = random.Random(1).randbytes(size // 2) + b"a" * (size - size // 2)
    coded = CODED[coding](body)
    assert decoded(coded, [coding.upper()], size) == body
    for step in (1 if size < 10 else 999, 100_000):
        decoding = Decoding([coding])
        pieces = [p for at in range(0, len(coded), step) for p in decoding.pieces(coded[at : at + step])]
        decoding.end()
        assert b"".join(pieces) == body
        assert max(map(len, pieces), default=0) <= 2 * PIECE_BYTES
    if size > 10:
        with pytest.raises(BodyTooLarge):
            decoded(coded, [coding], size - 1)
        with pytest.raises(BadEncoding):
            decoded(coded[:-9], [coding], size)


def lines_of(
    head: Head, body: bytes | Iterable[bytes | str] | None = None, cookies: str | None = None
) -> bytes:
    message = head.message(body, cookies)
    return message if isinstance(message, bytes) else b"".join(message)


def test_a_request() -> None:
    head = Head("PUT", Target("http://a.test:81/x?y=z#f"), {"X": 1, "none": None}, None)
    sent = lines_of(head, b"body", "a=b")
    assert sent.startswith(b"PUT /x?y=z HTTP/1.1\r\nHost: a.test:81\r\nUser-Agent: chaos-locust/")
    assert sent.endswith(b"\r\nX: 1\r\nCookie: a=b\r\nContent-Length: 4\r\n\r\nbody")
    assert head.plain


@pytest.mark.parametrize(
    ("fields", "body", "end"),
    [
        ({}, ["ab", b"", b"c"], b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
        ({}, io.BytesIO(b"abc"), b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        (
            {"transfer-encoding": "chunked"},
            b"abc",
            b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        ({"content-length": "9"}, b"abc", b"content-length: 9\r\n\r\nabc"),
        ({}, None, b"Content-Length: 0\r\n\r\n"),
    ],
)
def test_framing_of_a_body(
    fields: dict[str, str], body: bytes | Iterable[bytes | str] | None, end: bytes
) -> None:
    head = Head("POST", Target("http://a.test/"), fields, None)
    assert lines_of(head, body).endswith(end)
    assert head.plain == (not fields)


def test_addresses() -> None:
    assert Target("https://[::1]").origin.netloc() == "[::1]"
    assert Target("http://ü.test").origin.host == "xn--tda.test"
    assert Target("http://a.test?x").path == "/?x"
    proxy = Proxy(Origin("http", "p.test", 80), None)
    assert Head("GET", Target("http://a.test"), {}, proxy).lines.startswith(
        b"GET http://a.test/ HTTP/1.1\r\n"
    )


@pytest.mark.parametrize(
    ("location", "place"),
    [
        (b"/x y", "http://a.test/x%20y"),
        (b"z?q#f", "http://a.test/b/z?q"),
        (b"//other.test/", "http://other.test/"),
        (b"?q=1", "http://a.test/b/c?q=1"),
        ("/ü".encode(), "http://a.test/%C3%BC"),
        (b"https://a.test/%41", "https://a.test/A"),
    ],
)
def test_where_a_redirect_leads_to(location: bytes, place: str) -> None:
    assert redirected("http://a.test/b/c?d=e", location) == place


def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "p.test:81")
    monkeypatch.setenv("https_proxy", "https://u:w@q.test")
    monkeypatch.setenv("no_proxy", ".inside.test")
    proxies = Proxies(None, None)
    assert proxies.to(Origin("http", "a.test", 80)) == (("http", "p.test", 81), None)
    assert proxies.to(Origin("https", "a.test", 443)) == (("https", "q.test", 443), "Basic dTp3")
    assert proxies.to(Origin("https", "a.inside.test", 443)) is None
    assert Proxies("given.test", None).to(Origin("http", "a.inside.test", 80)) == (
        ("http", "given.test", 80),
        None,
    )
    monkeypatch.setenv("all_proxy", "socks5://p.test")
    with pytest.raises(ValueError, match="http_proxy"):
        Proxies(None, None).to(Origin("http", "a.test", 80))


def test_cookies_are_asked_again_when_they_have_changed() -> None:
    cookies = Cookies()
    url = "http://a.test/x"
    assert cookies.header(url) is None
    cookies.take(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2; path=/y", url)
    assert (cookies.header(url), cookies.header("http://b.test/x")) == ("a=1", None)
    cookies.take(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=2", url)
    assert cookies.header(url) == "a=2"
    cookies.clear()
    assert cookies.header(url) is None
