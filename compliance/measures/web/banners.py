"""What the target gives away of itself, and methods of HTTP that nobody needs."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import requests

from compliance.measures.bad import BadHandler, bad_site
from compliance.measures.base import Measure, SideEffect
from compliance.measures.web.headers import sampled
from compliance.site import Site
from compliance.target import Target

HEADERS = ("Server", "X-AspNet-Version", "X-AspNetMvc-Version", "X-Generator", "X-Runtime-Version", "Via")
VERSION = re.compile(r"[A-Za-z][\w.-]*/\d|\d+\.\d+")
PRODUCT = re.compile(
    r"\b(Apache|nginx|openresty|Jetty|Tomcat|IIS|PHP|Werkzeug|gunicorn|uvicorn|hypercorn|Express|Caddy|Varnish"
    r"|Python|OpenSSL|Kestrel|Undertow|WildFly|Spring)[/ -]v?\d+(\.\d+)*",
    re.IGNORECASE,
)
UNKNOWN_METHOD = "BREW"  # of RFC 2324; whatever answers it takes anything


class Banners(Measure):
    name = "banners"
    says = "whether answers name the software behind them, and its version"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("http",)
    fields: ClassVar[Mapping[str, str]] = {
        "shown": "headers with a version, any X-Powered-By, and products with a version on error pages"
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        found: set[str] = set()
        answers = [*sampled(site).values(), site.request("GET", f"/{secrets.token_hex(4)}%00")]
        for answer in answers:
            found |= _named(answer)
        return {"shown": sorted(found)}

    def bad(self) -> AbstractContextManager[Target]:
        return bad_site()


class Methods(Measure):
    name = "methods"
    says = "whether TRACE and methods that there are not are answered as if they were something"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("http",)
    fields: ClassVar[Mapping[str, str]] = {
        "trace_is_answered": "whether TRACE succeeds, or shows what it was sent",
        "unknown_is_answered": f"whether {UNKNOWN_METHOD} succeeds",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.http is not None
        public = [path for path in site.target.http.public if "*" not in path and "{" not in path]
        marker = secrets.token_hex(8)
        trace = unknown = False
        for path in dict.fromkeys(["/", *public[:2]]):
            traced = site.request("TRACE", path, headers={"X-Marker": marker})
            trace |= (traced.ok and not traced.is_redirect) or marker in traced.text
            answer = site.request(UNKNOWN_METHOD, path)
            unknown |= answer.ok and not answer.is_redirect
        return {"trace_is_answered": trace, "unknown_is_answered": unknown}

    def bad(self) -> AbstractContextManager[Target]:
        return bad_site(AnyMethod)


class AnyMethod(BadHandler):
    do_BREW = BadHandler.do_GET


def _named(answer: requests.Response) -> set[str]:
    found = {
        f"{name}: {answer.headers[name]}"
        for name in HEADERS
        if name in answer.headers and VERSION.search(_without_protocol(answer.headers[name]))
    }
    if "X-Powered-By" in answer.headers:
        found.add(f"X-Powered-By: {answer.headers['X-Powered-By']}")
    # What a page of the service's own is about is its own affair: error pages are the server's.
    page = answer.text[:10_000] if answer.status_code >= 400 else ""
    return found | {each[0] for each in PRODUCT.finditer(page)}


def _without_protocol(value: str) -> str:
    """`Via: 1.1 gate` tells of HTTP's version, not of the gate's."""
    return re.sub(r"(^|,)\s*(HTTP/)?\d\.\d(?= )", r"\1", value)


MEASURES = (Banners, Methods)
