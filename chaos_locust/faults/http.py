"""Faults on HTTP messages, done by the embedded proxy on a link."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

from chaos_locust.data import Bytes, BytesPerSecond, Share
from chaos_locust.errors import Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.network import PositiveMilliseconds

EXPIRES_LATE_S = 15.0
"""So long after its end the proxy itself takes a fault off that nobody else did."""

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_LONGEST_BODY = 1 << 20
_FRAMING = ("content-length", "transfer-encoding", "connection", "upgrade", "trailer", "te")


def _route(value: str) -> str:
    if not re.fullmatch("[/*][!-~\u00a1-\u00ff]*", value):
        raise ValueError(f"'{value}' is no path; give one such as /orders/*, where * stands for anything")
    return value


def _body(value: str) -> str:
    if len(value.encode()) > _LONGEST_BODY:
        raise ValueError(f"is too long; allowed are {_LONGEST_BODY:,} bytes")
    return value


def _status(value: int) -> int:
    if not 200 <= value <= 599:
        raise ValueError(f"'{value}' is no status of an answer; give one from 200 to 599")
    return value


def _headers(value: dict[str, str | None]) -> dict[str, str | None]:
    for name, text in value.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ValueError(f"'{name}' is no name of a header")
        if name.lower() in _FRAMING:
            raise ValueError(f"'{name}' says where a message ends, and cannot be changed")
        if text is not None and not re.fullmatch("[ -~]*", text):
            raise ValueError(f"the value of '{name}' is not one line of ASCII")
    return value


Route = Annotated[str, AfterValidator(_route)]
Body = Annotated[str, AfterValidator(_body)]
ContentType = Annotated[str, StringConstraints(pattern="^[ -~]+$")]
Headers = Annotated[dict[str, str | None], AfterValidator(_headers)]
Status = Annotated[
    int, AfterValidator(_status), WithJsonSchema({"type": "integer", "minimum": 200, "maximum": 599})
]


class HttpFault(Fault):
    """Base of the faults on HTTP/1 messages: on requests of this route and method, and a share of those.

    A subclass says in `action` what the proxy does to an exchange; one with `reads_answer` does so in
    `action_from`, which gets what is answered at `route` before it begins. replaces: it puts another answer
    in the place of the target's, so that no second one can do so for the same request.
    """

    family: ClassVar[str] = "http"
    needs: ClassVar[tuple[str, ...]] = ("link",)
    undo: ClassVar[str] = (
        "the guardian takes it off the proxy, or `chaos-locust cleanup` does; and the proxy itself does "
        f"{EXPIRES_LATE_S:g} s after its end, whatever died"
    )
    effect_text: ClassVar[str] = (
        "the proxy counts the requests of the load that matched, and those that it did it to"
    )
    replaces: ClassVar[bool] = False
    reads_answer: ClassVar[bool] = False

    route: Route = Field(
        default="*", description="path of the requests, * for any characters; with a query if it has a ?"
    )
    method: Method | None = Field(default=None, description="of the requests; by default every method")
    share: Share = Field(default=1.0, description="of the requests that match, drawn for each of them")

    def action(self) -> dict[str, Any]:
        """What happens to a request that is chosen, and to its answer: attributes of the proxy's toxic."""
        raise NotImplementedError(self.kind)

    def action_from(self, answer: bytes) -> dict[str, Any]:
        """As `action`. Raises ValueError for an answer that nothing can be made of."""
        return self.action()

    def meets(self, other: HttpFault) -> bool:
        """Whether there are requests that both match."""
        methods = self.method is None or other.method is None or self.method == other.method
        return methods and routes_meet(self.route, other.route)

    def clashes_with(self, other: Fault) -> str:
        if not isinstance(other, HttpFault) or not self.meets(other):
            return ""
        if self.kind == other.kind:
            return f"both are {self.kind} on the same requests"
        return "both make the answer to the same requests" if self.replaces and other.replaces else ""


class HttpStatus(HttpFault):
    """The answer is one with this status.

    By default the target is not asked: the request never reaches it. With `ask_upstream` it gets the request
    and does what it does, and only its answer is lost: what a client that tries again does then twice.
    """

    kind: ClassVar[str] = "http_status"
    summary: ClassVar[str] = "answers requests with status, without asking the target or after it"
    replaces: ClassVar[bool] = True

    status: Status = Field(description="of the answer, from 200 to 599")
    body: Body = Field(default="", description="of the answer")
    content_type: ContentType | None = Field(default=None, description="of the body")
    ask_upstream: bool = Field(default=False, description="the target gets the request; its answer is lost")

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        problems = super().contradictions(data)
        if data.get("status") in (204, 304) and data.get("body"):
            problems.append(Problem("body", f"cannot be sent with status {data['status']}, which has none"))
        return problems

    def action(self) -> dict[str, Any]:
        typed = {} if self.content_type is None else {"response_headers": {"Content-Type": self.content_type}}
        return {"status": self.status, "ask_upstream": self.ask_upstream, "body": self.body, **typed}


class HttpDelay(HttpFault):
    """The answer comes `delay` later. The target gets the request at once."""

    kind: ClassVar[str] = "http_delay"
    summary: ClassVar[str] = "holds answers back for delay"

    delay_s: PositiveMilliseconds = Field(alias="delay", description="from the answer's head on")

    def action(self) -> dict[str, Any]:
        return {"delay_ms": round(self.delay_s * 1000)}


class HttpSlowBody(HttpFault):
    """The body of the answer trickles in; its head comes at once."""

    kind: ClassVar[str] = "http_slow_body"
    summary: ClassVar[str] = "sends the bodies of answers at rate"

    rate_bytes_per_s: BytesPerSecond = Field(alias="rate", description="of each body")

    def action(self) -> dict[str, Any]:
        return {"rate": self.rate_bytes_per_s}


class HttpTruncate(HttpFault):
    """The body of the answer is cut off and the connection closed. A shorter body is left as it is."""

    kind: ClassVar[str] = "http_truncate"
    summary: ClassVar[str] = "closes the connection after bytes of the body, where there are more"

    limit_bytes: Bytes = Field(alias="bytes", description="of the body that still come")

    def action(self) -> dict[str, Any]:
        return {"truncate": self.limit_bytes}


class HttpCorrupt(HttpFault):
    """Bytes of the body are changed at random places. Its length stays, and at least one byte is changed."""

    kind: ClassVar[str] = "http_corrupt"
    summary: ClassVar[str] = "changes one byte of every so many of the body, at random places"

    every_bytes: Bytes = Field(default=1000, alias="every", description="one byte of so many is changed")

    def action(self) -> dict[str, Any]:
        return {"corrupt_every": self.every_bytes}


class HttpHeader(HttpFault):
    """Headers are set, or removed where the value is null: a wrong content type, a missing authorization."""

    kind: ClassVar[str] = "http_header"
    summary: ClassVar[str] = "sets or removes headers of requests and answers"

    request_headers: Headers = Field(default_factory=dict, description="name and value; null removes it")
    response_headers: Headers = Field(default_factory=dict, description="name and value; null removes it")

    @classmethod
    def contradictions(cls, data: Mapping[str, Any]) -> list[Problem]:
        problems = super().contradictions(data)
        if not data.get("request_headers") and not data.get("response_headers"):
            problems.append(Problem("response_headers", "is missing; give it, or request_headers, or both"))
        return problems

    def action(self) -> dict[str, Any]:
        return {"request_headers": self.request_headers, "response_headers": self.response_headers}


class HttpBody(HttpFault):
    """Another body takes the place of the answer's; status and other headers stay the target's."""

    kind: ClassVar[str] = "http_body"
    summary: ClassVar[str] = "replaces the bodies of answers by body"
    replaces: ClassVar[bool] = True

    body: Body = Field(description="that comes instead")
    content_type: ContentType | None = Field(default=None, description="by default the target's")

    def action(self) -> dict[str, Any]:
        typed = {} if self.content_type is None else {"response_headers": {"Content-Type": self.content_type}}
        return {"body": self.body, **typed}


def routes_meet(one: str, other: str) -> bool:
    """Whether a path can match both patterns."""
    if ("?" in one) != ("?" in other):  # one of them looks at the path alone
        one, other = one.partition("?")[0], other.partition("?")[0]
    reached = {(0, 0)}
    looked: set[tuple[int, int]] = set()
    while reached:
        i, j = place = reached.pop()
        if place in looked:
            continue
        looked.add(place)
        a, b = one[i : i + 1], other[j : j + 1]
        if not a and not b:
            return True
        if a == "*":
            reached |= {(i + 1, j)} | ({(i, j + 1)} if b else set())
        if b == "*":
            reached |= {(i, j + 1)} | ({(i + 1, j)} if a else set())
        elif a and a == b:
            reached.add((i + 1, j + 1))
    return False


FAULTS: tuple[type[Fault], ...] = (
    HttpStatus,
    HttpDelay,
    HttpSlowBody,
    HttpTruncate,
    HttpCorrupt,
    HttpHeader,
    HttpBody,
)
