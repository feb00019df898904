"""The page in a real browser: no error, no network, the picture in sight, cross-hair and links that work."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket

from chaos_locust.reports.write import write_all

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LIMIT_S = 30.0
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


class Browser:
    """Speaks the DevTools protocol to one tab, and keeps every event."""

    def __init__(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=LIMIT_S) as answer:
            tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
        self._socket = websocket.create_connection(
            tabs[0]["webSocketDebuggerUrl"], timeout=LIMIT_S, suppress_origin=True
        )
        self._ids = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network", "Security"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])
            self.events.append(message)

    def wait_for(self, method: str) -> None:
        while not any(event.get("method") == method for event in self.events):
            self.events.append(json.loads(self._socket.recv()))

    def open(self, page: Path, width: int = 1440, height: int = 900) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        self.wait_for("Page.loadEventFired")

    def value(self, expression: str) -> Any:
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def problems(self) -> list[str]:
        """Everything the console would show, and every address asked for but the page itself."""
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                found.append(json.dumps(params))
            if event["method"] == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file://", "data:")):
                    found.append(url)
        return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    profile = tmp_path_factory.mktemp("profile")
    assert CHROMIUM is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    process = subprocess.Popen(
        [CHROMIUM, *flags, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        opened = Browser(_port(profile / "DevToolsActivePort", process))
        yield opened
        opened.close()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(LIMIT_S)


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    give_up = time.monotonic() + LIMIT_S
    while time.monotonic() < give_up and process.poll() is None:
        if file.exists() and len(lines := file.read_text().splitlines()) == 2:
            return int(lines[0])
        time.sleep(0.05)
    raise TimeoutError("Chromium did not open its debugging port")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _page(tmp_path_factory.mktemp("run"))


def _page(folder: Path, **changes: Any) -> Path:
    script = Path(__file__).parents[1] / "synthetic_run.py"
    spec = importlib.util.spec_from_file_location("synthetic_run", script)
    assert spec is not None
    assert spec.loader is not None
    synthetic = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(synthetic)
    synthetic.make_run(folder, **changes)
    write_all(folder, *synthetic.judged(folder))
    return folder / "report.html"


def test_the_page_opens_without_an_error_and_without_the_network(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.value("document.querySelector('.badge').innerText").split() == ["✕", "DEVIATED"]
    assert browser.problems() == []


def test_the_checks_above_can_fail(browser: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://127.0.0.1:9/x.png'><script>console.error('told')</script>")
    browser.open(bad)
    problems = " ".join(browser.problems())
    assert "http://127.0.0.1:9/x.png" in problems
    assert "told" in problems


def test_the_top_of_the_picture_is_on_the_first_screen(browser: Browser, page: Path) -> None:
    browser.open(page, 1440, 900)
    assert browser.value("document.querySelector('#box svg').getBoundingClientRect().top") < 900
    assert browser.value("document.documentElement.scrollWidth") <= 1440


def test_nothing_overflows_a_narrow_screen(browser: Browser, page: Path) -> None:
    browser.open(page, 400, 800)
    assert browser.value("document.documentElement.scrollWidth") <= 400


def test_the_cross_hair_tells_the_figures_of_the_moment(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.value("document.querySelector('#picture').scrollIntoView({behavior: 'instant'})")
    where = browser.value(
        """(() => { const svg = document.querySelector('#box svg'), area = svg.getBoundingClientRect();
        const d = svg.dataset, left = Number(d.left), right = Number(d.right);
        const x = left + 105.5 / Number(d.length) * (right - left);
        return [area.left + x * area.width / svg.viewBox.baseVal.width, area.top + 100]; })()"""
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=where[0], y=where[1])
    browser.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    told = browser.value("document.getElementById('tip').innerText")
    assert told.startswith("1:45")
    for needed in ("offered", "50/s", "infinite", "HTTP 503"):
        assert needed in told
    assert browser.value("getComputedStyle(document.getElementById('cross')).opacity") != "0"


def test_an_objective_leads_to_its_moment(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.value("document.querySelector('.objective a[data-from]').click()")
    assert browser.value("document.getElementById('mark').classList.contains('on')")
    assert browser.value("Number(document.getElementById('mark').getAttribute('width'))") > 3


def test_hostile_names_do_nothing(browser: Browser, tmp_path: Path) -> None:
    attack = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    browser.open(_page(tmp_path, changes={"name": attack}, names={"GET /products": attack}))
    assert browser.value("document.title").startswith("DEVIATED: </script>")
    assert browser.problems() == []


def test_the_page_prints(browser: Browser, page: Path) -> None:
    browser.open(page)
    printed = browser.call("Page.printToPDF", printBackground=True)["data"]
    assert len(printed) > 50_000
