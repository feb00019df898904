"""What the embedded proxy's API has and Toxiproxy's has not: toxics on HTTP, and TLS."""

from __future__ import annotations

from typing import Any

from chaos_locust.backends.proxy.client import NotThere, ToxiproxyApi
from chaos_locust.errors import BackendError
from chaos_locust.plan.parts import Target


class EmbeddedApi(ToxiproxyApi):
    """Every method raises ProxyUnreachable, NotThere or another BackendError."""

    def additions(self) -> dict[str, Any] | None:
        """{toxics: names of types, tls}; None: this is another proxy."""
        try:
            found: dict[str, Any] = self._ask("GET", "/additions").json()
        except NotThere:
            return None
        except ValueError:
            raise BackendError(f"what answers at {self.place} is no Toxiproxy") from None
        return found

    def create_with_tls(self, name: str, listen: str, upstream: str, tls: dict[str, Any]) -> None:
        body = {"name": name, "listen": listen, "upstream": upstream, "enabled": True, "tls": tls}
        self._ask("POST", "/proxies", body)


def make_link(api_url: str, name: str, target: Target) -> None:
    """Makes the proxy of a target with upstream and listen, if it is not there: two families may need it.

    Raises BackendError.
    """
    assert target.listen is not None
    assert target.upstream is not None
    api = EmbeddedApi(api_url)
    try:
        api.proxy(name)
    except NotThere:
        if target.tls is None:
            api.create_proxy(name, target.listen, target.upstream)
        elif api.additions() is None:
            raise BackendError(f"the proxy at {api.place} speaks no TLS") from None
        else:
            tls = target.tls.model_dump(mode="json", exclude_none=True)
            api.create_with_tls(name, target.listen, target.upstream, tls)
