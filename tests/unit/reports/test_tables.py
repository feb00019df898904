"""The tables of the page: what was demanded, requests, errors, what is missing, closed workloads."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from chaos_locust.events import GeneratorSample, Recording
from chaos_locust.judge.verdict import Finding, Outcome, Verdict
from chaos_locust.measure.histogram import NS, Histogram, Layout
from chaos_locust.measure.window import ARRIVALS
from chaos_locust.reports import html
from chaos_locust.reports.corrected import corrected_of, with_omitted
from chaos_locust.reports.tables import (
    ObjectiveRow,
    error_rows,
    not_measured,
    objective_rows,
    request_groups,
)

Run = tuple[Verdict, Recording]
LAYOUT = Layout()


# -- the tables -----------------------------------------------------------------------------------------


def test_objectives_stand_with_failures_first(run: Run) -> None:
    rows = objective_rows(run[0])
    words = [row.word for row in rows]
    assert len(words) == len(run[0].findings)
    assert words == sorted(words, key=["DEVIATED", "INCONCLUSIVE", "UPHELD"].index)
    assert words[0] == "DEVIATED"
    assert words[-1] == "UPHELD"
    bar = rows[0].bar
    assert bar is not None
    assert bar.value > bar.bound


def test_the_bar_of_an_infinite_value_is_full_and_of_an_interval_starts_within() -> None:
    def finding(**more: object) -> Finding:
        return Finding("objective", "x", Outcome.DEVIATED, "", unit="s", op="<", bound=5.0, **more)  # type: ignore[arg-type]

    [endless] = objective_rows_of(finding(value=math.inf))
    assert endless.bar is not None
    assert (endless.bar.value, endless.bar.endless) == (1.0, True)
    [cut] = objective_rows_of(finding(interval=(3.0, math.inf)))
    assert cut.bar is not None
    assert 0 < cut.bar.start < cut.bar.bound < cut.bar.value
    [unknown] = objective_rows_of(finding(value=None))
    assert unknown.bar is None


def objective_rows_of(*findings: Finding) -> list[ObjectiveRow]:
    return objective_rows(SimpleNamespace(findings=findings))  # type: ignore[arg-type]


def test_an_upheld_finding_whose_value_breaks_the_bound_is_explained() -> None:
    level = Finding("objective", "p99 < 5s during run", Outcome.UPHELD, "it held up to 40/s", unit="s")
    [held] = objective_rows_of(replace(level, op="<", bound=5.0, value=2.0))
    [broke] = objective_rows_of(replace(level, op="<", bound=5.0, value=math.inf))
    assert (held.reason, held.bar is None) == ("", False)
    assert (broke.reason, broke.bar is None, broke.margin) == ("it held up to 40/s", True, "-")


def test_the_worst_request_stands_first_with_its_change_against_baseline(run: Run) -> None:
    groups, left_out = request_groups(run[0])
    assert left_out == 0
    assert [g.name for g in groups] == ["POST /orders", "GET /products/[id]", "GET /products"]
    changes = {row.phase: (row.change, row.heat) for row in groups[0].rows}
    assert changes["baseline"] == ("", 0)
    assert changes["slow-db"] == ("infinite", 3)


def test_errors_are_counted_by_phase_with_a_sample(run: Run) -> None:
    verdict, recording = run
    rows = {row.kind: row for row in error_rows(verdict, recording)}
    assert {kind: row.total for kind, row in rows.items()} == {
        **verdict.totals.errors,
        "unanswered": verdict.totals.unanswered,
    }
    assert rows["HTTP 503"].phases == (("kill-payments", rows["HTTP 503"].total),)
    assert rows["HTTP 503"].first_s == 101
    assert "payments are not to be reached" in rows["HTTP 503"].sample


def test_what_was_not_measured_is_said(run: Run) -> None:
    verdict, recording = run
    said = dict(not_measured(verdict, replace(recording, complete=False)))
    assert said["Warm-up"].startswith("0.0 s to 10.0 s")
    assert "190 ms from asked to confirmed" in said["Onset of slow-db"]
    assert "not recorded" in said["The journal"]
    gone = {key: w for key, w in recording.windows.items() if key[0] not in (70, 71)}
    said = dict(not_measured(verdict, replace(recording, windows=gone)))
    assert said["Seconds without a window"] == "2, first 1:10.0"


# -- closed workloads -----------------------------------------------------------------------------------


def test_what_a_waiting_user_did_not_send_is_added() -> None:
    histogram = Histogram(LAYOUT)
    histogram.add(10_000_000, 99)
    histogram.add(NS)  # one answer after 1 s, with a cycle of 100 ms: 900, 800, ... 100 ms are missing
    whole = with_omitted(histogram, 100_000_000)
    assert whole is not None
    assert whole.count == 100 + 9
    assert whole.quantile(0.99) == pytest.approx(0.9, rel=0.01)
    assert histogram.count == 100


def test_the_estimate_is_refused_when_it_would_mean_nothing() -> None:
    histogram = Histogram(LAYOUT)
    histogram.add(3600 * NS)
    assert with_omitted(histogram, 1000) is None


def test_a_closed_run_gets_an_estimate_by_phase_or_the_reason_why_not(run: Run) -> None:
    verdict, recording = run
    closed = {key: w for key, w in recording.windows.items() if key[1] != ARRIVALS}
    recording = replace(recording, windows=closed)
    found = corrected_of(verdict, recording)
    assert isinstance(found, list)
    by_phase = {line.phase: line for line in found}
    assert set(by_phase) == {"run", "baseline", "slow-db", "after slow-db", "kill-payments"}
    assert all(line.corrected_s >= line.measured_s for line in found)
    events = tuple(e for e in recording.events if not isinstance(e, GeneratorSample))
    silent = replace(recording, events=events)
    assert corrected_of(verdict, silent) == "the number of users in the baseline was not recorded"
    page = html.render(replace(verdict, workload="closed"), recording)
    assert "closed workload" in page
    assert "corrected" in page
