"""Records of an audit log: how they are read, and which of them are new."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from compliance.measurement import Secrets
from compliance.measures.audit_log.records import Log, listed, moment, pauses
from compliance.site import Site
from compliance.target import Target

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-02T12:00:00Z", NOON),
        ("2026-01-02T13:00:00+01:00", NOON),
        ("2026-01-02 12:00:00", NOON),
        (NOON.timestamp(), NOON),
        (NOON.timestamp() * 1000, NOON),
        ("yesterday", None),
        (None, None),
        (True, None),
        ("", None),
    ],
)
def test_moments(value: Any, expected: datetime | None) -> None:
    assert moment(value) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([{"a": 1}], [{"a": 1}]),
        ({"next": None, "records": [{"a": 1}]}, [{"a": 1}]),
        ([], []),
        ({"records": []}, []),
        ({"error": "no"}, None),
        (["a"], None),
        (None, None),
    ],
)
def test_lists_of_records(document: Any, expected: Any) -> None:
    assert listed(document) == expected


class Shown(Log):
    """A log of what it was last told."""

    shown: Any = ()

    def records(self) -> Any:
        return type(self).shown


def test_new_records_that_look_like_old_ones_are_told_by_their_number() -> None:
    log = Shown(Site(Target(name="test"), Secrets()), "token", NOON)
    Shown.shown = [{"user": "a"}, {"user": "b"}]
    seen = log.seen()
    assert log.new(seen) == []
    Shown.shown = [{"user": "c"}, {"user": "a"}, {"user": "b"}, {"user": "a"}]
    assert log.new(seen) == [{"user": "c"}, {"user": "a"}]
    Shown.shown = [{"user": "b"}]  # the oldest are not shown any more
    assert log.new(seen) == []


def test_what_comes_at_the_very_end_of_patience_is_still_looked_for() -> None:
    now = [0.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    site = Site(Target(name="test"), Secrets(), clock=lambda: now[0], sleep=sleep)
    looked_at = [now[0] for _ in pauses(site, 5.0)]
    assert looked_at[0] == 0.0
    assert looked_at[-1] == pytest.approx(5.0)
    assert max(slept) == 1.0
    assert sum(slept) == pytest.approx(5.0)
