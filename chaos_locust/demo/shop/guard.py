"""What holds for every request, before any route: methods, sizes, and the headers of the answer."""

from __future__ import annotations

import platform
from importlib.metadata import version

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chaos_locust.demo.settings import Settings

LARGEST_BODY = 16 * 1024  # bytes
METHODS = ("GET", "POST", "PUT", "DELETE")

_SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
_TLS_ONLY = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


class TooLarge(HTTPException):
    def __init__(self) -> None:
        super().__init__(413)


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._bounded = not settings.has("unbounded-input")
        self._traces = settings.has("trace-method")
        self._headers = [] if settings.has("missing-headers") else _SECURITY
        self._tls_headers = [] if settings.has("missing-headers") else [*_SECURITY, _TLS_ONLY]
        if settings.has("banner"):
            banner = f"uvicorn/{version('uvicorn')} Python/{platform.python_version()}".encode()
            self._headers = [*self._headers, (b"server", banner)]
            self._tls_headers = [*self._tls_headers, (b"server", banner)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = self._tls_headers if scope["scheme"] == "https" else self._headers

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, dressed)
        else:
            await self._app(scope, _limited(receive) if self._bounded else receive, dressed)

    def _refusal(self, scope: Scope) -> Response | None:
        given = Headers(scope=scope)
        if scope["method"] == "TRACE" and self._traces:
            lines = [f"TRACE {scope['path']}", *(f"{name}: {value}" for name, value in given.items())]
            return Response("\r\n".join(lines), media_type="message/http")
        if scope["method"] not in METHODS:
            body = {"error": "method_not_allowed", "detail": "Method Not Allowed"}
            return JSONResponse(body, 405, {"Allow": ", ".join(METHODS)})
        if self._bounded and int(given.get("content-length", 0)) > LARGEST_BODY:
            body = {"error": "too_large", "detail": f"a request's body has at most {LARGEST_BODY} bytes"}
            return JSONResponse(body, 413)  # what still comes is thrown away, so that the answer is seen
        return None


def _limited(receive: Receive) -> Receive:
    """The same, until a body turns out too large whose size was not told."""
    left = LARGEST_BODY

    async def received() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise TooLarge
        return message

    return received
