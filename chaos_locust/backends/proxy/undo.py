"""Undoing what was done at a proxy: toxics taken off, a proxy switched back, a proxy of ours deleted."""

from __future__ import annotations

from chaos_locust.backends.base import Undo
from chaos_locust.backends.http.api import EmbeddedApi
from chaos_locust.backends.link.watch import LinkWatch
from chaos_locust.backends.proxy.client import NotThere, ProxyUnreachable
from chaos_locust.errors import BackendError


class ProxyUndo:
    """Base of the backends whose faults are done by a proxy.

    An Undo: {backend, action, api, proxy, ...}. Actions: `toxics` takes those named off, `enabled` sets that
    back, `proxy` deletes the proxy that was made.
    """

    def __init__(self, watch: LinkWatch) -> None:
        self._watch = watch

    def revert(self, undo: Undo) -> None:
        api, proxy = self._api(undo["api"]), undo["proxy"]
        try:
            if undo["action"] == "enabled":
                if api.proxy(proxy)["enabled"] != undo["enabled"]:
                    api.enable_proxy(proxy, undo["enabled"])
            elif undo["action"] == "proxy":
                api.delete_proxy(proxy)
            else:
                for toxic in undo["toxics"]:
                    self._take_off(api, proxy, toxic["name"])
        except NotThere:
            return  # the proxy is gone, and what was done to it went with it
        except ProxyUnreachable as error:
            raise BackendError(f"{error}: cannot verify that {self.describe(undo)} is gone") from None

    def verify(self, undo: Undo) -> bool:
        try:
            proxy = self._api(undo["api"]).proxy(undo["proxy"])
        except NotThere:
            return True
        except ProxyUnreachable as error:
            raise BackendError(f"{error}: cannot verify that {self.describe(undo)} is gone") from None
        if undo["action"] == "enabled":
            return bool(proxy["enabled"] == undo["enabled"])
        if undo["action"] == "proxy":
            return False
        names = {toxic["name"] for toxic in undo["toxics"]}
        return not any(toxic["name"] in names for toxic in proxy["toxics"])

    def describe(self, undo: Undo) -> str:
        match undo["action"]:
            case "enabled":
                return f"the switching off of proxy {undo['proxy']}"
            case "proxy":
                return f"proxy {undo['proxy']}"
        names = " and ".join(toxic["name"] for toxic in undo["toxics"])
        return f"toxic {names} on proxy {undo['proxy']}"

    def _take_off(self, api: EmbeddedApi, proxy: str, toxic: str) -> None:
        try:
            api.delete_toxic(proxy, toxic)
        except NotThere:
            return  # it ended by itself, or never began

    def _api(self, url: str) -> EmbeddedApi:
        """The one client for this URL, whose connections are kept open."""
        return self._watch.api(url)
