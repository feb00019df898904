"""Targets that are named by the URL of a server. A password in it is shown to nobody."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import ClassVar
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from chaos_locust.errors import ChaosError
from chaos_locust.redact import redact_text
from invariants.targets.base import Target


class InvalidUrl(ChaosError):
    """A URL that names no such server, or a password that is not where it should be."""


@dataclass(repr=False)
class UrlTarget(Target):
    """password_env: the environment variable that has the password, where the URL does not. answer_limit_s:
    so long an operation may take; then the connection is cut, and what was asked has no answer."""

    url: str
    password_env: str = ""
    answer_limit_s: float = 5.0

    schemes: ClassVar[tuple[str, ...]] = ()
    usual_password_env: ClassVar[str] = ""
    """Where the written form of a target looks for the password that its URL had."""

    def __post_init__(self) -> None:
        scheme = self.url.partition("://")[0]
        if "://" not in self.url or scheme not in self.schemes:
            allowed = " or ".join(f"{each}://..." for each in self.schemes)
            raise InvalidUrl(f"url '{redact_text(self.url)}' is not allowed; give {allowed}")

    def __repr__(self) -> str:
        """As Python that makes the same target, without the password: that is read from the environment."""
        url = without_password(self.url)
        env = self.password_env or (self.usual_password_env if url != self.url else "")
        others = [(each.name, getattr(self, each.name), each.default) for each in fields(self)[2:]]
        given = [("url", url, None), ("password_env", env, ""), *others]
        shown = [f"{name}={value!r}" for name, value, default in given if value != default]
        return f"{type(self).__name__}({', '.join(shown)})"

    def password(self) -> str | None:
        """From the environment, where it is read from there. Raises InvalidUrl."""
        if not self.password_env:
            return None
        if self.password_env not in os.environ:
            place = without_password(self.url)
            raise InvalidUrl(f"{place} needs the password in the environment variable {self.password_env}")
        return os.environ[self.password_env]


def without_password(url: str) -> str:
    """The same URL, if it has none."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(key, value) for key, value in query if key not in ("password", "sslpassword")]
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    if colon:
        parts = parts._replace(netloc=f"{name}{at}{host}" if name else host)
    if kept != query:
        parts = parts._replace(query=urlencode(kept))
    return _joined(parts) if colon or kept != query else url


def _joined(parts: SplitResult) -> str:
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}{parts.path}{query}"
