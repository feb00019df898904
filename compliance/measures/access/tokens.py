"""What is taken for a log-in: tokens that are forged, or sent where they are seen; mere names of users."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

from chaos_locust.errors import ChaosError
from compliance.measures.access.guarded import guarded, let_in, some_or_unknown
from compliance.measures.access.jwt_forms import forgeries, jwt_parts
from compliance.measures.bad import unsigned_token
from compliance.measures.base import Measure, SideEffect, Unsupported
from compliance.measures.careless import CarelessHandler, careless
from compliance.measures.web.routes import openapi, operations
from compliance.site import Site
from compliance.target import Target

SECRET_NAMES = frozenset(
    {"token", "access_token", "accesstoken", "auth_token", "id_token", "jwt", "bearer", "authorization"}
    | {"api_key", "apikey", "password", "passwd", "secret", "client_secret", "session", "sessionid", "sid"}
)
USER_HEADERS = ("X-Forwarded-User", "X-Remote-User", "X-User", "X-Authenticated-User", "X-WEBAUTH-USER")


class ForgedTokens(Measure):
    name = "forged_tokens"
    says = "which tokens that the target never gave are taken"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts")
    fields: ClassVar[Mapping[str, str]] = {
        "taken": "kinds of forged tokens that were taken; none: none was, but of some it cannot be told",
        "tried": "kinds that were tried: of a token that is no JWT, fewer can be made",
        "unclear": "kinds of which it cannot be told, because the target was busy or broke",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        thing = guarded(site)
        forged = forgeries(thing.token)
        answers = {kind: thing.answers(site, token) for kind, token in forged.items()}
        unclear = [kind for kind, answer in answers.items() if answer is None]
        taken = [kind for kind, answer in answers.items() if answer]
        return {"taken": some_or_unknown(taken, unclear), "tried": list(forged), "unclear": unclear}

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


class HeaderTrust(Measure):
    name = "header_trust"
    says = "whether the mere name of a user, in a header or as the password of nothing, is taken for a log-in"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts")
    fields: ClassVar[Mapping[str, str]] = {
        "taken": "headers that were taken; none: none was, but of some it cannot be told",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        thing = guarded(site)
        user = thing.account.user
        no_password = base64.b64encode(f"{user}:".encode()).decode()
        sent = {name: {name: user} for name in USER_HEADERS}
        sent |= {"Basic": {"Authorization": f"Basic {no_password}"}, "Cookie": {"Cookie": f"user={user}"}}
        answers = {
            name: let_in(site.request("GET", thing.path, headers=headers)) for name, headers in sent.items()
        }
        unclear = [name for name, answer in answers.items() if answer is None]
        return {"taken": some_or_unknown([name for name, answer in answers.items() if answer], unclear)}

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


class TokenInUrl(Measure):
    name = "token_in_url"
    says = "whether secrets are taken in addresses, which end up in logs and histories"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts")
    fields: ClassVar[Mapping[str, str]] = {
        "taken": "query parameters in which a token was taken for a log-in; none: it cannot be told",
        "described": "query parameters for secrets in the OpenAPI description; none: there is no description",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        assert site.target.http is not None
        thing = guarded(site)
        answers = {
            name: let_in(site.request("GET", f"{thing.path}?{name}={thing.token}"))
            for name in ("access_token", "token", "jwt", "api_key")
        }
        unclear = [name for name, answer in answers.items() if answer is None]
        taken = some_or_unknown([name for name, answer in answers.items() if answer], unclear)
        described = None if site.target.http.openapi is None else secrets_in_queries(openapi(site))
        return {"taken": taken, "described": described}

    def bad(self) -> AbstractContextManager[Target]:
        return careless()


class OtherAudience(Measure):
    name = "other_audience"
    says = "whether a token that was given for another service is taken"
    side_effect: ClassVar[SideEffect] = "active"
    needs = ("http", "login", "accounts")
    fields: ClassVar[Mapping[str, str]] = {
        "taken": "whether it was; none: it cannot be told, because the target was busy or broke",
        "audience": "what the token says that it is for",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        login = site.target.login
        assert login is not None
        if login.elsewhere is None:
            raise Unsupported("the target names no login.elsewhere, which gets a token for another service")
        thing = guarded(site)
        asked = login.model_copy(update={"body": {**(login.body or {}), **login.elsewhere}})
        answer = site.send(asked, user=thing.account.user, password=thing.account.password)
        token = site.token_in(answer)
        if not answer.ok or token is None:
            raise ChaosError(f"no token for another service was given: {answer.status_code}")
        own, other = (_audience(each) for each in (thing.token, token))
        if other is None or other == own:
            raise Unsupported(f"the token for another service is for {other!r}, the usual one for {own!r}")
        return {"taken": thing.answers(site, token), "audience": other}

    @contextmanager
    def bad(self) -> Iterator[Target]:
        with careless(_ForAll) as target:
            assert target.login is not None
            login = target.login.model_copy(update={"elsewhere": {"audience": "elsewhere"}})
            yield target.model_copy(update={"login": login})


class _ForAll(CarelessHandler):
    """Gives tokens for every service, and takes them all."""

    def _log_in(self, given: dict[str, Any]) -> None:
        claims = json.dumps({"sub": given["user"], "aud": given.get("audience", "here")})
        head, _, _ = unsigned_token(given["user"]).split(".")
        body = base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")
        self._answer(200, {"access_token": f"{head}.{body}."})


def _audience(token: str) -> Any:
    """None: it does not say."""
    parts = jwt_parts(token)
    return None if parts is None else parts[1].get("aud")


def secrets_in_queries(document: Mapping[str, Any]) -> list[str]:
    """Query parameters whose names are those of secrets, and API keys that are to be sent in the query."""
    found = {
        f"{method} {path}: {each['name']}"
        for path, method, operation in operations(document)
        for each in operation["parameters"]
        if each.get("in") == "query" and str(each.get("name")).lower().replace("-", "_") in SECRET_NAMES
    }
    schemes = document.get("components", {}).get("securitySchemes", {})
    found |= {f"{name} (securitySchemes)" for name, each in schemes.items() if each.get("in") == "query"}
    return sorted(found)


MEASURES = (ForgedTokens, OtherAudience, HeaderTrust, TokenInUrl)
