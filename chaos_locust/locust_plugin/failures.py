"""Short stable names for what went wrong with a request, whichever client reported it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import gevent
from geventhttpclient.response import HTTPConnectionClosed
from locust.exception import CatchResponseError, ResponseError

SAMPLE_LENGTH = 200
MAX_CAUSES = 10

TIMEOUT = "timeout"
REFUSED = "connection refused"
RESET = "connection reset"
CHECK_FAILED = "check failed"

_TIMEOUT_NAMES = frozenset(
    {"Timeout", "ConnectTimeout", "ReadTimeout", "ConnectTimeoutError", "ReadTimeoutError"}
)
_USER_INFO = re.compile(r"//[^/@\s]+@")


def failure_kind(error: BaseException) -> str:
    """`HTTP 503`, `timeout`, `connection refused`, `connection reset`, `check failed` or the class's name."""
    if isinstance(error, CatchResponseError | ResponseError):
        return CHECK_FAILED
    status = _status(error)
    if status is not None:
        return f"HTTP {status}"
    for cause in _causes(error):
        if isinstance(cause, TimeoutError | gevent.Timeout) or type(cause).__name__ in _TIMEOUT_NAMES:
            return TIMEOUT
        if isinstance(cause, ConnectionRefusedError):
            return REFUSED
        if isinstance(cause, ConnectionResetError | BrokenPipeError | HTTPConnectionClosed):
            return RESET
        if isinstance(cause, socket.gaierror):
            return type(cause).__name__
    return type(error).__name__


def failure_sample(error: BaseException) -> str:
    """One line of at most 200 characters without user names and passwords of addresses."""
    return _USER_INFO.sub("//***@", " ".join(str(error).split()))[:SAMPLE_LENGTH]


def _status(error: BaseException) -> int | None:
    """The HTTP status, of requests' HTTPError (`response.status_code`) or geventhttpclient's (`code`)."""
    status = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "code", None)
    return status if isinstance(status, int) and 100 <= status <= 999 else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was made of: clients wrap the system's errors, some of them several times."""
    seen: BaseException | None = error
    for _ in range(MAX_CAUSES):
        if seen is None:
            return
        yield seen
        reason = getattr(seen, "reason", None) or getattr(seen, "original", None)
        first = seen.args[0] if seen.args else None
        if isinstance(reason, BaseException):
            seen = reason
        elif isinstance(first, BaseException):
            seen = first
        else:
            seen = seen.__cause__ or seen.__context__
