"""The report of a real run in Chromium: complete in one file, and readable without JavaScript."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import chaos_locust

from .chromium import CHROMIUM, Chromium
from .proxied_target import ProxiedTarget

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

LOCUSTFILE = Path(chaos_locust.__file__).parent / "locust_plugin" / "plain.py"
PLAN = {
    "load": [{"step": "base", "rate": "60/s", "for": "9s"}],
    "warm_up": "1s",
    "baseline": "2s",
    "faults": [
        {"name": "slow-link", "kind": "latency", "target": "link", "latency": "40ms", "at": "4s", "for": "2s"}
    ],
    "steady_state": ["error_rate < 20%"],
    "objectives": ["error_rate < 20% during slow-link", "throughput > 1000/s during run"],
}
# what of an element can be seen on the first screen, by what is really painted in the middle of it
IN_SIGHT = """(() => {
  const element = document.querySelector('%s'), area = element.getBoundingClientRect();
  const middle = document.elementFromPoint(area.left + area.width / 2, area.top + area.height / 2);
  const whole = area.top >= 0 && area.left >= 0 && area.bottom <= innerHeight && area.right <= innerWidth;
  return whole && element.contains(middle) ? element.innerText : '';
})()"""
# the figures of the moment that the arrow key goes to, which the page's script fills in
ARROW_KEY = """document.querySelector('#box svg').dispatchEvent(
  new KeyboardEvent('keydown', {key: 'ArrowRight'}));
document.getElementById('tip').innerText"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run that deviates, for nobody gets 1000 requests/s from 60."""
    folder = tmp_path_factory.mktemp("run")
    environ = {k: v for k, v in os.environ.items() if k != "LOCUST_SKIP_MONKEY_PATCH"}
    with ProxiedTarget() as target:
        (folder / "plan.yaml").write_text(json.dumps(target.plan(**PLAN)))
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
        command += ["--chaos-plan", "plan.yaml"]
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 3, done.stdout + done.stderr
    (run,) = (folder / "results").iterdir()
    return run / "report.html"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    with Chromium(tmp_path / "profile") as browser:
        yield browser


def test_complete_in_one_file(browser: Chromium, report: Path) -> None:
    assert report.stat().st_size < 1_000_000
    browser.open(report.as_uri())
    browser.until("document.readyState == 'complete'")
    assert browser.told() == []
    assert [url for url in browser.requested() if not url.startswith("data:")] == [report.as_uri()]


def test_the_first_screen_has_the_verdict(browser: Chromium, report: Path) -> None:
    browser.open(report.as_uri())
    assert "DEVIATED" in browser.value(IN_SIGHT % ".badge")
    assert "1000/s wanted" in browser.value(IN_SIGHT % "h1")


def test_without_javascript(browser: Chromium, report: Path) -> None:
    browser.open(report.as_uri())
    assert browser.value(ARROW_KEY) != ""
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(report.as_uri())
    assert browser.value(ARROW_KEY) == ""
    assert "DEVIATED" in browser.value(IN_SIGHT % ".badge")
    told = browser.value("document.body.innerText")
    for needed in ("throughput > 1000/s during run", "slow-link", "GET /visit", "reverted"):
        assert needed in told
    drawn = browser.value("document.querySelector('#box svg').getBoundingClientRect().height")
    assert drawn > 200
    lines = "[...document.querySelectorAll('#box svg path')].filter(p => p.getTotalLength() > 100).length"
    assert browser.value(lines) >= 3
    assert browser.told() == []
