"""toxiproxy-python, with what it lacks: an address for each object, time limits, and all errors told.

The library keeps host and port in a class, waits for ever, keeps no connection open, and takes a reply of
500 for a success. Its reading of replies, its errors and its nouns are used; the asking is done here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from toxiproxy.api import validate_response
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists
from toxiproxy.toxic import Toxic

from chaos_locust.errors import BackendError

CONNECT_LIMIT_S = 1.0
REPLY_LIMIT_S = 2.0


class ProxyUnreachable(BackendError):
    """The API does not answer, so nothing is known of its proxies."""


class NotThere(BackendError):
    """The proxy or the toxic does not exist."""


class ToxiproxyApi:
    """The API at one URL, over connections that are kept open. May be used from several threads.

    Every method raises ProxyUnreachable, NotThere or another BackendError.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self.host = parts.hostname or ""
        self.place = (
            f"{parts.scheme}://{self.host}:{parts.port}" if parts.port else f"{parts.scheme}://{self.host}"
        )
        self._session = requests.Session()
        self._session.trust_env = False  # never by way of HTTP_PROXY

    def proxies(self) -> dict[str, dict[str, Any]]:
        """name -> {name, listen, upstream, enabled, toxics: [...]}"""
        found: dict[str, dict[str, Any]] = self._ask("GET", "/proxies").json()
        return found

    def proxy(self, name: str) -> dict[str, Any]:
        """{name, listen, upstream, enabled, toxics: [...]}"""
        found: dict[str, Any] = self._ask("GET", _path(name)).json()
        return found

    def create_proxy(self, name: str, listen: str, upstream: str) -> None:
        self._ask("POST", "/proxies", {"name": name, "listen": listen, "upstream": upstream, "enabled": True})

    def delete_proxy(self, name: str) -> None:
        self._ask("DELETE", _path(name))

    def enable_proxy(self, name: str, enabled: bool) -> None:
        self._ask("POST", _path(name), {"enabled": enabled})

    def toxics(self, proxy: str) -> dict[str, Toxic]:
        """Name -> toxic, with type, stream, toxicity, attributes."""
        return {row["name"]: Toxic(**row) for row in self._ask("GET", f"{_path(proxy)}/toxics").json()}

    def add_toxic(self, proxy: str, toxic: Mapping[str, Any]) -> None:
        """toxic: {name, type, stream, toxicity, attributes}"""
        self._ask("POST", f"{_path(proxy)}/toxics", toxic)

    def update_toxic(self, proxy: str, name: str, attributes: Mapping[str, Any]) -> None:
        self._ask("POST", f"{_path(proxy)}/toxics/{quote(name, safe='')}", {"attributes": attributes})

    def delete_toxic(self, proxy: str, name: str) -> None:
        self._ask("DELETE", f"{_path(proxy)}/toxics/{quote(name, safe='')}")

    def metrics(self) -> str:
        """Prometheus text. NotThere: the server runs without metrics."""
        return self._ask("GET", "/metrics").text

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        try:
            response = self._session.request(
                method,
                self.url + path,
                json=body,
                timeout=(CONNECT_LIMIT_S, REPLY_LIMIT_S),
                allow_redirects=False,
            )
            validate_response(response)
        except requests.RequestException as error:
            raise ProxyUnreachable(f"the proxy at {self.place} does not answer ({_reason(error)})") from None
        except NotFound:
            raise NotThere(f"the proxy at {self.place} has no {path}") from None
        except (ProxyExists, InvalidToxic) as error:
            raise BackendError(f"the proxy at {self.place} refused {method} {path}: {_text(error)}") from None
        if not response.ok or response.is_redirect:
            raise BackendError(
                f"the proxy at {self.place} answered {method} {path} with {response.status_code}"
            )
        return response


def _path(proxy: str) -> str:
    return f"/proxies/{quote(proxy, safe='')}"


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "no reply in time"
    return "connection refused" if "refused" in str(error) else type(error).__name__


def _text(error: Exception) -> str:
    content = error.args[0] if error.args else b""
    return content.decode(errors="replace").strip() if isinstance(content, bytes) else str(content)
