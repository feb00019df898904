"""Figures read the way people write them, and never say more than is known."""

from __future__ import annotations

import math

import pytest

from chaos_locust.judge.verdict import Finding, Outcome
from chaos_locust.reports import text

INF = math.inf


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"), (INF, "infinite"), (0.0, "0 s"), (0.0000304, "30.4 us"), (0.000999, "999 us"),
        (0.0009999, "1 ms"), (0.0123, "12.3 ms"), (0.9999, "1 s"), (4.81, "4.81 s"), (75.0, "75 s"),
        (100.0, "1 min 40 s"), (3600.0, "1 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float | None, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.142, "14.2 %"), (0.0, "0 %"), (1.0, "100 %"), (0.00001, "< 0.01 %"), (0.9999, "99.99 %"),
        (0.99999, "> 99.99 %"), (0.999, "99.9 %"), (0.05, "5 %"),
    ],
)  # fmt: skip
def test_a_share_that_is_not_quite_all_or_nothing_never_reads_so(value: float, shown: str) -> None:
    assert text.share(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1:00.0"), (75.2, "1:15.2"), (3661.0, "1:01:01.0")],
)
def test_moments(seconds: float, shown: str) -> None:
    assert text.moment(seconds) == shown


def finding(value: float | None, bound: float, op: str, outcome: Outcome, **more: object) -> Finding:
    return Finding("objective", "x", outcome, "", value=value, bound=bound, op=op, unit="s", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (finding(0.058, 0.1, "<", Outcome.UPHELD), "42 % to spare"),
        (finding(0.058, 0.1, "<", Outcome.UPHELD, margin="thin"), "42 % to spare (thin)"),
        (finding(0.142, 0.1, "<", Outcome.DEVIATED), "42 % over"),
        (finding(80.0, 100.0, ">=", Outcome.DEVIATED), "20 % short"),
        (finding(5.0, 0.1, "<", Outcome.DEVIATED), "50x the bound"),
        (finding(INF, 0.1, "<", Outcome.DEVIATED), "beyond any bound"),
        (finding(None, 0.1, "<", Outcome.INCONCLUSIVE), "-"),
        (finding(0.05, 0.1, "<", Outcome.INCONCLUSIVE), "-"),
        # A relapse: the first recovery was in time, the objective deviated all the same.
        (finding(2.0, 5.0, "<", Outcome.DEVIATED, interval=(1.0, 2.0)), "-"),
        (finding(1.0, 5.0, "<", Outcome.UPHELD, interval=(1.0, 4.0)), "20 % to spare"),
        (finding(0.0, 0.0, "<=", Outcome.UPHELD), "0 s to spare"),
    ],
)
def test_margins_never_contradict_the_outcome(given: Finding, shown: str) -> None:
    assert text.margin_of(given) == shown


@pytest.mark.parametrize(
    ("ends", "shown"),
    [((3.8, 4.8), "3.8 s to 4.8 s"), ((3.8, INF), "more than 3.8 s"), ((0.0, 0.0), "0 s"), (None, "-")],
)
def test_intervals(ends: tuple[float, float] | None, shown: str) -> None:
    assert text.interval(ends) == shown


@pytest.mark.parametrize(
    ("now", "before", "shown"),
    [(2.4, 1.0, "x 2.4"), (1.12, 1.0, "+ 12 %"), (0.92, 1.0, "- 8 %"), (1.001, 1.0, "same"),
     (INF, 1.0, "infinite"), (1.0, None, "-"), (1.0, INF, "-")],
)  # fmt: skip
def test_changes(now: float, before: float | None, shown: str) -> None:
    assert text.change(now, before) == shown


def test_plain_text_has_no_controls_and_no_secrets() -> None:
    assert text.plain("a\x1b[31m\nb\u202ec token=hunter2") == "a [31m b c token=***"


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("DEVIATED: throughput of all requests was 20/s", "Throughput of all requests was 20/s"),
        ("DEVIATED: p95 < 1s during peak: 40 were not", "p95 < 1s during peak: 40 were not"),
        ("DEVIATED: error_rate < 5% during run: 40 failed", "error_rate < 5% during run: 40 failed"),
        ("DEVIATED", "DEVIATED"),
    ],
)
def test_a_sentence_without_the_verdict_begins_with_a_capital_but_a_measure_stays(
    sentence: str, shown: str
) -> None:
    assert text.without_word(sentence, Outcome.DEVIATED) == shown
