"""The page as a whole: it stands alone, is safe against what is in it, and stays small."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chaos_locust.errors import ChaosError
from chaos_locust.events import Recording
from chaos_locust.judge.verdict import Verdict
from chaos_locust.measure.histogram import NS, Layout
from chaos_locust.measure.window import Window
from chaos_locust.plan.model import Plan
from chaos_locust.reports import html
from chaos_locust.reports.cards import cards
from chaos_locust.reports.columns import columns_of
from chaos_locust.reports.write import RENDERERS, write_all

Run = tuple[Verdict, Recording]
LAYOUT = Layout()


class Page(HTMLParser):
    """Collects what a browser would run or load, and checks that the elements nest."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[tuple[str | None, str]] = []
        self.handlers: list[str] = []
        self.loaded: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script":
            self.scripts.append((given.get("type"), ""))
        self.handlers += [name for name in given if name.startswith("on")]
        self.loaded += [given[name] or "" for name in ("src", "href") if name in given]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)


def window(count: int, latency_s: float, *, failed: int = 0) -> Window:
    made = Window(LAYOUT)
    for _ in range(count):
        made.send(0.0)
        made.answer(0.0, 0, round(latency_s * NS), None)
    for _ in range(failed):
        made.send(0.0)
        made.answer(0.0, 0, NS, "HTTP 500")
    return made


def test_the_page_stands_alone_and_nests(run: Run) -> None:
    page = Page(html.render(*run))
    assert page.handlers == []
    assert [link for link in page.loaded if not link.startswith(("#", "data:"))] == []
    embedded = json.loads(page.scripts[1][1])
    assert embedded["exit_code"] == 3


def test_hostile_text_is_only_ever_text(hostile_run: Run, run: Run) -> None:
    text = html.render(*hostile_run)
    page, honest = Page(text), Page(html.render(*run))
    assert [kind for kind, _ in page.scripts] == [kind for kind, _ in honest.scripts]
    assert page.scripts[2] == honest.scripts[2]
    assert page.handlers == []
    assert "<img" not in text
    assert "alert(1)" in text  # it is there, as text
    for _, data in page.scripts[:2]:
        json.loads(data)


def test_only_the_script_that_was_shipped_may_run(run: Run) -> None:
    text = html.render(*run)
    [allowed] = re.findall(r"script-src &#39;sha256-([^&]+)&#39;|script-src 'sha256-([^']+)'", text)
    digest = hashlib.sha256(Page(text).scripts[2][1].encode()).digest()
    assert base64.b64encode(digest).decode() in allowed


def test_a_huge_run_stays_below_one_megabyte(run: Run) -> None:
    verdict, recording = run
    row = verdict.table[0]
    table = tuple(replace(row, name=f"GET /a/rather/long/name/{i}" * 3) for i in range(3000))
    findings = tuple(
        replace(verdict.findings[0], subject=f"GET /{i}", reason="because " * 30) for i in range(2000)
    )
    windows = {}
    for second in range(0, 28_800, 7):
        windows[second, "GET /"] = window(3, 0.02 + second % 97 / 100)
        windows[second, "GET /"].failed.update({f"an error with a long text {k}": 3 for k in range(12)})
    huge = replace(recording, windows=windows)
    text = html.render(replace(verdict, table=table, findings=findings, duration_s=28_800.0), huge)
    assert len(text.encode()) < 1_000_000
    assert "only in verdict.json" in text
    assert "more rows are in verdict.json" in text
    Page(text)


def test_a_run_in_which_nothing_happened_has_a_page_too(run: Run) -> None:
    verdict, recording = run
    empty = replace(
        verdict, findings=(), phases=(), faults=(), table=(), duration_s=0.0,
        totals=replace(verdict.totals, offered=0, dropped=0, sent=0, ok=0, failed=0, unanswered=0, errors={}),
    )  # fmt: skip
    Page(html.render(empty, replace(recording, windows={}, events=(recording.header,))))


def test_every_report_is_written_and_none_is_left_half(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "20261121_114500"
    assert write_all(folder, *run) == [folder / name for name in RENDERERS]
    assert sorted(p.name for p in folder.iterdir()) == sorted(RENDERERS)
    write_all(folder, *run)


def test_a_folder_that_cannot_be_written_is_one_clear_message(run: Run, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ChaosError, match=r"cannot write the report .*file/verdict.json"):
        write_all(blocked, *run)


def test_an_infinite_latency_is_named_in_the_enlarged_recovery(run: Run) -> None:
    """Without its own line it would be read off the axis as the highest finite value."""
    verdict, recording = run
    plan, columns = Plan.from_json(recording.header.plan), columns_of(recording)
    healthy = [replace(column, p95_s=0.02) for column in columns]
    for given, named in ((columns, True), (healthy, False)):
        zooms = [card.zoom for card in cards(plan, verdict, given) if card.zoom is not None]
        assert len(zooms) == 2
        assert ["infinite" in [tick.label for tick in zoom.ticks] for zoom in zooms] == [named, named]
