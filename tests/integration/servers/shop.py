"""The demo shop, started as users start it; its access log; and a witness of what its proxy does."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

START_S = 90
LOOK_EVERY_S = 0.02


class Shop:
    """`demo serve` for the time of a `with` block. env: the variables that it tells plans to read."""

    def __init__(self, folder: Path) -> None:
        self._ready, self._output = folder / "ready.json", folder / "shop-output"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "chaos_locust.demo", "serve", "--ports", "free"]
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                [*command, "--ready-file", str(self._ready)], stdout=output, stderr=output
            )
        deadline = time.monotonic() + START_S
        while not self._ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise RuntimeError(f"the shop did not start\n{self._output.read_text()}")
            time.sleep(0.1)
        self.env: dict[str, str] = json.loads(self._ready.read_text())["env"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(60)

    def log(self, ended: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """The access log's lines that carry a request id, as soon as they are all there: it is written in
        batches."""
        deadline = time.monotonic() + 10
        while True:
            text = (Path(self.env["SHOP_STATE"]) / "access.log").read_text()
            lines = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
            named = [line for line in lines if line["id"]]
            if ended(named) or time.monotonic() > deadline:
                return named
            time.sleep(0.1)


@dataclass
class Seen:
    """Since the epoch: not yet at `before_s` and there at `first_s`; still at `last_s`, gone at `gone_s`."""

    before_s: float = 0.0
    first_s: float = 0.0
    last_s: float = 0.0
    gone_s: float = 0.0


class Witness:
    """Looks at the proxy's API all the time and does nothing else: when is a proxy as it should not be?"""

    def __init__(self, proxy_api: str, names: tuple[str, ...]) -> None:
        self.seen = {name: Seen() for name in names}
        self._url = f"{proxy_api}/proxies"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while not self._over.wait(LOOK_EVERY_S):
            asked_s = time.time()
            with opener.open(self._url, timeout=10) as reply:
                proxies = json.load(reply)
            told_s = time.time()
            for name, seen in self.seen.items():
                faulted = bool(proxies[name]["toxics"]) or not proxies[name]["enabled"]
                if faulted:
                    seen.first_s = seen.first_s or told_s
                    seen.last_s = asked_s
                elif seen.first_s:
                    seen.gone_s = seen.gone_s or told_s
                else:
                    seen.before_s = asked_s
