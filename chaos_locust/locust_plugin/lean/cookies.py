"""Cookies by Python's own `http.cookiejar`, asked only where its answer may have changed."""

from __future__ import annotations

from email.message import Message
from http.cookiejar import Cookie, CookieJar
from math import inf
from time import time
from typing import Any, cast
from urllib.request import Request

from chaos_locust.locust_plugin.lean.reader import header_lines

_MAX_ANSWERS = 1000


class Cookies(CookieJar):
    """Of one user. What is put in by hand counts like what servers have set."""

    def __init__(self) -> None:
        super().__init__()
        self._never_set = True
        self._answers: dict[str, str | None] = {}
        self._good_until_s = inf

    def header(self, url: str) -> str | None:
        """The value of the Cookie header of a request for it."""
        if self._never_set:
            return None
        if time() >= self._good_until_s or len(self._answers) > _MAX_ANSWERS:
            self._forget()
        if url not in self._answers:
            request = Request(url)
            self.add_cookie_header(request)
            self._good_until_s = min((c.expires for c in self if c.expires is not None), default=inf)
            self._answers[url] = request.get_header("Cookie")
        return self._answers[url]

    def take(self, head: bytes, url: str) -> None:
        """Keeps what the reply with this head sets, as far as it may."""
        self.extract_cookies(cast(Any, _Reply(head)), Request(url))

    def set_cookie(self, cookie: Cookie) -> None:
        self._never_set = False
        self._forget()
        super().set_cookie(cookie)

    def clear(self, domain: str | None = None, path: str | None = None, name: str | None = None) -> None:
        self._forget()
        super().clear(domain, path, name)

    def _forget(self) -> None:
        self._answers.clear()
        self._good_until_s = inf


class _Reply:
    """What `http.cookiejar` wants to see of one."""

    def __init__(self, head: bytes) -> None:
        self._message: Any = Message()
        for name, value in header_lines(head):
            if name.lower() in ("set-cookie", "set-cookie2"):
                self._message[name] = value

    def info(self) -> Message:
        return self._message  # type: ignore[no-any-return]
