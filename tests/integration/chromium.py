"""Chromium for tests: started headless with a new, empty profile, driven over the DevTools protocol."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import websocket

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
LIMIT_S = 30.0
LOOK_S = 0.1
TOLD = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")


class Chromium:
    """One browser with one tab, for the time of a `with` block. Keeps every event of its tab.

    profile: an empty folder.
    """

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._ids = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        assert CHROMIUM is not None
        options = [*FLAGS, "--remote-debugging-port=0", f"--user-data-dir={self._profile}"]
        self._process = subprocess.Popen(
            [CHROMIUM, *options, "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{self._port()}/json/list"
            with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
                tab = next(tab for tab in json.load(answer) if tab["type"] == "page")
            address = tab["webSocketDebuggerUrl"]
            self._socket = websocket.create_connection(address, timeout=LIMIT_S, suppress_origin=True)
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self._end()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])
            self.events.append(message)

    def open(self, address: str, width: int = 1440, height: int = 900) -> None:
        """Goes to the address and waits until the page is loaded. Forgets what was told before."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **screen)
        self.events.clear()
        self.call("Page.navigate", url=address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(json.loads(self._socket.recv()))

    def value(self, expression: str) -> Any:
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, expression: str, accept: Callable[[Any], bool] = bool, limit_s: float = LIMIT_S) -> Any:
        """The expression's first value that is accepted. Looked at ten times a second."""
        give_up_s = time.monotonic() + limit_s
        while not accept(value := self.value(expression)):
            assert time.monotonic() < give_up_s, f"{expression} is still {value!r}"
            time.sleep(LOOK_S)
        return value

    def told(self) -> list[str]:
        """What the console shows of this page: messages, exceptions, failed requests."""
        return [json.dumps(event["params"]) for event in self.events if event["method"] in TOLD]

    def requested(self) -> list[str]:
        """Every address that this page asked for, its own first."""
        asked = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in asked]

    def _port(self) -> int:
        file, give_up_s = self._profile / "DevToolsActivePort", time.monotonic() + LIMIT_S
        while time.monotonic() < give_up_s and self._process.poll() is None:
            if file.exists() and len(lines := file.read_text().splitlines()) == 2:
                return int(lines[0])
            time.sleep(LOOK_S)
        raise TimeoutError("Chromium did not open its debugging port")

    def _end(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(LIMIT_S)
