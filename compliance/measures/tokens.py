"""What is taken for a log-in: tokens that are forged, or sent where they are seen; mere names of users."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from compliance.measures.base import Measure, SideEffect
from compliance.measures.careless import careless
from compliance.measures.guarded import guarded, let_in, some_or_unknown
from compliance.measures.jwt_forms import forgeries
from compliance.measures.routes import openapi, operations
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


MEASURES = (ForgedTokens, HeaderTrust, TokenInUrl)
