"""The page in a real browser: no error, no network, the picture in sight, cross-hair and links that work."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.reports.write import write_all

from .chromium import CHROMIUM, Chromium

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def problems(browser: Chromium) -> list[str]:
    """Everything the console would show, and every address asked for but the page itself."""
    asked = [url for url in browser.requested() if not url.startswith(("file://", "data:"))]
    return [*browser.told(), *asked]


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


def test_the_page_opens_without_an_error_and_without_the_network(browser: Chromium, page: Path) -> None:
    browser.open(page.as_uri())
    assert browser.value("document.querySelector('.badge').innerText").split() == ["✕", "DEVIATED"]
    assert problems(browser) == []


def test_the_checks_above_can_fail(browser: Chromium, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://127.0.0.1:9/x.png'><script>console.error('told')</script>")
    browser.open(bad.as_uri())
    told = " ".join(problems(browser))
    assert "http://127.0.0.1:9/x.png" in told
    assert "told" in told


def test_the_top_of_the_picture_is_on_the_first_screen(browser: Chromium, page: Path) -> None:
    browser.open(page.as_uri(), 1440, 900)
    assert browser.value("document.querySelector('#box svg').getBoundingClientRect().top") < 900
    assert browser.value("document.documentElement.scrollWidth") <= 1440


def test_nothing_overflows_a_narrow_screen(browser: Chromium, page: Path) -> None:
    browser.open(page.as_uri(), 400, 800)
    assert browser.value("document.documentElement.scrollWidth") <= 400


def test_the_cross_hair_tells_the_figures_of_the_moment(browser: Chromium, page: Path) -> None:
    browser.open(page.as_uri())
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


def test_an_objective_leads_to_its_moment(browser: Chromium, page: Path) -> None:
    browser.open(page.as_uri())
    browser.value("document.querySelector('.objective a[data-from]').click()")
    assert browser.value("document.getElementById('mark').classList.contains('on')")
    assert browser.value("Number(document.getElementById('mark').getAttribute('width'))") > 3


def test_hostile_names_do_nothing(browser: Chromium, tmp_path: Path) -> None:
    attack = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    browser.open(_page(tmp_path, changes={"name": attack}, names={"GET /products": attack}).as_uri())
    assert browser.value("document.title").startswith("DEVIATED: </script>")
    assert problems(browser) == []


def test_the_page_prints(browser: Chromium, page: Path) -> None:
    browser.open(page.as_uri())
    printed = browser.call("Page.printToPDF", printBackground=True)["data"]
    assert len(printed) > 50_000
