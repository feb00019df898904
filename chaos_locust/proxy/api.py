"""Toxiproxy's HTTP API: routes, replies and headers as the real server has them."""

from __future__ import annotations

import base64
import os
import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from chaos_locust.proxy.collection import Collection
from chaos_locust.proxy.errors import ApiError
from chaos_locust.proxy.gojson import encode
from chaos_locust.proxy.metrics import CONTENT_TYPE, Metrics

_REASONS = {
    200: "OK", 201: "Created", 204: "No Content", 301: "Moved Permanently", 400: "Bad Request",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 409: "Conflict",
    500: "Internal Server Error",
}  # fmt: skip
_CLOSE = ("Connection", "close")
# A longer body goes out in chunks.
_WHOLE = 2048
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Reply:
    """`headers` beside Content-Type, Content-Length, Date and Connection."""

    status: int
    body: str = ""
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


def _json(value: Any, status: int = 200) -> Reply:
    return Reply(status, encode(value), _JSON)


def _error(text: str, status: int) -> Reply:
    return Reply(status, text + "\n", _TEXT, (("X-Content-Type-Options", "nosniff"),))


def _refused(error: ApiError) -> Reply:
    return _error(encode({"error": str(error), "status": error.status}), error.status)


class Api:
    """The WSGI application."""

    def __init__(self, collection: Collection, metrics: Metrics, version: str) -> None:
        self._collection = collection
        self._metrics = metrics
        self._version = version
        name = "([^/]+)"
        routes: list[tuple[str, dict[str, Callable[..., Reply]]]] = [
            ("/reset", {"POST": self._reset}),
            ("/proxies", {"GET": self._index, "POST": self._create}),
            ("/populate", {"POST": self._populate}),
            (f"/proxies/{name}", self._both(self._update) | {"GET": self._show, "DELETE": self._delete}),
            (f"/proxies/{name}/toxics", {"GET": self._toxic_index, "POST": self._toxic_create}),
            (
                f"/proxies/{name}/toxics/{name}",
                self._both(self._toxic_update) | {"GET": self._toxic_show, "DELETE": self._toxic_delete},
            ),
            ("/version", {"GET": self._show_version}),
            ("/additions", {"GET": self._additions}),
        ]
        self._routes = [(re.compile(pattern), methods) for pattern, methods in routes]

    @staticmethod
    def _both(update: Callable[..., Reply]) -> dict[str, Callable[..., Reply]]:
        return {"POST": update, "PATCH": update}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        reply = self._answer(environ)
        body = reply.body.encode()
        headers = list(reply.headers)
        if reply.content_type is not None:
            headers.append(("Content-Type", reply.content_type))
        chunked = len(body) > _WHOLE and environ["SERVER_PROTOCOL"] != "HTTP/1.0"
        if reply.status != 204 and not chunked:
            headers.append(("Content-Length", str(len(body))))
        if _CLOSE not in headers and "close" in environ.get("HTTP_CONNECTION", "").lower():
            headers.append(_CLOSE)
        start_response(f"{reply.status} {_REASONS[reply.status]}", headers)
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        # Without a length and as an iterator, the server sends it in chunks.
        return iter((body,)) if chunked else [body]

    def _answer(self, environ: dict[str, Any]) -> Reply:
        raw = environ["chaos_locust.raw_path"]
        if re.search("%(?![0-9a-fA-F]{2})", raw):
            return Reply(400, "400 Bad Request", _TEXT, (_CLOSE,))
        path = unquote_to_bytes(raw).decode("utf-8", "surrogateescape")
        clean = _clean(path)
        if clean != path:
            query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
            location = quote(clean, safe="/:@!$&'()*+,;=-._~", errors="surrogateescape")
            return Reply(301, headers=(("Location", location + query),))
        method = environ["REQUEST_METHOD"]
        if path == "/metrics" and (self._metrics.proxy or self._metrics.runtime):
            return self._identified(environ, lambda: Reply(200, self._metrics.text(), CONTENT_TYPE))
        for pattern, methods in self._routes:
            match = pattern.fullmatch(path)
            if match is not None:
                if method not in methods:
                    return Reply(405)
                body = environ["wsgi.input"].read()
                with_body = (body,) if method in ("POST", "PATCH") else ()
                return self._identified(environ, partial(methods[method], *match.groups(), *with_body))
        return _error("404 page not found", 404)

    def _identified(self, environ: dict[str, Any], handle: Callable[[], Reply]) -> Reply:
        """What a route that exists answers: never to a browser, and always with an id of the request."""
        if environ.get("HTTP_USER_AGENT", "").startswith("Mozilla/"):
            reply = _error("User agent not allowed", 403)
        else:
            try:
                reply = handle()
            except ApiError as error:
                reply = _refused(error)
        identity = base64.b32hexencode(os.urandom(13)).decode().lower()[:20]
        headers = (*reply.headers, ("X-Toxiproxy-Request-Id", identity))
        return Reply(reply.status, reply.body, reply.content_type, headers)

    # --- routes

    def _index(self) -> Reply:
        return _json(self._collection.documents())

    def _create(self, body: bytes) -> Reply:
        return _json(self._collection.create(body).document(), 201)

    def _show(self, name: str) -> Reply:
        return _json(self._collection.get(name).document())

    def _update(self, name: str, body: bytes) -> Reply:
        return _json(self._collection.update(name, body).document())

    def _delete(self, name: str) -> Reply:
        self._collection.remove(name)
        return Reply(204)

    def _populate(self, body: bytes) -> Reply:
        proxies, error = self._collection.populate(body)
        document = {} if error is None else {"error": str(error), "status": error.status}
        document["proxies"] = [proxy.document() for proxy in proxies] or None
        return _json(document, 201 if error is None else error.status)

    def _reset(self, body: bytes) -> Reply:
        self._collection.reset()
        return Reply(204)

    def _toxic_index(self, name: str) -> Reply:
        return _json(self._collection.get(name).toxics.documents())

    def _toxic_create(self, name: str, body: bytes) -> Reply:
        return _json(self._collection.get(name).toxics.create(body).document())

    def _toxic_show(self, name: str, toxic: str) -> Reply:
        return _json(self._collection.get(name).toxics.get(toxic).document())

    def _toxic_update(self, name: str, toxic: str, body: bytes) -> Reply:
        return _json(self._collection.get(name).toxics.update(toxic, body).document())

    def _toxic_delete(self, name: str, toxic: str) -> Reply:
        self._collection.get(name).toxics.remove(toxic)
        return Reply(204)

    def _additions(self) -> Reply:
        """What is here and not in Toxiproxy, which has no such path."""
        return _json({"toxics": ["http"], "tls": True})

    def _show_version(self) -> Reply:
        return Reply(200, f'{{"version": "{self._version}"}}\n', "application/json;charset=utf-8")


def _clean(path: str) -> str:
    """The canonical form of a path: no `//`, `.` or `..`; a slash at the end stays."""
    if not path:
        return "/"
    cleaned = posixpath.normpath("/" + path.lstrip("/"))
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned
