"""The report of invariants in Chromium: nothing of the target is carried out, all of it can be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from invariants.apart import Ended, Job
from invariants.bindings import Bound
from invariants.checkers.base import Violation
from invariants.history import History, Operation
from invariants.reports import html
from invariants.result import Found, Replay, Result
from invariants.sequence import Step
from invariants.suite import Case, Suite

from .chromium import CHROMIUM, Chromium

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

CODE = "document.title='carried out'"
EVIL = f'<img src=x onerror="{CODE}"></script><script>{CODE}</script>'
# (x, y, right, bottom) of the elements with this class, as they are painted
BOXES = """[...document.querySelectorAll('.%s')].map(e => {
  const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]})"""
# contrast of every text with what it stands on (WCAG 2), for elements with a background or on the card
CONTRAST = """(() => {
  const channels = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = rgb => rgb.map(c => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor; if (!/, 0\\)$/.test(c)) return c; } return 'rgb(0,0,0)'; };
  const ratio = (a, b) => { const [x, y] = [light(channels(a)), light(channels(b))].sort((p, q) => q - p);
    return (x + .05) / (y + .05); };
  const selectors = '.invariant p,.violation .title,.invariant li,.legend span,svg .inbar,svg .fault-name';
  return selectors.split(',').flatMap(s => [...document.querySelectorAll(s)].map(e => {
      const style = getComputedStyle(e);
      return [s, ratio(e.tagName === 'text' ? style.fill : style.color, ground(e))]; }));
})()"""


def operation(process: str, kind: str, value: Any, at: tuple[float, float], **more: Any) -> Operation:
    given = {"number": 0, "outcome": "ok", "result": None, "key": None} | more
    return Operation(process=process, kind=kind, value=value, start_s=at[0], end_s=at[1], **given)


def suite() -> Suite:
    operations = (
        operation("0", "enqueue", 1, (0.0, 1.0)),
        operation("1", "enqueue", EVIL, (0.5, float("inf")), outcome="info"),
        operation("0", "enqueue", 3, (2.0, 2.5), outcome="fail", number=1),
        operation("0", "drain", None, (3.0, 4.0), result=[EVIL], number=2),
    )
    history = History(operations, ((f"down {EVIL}", 1.5, 2.75),))
    violation = Violation("total-queue", EVIL, operations[:1], EVIL)
    steps = (Step(0, "enqueue", {"value": 1}), Step(1, "enqueue", {"value": EVIL}, lane=1))
    found = Found(
        violation, steps, history, Replay(9, 10), True, again=lambda tries: Replay(0, tries), written=str
    )
    paths = {(EVIL, "enqueue", "ok"): 3}
    result = Result("queue", EVIL, (found,), "", paths, (EVIL,), 30, 29, 7, 1.0, {"messages": 3})
    job, bound = Job("queue", "shop", 7), Bound(None, note=EVIL)
    cases = (
        Case("queue", EVIL, EVIL, job, bound, Ended(result, tests=("",))),
        Case("cache", EVIL, EVIL, job, bound, Ended(reason=EVIL)),
        Case("bank", EVIL, EVIL),
    )
    return Suite("20260102_030405", EVIL, 7, EVIL, 1.7e9, 12.5, cases)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html.render(suite()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def test_what_the_target_says_is_shown_and_not_carried_out(chromium: Chromium, page: Path) -> None:
    chromium.open(page.as_uri())
    assert chromium.value("document.title").startswith("DEVIATED: ")
    assert chromium.value("document.querySelectorAll('img, script').length") == 0
    assert chromium.value("document.querySelector('.violation .title').innerText") == EVIL
    assert [address for address in chromium.requested() if address != "data:,"] == [page.as_uri()]
    assert chromium.told() == []


def test_the_lanes_are_painted_as_the_operations_were(chromium: Chromium, page: Path) -> None:
    chromium.open(page.as_uri())
    first, silent, refused, drain = chromium.value(BOXES % "operation-bar")
    (band,) = chromium.value(BOXES % "fault-area")
    assert first[2] < refused[0] < refused[2] < drain[0]
    assert first[0] < silent[0] < first[2]
    assert drain[2] <= silent[2]
    assert silent[1] > first[3]
    assert first[1] == refused[1] == drain[1]
    assert first[2] < band[0] < refused[0]
    assert refused[2] < band[2] < drain[0]
    assert band[1] < first[1]
    assert band[3] > silent[3]


def test_what_came_of_an_operation_is_told_without_colour(chromium: Chromium, page: Path) -> None:
    chromium.open(page.as_uri())
    labels = chromium.value("[...document.querySelectorAll('.inbar')].map(e => e.textContent[0])")
    assert labels == ["✓", "?", "✕", "✓"]
    style = "getComputedStyle(document.querySelector('.operation-bar.%s')).%s"
    assert chromium.value(style % ("info", "strokeDasharray")) != "none"
    assert "failed" in chromium.value(style % ("fail", "fill"))
    assert float(chromium.value(style % ("proof", "strokeWidth")).removesuffix("px")) >= 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 600])
def test_it_can_be_read(chromium: Chromium, page: Path, scheme: str, width: int) -> None:
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    chromium.call("Emulation.setEmulatedMedia", features=media)
    chromium.open(page.as_uri(), width=width)
    told = chromium.value(CONTRAST)
    assert {selector for selector, _ in told} >= {"svg .inbar", "svg .fault-name", ".invariant li"}
    assert not [each for each in told if each[1] < 4.5]
    assert chromium.value("document.documentElement.scrollWidth <= innerWidth")


def test_what_was_exercised_and_what_was_not_bound_is_there(chromium: Chromium, page: Path) -> None:
    chromium.open(page.as_uri())
    chromium.value("document.querySelector('details').open = true")
    text = chromium.value("document.body.innerText")
    assert "reproduced 9 of 10" in text
    assert "never called: " in text
    assert "test_queue.py" in text
    assert "Not bound" in text
    cells = chromium.value("[...document.querySelectorAll('.exercised td')].map(e => e.innerText)")
    assert cells == [EVIL, "3"]
