"""What servers may send, and what must come of it: the table of `test_lean_replies.py`. Only data."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import brotli

Then = Literal["wait", "close", "reset", "repeat"]


@dataclass(frozen=True)
class Awkward:
    """pieces: sent one after the other, `pause_s` apart. then: keep the connection open and read the next
    request; close or reset it; or send the last piece again and again.

    expect: status and body, or the name of the failure. again: may the connection serve the next request?
    """

    name: str
    pieces: Sequence[bytes]
    expect: str
    again: bool = False
    then: Then = "wait"
    pause_s: float = 0.02
    method: str = "GET"
    stream: bool = False


def reply(*headers: str, body: bytes = b"", status: str = "200 OK", version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join([f"{version} {status}", *headers, "", ""]).encode("latin-1") + body


def _coded(coding: str, body: bytes) -> bytes:
    return reply(f"Content-Encoding: {coding}", f"Content-Length: {len(body)}", body=body)


def _chunks(body: bytes, *headers: str) -> bytes:
    return reply("Transfer-Encoding: chunked", *headers, body=body)


OK = reply("Content-Length: 2", body=b"hi")
HEAD = reply("Content-Length: 2")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BOMB = b"\0" * 3_000_000
"""Larger than what the test allows for a body, which is 100 kB."""
LARGE = b"x" * 200_000
GOOD = "200 hi"
JUNK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"

CASES: tuple[Awkward, ...] = (
    # as it should be, in odd pieces
    Awkward("plain", [OK], GOOD, again=True),
    Awkward("a byte at a time", [bytes([b]) for b in OK], GOOD, again=True, pause_s=0.0),
    Awkward("head and body apart", [HEAD, b"hi"], GOOD, again=True),
    Awkward("empty body", [reply("Content-Length: 0")], "200 ", again=True),
    Awkward("no reason", [reply("Content-Length: 2", body=b"hi", status="200")], GOOD, again=True),
    Awkward(
        "reason of odd characters",
        [reply("Content-Length: 2", body=b"hi", status="200 \xe4\xff!")],
        GOOD,
        True,
    ),
    Awkward("empty lines before the reply", [b"\r\n\r\n" + OK], GOOD, again=True),
    Awkward("empty line after the reply", [OK + b"\r\n"], GOOD, again=True),
    Awkward("header without a value", [reply("X-Empty:", "Content-Length: 2", body=b"hi")], GOOD, again=True),
    Awkward("header in ISO 8859-1", [reply("X: \xfcber", "Content-Length: 2", body=b"hi")], GOOD, again=True),
    Awkward("length with spaces", [reply("Content-Length:   2  ", body=b"hi")], GOOD, again=True),
    Awkward("length in small letters", [reply("content-length: 2", body=b"hi")], GOOD, again=True),
    Awkward("1000 headers", [reply(*["X: y"] * 1000, "Content-Length: 2", body=b"hi")], GOOD, again=True),
    Awkward(
        "body that looks like a reply",
        [reply(f"Content-Length: {len(JUNK)}", body=JUNK)],
        f"200 {JUNK.decode()}"[:44],
        again=True,
    ),
    # HTTP/1.0 and connections that end
    Awkward("1.0", [reply("Content-Length: 2", body=b"hi", version="HTTP/1.0")], GOOD),
    Awkward("1.0 that closes", [reply(body=b"hi", version="HTTP/1.0")], GOOD, then="close"),
    Awkward(
        "1.0 kept alive",
        [reply("Connection: keep-alive", "Content-Length: 2", body=b"hi", version="HTTP/1.0")],
        GOOD,
        again=True,
    ),
    Awkward("ends with the connection", [reply(body=b"hi")], GOOD, then="close"),
    Awkward("empty, ends with the connection", [reply()], "200 ", then="close"),
    Awkward("says close", [reply("Connection: close", "Content-Length: 2", body=b"hi")], GOOD),
    Awkward(
        "says Close among others", [reply("Connection: x, Close", "Content-Length: 2", body=b"hi")], GOOD
    ),
    Awkward("keeps silent and open without a length", [reply(body=b"hi")], "ReplyTimeout"),
    Awkward("closes after a whole reply", [OK], GOOD, then="close"),
    Awkward("resets after a whole reply", [OK], GOOD, then="reset", pause_s=0.2),
    # cut off
    Awkward("nothing, closed", [], "CutOff", then="close"),
    Awkward("nothing, reset", [], "ConnectionResetError", then="reset"),
    Awkward("nothing, silent", [], "ReplyTimeout"),
    Awkward("half a status line, closed", [b"HTTP/1.1 20"], "CutOff", then="close"),
    Awkward("half a status line, silent", [b"HTTP/1.1 20"], "ReplyTimeout"),
    Awkward("half a head, closed", [b"HTTP/1.1 200 OK\r\nContent-Le"], "CutOff", then="close"),
    Awkward(
        "head without its end, closed", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"], "CutOff", then="close"
    ),
    Awkward("half a body, closed", [HEAD, b"h"], "CutOff", then="close"),
    Awkward("half a body, reset", [HEAD, b"h"], "ConnectionResetError", then="reset", pause_s=0.1),
    Awkward("half a body, silent", [HEAD, b"h"], "ReplyTimeout"),
    Awkward("no body at all, closed", [HEAD], "CutOff", then="close"),
    Awkward("half a chunk, closed", [_chunks(b"5\r\nhe")], "CutOff", then="close"),
    Awkward("no last chunk, closed", [_chunks(b"2\r\nhi\r\n")], "CutOff", then="close"),
    Awkward("no last chunk, silent", [_chunks(b"2\r\nhi\r\n")], "ReplyTimeout"),
    Awkward("no end of trailers, closed", [_chunks(b"2\r\nhi\r\n0\r\nX: y\r\n")], "CutOff", then="close"),
    # chunks
    Awkward("chunks", [_chunks(b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n")], GOOD, again=True),
    Awkward(
        "chunks in pieces", [_chunks(b""), b"1", b"\r\nh\r", b"\n1\r\ni\r\n0\r\n", b"\r\n"], GOOD, again=True
    ),
    Awkward("chunk with extension", [_chunks(b'2;a=b;c="d"\r\nhi\r\n0\r\n\r\n')], GOOD, again=True),
    Awkward("chunks with trailers", [_chunks(b"2\r\nhi\r\n0\r\nX: y\r\n\r\n")], GOOD, again=True),
    Awkward(
        "chunk length in capitals", [_chunks(b"A\r\n0123456789\r\n0\r\n\r\n")], "200 0123456789", again=True
    ),
    Awkward("chunk length with zeros", [_chunks(b"0002\r\nhi\r\n0\r\n\r\n")], GOOD, again=True),
    Awkward("chunk length is none", [_chunks(b"hello\r\n")], "BadReply"),
    Awkward("chunk length negative", [_chunks(b"-2\r\nhi\r\n0\r\n\r\n")], "BadReply"),
    Awkward("chunk length with 0x", [_chunks(b"0x2\r\nhi\r\n0\r\n\r\n")], "BadReply"),
    Awkward("chunk length too large", [_chunks(b"fffffffffffffffff\r\nhi\r\n0\r\n\r\n")], "BadReply"),
    Awkward("chunk shorter than it says", [_chunks(b"2\r\nh\r\n0\r\n\r\n")], "BadReply"),
    Awkward("chunk longer than it says", [_chunks(b"2\r\nhixx\r\n0\r\n\r\n")], "BadReply"),
    Awkward(
        "chunks, not the last coding",
        [reply("Transfer-Encoding: chunked, gzip", body=b"hi")],
        "BadEncoding",
        then="close",
    ),
    Awkward(
        "gzip as transfer coding",
        [reply("Transfer-Encoding: gzip, chunked", body=b"2\r\nhi\r\n0\r\n\r\n")],
        "BadEncoding",
        again=True,
    ),
    # framing that contradicts itself
    Awkward("length and chunks", [_chunks(b"2\r\nhi\r\n0\r\n\r\n", "Content-Length: 2")], "BadReply"),
    Awkward("two lengths", [reply("Content-Length: 2", "Content-Length: 5", body=b"hi")], "BadReply"),
    Awkward(
        "the same length twice", [reply("Content-Length: 2", "Content-Length: 2", body=b"hi")], "BadReply"
    ),
    Awkward("lengths in a list", [reply("Content-Length: 2, 2", body=b"hi")], "BadReply"),
    Awkward("length negative", [reply("Content-Length: -2", body=b"hi")], "BadReply"),
    Awkward("length with a sign", [reply("Content-Length: +2", body=b"hi")], "BadReply"),
    Awkward("length is none", [reply("Content-Length: two", body=b"hi")], "BadReply"),
    Awkward("length empty", [reply("Content-Length:", body=b"hi")], "BadReply"),
    Awkward("length too large for any number", [reply(f"Content-Length: {10**30}", body=b"hi")], "BadReply"),
    # no HTTP
    Awkward("a page without a head", [b"<html>hello</html>"], "BadReply"),
    Awkward("binary", [bytes(range(256))], "BadReply"),
    Awkward("TLS's alert", [b"\x15\x03\x01\x00\x02\x02\x46"], "BadReply"),
    Awkward("SSH's greeting", [b"SSH-2.0-OpenSSH_9.6\r\n"], "BadReply"),
    Awkward("HTTP/2's preface", [b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\x40"], "BadReply"),
    Awkward("HTTP/2.0 in letters", [reply("Content-Length: 2", body=b"hi", version="HTTP/2.0")], "BadReply"),
    Awkward("RTSP", [reply("Content-Length: 2", body=b"hi", version="RTSP/1.0")], "BadReply"),
    Awkward("version of nothing", [reply("Content-Length: 2", body=b"hi", version="HTTP/x")], "BadReply"),
    Awkward("status of two digits", [reply("Content-Length: 2", body=b"hi", status="20 OK")], "BadReply"),
    Awkward("status of four digits", [reply("Content-Length: 2", body=b"hi", status="2000 OK")], "BadReply"),
    Awkward("status in letters", [reply("Content-Length: 2", body=b"hi", status="abc OK")], "BadReply"),
    Awkward(
        "LocustBadStatusCode",
        [reply("Content-Length: 2", body=b"hi", status="999 Odd")],
        "LocustBadStatusCode",
        again=True,
    ),
    Awkward("lines without CR", [OK.replace(b"\r\n", b"\n")], "BadReply"),
    Awkward("header without a colon", [reply("what is this", "Content-Length: 2", body=b"hi")], "BadReply"),
    Awkward("space before the colon", [reply("Content-Length : 2", body=b"hi")], "BadReply"),
    Awkward("header without a name", [reply(": x", "Content-Length: 2", body=b"hi")], "BadReply"),
    Awkward("folded header", [reply("X: a", " b", "Content-Length: 2", body=b"hi")], "BadReply"),
    Awkward("NUL in a header", [reply("X: a\0b", "Content-Length: 2", body=b"hi")], "BadReply"),
    Awkward("CR alone in a header", [reply("X: a\rb", "Content-Length: 2", body=b"hi")], "BadReply"),
    # without end
    Awkward(
        "endless head",
        [b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 8000 + b"\r\n"],
        "HeadTooLarge",
        then="repeat",
        pause_s=0,
    ),
    Awkward(
        "endless header", [b"HTTP/1.1 200 OK\r\nX: ", b"y" * 8000], "HeadTooLarge", then="repeat", pause_s=0
    ),
    Awkward("endless reason", [b"HTTP/1.1 200 ", b"y" * 8000], "HeadTooLarge", then="repeat", pause_s=0),
    Awkward("endless empty lines", [b"\r\n" * 4000], "HeadTooLarge", then="repeat", pause_s=0),
    Awkward("endless 100", [CONTINUE], "BadReply", then="repeat", pause_s=0),
    Awkward(
        "endless 103, slowly",
        [reply("Link: </a>", status="103 Early Hints")],
        "BadReply",
        then="repeat",
        pause_s=0.0,
    ),
    Awkward("endless body", [reply(), b"x" * 60_000], "BodyTooLarge", then="repeat", pause_s=0),
    Awkward(
        "endless chunks",
        [_chunks(b""), b"ea60\r\n" + b"x" * 60_000 + b"\r\n"],
        "BodyTooLarge",
        then="repeat",
        pause_s=0,
    ),
    Awkward(
        "endless small chunks", [_chunks(b""), b"1\r\nx\r\n" * 8000], "BodyTooLarge", then="repeat", pause_s=0
    ),
    Awkward(
        "endless trailers",
        [_chunks(b"2\r\nhi\r\n0\r\n"), b"X: y\r\n"],
        "ReplyTimeout",
        then="repeat",
        pause_s=0.0,
    ),
    Awkward("endless chunk extension", [_chunks(b"2;a="), b"y"], "ReplyTimeout", then="repeat", pause_s=0.0),
    Awkward(
        "head a byte at a time", [b"HTTP/1.1 200 OK\r\nX: ", b"y"], "ReplyTimeout", then="repeat", pause_s=0.1
    ),
    Awkward(
        "body a byte at a time",
        [reply("Content-Length: 1000"), b"y"],
        "ReplyTimeout",
        then="repeat",
        pause_s=0.1,
    ),
    Awkward("body larger than allowed", [reply(f"Content-Length: {len(LARGE)}", body=LARGE)], "BodyTooLarge"),
    Awkward(
        "the same, streamed",
        [reply(f"Content-Length: {len(LARGE)}", body=LARGE)],
        f"200 {len(LARGE)} bytes",
        again=True,
        stream=True,
    ),
    # interim replies
    Awkward("100 first", [CONTINUE + OK], GOOD, again=True),
    Awkward("100 first, in pieces", [CONTINUE[:9], CONTINUE[9:], OK[:20], OK[20:]], GOOD, again=True),
    Awkward("103 with headers first", [reply("Link: </a>", status="103 Early Hints"), OK], GOOD, again=True),
    Awkward("three 102 first", [b"HTTP/1.1 102 P\r\n\r\n" * 3 + OK], GOOD, again=True),
    Awkward("100 with a length", [reply("Content-Length: 2", status="100 Continue") + OK], GOOD, again=True),
    Awkward("100 and nothing more", [CONTINUE], "ReplyTimeout"),
    Awkward("100, then closed", [CONTINUE], "CutOff", then="close"),
    Awkward(
        "101 that nobody asked for", [reply("Upgrade: x", "Connection: upgrade", status="101 S")], "BadReply"
    ),
    # no body by definition
    Awkward("204", [reply(status="204 No Content")], "204 ", again=True),
    Awkward("204 with a length", [reply("Content-Length: 2", status="204 No Content")], "204 ", again=True),
    Awkward("204 with a body", [reply("Content-Length: 2", body=b"hi", status="204 No Content")], "204 "),
    Awkward("304 with a length", [reply("Content-Length: 2", status="304 Not Modified")], "304 ", again=True),
    Awkward("HEAD", [reply("Content-Length: 2")], "200 ", again=True, method="HEAD"),
    Awkward("HEAD without a length", [reply("X: y")], "200 ", again=True, method="HEAD"),
    Awkward("HEAD with chunks announced", [_chunks(b"")], "200 ", again=True, method="HEAD"),
    Awkward("HEAD with a body", [OK], "200 ", method="HEAD"),
    Awkward(
        "HEAD in pieces",
        [b"HTTP/1.1 200 OK\r", b"\nContent-Length: 2\r\n\r", b"\n"],
        "200 ",
        True,
        method="HEAD",
    ),
    Awkward("HEAD after 100", [CONTINUE + HEAD], "200 ", again=True, method="HEAD"),
    # more than was asked for
    Awkward("a second reply", [OK + JUNK], GOOD),
    Awkward("a second reply, later", [OK, JUNK], GOOD),
    Awkward("half a second reply", [OK + JUNK[:20]], GOOD),
    Awkward("one letter too much", [OK + b"H"], GOOD),
    Awkward("body longer than its length", [OK + b"!"], GOOD),
    Awkward("junk after the last chunk", [_chunks(b"2\r\nhi\r\n0\r\n\r\njunk")], GOOD),
    Awkward("408 while idle", [OK, reply("Connection: close", status="408 Too Late")], GOOD, then="close"),
    # content codings
    Awkward("gzip", [_coded("gzip", gzip.compress(b"hi"))], GOOD, again=True),
    Awkward("gzip by its old name", [_coded("x-gzip", gzip.compress(b"hi"))], GOOD, again=True),
    Awkward("gzip in capitals", [_coded("GZIP", gzip.compress(b"hi"))], GOOD, again=True),
    Awkward(
        "gzip of two members", [_coded("gzip", gzip.compress(b"h") + gzip.compress(b"i"))], GOOD, again=True
    ),
    Awkward("deflate", [_coded("deflate", zlib.compress(b"hi"))], GOOD, again=True),
    Awkward("bare deflate", [_coded("deflate", zlib.compress(b"hi")[2:-4])], GOOD, again=True),
    Awkward("br", [_coded("br", brotli.compress(b"hi"))], GOOD, again=True),
    Awkward("br in gzip", [_coded("br, gzip", gzip.compress(brotli.compress(b"hi")))], GOOD, again=True),
    Awkward("identity", [_coded("identity", b"hi")], GOOD, again=True),
    Awkward("gzip of nothing", [_coded("gzip", b"")], "200 ", again=True),
    Awkward("gzip that is none", [_coded("gzip", b"hello, world")], "BadEncoding", again=True),
    Awkward("gzip cut off", [_coded("gzip", gzip.compress(b"hi")[:-4])], "BadEncoding", again=True),
    Awkward(
        "gzip with a wrong sum", [_coded("gzip", gzip.compress(b"hi")[:-8] + b"\0" * 8)], "BadEncoding", True
    ),
    Awkward("unknown coding", [_coded("rot13", b"uv")], "BadEncoding", again=True),
    Awkward("ten codings", [_coded(", ".join(["gzip"] * 10), b"hi")], "BadEncoding", again=True),
    Awkward("gzip bomb", [_coded("gzip", gzip.compress(BOMB))], "BodyTooLarge", again=True),
    Awkward("br bomb", [_coded("br", brotli.compress(BOMB))], "BodyTooLarge", again=True),
    Awkward(
        "bomb in a bomb",
        [_coded("gzip, gzip", gzip.compress(gzip.compress(BOMB)))],
        "BodyTooLarge",
        again=True,
    ),
    # redirects
    Awkward(
        "redirect in a circle",
        [reply("Location: /first", "Content-Length: 0", status="302 F")],
        "TooManyRedirects",
        again=True,
    ),
    Awkward(
        "redirect to nowhere",
        [reply("Location: http://", "Content-Length: 0", status="302 F")],
        "BadRedirect",
        again=True,
    ),
    Awkward(
        "redirect to a file",
        [reply("Location: file:///etc/passwd", "Content-Length: 0", status="302 F")],
        "BadRedirect",
        again=True,
    ),
    Awkward(
        "redirect to a port that is none",
        [reply("Location: http://a:99999/", "Content-Length: 0", status="302 F")],
        "BadRedirect",
        again=True,
    ),
    Awkward(
        "redirect without a place",
        [reply("Content-Length: 2", body=b"hi", status="302 F")],
        "302 hi",
        again=True,
    ),
)
