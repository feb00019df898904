"""Sends one request until its last reply: cookies, redirects, what the reply's head says of its body."""

from __future__ import annotations

from time import perf_counter
from typing import Any, Final

from locust.contrib.fasthttp import LocustBadStatusCode, LocustUserAgent

from chaos_locust.locust_plugin.lean.body import Body, StreamedBody
from chaos_locust.locust_plugin.lean.connecting import Opener
from chaos_locust.locust_plugin.lean.cookies import Cookies
from chaos_locust.locust_plugin.lean.decoding import decoded
from chaos_locust.locust_plugin.lean.exchange import Exchanges, Reply
from chaos_locust.locust_plugin.lean.failures import BadEncoding, BadRedirect, BadReply, TooManyRedirects
from chaos_locust.locust_plugin.lean.reader import SWITCHING_PROTOCOLS, header_lines
from chaos_locust.locust_plugin.lean.response import LeanResponse
from chaos_locust.locust_plugin.lean.writing import Body as SentBody
from chaos_locust.locust_plugin.lean.writing import Head, Target, redirected

VALID: Final = LocustUserAgent.valid_response_codes
"""All others make a request fail, which is told by Locust's own LocustBadStatusCode."""
REDIRECTS: Final = LocustUserAgent.redirect_response_codes


class Agent:
    """That of one user. timeout_s: for the whole request, all redirects included, but not for connecting."""

    def __init__(
        self, opener: Opener, concurrency: int, timeout_s: float, max_redirects: int, max_body_bytes: int
    ) -> None:
        self.cookies = Cookies()
        self._opener = opener
        self._exchanges = Exchanges(opener, concurrency, timeout_s, max_body_bytes)
        self._timeout_s = timeout_s
        self._max_redirects = max_redirects
        self._max_body_bytes = max_body_bytes

    def head(self, method: str, url: str, params: Any, fields: dict[str, Any]) -> Head:
        """Raises ValueError for what cannot be sent."""
        target = Target(url, params)
        return Head(method.upper(), target, fields, self._opener.proxy_for(target.origin))

    def send(self, head: Head, body: SentBody, stream: bool, allow_redirects: bool) -> LeanResponse:
        """Raises OSError, of which all time-outs are, or BadReply."""
        deadline_s = perf_counter() + self._timeout_s
        history: list[LeanResponse] = []
        first = head
        while True:
            cookies = None if "cookie" in head.own else self.cookies.header(head.target.url)
            began_s = perf_counter()
            reply = self._exchanges.exchange(head, head.message(body, cookies), deadline_s, stream)
            response = self._response(head, body, reply)
            response.elapsed_s = reply.head_s - began_s
            if not (allow_redirects and self._max_redirects > 0 and reply.status in REDIRECTS):
                break
            location = _location(reply)
            if not location:
                break
            response.release()
            history.append(response)
            if len(history) > self._max_redirects:
                raise TooManyRedirects(f"more than {self._max_redirects} redirects")
            deadline_s = reply.deadline_s
            head, body = self._redirected(first, head, body, reply.status, location)
        response.history = history
        return response

    def _response(self, head: Head, body: SentBody, reply: Reply) -> LeanResponse:
        lower = reply.head.lower()
        try:
            content = self._content(head, reply, lower)
        except BadReply:
            if reply.rest is not None:
                reply.rest.close()
            raise
        response = LeanResponse(head, body, reply.status, reply.head, content)
        if b"\r\nset-cookie" in lower:
            self.cookies.take(reply.head, head.target.url)
        if reply.status not in VALID and not (reply.status == SWITCHING_PROTOCOLS and "upgrade" in head.own):
            response.error = LocustBadStatusCode(head.target.url, code=reply.status)
        return response

    def _content(self, head: Head, reply: Reply, lower: bytes) -> Body:
        if reply.status == SWITCHING_PROTOCOLS and "upgrade" not in head.own:
            raise BadReply("101 Switching Protocols without having been asked")
        if b"\r\ntransfer-encoding:" in lower and _values(reply, "transfer-encoding") != ["chunked"]:
            raise BadEncoding("transfer coding other than chunked")
        codings = _values(reply, "content-encoding") if b"\r\ncontent-encoding:" in lower else []
        if reply.rest is not None:
            return StreamedBody(reply.rest, codings, self._max_body_bytes)
        if codings and reply.body:
            return Body(decoded(reply.body, codings, self._max_body_bytes))
        return Body(reply.body)

    def _redirected(
        self, first: Head, head: Head, body: SentBody, status: int, location: bytes
    ) -> tuple[Head, SentBody]:
        """The next request: a GET without a body, but for 307 and 308, which repeat it. What identifies the
        user goes to no other origin than the first."""
        try:
            target = Target(redirected(head.target.url, location))
        except ValueError:
            raise BadRedirect("redirect to what is no URL of HTTP") from None
        dropped = {"cookie", "host"}
        if target.origin != first.target.origin:
            dropped.add("authorization")
        method = head.method
        if status in (301, 302, 303):
            method, body = ("HEAD" if method == "HEAD" else "GET"), None
            dropped |= {"content-type", "content-length", "content-encoding", "transfer-encoding"}
        elif body is not None and not isinstance(body, bytes):
            body = _rewound(body)
        fields = {name: value for name, value in head.fields.items() if name.lower() not in dropped}
        return Head(method, target, fields, self._opener.proxy_for(target.origin)), body

    def close(self) -> None:
        """Closes the connections that are kept."""
        self._exchanges.close()


def _values(reply: Reply, wanted: str) -> list[str]:
    return [value.lower() for name, value in header_lines(reply.head) if name.lower() == wanted]


def _location(reply: Reply) -> bytes:
    found = [value for name, value in header_lines(reply.head) if name.lower() == "location"]
    return found[0].encode("latin-1") if found else b""


def _rewound(body: Any) -> Any:
    try:
        body.seek(0)
    except (AttributeError, OSError):
        raise BadRedirect("redirect of a body that can be sent only once") from None
    return body
