"""What the table of isolation levels says of what was measured."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from invariants.checkers.list_append import MEANINGS
from invariants.isolation.load import Loaded, Tries
from invariants.isolation.measure import Cell, IsolationTable
from invariants.isolation.page import html, rendered
from invariants.isolation.promises import ANOMALIES, CYCLES, LEVELS, Level, cycle_prevented_at


def table(loads: tuple[Loaded, ...] = (), **seen: int) -> IsolationTable:
    """Of one level, serializable; seen: by the anomaly's name with underscores."""
    cells = [
        Cell("serializable", anomaly, 3, seen.get(anomaly.name.replace(" ", "_"), 0), ("A: <b> -> 1",))
        for anomaly in ANOMALIES
    ]
    return IsolationTable("PostgreSQL 16", {"serializable": "serializable"}, tuple(cells), loads)


def loaded(level: Level = "serializable", inconclusive: str = "", *impossible: str) -> Loaded:
    return Loaded("lists", level, Tries(240, 12, 7, 7), {"G2": None}, impossible, inconclusive)


def text(given: IsolationTable) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(rendered(given))
    return captured.get()


# Table 13.1 of the documentation, as far as it goes: what is "not possible", or not in PostgreSQL.
@pytest.mark.parametrize(
    ("anomaly", "prevented"),
    [
        ("aborted read", LEVELS),
        ("non-repeatable read", ("repeatable read", "serializable")),
        ("phantom read", ("repeatable read", "serializable")),
        ("predicate write skew", ("serializable",)),
        ("write skew", ("serializable",)),
    ],
)
def test_promises_are_those_of_the_documentation(anomaly: str, prevented: tuple[Level, ...]) -> None:
    (found,) = [each for each in ANOMALIES if each.name == anomaly]
    assert tuple(level for level in LEVELS if found.prevented_at(level)) == prevented


def test_every_anomaly_of_the_checker_of_lists_is_judged() -> None:
    assert set(CYCLES) == set(MEANINGS)
    assert cycle_prevented_at("G1a", "read uncommitted")
    assert not cycle_prevented_at("G2", "repeatable read")


def test_all_promises_held() -> None:
    assert table((loaded(),)).outcome == "UPHELD"


def test_one_time_seen_is_enough_to_deviate() -> None:
    found = table(write_skew=1)
    assert found.outcome == "DEVIATED"
    assert "serializable: write skew was seen in 1 of 3 runs, which is promised to be impossible" in (
        found.sentences
    )
    assert found.cell("serializable", "write skew").word == "SEEN 1 of 3"
    assert "DEVIATED" in text(found)
    assert html(found).count('class="broken"') == 1


def test_what_deviates_under_concurrency_does_too() -> None:
    found = table((loaded("serializable", "", "G2"),))
    assert found.outcome == "DEVIATED"
    assert "serializable: G2 under lists, which is promised to be impossible" in found.sentences


def test_what_tells_nothing_is_not_upheld() -> None:
    found = table((loaded("serializable", "no transaction read anything"),))
    assert found.outcome == "INCONCLUSIVE"
    assert "serializable: nothing can be said of lists: no transaction read anything" in found.sentences


def test_what_is_not_promised_is_found_or_not_and_that_is_said() -> None:
    (skew,) = [each for each in ANOMALIES if each.name == "write skew"]
    assert Cell("repeatable read", skew, 3, 3, ()).word == "allowed, seen 3 of 3"
    assert Cell("repeatable read", skew, 3, 0, ()).word == "allowed, not seen"
    assert not Cell("repeatable read", skew, 3, 3, ()).broken


def test_the_page_stands_alone_and_shows_statements_as_text() -> None:
    page = html(table((loaded(),)))
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "http" not in page
    assert "src=" not in page


def test_json_has_retries_and_the_source() -> None:
    data = json.loads(json.dumps(table((loaded(),)).to_json()))
    assert data["loads"][0]["retried"] == data["loads"][0]["succeeded_after_retry"] == 7
    assert "table 13.1" in data["source"]
