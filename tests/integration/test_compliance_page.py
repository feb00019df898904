"""The page of an audit in Chromium: nothing of the target is carried out, filters work, it can be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from compliance.catalogue import load
from compliance.checks import bindings, checks, judge
from compliance.decisions import Decision, Item
from compliance.gate import Gate, gated
from compliance.history import Difference
from compliance.measurement import Measurement
from compliance.outputs import html
from compliance.outputs.report import Report
from compliance.outputs.words import findings_of
from compliance.result import AuditResult
from compliance.rollup import judged

from .chromium import CHROMIUM, Chromium

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

CODE = "document.title='carried out'"
EVIL = f'<img src=x onerror="{CODE}"></script><script>{CODE}</script>'
CHECKS = "article.violation h3 .mono"
TODAY = date(2030, 6, 15)
SHOWN = "[...document.querySelectorAll('%s')].filter(e => e.offsetParent !== null).map(e => e.%s)"
# contrast of every text with what it stands on (WCAG 2)
CONTRAST = """(() => {
  const channels = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = rgb => rgb.map(c => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor; if (!/, 0\\)$/.test(c)) return c; } return 'rgb(0,0,0)'; };
  const ratio = (a, b) => { const [x, y] = [light(channels(a)), light(channels(b))].sort((p, q) => q - p);
    return (x + .05) / (y + .05); };
  const selectors = '.severity,.violation p,.violation li,.controls td,.filters select,.reasons li';
  return selectors.split(',').flatMap(s => [...document.querySelectorAll(s)].map(e =>
      [s, ratio(getComputedStyle(e).color, ground(e))]));
})()"""


def report() -> Report:
    """Of 800-53 Moderate, as large as it is: every second check fails, and one is not known."""
    framework = load("fisma")
    profile, bound = framework.profiles["moderate"], bindings("fisma")
    wanted = sorted({each.check for control in profile.controls for each in bound.get(control, ())})
    taken = {
        measure: Measurement(
            measure,
            "ok",
            {"seen": EVIL},
            (EVIL, "GET / \n" + "x" * 2000),
            "",
            "2030-06-15T10:00:00.000+00:00",
            0.1,
        )
        for measure in sorted({checks()[name].measure for name in wanted})
    }
    outcomes = {}
    for place, name in enumerate(wanted):
        outcome = judge(checks()[name], taken[checks()[name].measure], profile.parameters)
        answers = ("failed", "held") if place else ("not_known",)
        outcomes[name] = replace(outcome, answer=answers[place % len(answers)], text=EVIL)
    unbound = [each for each in profile.controls if each not in bound]
    decisions = [
        Decision(
            kind,
            Item(
                framework="fisma",
                controls=(control,),
                statement=EVIL,
                owner="Ada",
                approver="Bob",
                decided_on=date(2030, 1, 1),
                expires_on=until,
            ),
        )
        for kind, control, until in (
            ("exclusion", unbound[0], date(2031, 1, 1)),
            ("attestation", unbound[1], date(2030, 2, 1)),
        )
    ]
    result = AuditResult(
        framework=framework,
        profile=profile,
        target=EVIL,
        audited_at="2030-06-15T10:00:00+00:00",
        today=TODAY,
        took_s=12.5,
        controls=tuple(
            judged(
                framework.controls[each],
                bound.get(each, ()),
                outcomes,
                [one for one in decisions if each in one.item.controls],
                TODAY,
            )
            for each in profile.controls
        ),
        measurements=taken,
        first_seen={},
    )
    change = Difference("2030-05-15T10:00:00+00:00", (("SC-8", EVIL),), (), (), ())
    new = {each.key for each in result.violations}
    return Report(result, "20300615_100000", EVIL, gated(Gate(any_violation=True), result, new), change)


@pytest.fixture(scope="module")
def audited() -> Report:
    return report()


@pytest.fixture(scope="module")
def page(audited: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audit") / "report.html"
    path.write_text(html.render(audited), encoding="utf-8")
    assert path.stat().st_size < 1_000_000
    return path


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def choose(chromium: Chromium, field: str, value: str) -> None:
    chromium.value(
        f"(e => {{ e.value = {value!r}; e.dispatchEvent(new Event('input', {{bubbles: true}})); }})"
        f"(document.getElementById({field!r}))"
    )


def shown_controls(chromium: Chromium) -> list[str]:
    return list(chromium.value(SHOWN % (".controls tbody tr", "cells[0].innerText")))


def test_what_the_target_says_is_shown_and_not_carried_out(chromium: Chromium, page: Path) -> None:
    chromium.open(page.as_uri())
    assert chromium.value("document.title").startswith("VIOLATIONS: fisma audit of <img")
    assert chromium.value("document.querySelectorAll('img').length") == 0
    assert chromium.value("document.querySelectorAll('script').length") == 1
    assert chromium.value("document.querySelector('.violation .what').innerText") == EVIL
    assert [address for address in chromium.requested() if address != "data:,"] == [page.as_uri()]
    assert chromium.told() == []


def test_counts_add_up_on_the_page(chromium: Chromium, page: Path, audited: Report) -> None:
    chromium.open(page.as_uri())
    counts = chromium.value("[...document.querySelectorAll('.counts dd')].map(e => Number(e.innerText))")
    assert len(counts) == 5
    assert sum(counts) == audited.result.total_controls == 287
    assert len(shown_controls(chromium)) == 287
    sums = chromium.value(
        "[...document.querySelectorAll('#groups tbody tr')].map(e => Number(e.lastElementChild.innerText))"
    )
    assert sum(sums) == 287


@pytest.mark.parametrize("state", ["compliant", "non_compliant", "not_applicable", "not_assessed"])
def test_the_state_filters(chromium: Chromium, page: Path, audited: Report, state: str) -> None:
    chromium.open(page.as_uri())
    choose(chromium, "state", state)
    wanted = [each.control.id for each in audited.result.controls if each.state == state]
    assert shown_controls(chromium) == wanted
    violations = len(chromium.value(SHOWN % ("article.violation", "id")))
    of = len(findings_of(audited.result))
    assert violations == (of if state == "non_compliant" else 0)
    assert chromium.value("document.getElementById('shown').innerText") == (
        f"{violations} of {of} failed checks, {len(wanted)} of 287 controls"
    )


def test_filters_go_together_and_can_be_taken_back(chromium: Chromium, page: Path, audited: Report) -> None:
    chromium.open(page.as_uri())
    findings = findings_of(audited.result)
    group_of = {name: each.group for name, each in audited.result.framework.controls.items()}
    first = findings[0][0]
    severity, group = first.severity, group_of[first.control_id]
    choose(chromium, "severity", severity)
    choose(chromium, "group", group)
    wanted = [
        found[0].check
        for found in findings
        if found[0].severity == severity and group in {group_of[each.control_id] for each in found}
    ]
    assert 0 < len(wanted) < len(findings)
    assert chromium.value(SHOWN % (CHECKS, "innerText")) == wanted
    choose(chromium, "text", f"  {first.check.upper()} ")
    assert chromium.value(SHOWN % (CHECKS, "innerText")) == [first.check]
    choose(chromium, "text", "there is no such text")
    assert shown_controls(chromium) == []
    for field in ("text", "severity", "group"):
        choose(chromium, field, "")
    assert len(shown_controls(chromium)) == 287
    assert chromium.told() == []


def test_the_evidence_opens_where_a_violation_points(chromium: Chromium, page: Path) -> None:
    chromium.open(page.as_uri())
    place = chromium.value("document.querySelector('.violation a').getAttribute('href')")
    chromium.value("document.querySelector('.violation a').click()")
    chromium.until(f"document.querySelector({place!r}).open")
    assert EVIL in chromium.value(f"document.querySelector({place!r}).innerText")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 600])
def test_it_can_be_read(chromium: Chromium, page: Path, scheme: str, width: int) -> None:
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    chromium.call("Emulation.setEmulatedMedia", features=media)
    chromium.open(page.as_uri(), width=width)
    told = chromium.value(CONTRAST)
    assert {selector for selector, _ in told} >= {".severity", ".violation p", ".controls td", ".reasons li"}
    assert not [each for each in told if each[1] < 4.5]
    assert chromium.value("document.documentElement.scrollWidth <= innerWidth")


def test_without_a_violation_it_says_what_is_left(
    chromium: Chromium, audited: Report, tmp_path: Path
) -> None:
    left = tuple(each for each in audited.result.controls if each.state == "not_assessed")
    path = tmp_path / "report.html"
    result = replace(audited.result, controls=left)
    path.write_text(html.render(replace(audited, result=result, difference=None)), encoding="utf-8")
    chromium.open(path.as_uri())
    text = chromium.value("document.body.innerText")
    assert "NOT FULLY ASSESSED" in text
    assert "No check failed. What was not assessed is told below." in text
    assert "no certificate" in text
    assert chromium.told() == []
