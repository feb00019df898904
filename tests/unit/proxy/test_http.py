"""Toxics on HTTP messages at work on one connection, without sockets and with the time as an argument."""

from __future__ import annotations

import random
from typing import Any

import pytest

from chaos_locust.proxy.chain import InstalledToxic
from chaos_locust.proxy.http.answers import AnswerStage
from chaos_locust.proxy.http.requests import SILENCE_S, RequestStage
from chaos_locust.proxy.http.session import Mode, Session
from chaos_locust.proxy.http.settings import HttpSettings, glob_matches
from chaos_locust.proxy.metrics import Direction
from chaos_locust.proxy.toxics.base import Chunk, End
from chaos_locust.proxy.toxics.http import Http

GET = b"GET /orders/7?x=1 HTTP/1.1\r\nHost: shop\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD", 1)
POST = b"POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED_POST = (
    b"POST /orders HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'3;a=b;c="d"\r\nabc\r\n0002\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n'
)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n0123456789"
CHUNKED_OK = (
    b"HTTP/1.1 200 OK\r\ntransfer-ENCODING: chunked\r\nX: a\r\n\r\n"
    b'4;ext="x"\r\n0123\r\n006\r\n456789\r\n0\r\nX-Sum: 1\r\n\r\n'
)
NOTHING = b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"
MADE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"


def toxic(toxicity: float = 1.0, **attributes: Any) -> InstalledToxic:
    http = Http()
    http.change(attributes)
    return InstalledToxic("t", "http", "downstream", "downstream", toxicity, http)


class Wire:
    """One connection: what is sent on each side, and what comes out on the other."""

    def __init__(self, *toxics: InstalledToxic, spoke_last: Direction | None = None) -> None:
        self.session = Session(toxics, random.Random(1), spoke_last)
        self.stages = {"upstream": RequestStage(self.session), "downstream": AnswerStage(self.session)}
        self.out: dict[str, bytes] = {"upstream": b"", "downstream": b""}
        self.ends: dict[str, list[End]] = {"upstream": [], "downstream": []}
        self.now_s = 0.0

    def client(self, item: bytes | End) -> Wire:
        return self._send("upstream", item)

    def server(self, item: bytes | End) -> Wire:
        return self._send("downstream", item)

    def wait(self, seconds: float) -> Wire:
        self.now_s += seconds
        self._pump("upstream", "downstream")
        return self

    def take(self, direction: str) -> bytes:
        data, self.out[direction] = self.out[direction], b""
        return data

    @property
    def at_upstream(self) -> bytes:
        return self.take("upstream")

    @property
    def at_client(self) -> bytes:
        return self.take("downstream")

    def change(self, *toxics: InstalledToxic) -> None:
        self.session.change(toxics)
        self._pump("upstream", "downstream")

    def _send(self, direction: str, item: bytes | End) -> Wire:
        self.stages[direction].push(item if isinstance(item, End) else Chunk(item, self.now_s))
        self._pump(direction)
        return self

    def _pump(self, *directions: str) -> None:
        for direction in directions:
            while End.CLOSE not in self.ends[direction]:  # a link asks no further then
                item = self.stages[direction].pull(self.now_s)
                if item is None:
                    break
                if isinstance(item, End):
                    self.ends[direction].append(item)
                else:
                    self.out[direction] += bytes(item.data)
        while self.session.news:
            self._pump(self.session.news.pop())


def counts(installed: InstalledToxic) -> dict[str, int]:
    assert isinstance(installed.settings, Http)
    return installed.settings.counted()


def in_pieces(wire: Wire, direction: str, data: bytes, size: int) -> None:
    for at in range(0, len(data), size):
        wire._send(direction, data[at : at + size])


EXCHANGES = [
    (GET, OK), (HEAD, OK.removesuffix(b"0123456789")), (POST, OK), (CHUNKED_POST, CHUNKED_OK), (GET, NOTHING),
    (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"),
    (POST, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK),
    (b"GET http://shop/absolute HTTP/1.1\r\nHost:  shop \r\nFolded: a\r\n b\r\n\r\n", OK),
    (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: a\r\nBig: " + b"y" * 30000 + b"\r\n\r\n", CHUNKED_OK),
]  # fmt: skip


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(("request_", "answer"), EXCHANGES)
def test_what_is_not_chosen_passes_to_the_byte(request_: bytes, answer: bytes, size: int) -> None:
    other = toxic(route="/other", status=500)
    wire = Wire(other)
    for _ in range(2):
        in_pieces(wire, "upstream", request_, size)
        assert wire.at_upstream == request_
        in_pieces(wire, "downstream", answer, size)
        assert wire.at_client == answer
    assert wire.session.current is None
    assert counts(other) == {
        "requests": 2, "matched": 0, "chosen": 0, "faulted": 0, "own": 0, "untouched_connections": 0,
    }  # fmt: skip


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("request_", [GET, POST, CHUNKED_POST])
def test_an_answer_made_here_never_asks_the_upstream(request_: bytes, size: int) -> None:
    busy = toxic(status=503, body="busy", route="/orders*")
    wire = Wire(busy)
    for number in range(1, 3):
        in_pieces(wire, "upstream", request_, size)
        assert wire.at_upstream == b""
        assert wire.at_client == MADE
        assert counts(busy)["faulted"] == number
    other = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
    wire.client(other).server(OK)
    assert (wire.at_upstream, wire.at_client) == (other, OK)
    assert counts(busy)["requests"] == 3


def test_pipelined_answers_come_in_their_turn() -> None:
    busy = toxic(status=503, body="busy", method="POST")
    wire = Wire(busy)
    wire.client(GET + POST + GET + POST)
    assert wire.at_upstream == GET, "the second request waits for its turn"
    assert wire.at_client == b""
    wire.server(OK)
    assert wire.at_client == OK + MADE
    assert wire.at_upstream == GET
    wire.server(CHUNKED_OK)
    assert wire.at_client == CHUNKED_OK + MADE
    assert counts(busy)["faulted"] == 2


def test_head_and_answers_without_a_body() -> None:
    wire = Wire(toxic(status=503, body="busy"))
    wire.client(HEAD)
    assert wire.at_client == MADE.removesuffix(b"busy")
    wire = Wire(toxic(status=204))
    wire.client(GET)
    assert wire.at_client == b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.mark.parametrize("line", [b"Connection: keep-alive, Close\r\n", b"1.0"])
def test_a_client_that_wants_it_closed_gets_it_closed(line: bytes) -> None:
    request = GET.replace(b"1.1", b"1.0", 1) if line == b"1.0" else GET[:-2] + line + b"\r\n"
    wire = Wire(toxic(status=503, body="busy"))
    wire.client(request)
    assert wire.at_client == MADE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert wire.ends["downstream"] == [End.EOF]
    wire.client(GET).client(End.EOF)
    assert wire.at_upstream == b""
    assert wire.ends["upstream"] == [End.EOF]


def test_a_body_that_waits_for_leave_is_not_waited_for() -> None:
    request, body = POST[:-7] + b"Expect: 100-continue\r\n\r\n", POST[-5:]
    wire = Wire(toxic(status=503, body="busy"))
    wire.client(request)
    assert b"Connection: close" in wire.at_client
    assert wire.ends["downstream"] == [End.EOF]
    wire.client(body).client(End.EOF)
    assert wire.at_upstream == b""
    assert wire.ends["upstream"] == [End.EOF]
    # Without a toxic that answers, the leave and the answer pass.
    wire = Wire(toxic(delay_ms=100))
    wire.client(request).server(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert (wire.at_upstream, wire.at_client) == (request, b"HTTP/1.1 100 Continue\r\n\r\n")
    wire.client(body).server(OK)
    assert (wire.at_upstream, wire.at_client) == (body, b"")
    wire.wait(0.1)
    assert wire.at_client == OK


def test_after_the_upstream_was_asked_its_answer_is_replaced() -> None:
    failed = toxic(status=500, ask_upstream=True, body="no", response_headers={"Content-Type": "a/b"})
    wire = Wire(failed)
    wire.client(POST).server(CHUNKED_OK)
    assert wire.at_upstream == POST
    assert wire.at_client == (
        b"HTTP/1.1 500 Internal Server Error\r\nX: a\r\nContent-Length: 2\r\nContent-Type: a/b\r\n\r\nno"
    )
    wire.client(HEAD).server(OK.removesuffix(b"0123456789"))
    assert wire.at_client.endswith(b"Content-Length: 2\r\nContent-Type: a/b\r\n\r\n")
    assert counts(failed)["faulted"] == 2


@pytest.mark.parametrize("answer", [OK, CHUNKED_OK])
@pytest.mark.parametrize("size", [1, 100_000])
def test_another_body(answer: bytes, size: int) -> None:
    wire = Wire(toxic(body='{"keys": []}'))
    conditional = GET[:-2] + b"If-None-Match: x\r\nRange: bytes=1-2\r\n\r\n"
    wire.client(conditional)
    assert wire.at_upstream == GET, "or the answer might have no body to be replaced"
    in_pieces(wire, "downstream", answer, size)
    head, _, body = wire.at_client.partition(b"\r\n\r\n")
    assert body == b'{"keys": []}'
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"Content-Length: 12")
    assert b"ncoding" not in head
    assert head.count(b"Content-Length") == 1
    wire.client(GET).server(NOTHING)
    assert wire.at_client == NOTHING
    assert wire.session.current is None


def test_a_delay_holds_the_answer_and_nothing_else() -> None:
    late = toxic(delay_ms=300)
    wire = Wire(late)
    wire.client(GET)
    assert wire.at_upstream == GET
    head = OK.index(b"\r\n\r\n") + 4
    wire.wait(1.0).server(OK[:head]).wait(0.1).server(OK[head:]).wait(0.19)
    assert wire.at_client == b""
    assert wire.stages["downstream"].due_s() == pytest.approx(1.3)
    wire.wait(0.01)
    assert wire.at_client == OK
    assert counts(late)["faulted"] == 1
    busy = Wire(late, toxic(status=503, body="busy"))
    busy.client(POST).wait(0.29)
    assert busy.at_client == b""
    busy.wait(0.01)
    assert busy.at_client == MADE


@pytest.mark.parametrize("answer", [OK, CHUNKED_OK])
def test_a_slow_body_keeps_to_its_rate(answer: bytes) -> None:
    slow = toxic(rate=20)
    wire = Wire(slow)
    wire.client(GET).server(answer)
    seen = wire.at_client
    assert seen.count(b"\r\n\r\n") == 1, "the head is not slowed down"
    for tenth in range(1, 5):
        wire.wait(0.1)
        seen += wire.at_client
        assert sum(seen.partition(b"\r\n\r\n")[2].count(b"%d" % n) > 0 for n in range(10)) >= 2 * tenth
        assert b"9" not in seen.partition(b"\r\n\r\n")[2]
    wire.wait(0.1)
    assert seen + wire.at_client == answer
    assert counts(slow)["faulted"] == 1


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize(("answer", "passed"), [(OK, OK[:-6]), (CHUNKED_OK, CHUNKED_OK[:68])])
def test_a_body_is_cut_off(answer: bytes, passed: bytes, size: int) -> None:
    cut = toxic(truncate=4)
    wire = Wire(cut)
    wire.client(GET)
    for at in range(0, len(answer), size):
        if not wire.ends["downstream"]:
            wire.server(answer[at : at + size])
    seen = wire.at_client
    assert answer.startswith(seen)
    assert seen.partition(b"\r\n\r\n")[2].replace(b'4;ext="x"\r\n', b"").startswith(b"0123")
    assert b"4567" not in seen
    assert wire.ends["downstream"] == [End.CLOSE]
    assert counts(cut)["faulted"] == 1


def test_a_body_that_is_short_enough_is_not_cut_off() -> None:
    cut = toxic(truncate=10)
    wire = Wire(cut)
    wire.client(GET).server(OK)
    assert wire.at_client == OK
    assert wire.ends["downstream"] == []
    assert (counts(cut)["chosen"], counts(cut)["faulted"]) == (1, 0)


@pytest.mark.parametrize("size", [1, 3, 100_000])
@pytest.mark.parametrize("every", [1, 4, 1000])
@pytest.mark.parametrize("answer", [OK, CHUNKED_OK])
def test_bytes_are_changed_and_the_message_stays_whole(answer: bytes, every: int, size: int) -> None:
    broken = toxic(corrupt_every=every)
    wire = Wire(broken)
    for number in range(1, 20):
        wire.client(GET)
        in_pieces(wire, "downstream", answer, size)
        seen = wire.at_client
        assert len(seen) == len(answer)
        differing = [i for i, (a, b) in enumerate(zip(seen, answer, strict=True)) if a != b]
        known = answer is OK
        least = {1: 10, 4: 3 if known else 2, 1000: 1}[every]
        assert least <= len(differing) <= {1: 10, 4: 3, 1000: 1}[every]
        assert min(differing) > answer.index(b"\r\n\r\n")
        assert all(answer[i : i + 1] in b"0123456789" for i in differing)
        assert wire.session.current is None
        assert counts(broken)["faulted"] == number


def test_headers_are_set_and_removed() -> None:
    changed = toxic(request_headers={"HOST": "other", "X-New": "1"},
                    response_headers={"content-type": "text/html", "X": None})  # fmt: skip
    wire = Wire(changed)
    wire.client(POST[:-7] + b"x-new: 2\r\n folded\r\nX-New: 3\r\n\r\nhello")
    assert wire.at_upstream == (
        b"POST /orders HTTP/1.1\r\nContent-Length: 5\r\nHOST: other\r\nX-New: 1\r\n\r\nhello"
    )
    wire.server(OK.replace(b"Content-Length", b"x: gone\r\nContent-Length"))
    assert wire.at_client == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\ncontent-type: text/html\r\n\r\n0123456789"
    )
    assert counts(changed)["faulted"] == 1


NOT_UNDERSTOOD = {
    "both lengths": GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "two lengths": GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd"),
    "odd coding": GET.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "two codings": GET.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "chunks in 1.0": CHUNKED_POST.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "bare line feeds": GET.replace(b"\r\n", b"\n"),
    "one bare line feed": GET.replace(b"shop\r\n", b"shop\nX: y\r\n"),
    "space before the colon": GET.replace(b"Host:", b"Content-Length : 7\r\nHost:"),
    "no host": GET.replace(b"Host: shop\r\n", b""),
    "not a size": CHUNKED_POST.replace(b"0002\r\n", b"0x2\r\n"),
    "a line feed after the size": CHUNKED_POST.replace(b"0002\r\n", b"2\n"),
    "a longer chunk": CHUNKED_POST.replace(b"0002\r\n", b"0001\r\n"),
    "an endless head": GET[:-2] + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
    "an endless line": b"GET /" + b"x" * 200_000,
    "version 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04",
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "inline redis": b"PING\r\n",
    "postgres": b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "lower case": b"get key\r\n",
}


@pytest.mark.parametrize("size", [1, 1000, 100_000])
@pytest.mark.parametrize("name", NOT_UNDERSTOOD)
def test_what_is_not_understood_passes_untouched_and_is_told(name: str, size: int) -> None:
    """Also what two receivers may read in two ways: whoever edits that makes a new contradiction of it."""
    data = NOT_UNDERSTOOD[name]
    if size == 1 and len(data) > 100_000:
        size = 400
    late = toxic(delay_ms=100, response_headers={"X": "y"})
    wire = Wire(late)
    in_pieces(wire, "upstream", data + GET, size)
    assert wire.at_upstream == data + GET
    for chunk in (b"+PO", b"NG\r\n", OK):
        wire.server(chunk)
        assert wire.at_client == chunk
    wire.client(End.EOF).server(End.EOF)
    assert wire.ends == {"upstream": [End.EOF], "downstream": [End.EOF]}
    assert counts(late)["untouched_connections"] == 1
    assert counts(late)["faulted"] == 0
    assert wire.session.mode is Mode.UNTOUCHED


@pytest.mark.parametrize("answer", [
    OK.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length"),
    b"+PONG\r\n", b"HTTP/2 200\r\n\r\n",
    OK.replace(b"\r\n", b"\n"), CHUNKED_OK.replace(b"006", b"0y6"), OK.replace(b"10\r", b"10, 11\r"),
])  # fmt: skip
@pytest.mark.parametrize("size", [1, 100_000])
def test_an_answer_that_is_not_understood_passes_untouched(answer: bytes, size: int) -> None:
    edit = toxic(corrupt_every=0, request_headers={"A": "b"})
    wire = Wire(edit)
    wire.client(GET)
    in_pieces(wire, "downstream", answer, size)
    assert wire.at_client == answer
    assert counts(edit)["untouched_connections"] == 1


def test_a_server_that_speaks_first_and_one_that_says_more_than_was_asked() -> None:
    wire = Wire(toxic(status=503))
    wire.server(b"220 ready\r\n").client(b"EHLO x\r\n")
    assert (wire.at_client, wire.at_upstream) == (b"220 ready\r\n", b"EHLO x\r\n")
    wire = Wire(toxic(delay_ms=10))
    wire.client(GET).server(OK + b"HTTP/1.1 408 Request Timeout\r\n\r\n").server(End.EOF).wait(0.01)
    assert wire.at_client == OK + b"HTTP/1.1 408 Request Timeout\r\n\r\n"
    assert wire.ends["downstream"] == [End.EOF]


def test_the_beginning_of_a_request_is_not_kept_for_ever() -> None:
    wire = Wire(toxic(status=503))
    wire.client(b"HELLO")
    assert wire.at_upstream == b""
    wire.wait(SILENCE_S - 0.1).client(b" THERE").wait(SILENCE_S - 0.1)
    assert wire.at_upstream == b"", "it is still being sent"
    assert wire.stages["upstream"].due_s() == pytest.approx(wire.now_s + 0.1)
    wire.wait(0.1)
    assert wire.at_upstream == b"HELLO THERE"
    for partial in (b"GE", GET[:-1]):
        wire = Wire(toxic(status=503))
        wire.client(partial).client(End.EOF)
        assert wire.at_upstream == partial
        assert wire.ends["upstream"] == [End.EOF]


UPGRADE = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def test_after_an_upgrade_everything_passes() -> None:
    switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    late = toxic(delay_ms=1000)
    wire = Wire(late)
    wire.client(UPGRADE + b"\x81\x01a")
    assert wire.at_upstream == UPGRADE, "what comes after it is kept until the answer says what it is"
    wire.server(switched + b"\x81\x01b")
    assert wire.at_client == switched + b"\x81\x01b"
    wire.client(GET).server(OK)
    assert (wire.at_upstream, wire.at_client) == (b"\x81\x01a" + GET, OK)
    assert counts(late)["untouched_connections"] == 0, "this was HTTP, and well understood"
    wire = Wire(toxic(response_headers={"X": "y"}))
    wire.client(UPGRADE + GET).server(OK)
    assert b"X: y" in wire.at_client
    assert wire.at_upstream == UPGRADE + GET, "no upgrade: what came after it is a request"
    connect = b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"
    wire = Wire(toxic(delay_ms=1000))
    wire.client(connect).server(b"HTTP/1.1 200 Yes\r\n\r\n").client(b"\x16\x03").server(b"\x16\x04")
    assert (wire.at_upstream, wire.at_client) == (connect + b"\x16\x03", b"HTTP/1.1 200 Yes\r\n\r\n\x16\x04")


@pytest.mark.parametrize("size", [1, 100_000])
def test_an_answer_that_ends_with_the_connection(size: int) -> None:
    answer = b"HTTP/1.0 200 OK\r\n\r\nuntil the end"
    wire = Wire(toxic(delay_ms=100))
    wire.client(GET)
    in_pieces(wire, "downstream", answer, size)
    wire.server(End.EOF)
    assert wire.ends["downstream"] == []
    wire.wait(0.1)
    assert (wire.at_client, wire.ends["downstream"]) == (answer, [End.EOF])
    wire = Wire(toxic(body="x"))
    wire.client(GET)
    in_pieces(wire, "downstream", answer, size)
    wire.server(End.EOF)
    assert wire.at_client == b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx"
    assert wire.ends["downstream"] == [End.EOF]


@pytest.mark.parametrize("at", [5, 40, len(OK) - 3])
@pytest.mark.parametrize("end", [End.EOF, End.CLOSE])
def test_an_answer_that_breaks_off_breaks_off(at: int, end: End) -> None:
    wire = Wire(toxic(delay_ms=100))
    wire.client(GET).server(OK[:at]).server(end).wait(0.1)
    assert (wire.at_client, wire.ends["downstream"]) == (OK[:at], [end])


def test_an_upstream_that_is_gone_does_not_hide_an_answer_made_here() -> None:
    wire = Wire(toxic(status=503, body="busy", delay_ms=100))
    wire.client(POST).server(End.EOF).wait(0.1)
    assert (wire.at_client, wire.ends["downstream"]) == (MADE, [End.EOF])
    wire = Wire(toxic(status=503))
    wire.client(POST[:-1]).server(End.EOF).client(End.EOF)
    assert wire.ends == {"upstream": [End.EOF], "downstream": [End.EOF]}, "the client left in the middle"
    wire = Wire(toxic(delay_ms=100))
    wire.client(GET + GET).client(End.CLOSE)
    assert wire.ends["upstream"] == [End.CLOSE], "what waited for its turn went with the client"


def test_an_answer_before_the_request_is_over() -> None:
    late = toxic(delay_ms=100)
    wire = Wire(late)
    wire.client(POST[:-3]).server(OK).wait(0.1)
    assert wire.at_client == OK
    wire.client(POST[-3:] + GET)
    assert wire.at_upstream == POST + GET
    wire.server(OK).wait(0.1)
    assert wire.at_client == OK
    assert counts(late)["faulted"] == 2


# --- toxics that come and go on a living connection


def test_a_connection_that_was_there_is_joined_at_the_next_request() -> None:
    busy = toxic(status=503, body="busy")
    wire = Wire(busy, spoke_last="upstream")  # the upstream is at work on a request
    wire.client(b"GET / HTTP/1.1\r\n: this is the rest of a body\r\n\r\n").server(OK)
    assert wire.at_client == OK
    assert wire.at_upstream.startswith(b"GET / ")
    wire.client(GET)
    assert (wire.at_upstream, wire.at_client) == (b"", MADE)
    wire = Wire(busy, spoke_last="downstream")  # it rests
    wire.client(GET)
    assert (wire.at_upstream, wire.at_client) == (b"", MADE)
    wire = Wire(busy, spoke_last="downstream")
    wire.client(b"not a request").client(GET)
    assert wire.at_upstream == b"not a request" + GET


def test_what_a_toxic_held_goes_on_when_it_is_removed() -> None:
    late = toxic(delay_ms=60_000, rate=1)
    wire = Wire(late)
    wire.client(GET).server(OK)
    assert wire.at_client == b""
    wire.change()
    assert wire.session.may_go
    assert wire.at_client == OK


def test_what_a_toxic_began_is_brought_to_its_end_when_it_is_removed() -> None:
    busy = toxic(status=503, body="busy")
    wire = Wire(busy)
    wire.client(POST[:-3])
    wire.change()
    assert not wire.session.may_go, "the upstream never saw the beginning of this request"
    wire.client(POST[-3:])
    assert (wire.at_upstream, wire.at_client) == (b"", MADE)
    assert wire.session.may_go
    other = toxic(body="other")
    wire = Wire(other)
    wire.client(GET).server(OK[:-4])
    wire.change()
    assert not wire.session.may_go, "the rest of a body that was replaced is still to come"
    wire.server(OK[-4:])
    assert wire.at_client.endswith(b"\r\n\r\nother")
    assert wire.session.may_go


def test_after_the_last_answer_nothing_goes_on_even_without_toxics() -> None:
    wire = Wire(toxic(status=503))
    wire.client(GET[:-2] + b"Connection: close\r\n\r\n")
    wire.change()
    assert not wire.session.may_go
    wire.client(GET)
    assert wire.at_upstream == b""


def test_two_answers_are_never_mixed() -> None:
    """The upstream's was replaced, and before it was over the request turned out not to be understood."""
    wire = Wire(toxic(body="other"))
    wire.client(CHUNKED_POST[:-20]).server(OK[:-4]).client(b"no chunk\r\n").server(OK[-4:])
    assert wire.at_client.endswith(b"\r\n\r\nother")
    assert wire.ends["downstream"] == [End.CLOSE]
    wire = Wire(toxic(status=503, body="busy"))
    wire.client(CHUNKED_POST[:-20]).client(b"no chunk\r\n")
    assert (wire.at_upstream, wire.at_client) == (b"", b"")
    assert wire.ends["upstream"] == [End.CLOSE], "it never saw the beginning"


def test_what_is_under_way_and_untouched_leaves_with_its_bytes() -> None:
    edit = toxic(response_headers={"X": "y"})
    wire = Wire(edit)
    wire.client(GET + POST[:10]).server(CHUNKED_OK[:-3])
    wire.change()
    assert wire.session.may_go
    left = [i.data for stage in wire.stages.values() for i in stage.bypassed(0.0) if isinstance(i, Chunk)]
    assert bytes(left[0]) == POST[:10]
    assert wire.at_upstream == GET
    edited = CHUNKED_OK.replace(b"X: a\r\n", b"X: y\r\n")
    assert wire.at_client + b"".join(map(bytes, left[1:])) == edited[:-3]


def test_own_probes_are_left_alone_and_are_no_load() -> None:
    busy = toxic(status=503)
    wire = Wire(busy)
    hello = b"HEAD / HTTP/1.0\r\nUser-Agent: chaos-locust\r\n\r\n"
    wire.client(hello)
    assert wire.at_upstream == hello
    assert (counts(busy)["own"], counts(busy)["requests"], counts(busy)["chosen"]) == (1, 0, 0)


def test_the_share_is_one_of_requests() -> None:
    part = toxic(0.25, status=503, body="busy")
    wire = Wire(part)
    for _ in range(2000):
        wire.client(GET)
        if wire.at_upstream:
            wire.server(OK)
    chosen = counts(part)["chosen"]
    assert 400 <= chosen <= 600
    assert counts(part)["faulted"] == chosen == wire.at_client.count(MADE)


# --- attributes


@pytest.mark.parametrize(("attributes", "words"), [
    ({"x": 1}, "'x' is no attribute of an http toxic; allowed: route, method, status"),
    ({"status": 99}, "attribute status: is not allowed; give a whole number from 200 to 599"),
    ({"status": True}, "attribute status"), ({"status": "503"}, "attribute status"),
    ({"status": 204, "body": "x"}, "a status of 204 has no body"),
    ({"ask_upstream": True}, "has no effect without status"),
    ({"body": 5}, "attribute body: is no text"), ({"body": "x" * 1_048_577}, "is too long"),
    ({"body_base64": "%"}, "attribute body_base64"), ({"body": "", "body_base64": ""}, "both given"),
    ({"route": "orders"}, "'orders' is no path"), ({"route": "/a b"}, "is no path"),
    ({"method": "get"}, "'get' is no method"),
    ({"delay_ms": -1}, "attribute delay_ms"), ({"delay_ms": 1.5}, "attribute delay_ms"),
    ({"request_headers": []}, "is no object"), ({"response_headers": {"a b": "c"}}, "is no name of a header"),
    ({"response_headers": {"A": "b\r\nC: d"}}, "the value of A is neither one line"),
    ({"response_headers": {"A": 1}}, "the value of A"), ({"response_headers": {"A": "ä"}}, "is not ASCII"),
    ({"response_headers": {"content-length": "1"}}, "content-length says where the message ends"),
    ({"request_headers": {"Transfer-Encoding": None}}, "Transfer-Encoding says where the message ends"),
])  # fmt: skip
def test_wrong_attributes_are_told_by_name(attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        HttpSettings().changed(attributes)


def test_attributes_read_back_and_are_changed_one_by_one() -> None:
    given = {"route": "/a/*", "method": "PUT", "status": 418, "ask_upstream": True, "body": "ü",
             "delay_ms": 5, "rate": 9, "truncate": 0, "corrupt_every": 3,
             "request_headers": {"A": "b", "C": None},
             "response_headers": {"D": ""}, "expires_ms": 7}  # fmt: skip
    settings = HttpSettings().changed(given)
    assert settings.document() == given
    assert HttpSettings().changed(settings.document()) == settings
    again = settings.changed({"delay_ms": 6})
    assert again.document() == given | {"delay_ms": 6}
    assert settings.changed({"truncate": None}).document() == {
        k: v for k, v in given.items() if k != "truncate"
    }
    assert HttpSettings().changed({"body_base64": "/w=="}).document() == {"body_base64": "/w=="}


@pytest.mark.parametrize(("pattern", "text", "matches"), [
    ("/a", "/a", True), ("/a", "/a/", False), ("/a*", "/a", True), ("/a/*", "/a", False), ("*", "", True),
    ("/a/*/c", "/a/b/c", True), ("/a/*/c", "/a/b/x/c", True), ("/a*a", "/a", False), ("*b*", "abc", True),
    ("*b*b*", "abc", False), ("/*.json", "/x.json", True), ("/*.json", "/x.jsonl", False), ("**", "x", True),
    ("*" + "a*" * 30, "a" * 29 + "b" * 5000, False),
])  # fmt: skip
def test_patterns(pattern: str, text: str, matches: bool) -> None:
    assert glob_matches(pattern, text) is matches


@pytest.mark.parametrize(("route", "target", "matches"), [
    ("/a", b"/a?b=c", True), ("/a?b=*", b"/a?b=c", True), ("/a?b=*", b"/a", False), ("", b"*", True),
    ("/a", b"http://host:80/a", True), ("/", b"http://host", True), ("*", b"host:443", True),
    ("/%7Ea", b"/%7Ea", True), ("/\u00e4", b"/\xe4", True),
])  # fmt: skip
def test_routes(route: str, target: bytes, matches: bool) -> None:
    settings = HttpSettings().changed({"route": route, "method": "GET"})
    assert settings.matches(b"GET", target) is matches
    assert not settings.matches(b"PUT", target)
