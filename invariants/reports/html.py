"""`report.html`: one page, one file, no network, in the look of a run's report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from chaos_locust.reports import text
from chaos_locust.reports.page import asset, f1, templates
from invariants.execute import Path as Passed
from invariants.reports.lanes import Lanes, lanes_of
from invariants.reports.words import facts_of, file_names, numbers_of, sentence_of, steps_of
from invariants.result import Found
from invariants.suite import Case, Suite

_SIGNS = {"UPHELD": "✓", "DEVIATED": "✕", "INCONCLUSIVE": "?", "NOT BOUND": "-"}
_OUTCOMES = ("ok", "fail", "info", "broken")
_ORDER = ("DEVIATED", "INCONCLUSIVE", "UPHELD", "NOT BOUND")


@dataclass(frozen=True, slots=True)
class Exercised:
    """How often each rule came to each outcome in each state: columns are (rule, outcome)."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """One violation. name: what its files begin with; test: the test file, empty where there is none."""

    title: str
    anomaly: str
    facts: tuple[str, ...]
    steps: tuple[str, ...]
    proof: tuple[str, ...]
    lanes: Lanes
    name: str
    test: str
    no_test: str


def render(suite: Suite) -> str:
    """The page. Everything of the target is escaped, and without secrets."""
    cases = sorted(suite.cases, key=lambda case: _ORDER.index(case.word))
    return (
        templates("invariants.reports", text.plain, text.when, text.exit_text, text.count, f1)
        .get_template("invariants.html.j2")
        .render(
            suite=suite,
            sentence=sentence_of(suite),
            signs=_SIGNS,
            tally=", ".join(
                f"{count} {word}"
                for word in _ORDER
                if (count := sum(case.word == word for case in suite.cases))
            ),
            cases=[case for case in cases if case.ended is not None],
            not_bound=[case for case in cases if case.ended is None],
            numbers=numbers_of,
            exercised=exercised,
            shown=shown,
            style=Markup(asset("chaos_locust.reports", "report.css")),
            own_style=Markup(asset("invariants.reports", "invariants.css")),
        )
    )


def exercised(paths: Mapping[Passed, int]) -> Exercised:
    """A matrix of states by (rule, outcome), with those columns only that were met."""
    columns = sorted(
        {(rule, outcome) for _, rule, outcome in paths},
        key=lambda column: (column[0], _OUTCOMES.index(column[1])),
    )
    counts: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)
    for (state, rule, outcome), count in paths.items():
        counts[state][rule, outcome] = count
    rows = tuple(
        (state or "-", tuple(counts[state].get(column, 0) for column in columns)) for state in sorted(counts)
    )
    return Exercised(tuple(columns), rows)


def shown(case: Case) -> list[Shown]:
    """The violations of one invariant."""
    if case.ended is None or case.ended.result is None:
        return []
    violations = case.ended.result.violations
    return [
        _shown(found, name, case.ended.tests, case.ended.no_tests)
        for found, name in zip(violations, file_names(case), strict=True)
    ]


def _shown(found: Found, name: str, tests: tuple[str, ...], no_tests: str) -> Shown:
    return Shown(
        found.title,
        found.violation.anomaly,
        tuple(facts_of(found)),
        tuple(steps_of(found)),
        tuple(map(str, found.violation.operations)),
        lanes_of(found.history, found.violation.operations),
        name,
        f"test_{name}.py" if tests else "",
        no_tests,
    )
