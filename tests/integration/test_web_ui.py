"""Locust's own page in Chromium: the tab "Chaos" while runs are started, stopped, started again and ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import chaos_locust
from bench.ports import free_port

from .chromium import CHROMIUM, Chromium
from .proxied_target import ProxiedTarget, wait_for

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

LOCUSTFILE = Path(chaos_locust.__file__).parent / "locust_plugin" / "plain.py"
PLAN = {
    "load": [{"step": "base", "rate": "60/s", "for": "11s"}, {"step": "tail", "rate": "20/s", "for": "2s"}],
    "warm_up": "1s",
    "baseline": "2s",
    "steady_state": ["error_rate < 20%"],  # a busy machine is slower for moments
    "faults": [
        {"name": "slow-link", "kind": "latency", "target": "link", "latency": "40ms", "at": "4s", "for": "5s"}
    ],
    # the second one cannot hold, but only who comes to `tail` knows
    "objectives": ["error_rate < 20% during slow-link", "throughput > 1000/s during tail"],
}
TABLE = "[...document.querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.innerText))"
START, STOP, NEW = "START", "STOP", "NEW"
WORST_FIRST = (5, 1, 3, 4, 0)


class Page:
    """What a person does with the page and sees on it."""

    def __init__(self, browser: Chromium) -> None:
        self._browser = browser

    def buttons(self) -> str:
        return "[...document.querySelectorAll('button')].filter(b => b.offsetParent && !b.disabled)"

    def press(self, name: str) -> None:
        """The last one: a dialogue comes after what it covers."""
        found = f"{self.buttons()}.filter(b => b.innerText.trim().toUpperCase() == '{name}')"
        self._browser.until(f"{found}.length")
        self._browser.value(f"{found}.at(-1).click()")

    def rows(self) -> list[list[str]]:
        rows: list[list[str]] = self._browser.value(TABLE)
        return rows

    def wait_for_row(self, what: str, name: str = "", state: str = "") -> list[str]:
        """The first row of this kind whose state begins so."""

        def wanted(row: list[str]) -> bool:
            return row[0].startswith(what) and name in row[1] and row[2].startswith(state)

        rows = self._browser.until(TABLE, lambda rows: any(map(wanted, rows)))
        return next(filter(wanted, rows))

    def states(self) -> dict[str, str]:
        return {row[1]: row[2] for row in self.rows()}


@pytest.fixture
def target() -> Iterator[ProxiedTarget]:
    with ProxiedTarget() as target:
        yield target


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    with Chromium(tmp_path / "profile") as browser:
        yield browser


@pytest.fixture
def address() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def locust(tmp_path: Path, target: ProxiedTarget, address: str) -> Iterator[subprocess.Popen[bytes]]:
    plan = tmp_path / "plan.yaml"
    plan.write_text(json.dumps(target.plan(**PLAN)))
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--chaos-plan", str(plan)]
    command += ["--web-host", "127.0.0.1", "--web-port", address.rpartition(":")[2]]
    environ = {k: v for k, v in os.environ.items() if k != "LOCUST_SKIP_MONKEY_PATCH"}
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environ, cwd=tmp_path)
    try:
        wait_for(lambda: ask(f"{address}/chaos/report")[0] or process.poll() is not None, "the web UI")
        yield process
    finally:
        process.kill()
        process.wait()
        print((tmp_path / "output").read_text())


def ask(url: str) -> tuple[int, str]:
    """Status and text; 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""


def test_the_class_picker_is_refused(tmp_path: Path, target: ProxiedTarget) -> None:
    """It would start users without the plan, and end with 0 though nothing was judged."""
    plan = tmp_path / "plan.yaml"
    plan.write_text(json.dumps(target.plan(**PLAN)))
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--chaos-plan", str(plan)]
    command += ["--class-picker", "--web-host", "127.0.0.1", "--web-port", str(free_port())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "--class-picker: cannot be given together with load: in the plan" in done.stderr


def test_start_stop_start_again(
    tmp_path: Path, target: ProxiedTarget, address: str, locust: subprocess.Popen[bytes], browser: Chromium
) -> None:
    page, results = Page(browser), tmp_path / "results"
    assert ask(f"{address}/chaos/report")[0] == 404
    browser.open(f"{address}/?tab=chaos")

    # another host than the one that was checked is refused, and nothing begins
    refused = browser.value(
        "fetch('swarm', {method: 'POST', body: new URLSearchParams({host: 'http://127.0.0.1:9'})})"
        ".then(reply => reply.json())"
    )
    assert refused["success"] is False
    assert target.plan()["host"] in refused["message"]
    assert not results.exists()

    # the first run is stopped while its fault acts
    page.press(START)
    first = page.wait_for_row("run")[1]
    assert page.states()["slow-link"] == "waiting"
    assert page.wait_for_row("step", "base", "active")[4] == "60/s for 11 s"
    page.wait_for_row("fault (latency on link)", "slow-link", "active at 4.")
    assert target.toxics() == ["latency"]
    page.press(STOP)
    assert page.wait_for_row("verdict", first)[2] == "INCONCLUSIVE"
    assert target.toxics() == []
    states = page.states()
    assert states["slow-link"].startswith("reverted at ")
    assert states["base"].startswith("cut off at ")
    assert states["tail"] == "not run"
    assert states["throughput > 1000/s during tail"] == "NOT RUN"

    # the second one goes on to its end; until then the report is still the first one's
    page.press(NEW)
    page.press(START)
    second = browser.until(TABLE, lambda rows: rows[0][0] == "run" and rows[0][1] != first)[0][1]
    assert page.states()["slow-link"] == "waiting"
    assert first in ask(f"{address}/chaos/report")[1]
    page.wait_for_row("fault (latency on link)", "slow-link", "active at 4.")
    page.wait_for_row("fault (latency on link)", "slow-link", "reverted at 9.")
    assert page.wait_for_row("verdict", second)[2] == "DEVIATED"
    kinds = [row[0].split(" ")[0] for row in page.rows()]
    assert kinds[:5] == ["verdict", "report", "step", "step", "fault"]
    assert page.wait_for_row("objective", "error_rate < 20% during slow-link")[2] == "UPHELD"
    deviated = page.wait_for_row("objective", "throughput > 1000/s during tail")
    assert deviated[2] == "DEVIATED"
    assert "20/s" in deviated[4]

    # the report is reachable from the page
    assert page.wait_for_row("report")[1] == "/chaos/report"
    browser.value(
        "[...document.querySelectorAll('[role=tab]')].find(t => t.innerText.match(/data/i)).click()"
    )
    link = "[...document.querySelectorAll('a')].find(a => a.href.endsWith('/chaos/report'))"
    assert browser.until(f"{link}?.innerText") == "Report of the last chaos-locust run"
    assert browser.told() == []
    browser.open(browser.value(f"{link}.href"))
    assert "DEVIATED" in browser.value("document.title")
    assert second in browser.value("document.body.innerText")

    # SIGTERM in the middle of a third one: the process ends with the worst code, which is not the last
    browser.open(f"{address}/?tab=chaos")
    page.press(NEW)
    page.press(START)
    page.wait_for_row("fault (latency on link)", "slow-link", "active at 4.")
    locust.send_signal(signal.SIGTERM)
    exit_code = locust.wait(30)
    assert target.toxics() == []

    runs = sorted(results.iterdir())
    verdicts = [json.loads((run / "verdict.json").read_text()) for run in runs]
    journals = [json.loads((run / "journal.jsonl").open().readline()) for run in runs]
    assert [verdict["run_id"] for verdict in verdicts] == [journal["run_id"] for journal in journals]
    assert [verdict["run_id"] for verdict in verdicts][:2] == [first, second]
    assert [verdict["outcome"] for verdict in verdicts] == ["INCONCLUSIVE", "DEVIATED", "INCONCLUSIVE"]
    assert exit_code == 3
