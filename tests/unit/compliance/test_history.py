"""Earlier audits: since when a violation is known, what is new, what is gone, and what was only not seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from compliance.checks import Answer
from compliance.history import (
    ChangedDocument,
    Difference,
    history_for,
    history_of,
    read_audits,
    told_by,
)
from compliance.outputs.document import result_to_json
from compliance.outputs.write import write_all
from compliance.result import AuditResult

from .audits import audit, decision, report

KEY = ("AC-2", "accounts")


def found(
    answer: Answer, day: int = 1, first_seen: Mapping[tuple[str, str], date] | None = None
) -> AuditResult:
    at = f"2030-05-{day:02}T10:00:00+00:00"
    return audit({"AC-2": {"accounts": (answer, "full")}}, at=at, first_seen=first_seen)


def document(answer: Answer, day: int, seen: date | None = None) -> dict[str, Any]:
    first = {KEY: seen or date(2030, 5, day)}
    return result_to_json(found(answer, day, first))


def test_the_first_date_stays_while_it_is_there() -> None:
    history = history_of([document("failed", 3), document("failed", 1), document("failed", 2)])
    assert history.open == {KEY: date(2030, 5, 1)}
    assert history.since == "2030-05-03T10:00:00+00:00"


def test_an_audit_knows_what_was_seen_before_the_oldest_that_is_left() -> None:
    assert history_of([document("failed", 3, date(2030, 1, 9))]).open == {KEY: date(2030, 1, 9)}


def test_one_that_came_back_is_new() -> None:
    history = history_of([document("failed", 1), document("held", 2)])
    assert history.open == {}
    assert history.new(found("failed")) == {KEY}
    assert history_of([document("failed", 1), document("held", 2), document("failed", 3)]).open == {
        KEY: date(2030, 5, 3)
    }


def test_one_that_could_not_be_seen_is_not_gone() -> None:
    history = history_of([document("failed", 1), document("not_known", 2)])
    assert history.open == {KEY: date(2030, 5, 1)}
    assert history.new(found("failed")) == set()


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        ("held", "failed", "new"),
        ("not_known", "failed", "new"),
        ("failed", "failed", "still"),
        ("failed", "held", "gone"),
        ("failed", "not_known", "not_seen"),
    ],
)
def test_a_difference_has_it_once(before: Answer, now: Answer, kind: str) -> None:
    told = history_of([document(before, 1)]).difference(found(now))
    assert told == Difference(
        "2030-05-01T10:00:00+00:00",
        **{each: (KEY,) if each == kind else () for each in ("new", "still", "gone", "not_seen")},
    )


def test_what_was_left_out_is_not_gone() -> None:
    excluded = audit({"AC-2": {"accounts": ("failed", "full")}}, [decision("exclusion", "AC-2")])
    told = history_of([document("failed", 1)]).difference(excluded)
    assert told is not None
    assert told.not_seen == (KEY,)


def test_without_an_earlier_audit_there_is_no_difference_and_all_is_new() -> None:
    history = history_of([])
    assert history.difference(found("failed")) is None
    assert history.new(found("failed")) == {KEY}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_all(tmp_path / name, report(found("failed", 1 if name == "a" else 2)))
    return tmp_path


def test_only_of_the_same_target_framework_and_profile(folder: Path) -> None:
    assert history_for(read_audits(folder), "shop", "fisma", "low").since.startswith("2030-05-02")
    for other in (("bank", "fisma", "low"), ("shop", "soc2", "low"), ("shop", "fisma", "high")):
        assert history_for(read_audits(folder), *other).since == ""


def test_a_document_that_was_changed_is_refused(folder: Path) -> None:
    path = folder / "a" / "audit.json"
    written = json.loads(path.read_text())
    for text in (path.read_text().replace('"shop"', '"sham"'), "{}", "[]", "", "{"):
        path.write_text(text)
        with pytest.raises(ChangedDocument, match=r"a/audit\.json"):
            history_for(read_audits(folder), "shop", "fisma", "low")
    path.write_text(json.dumps(written))  # another layout of the same
    assert history_for(read_audits(folder), "shop", "fisma", "low").open == {KEY: date(2030, 6, 15)}


def test_a_document_tells_of_its_entry_in_the_trail(folder: Path) -> None:
    told = told_by(folder / "b" / "audit.json", "trail.jsonl")
    assert told is not None
    last = json.loads((folder / "trail.jsonl").read_text().splitlines()[-1])
    assert (told.number, told.hash) == (2, last["hash"])
    assert last["document"] == json.loads((folder / "b" / "audit.json").read_text())["sha256"]
    assert told_by(folder / "b" / "audit.json", "other.jsonl") is None
