"""The client of one lean user: requests with names, reported to Locust, as `FastHttpSession` has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ssl import SSLContext
from time import perf_counter, time
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit, urlunsplit

import gevent
from locust.event import EventHook
from locust.user import User

from chaos_locust.locust_plugin.lean.agent import Agent
from chaos_locust.locust_plugin.lean.connecting import Opener, Proxies, basic
from chaos_locust.locust_plugin.lean.failures import BadReply
from chaos_locust.locust_plugin.lean.response import CaughtResponse, LeanResponse
from chaos_locust.locust_plugin.lean.tls import client_context
from chaos_locust.locust_plugin.lean.writing import Body as SentBody
from chaos_locust.locust_plugin.lean.writing import Head, body_of

FAILURES: Final = (OSError, BadReply, gevent.Timeout)
"""What makes a request fail; all else is a mistake of the locustfile, and raised in it."""
_MAX_HEADS: Final = 1000
_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)


class LeanHttpSession:
    """Keeps cookies and connections between requests.

    base_url: what relative URLs are appended to; a user and password in it are sent with every request.
    request_event: is told of every request. Raises ValueError for a base URL or proxy that is none.
    """

    def __init__(
        self,
        base_url: str,
        request_event: EventHook,
        user: User | None,
        *,
        network_timeout: float,
        connection_timeout: float,
        max_redirects: int,
        max_body_bytes: int,
        insecure: bool,
        concurrency: int,
        default_headers: Mapping[str, str] | None = None,
        proxy_host: str | None = None,
        proxy_port: int | None = None,
        ssl_context_factory: Callable[[], SSLContext] | None = None,
    ) -> None:
        self.base_url, self.auth_header = _without_user(base_url)
        self.request_event = request_event
        self.user = user
        self.request_name: str | None = None
        context = ssl_context_factory or (lambda: client_context(insecure))
        opener = Opener(context, Proxies(proxy_host, proxy_port), connection_timeout)
        self._agent = Agent(opener, concurrency, network_timeout, max_redirects, max_body_bytes)
        self.cookiejar = self._agent.cookies
        self._default_headers = dict(default_headers or {})
        self._heads: dict[Any, Head] = {}

    def request(
        self,
        method: str,
        url: str,
        name: str | None = None,
        data: Any = None,
        catch_response: bool = False,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str | bytes, str | bytes] | None = None,
        json: Any = None,
        allow_redirects: bool = True,
        context: Mapping[str, Any] | None = None,
        params: Any = None,
        files: Any = None,
    ) -> Any:
        """Sends a request, reports it to Locust under its name or URL, and returns a LeanResponse; with
        `catch_response` a CaughtResponse, which reports when its with-block ends.

        stream: return when the head is there; the body is not part of the measured time. Raises ValueError
        for what cannot be sent; what fails on the way is in `error` of the response.
        """
        whole_url = url if _ABSOLUTE.match(url) else f"{self.base_url}{url}"
        start_time = time()
        about = dict(self.user.context()) if self.user is not None else {}
        if context:
            about.update(context)
        body: SentBody = None
        implied: dict[str, str] = {}
        if data or files or json is not None:
            body, implied = body_of(data, json, files)
        head = self._head(method, whole_url, params, headers, auth, implied)
        began_s = perf_counter()
        try:
            response = self._agent.send(head, body, stream, allow_redirects)
        except FAILURES as error:
            response = LeanResponse(head, body, 0, b"", None)
            response.error = error
        response_time = (perf_counter() - began_s) * 1000
        meta = {
            "request_type": method,
            "name": name or self.request_name or url,
            "context": about,
            "response": response,
            "exception": response.error,
            "start_time": start_time,
            "url": whole_url,
            "response_length": _length(response, stream),
            "response_time": response_time,
        }
        if catch_response:
            return CaughtResponse(response, self.request_event, meta)
        self.request_event.fire(**meta)
        return response

    def get(self, url: str, **kwargs: Any) -> Any:
        return self.request("GET", url, **kwargs)

    def head(self, url: str, **kwargs: Any) -> Any:
        return self.request("HEAD", url, **kwargs)

    def options(self, url: str, **kwargs: Any) -> Any:
        return self.request("OPTIONS", url, **kwargs)

    def delete(self, url: str, **kwargs: Any) -> Any:
        return self.request("DELETE", url, **kwargs)

    def post(self, url: str, data: Any = None, json: Any = None, **kwargs: Any) -> Any:
        return self.request("POST", url, data=data, json=json, **kwargs)

    def put(self, url: str, data: Any = None, **kwargs: Any) -> Any:
        return self.request("PUT", url, data=data, **kwargs)

    def patch(self, url: str, data: Any = None, **kwargs: Any) -> Any:
        return self.request("PATCH", url, data=data, **kwargs)

    def iter_lines(self, url: str, method: str = "GET", **kwargs: Any) -> Iterator[str]:
        """The lines of a reply while they come, without their ends. Raises why the request failed."""
        response = self.request(method, url, stream=True, **kwargs)
        response.raise_for_status()
        rest = b""
        for piece in response.iter_content(decode_content=False):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line.decode("utf-8", "replace")
        if rest:
            yield rest.decode("utf-8", "replace")

    @contextmanager
    def rename_request(self, name: str) -> Iterator[Self]:
        """The name of all requests in the with-block that have none of their own."""
        self.request_name = name
        try:
            yield self
        finally:
            self.request_name = None

    def close(self) -> None:
        """Closes the connections that are kept."""
        self._agent.close()

    # -- inside -----------------------------------------------------------------------------------------

    def _head(
        self,
        method: str,
        url: str,
        params: Any,
        headers: Mapping[str, str] | None,
        auth: tuple[str | bytes, str | bytes] | None,
        implied: dict[str, str],
    ) -> Head:
        """Most requests are like one before."""
        key = (method, url, auth, *implied.values(), None, *(headers.items() if headers else ()))
        cacheable = params is None and "boundary=" not in implied.get("Content-Type", "")
        if cacheable and key in self._heads:
            return self._heads[key]
        wanted = dict(self._default_headers)
        if auth is not None:
            wanted = _merged(wanted, {"Authorization": basic(*auth)})
        elif self.auth_header is not None:
            wanted = _merged(wanted, {"Authorization": self.auth_header})
        fields = _merged(_merged(implied, wanted), headers or {})
        made = self._agent.head(method, url, params, fields)
        if cacheable:
            if len(self._heads) >= _MAX_HEADS:
                self._heads.clear()
            self._heads[key] = made
        return made


def _without_user(base_url: str) -> tuple[str, str | None]:
    """The URL without user and password, and the Authorization header that they make."""
    parts = urlsplit(base_url)
    if not (parts.username and parts.password):
        return base_url, None
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return bare, basic(unquote(parts.username), unquote(parts.password))


def _merged(fields: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Names are the same in any case; the second wins."""
    names = {name.lower() for name in over}
    return {name: value for name, value in fields.items() if name.lower() not in names} | dict(over)


def _length(response: LeanResponse, stream: bool) -> int:
    if not stream:
        return len(response.content or b"")
    said: Any = None if response.headers is None else response.headers.get("content-length")
    return int(said) if isinstance(said, str) else 0
