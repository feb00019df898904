"""What is told of a run of invariants: on the terminal, as JSON, as JUnit, as a page."""

from __future__ import annotations

import itertools
import json
import random
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from invariants.apart import Ended, Job
from invariants.bindings import Bound
from invariants.checkers.base import Violation
from invariants.history import History, read_history
from invariants.reports import console, html, junit
from invariants.reports.html import exercised
from invariants.reports.json import suite_to_json
from invariants.reports.lanes import MOST, lanes_of
from invariants.reports.write import write_all
from invariants.result import Found, Replay, Result
from invariants.sequence import Step
from invariants.suite import Case, Suite

from .histories import history, operation

SECRET = "geheim"
EVIL = "<script>alert(1)</script>"
URL = f"redis://app:{SECRET}@db.example:6379"
OPERATIONS = history(
    operation("0", "write", 1, key="x", at=(0.0, 1.0)),
    operation("1", "write", EVIL, key="x", at=(0.5, 0.5), outcome="info", error="timeout"),
    operation("0", "write", 3, key="x", at=(2.0, 2.5), outcome="fail", error="no"),
    operation("0", "read", None, URL, key="x", at=(3.0, 4.0)),
)
HISTORY = History(OPERATIONS.operations, (("db-down", 1.5, 2.75),))
STEPS = (
    Step(0, "write", {"key": "x", "value": 1}),
    Step(1, "write", {"key": "x", "value": EVIL}, lane=1),
    Step(4, "inject", {}, fault="db-down"),
    Step(5, "heal", {}, fault="db-down"),
    Step(6, "read", {"key": "x"}),
)


def found(**changes: Any) -> Found:
    violation = Violation("linearizable", f"a value {EVIL} of {URL}", (HISTORY.operations[-1],), "stale")
    made = Found(
        violation, STEPS, HISTORY, Replay(17, 20), True, 1, again=lambda tries: Replay(0, tries), written=str
    )
    return replace(made, **changes)


def result(*violations: Found, inconclusive: str = "") -> Result:
    return Result(
        "registers_are_linearizable",
        "Each read & write is <b>one</b> instant.",
        violations,
        inconclusive,
        {("", "write", "ok"): 12, ("", "read", "ok"): 7, ("db-down", "write", "info"): 3},
        ("cas",),
        30,
        29,
        7,
        12.34,
        {"reads": 40},
    )


JOB = Job("registers_are_linearizable", URL, 7)


def case(ended: Ended | None, name: str = "registers_are_linearizable") -> Case:
    bound = None if ended is None else Bound(None, note="a note")
    return Case(name, "Each read & write is one instant.", "because <i>it</i> is", JOB, bound, ended)


def suite(*cases: Case) -> Suite:
    return Suite("20260102_030405", "redis://app:***@db.example:6379", 7, "again", 1.7e9, 12.5, cases)


UPHELD = case(Ended(result()))
DEVIATED = case(Ended(result(found()), tests=("def test(): ...\n",)))
DOUBT = case(Ended(result(inconclusive="never reached: open")))
HUNG = case(Ended(reason="it had no end within 270 s and was stopped"))
DIRTY = case(Ended(dirty="db-down could not be undone"))
UNBOUND = case(None, "money_is_conserved")


@pytest.mark.parametrize(
    ("cases", "word", "code"),
    [
        ((UPHELD, UNBOUND), "UPHELD", 0),
        ((UPHELD, DEVIATED, DOUBT), "DEVIATED", 3),
        ((UPHELD, DOUBT), "INCONCLUSIVE", 4),
        ((UPHELD, HUNG), "INCONCLUSIVE", 4),
        ((DEVIATED, DIRTY), "DEVIATED", 5),
        ((UPHELD, DIRTY), "INCONCLUSIVE", 5),
    ],
)
def test_the_worst_decides_and_what_is_not_bound_does_not_count(
    cases: tuple[Case, ...], word: str, code: int
) -> None:
    assert (suite(*cases).word, suite(*cases).exit_code) == (word, code)
    data = suite_to_json(suite(*cases))
    assert (data["outcome"], data["exit_code"]) == (word, code)


def test_nothing_that_was_run_is_no_pass() -> None:
    assert suite(UNBOUND).exit_code == 4


def test_the_terminal_tells_steps_how_often_and_under_what() -> None:
    text = console.render_case(DEVIATED)
    assert "reproduced 17 of 20; only under db-down" in text
    assert re.findall(r"^ +(\d\. .*)$", text, re.M) == [
        "1. write(key='x', value=1) in lane 0",
        f"2. write(key='x', value='{EVIL}') in lane 1",
        "3. inject db-down",
        "4. heal db-down",
        "5. read(key='x') in lane 0",
    ]
    assert "30 sequences, 29 told something, 12.3 s, seed 7, 40 reads" in text
    assert "never called: cas" in text
    assert "\x1b" not in text
    assert "\x1b[31mDEVIATED" in console.render_case(DEVIATED, colour=True)


def test_the_terminal_tells_why_nothing_is_said() -> None:
    assert "never reached: open" in console.render_case(DOUBT)
    assert "no end within 270 s" in console.render_case(HUNG)
    end = console.render_end(suite(UPHELD, DIRTY, UNBOUND), None)
    assert "the target was left dirty: db-down could not be undone" in end
    assert "5 (the target was left changed" in end
    assert re.search(r"^NOT BOUND +money_is_conserved$", end, re.M)


def test_a_violation_that_was_not_made_short_is_told_as_such() -> None:
    given = case(Ended(result(found(shortened=False, repeat=100))))
    text = console.render_case(given)
    assert "reproduced 17 of 20, 100 times as one" in text
    assert "no time to be sure that no step can be taken away" in " ".join(text.split())


def test_junit_has_a_case_for_each() -> None:
    root = ET.fromstring(junit.render(suite(UPHELD, DEVIATED, HUNG, UNBOUND)))
    (element,) = root
    counts = {name: element.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    failure = element.find("testcase/failure")
    assert failure is not None
    assert failure.text is not None
    assert "3. inject db-down" in failure.text
    assert element.find("testcase/error").get("message") == HUNG.doubt  # type: ignore[union-attr]
    assert element.find("properties/property[@name='exit_code']").get("value") == "3"  # type: ignore[union-attr]


def test_no_report_has_the_password(tmp_path: Path) -> None:
    given = suite(UPHELD, DEVIATED, HUNG, UNBOUND)
    write_all(tmp_path, given)
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    texts["terminal"] = console.render_case(DEVIATED) + console.render_end(given, tmp_path)
    assert set(texts) == {
        "result.json", "junit.xml", "report.html", "terminal", "registers_are_linearizable.violation.json",
        "registers_are_linearizable.history.jsonl", "test_registers_are_linearizable.py",
    }  # fmt: skip
    assert [name for name, text in texts.items() if SECRET in text] == []
    assert "redis://app:***@db.example" in texts["registers_are_linearizable.history.jsonl"]


def test_the_files_of_a_violation_can_be_read_again(tmp_path: Path) -> None:
    write_all(tmp_path, suite(DEVIATED))
    assert len(read_history(tmp_path / "registers_are_linearizable.history.jsonl")) == len(HISTORY)
    data = json.loads((tmp_path / "registers_are_linearizable.violation.json").read_text())
    assert tuple(Step.from_json(step) for step in data["steps"]) == STEPS
    assert data["necessary_faults"] == ["db-down"]
    assert data["fault_bands"] == [["db-down", 1.5, 2.75]]


class Page(HTMLParser):
    """Its elements as (tag, attributes), and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [each for _, each in self.elements if name in (each.get("class") or "").split()]


def test_the_page_escapes_what_it_shows_and_needs_nothing() -> None:
    page = Page(html.render(suite(DEVIATED, UPHELD, HUNG, UNBOUND)))
    assert EVIL in page.text
    assert "because <i>it</i> is" in page.text
    assert "script" not in {tag for tag, _ in page.elements}
    assert sum(tag == "i" for tag, _ in page.elements) == 6  # the head's one, and the legend's five
    links = [each.get(name) for _, each in page.elements for name in ("href", "src") if each.get(name)]
    assert links == [
        "data:,",
        "test_registers_are_linearizable.py",
        "registers_are_linearizable.history.jsonl",
    ]


def test_the_page_shows_each_operation_with_what_came_of_it_and_the_fault_behind() -> None:
    page = Page(html.render(suite(DEVIATED)))
    kinds = [re.sub("operation-bar ", "", str(each["class"])) for each in page.of_class("operation-bar")]
    assert sorted(kinds) == ["fail", "info", "ok", "ok proof"]
    for sign in ("✓ write x 1", "✕ write x 3", "? write x"):
        assert sign in page.text
    assert len(page.of_class("fault-area")) == 1


def test_the_page_says_what_was_exercised_as_a_matrix() -> None:
    matrix = exercised(result().code_paths_exercised)
    assert matrix.columns == (("read", "ok"), ("write", "ok"), ("write", "info"))
    assert matrix.rows == (("-", (7, 12, 0)), ("db-down", (0, 0, 3)))
    cells = re.findall("<t[hd]>(.*?)</t[hd]>", html.render(suite(UPHELD)))
    assert cells == [
        "State",
        "read: ok",
        "write: ok",
        "write: info",
        "-",
        "7",
        "12",
        "",
        "db-down",
        "",
        "",
        "3",
    ]


def test_the_page_says_that_there_is_no_test_file() -> None:
    given = case(Ended(result(found()), no_tests="the faults db-down have to come from a plan's file"))
    page = Page(html.render(suite(given)))
    assert "There is no test file: the faults db-down have to come from a plan's file." in page.text


@pytest.mark.parametrize("seed", range(30))
def test_bars_overlap_where_operations_did(seed: int) -> None:
    rng = random.Random(seed)
    made = []
    for process in range(4):
        now_s = 0.0
        for _ in range(4):
            start_s = now_s + rng.choice([0.0, 0.5, 1.0])
            now_s = start_s + rng.choice([0.0, 0.5, 2.0])
            made.append(operation(str(process), "write", len(made), at=(start_s, now_s)))
    given = history(*made)
    bars = dict(zip(given, lanes_of(given, ()).bars, strict=True))
    for one, other in itertools.combinations(given, 2):
        apart = bars[one].x + bars[one].width <= bars[other].x
        if one.process == other.process:
            assert apart
            assert bars[one].y == bars[other].y
        else:  # at one instant no order of all can show all that may have overlapped
            assert apart or one.end_s >= other.start_s
            assert not apart or one.end_s <= other.start_s
            assert bars[one].y != bars[other].y


def test_a_band_lies_between_what_was_before_the_fault_and_what_was_after() -> None:
    given = lanes_of(HISTORY, ())
    first, _, refused, last = given.bars
    (band,) = given.bands
    assert first.x + first.width < band.x < refused.x
    assert refused.x + refused.width < band.x + band.width < last.x


def test_an_operation_without_an_answer_goes_on_to_the_end() -> None:
    given = lanes_of(HISTORY, ())
    silent = next(bar for bar in given.bars if bar.kind == "info")
    assert silent.x + silent.width >= max(bar.x + bar.width for bar in given.bars)


def test_of_a_long_history_only_the_proof_is_drawn() -> None:
    many = history(*(operation("0", "write", n, at=(n, n + 0.5)) for n in range(MOST + 1)))
    given = lanes_of(many, many.operations[5:7])
    assert [bar.label for bar in given.bars] == ["✓ write 5", "✓ write 6"]
    assert given.left_out == MOST - 1
