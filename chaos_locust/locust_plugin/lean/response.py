"""What a task sees of a reply, with the names that `FastHttpUser` has for it."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, Self

from charset_normalizer import detect
from geventhttpclient.header import Headers
from locust.event import EventHook
from locust.exception import CatchResponseError, LocustError, ResponseError
from requests.utils import get_encoding_from_headers

from chaos_locust.locust_plugin.lean.body import Body
from chaos_locust.locust_plugin.lean.reader import header_lines
from chaos_locust.locust_plugin.lean.writing import Head

_NOT_CAUGHT = "to change the state of a request, pass catch_response=True and use a with-block"


class LeanRequest:
    """As it was sent last, after all redirects. body: None; bytes; or what was read while it was sent."""

    def __init__(self, head: Head, body: Any) -> None:
        self.method = head.method
        self.url = head.target.url
        self.headers = Headers(head.fields)
        self.body = body


class LeanResponse:
    """status_code: 0 when there was no reply. error: why the request failed; None: it did not. history: the
    replies that redirected, oldest first. encoding: of `text`; may be set before that is read."""

    error: BaseException | None = None
    encoding: str | None = None
    _headers: Headers | None = None

    def __init__(self, sent: Head, sent_body: Any, status: int, head: bytes, body: Body | None) -> None:
        self.status_code = status
        self.history: list[LeanResponse] = []
        self.elapsed_s = 0.0
        self._sent = sent
        self._sent_body = sent_body
        self._head = head
        self._body = body

    @property
    def request(self) -> LeanRequest:
        return LeanRequest(self._sent, self._sent_body)

    @property
    def url(self) -> str:
        """Of the last request, after all redirects."""
        return self._sent.target.url

    @property
    def ok(self) -> bool:
        """Is there a reply, with a status below 400?"""
        return 0 < self.status_code < 400

    @property
    def elapsed(self) -> timedelta:
        """From the sending of the last request until the head of its reply was there."""
        return timedelta(seconds=self.elapsed_s)

    @property
    def headers(self) -> Headers | None:
        """Names in any case; a list, where there are several of one name. None: no reply."""
        if self._headers is None and self.status_code:
            self._headers = Headers(header_lines(self._head))
        return self._headers

    @property
    def content(self) -> bytes | None:
        """The decoded body; None: no reply. Of a streamed one, what has not been read yet."""
        return None if self._body is None else self._body.whole()

    @property
    def text(self) -> str | None:
        """By `encoding`, else by the headers, else by what it looks like."""
        content = self.content
        if content is None:
            return None
        if self.encoding is None:
            self.encoding = _said(self.headers) or detect(content)["encoding"]
        return None if self.encoding is None else str(content, self.encoding, errors="replace")

    def json(self) -> Any:
        """Raises json.JSONDecodeError."""
        return json.loads(self.text or "")

    def raise_for_status(self) -> None:
        """Raises why the request failed, if it did."""
        if self.error is not None:
            raise self.error

    # -- streams ----------------------------------------------------------------------------------------

    def iter_content(self, chunk_size: int = 1024, decode_content: bool = True) -> Iterator[bytes | str]:
        """What is left of the body, in pieces of this length. decode_content: as text where it is UTF-8.
        Raises what makes it end before its end."""
        while chunk := self.read(chunk_size):
            try:
                yield chunk.decode() if decode_content else chunk
            except UnicodeDecodeError:
                yield chunk

    def read(self, length: int | None = None) -> bytes:
        """So many bytes of a body, or all that is left; fewer only at the end."""
        return b"" if self._body is None else self._body.read(length)

    @property
    def stream(self) -> Self:
        """To be read from."""
        return self

    def release(self) -> None:
        """No more of a streamed body is wanted."""
        if self._body is not None:
            self._body.close()

    # -- with catch_response ----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self.release()
        return None

    def success(self) -> None:
        raise LocustError(_NOT_CAUGHT)

    def failure(self, exc: object) -> None:
        raise LocustError(_NOT_CAUGHT)


class CaughtResponse(LeanResponse):
    """A response of which the with-block decides whether it is a success."""

    js: Any
    _result: Literal[True] | Exception | None = None
    _entered = False

    def __init__(self, response: LeanResponse, event: EventHook, meta: dict[str, Any]) -> None:
        self.__dict__.update(response.__dict__)
        self._event = event
        self.request_meta = meta

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._result is not None:
            self._report(None if self._result is True else self._result)
            return kind is None
        if isinstance(value, ResponseError):
            self._report(value)
        elif kind is not None:
            return False
        else:
            self._report(self.error)
        return True

    def success(self) -> None:
        """The request counts as a success, whatever its reply."""
        self._decide(True)

    def failure(self, exc: object) -> None:
        """The request counts as a failure, for this reason."""
        self._decide(exc if isinstance(exc, Exception) else CatchResponseError(exc))

    def raise_for_status(self) -> None:
        if isinstance(self._result, Exception):
            raise self._result
        if self._result is None:
            super().raise_for_status()

    def _decide(self, result: Literal[True] | Exception) -> None:
        if not self._entered:
            raise LocustError(_NOT_CAUGHT)
        self._result = result

    def _report(self, error: BaseException | None) -> None:
        self.request_meta["exception"] = error
        self._event.fire(**self.request_meta)


def _said(headers: Headers | None) -> str | None:
    """The encoding that the headers name; servers may name what does not exist."""
    kind = None if headers is None else headers.get("content-type")
    try:
        encoding = get_encoding_from_headers({"content-type": kind}) if isinstance(kind, str) else None
        return encoding and codecs.lookup(encoding).name
    except LookupError:
        return None
