"""What the target's answers tell browsers and caches to do: security headers, caching, other origins."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

import requests

from chaos_locust.errors import ChaosError
from compliance.measures.bad import BadHandler, bad_service, bad_site
from compliance.measures.base import Measure, SideEffect
from compliance.site import Site, at, json_of
from compliance.target import Account, Exchange, Http, Login, Owned, Target

SAFE_REFERRERS = {"no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin"}
FOREIGN_ORIGINS = ("https://attacker.invalid", "null")
MOST_PUBLIC = 3


class SecurityHeaders(Measure):
    name = "security_headers"
    says = "which answers lack the headers that make browsers careful"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("http",)
    fields: ClassVar[Mapping[str, str]] = {
        "hsts_s": "the shortest max-age in seconds of Strict-Transport-Security; 0: none, or not over TLS",
        "without_nosniff": "paths whose answer has no X-Content-Type-Options: nosniff",
        "can_be_framed": "paths whose answer no Content-Security-Policy or X-Frame-Options keeps out of "
        "other sites' frames",
        "leak_referrer": "paths whose answer has no Referrer-Policy that keeps paths from other sites",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        answers = sampled(site)
        return {
            "hsts_s": min(map(_hsts_s, answers.values())),
            "without_nosniff": [path for path, each in answers.items() if not _has_nosniff(each)],
            "can_be_framed": [path for path, each in answers.items() if not _refuses_frames(each)],
            "leak_referrer": [path for path, each in answers.items() if not _keeps_referrer(each)],
        }

    def bad(self) -> AbstractContextManager[Target]:
        return bad_site()


class PrivateCaching(Measure):
    name = "private_caching"
    says = "whether caches may keep what belongs to one user"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts", "owned")
    fields: ClassVar[Mapping[str, str]] = {
        "may_be_kept": "private answers (log-in, reading one's own) whose Cache-Control has neither "
        "no-store nor private"
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.owned is not None
        owned, account = site.target.owned, site.target.accounts[0]
        log_in = site.log_in(account)
        token = site.token(account)
        made = site.send(owned.create, token)
        number = at(json_of(made), owned.id)
        if not made.ok or number is None:
            raise ChaosError(f"{owned.create.method} {owned.create.path} gave nothing: {made.status_code}")
        read = site.request("GET", owned.read.replace("{id}", str(number)), token=token)
        if not read.ok:
            raise ChaosError(f"one's own at {owned.read} cannot be read: {read.status_code}")
        answers = {"log-in": log_in, owned.read: read}
        return {"may_be_kept": [name for name, each in answers.items() if not _is_kept_private(each)]}

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with bad_service() as url:
            yield Target(
                name="bad",
                http=Http(url=url),
                login=Login(path="/login", body={"user": "{user}", "password": "{password}"}),
                accounts=(Account(user=BadHandler.USER, password=BadHandler.PASSWORD),),
                owned=Owned(create=Exchange(method="POST", path="/orders", body={}), read="/orders/{id}"),
            )


class OtherOrigins(Measure):
    name = "other_origins"
    says = "whether scripts of any other site may read the target's answers (CORS)"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("http",)
    fields: ClassVar[Mapping[str, str]] = {
        "allowed": "of `*`, `null` and an origin that nobody knows: what answers allow"
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        paths = ["/", *([site.target.login.path] if site.target.login else [])]
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        allowed = set()
        for origin in FOREIGN_ORIGINS:
            for path in paths:
                for method, more in (("GET", {}), ("OPTIONS", asked)):
                    answer = site.request(method, path, headers={"Origin": origin, **more})
                    found = answer.headers.get("Access-Control-Allow-Origin", "").strip()
                    if found in ("*", origin):
                        allowed.add(found)
        return {"allowed": sorted(allowed)}

    def bad(self) -> AbstractContextManager[Target]:
        return bad_site()


def sampled(site: Site) -> Mapping[str, requests.Response]:
    """Answers to GET without a log-in: the root, some public paths, one that there is not. Raises
    Unreachable; ChaosError when the target itself fails."""
    assert site.target.http is not None
    public = [path for path in site.target.http.public if "*" not in path and "{" not in path]
    paths = dict.fromkeys(["/", *public[:MOST_PUBLIC], f"/{secrets.token_hex(8)}"])
    answers = {path: site.request("GET", path) for path in paths}
    if all(each.status_code >= 500 for each in answers.values()):
        raise ChaosError("all that the target answers is that it fails")
    return answers


def _hsts_s(answer: requests.Response) -> int:
    """Browsers take it over TLS only (RFC 6797, 8.1)."""
    if not (answer.url or "").startswith("https:"):
        return 0
    found = re.search(r"(?:^|;)\s*max-age\s*=\s*\"?(\d+)", _header(answer, "Strict-Transport-Security"))
    return int(found[1]) if found else 0


def _has_nosniff(answer: requests.Response) -> bool:
    return _header(answer, "X-Content-Type-Options") == "nosniff"


def _refuses_frames(answer: requests.Response) -> bool:
    for directive in re.split("[;,]", _header(answer, "Content-Security-Policy")):
        name, *sources = directive.split() or [""]
        if name == "frame-ancestors":
            return not {"*", "http:", "https:"} & set(sources)
    return _header(answer, "X-Frame-Options") in ("deny", "sameorigin")


def _keeps_referrer(answer: requests.Response) -> bool:
    """Of several, the last that a browser knows counts."""
    policies = [each.strip() for each in _header(answer, "Referrer-Policy").split(",")]
    return policies[-1] in SAFE_REFERRERS


def _is_kept_private(answer: requests.Response) -> bool:
    directives = {each.split("=")[0].strip() for each in _header(answer, "Cache-Control").split(",")}
    return bool({"no-store", "private"} & directives) and "public" not in directives


def _header(answer: requests.Response, name: str) -> str:
    return answer.headers.get(name, "").strip().lower()


MEASURES = (SecurityHeaders, PrivateCaching, OtherOrigins)
