"""The target of load tests behind a proxy server of ours: what a run with a network fault needs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from bench.ports import free_port

from .load_target import Target

LIMIT_S = 30.0
LOOK_S = 0.05


class ProxiedTarget:
    """Both, for the time of a `with` block. What is left of a fault is read from the proxy's own API."""

    def __enter__(self) -> Self:
        self._target = Target().__enter__()
        port = free_port()
        self._api = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "chaos_locust.proxy", "-host", "127.0.0.1", "-port", str(port)]
        self._proxy = subprocess.Popen(
            [*command, "-proxy-metrics"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._answers, "the proxy")
        upstream = self._target.url.removeprefix("http://")
        made = self._ask("/proxies", {"name": "link", "listen": "127.0.0.1:0", "upstream": upstream})
        self._url = f"http://{made['listen']}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._proxy.kill()
        self._proxy.wait(LIMIT_S)
        self._target.__exit__(kind, error, trace)

    def plan(self, **more: Any) -> dict[str, Any]:
        """A plan for this target, whose one part is `link`."""
        parts = {"targets": {"link": {"proxy": "link"}}, "requests": [{"path": "/visit"}], "timeout": "2s"}
        return {"name": "visits", "host": self._url, "proxy_api": self._api, **parts, **more}

    def toxics(self) -> list[str]:
        """Types of the toxics that act now."""
        return [toxic["type"] for toxic in self._ask("/proxies/link/toxics")]

    def _answers(self) -> bool:
        try:
            return bool(self._ask("/version"))
        except urllib.error.URLError:
            return False

    def _ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(self._api + path, data, timeout=LIMIT_S) as reply:
            return json.load(reply)


def wait_for(condition: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Until the condition holds; an assertion fails when it does not come true."""
    give_up_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < give_up_s, f"not within {limit_s} s: {what}"
        time.sleep(LOOK_S)
