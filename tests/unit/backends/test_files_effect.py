"""What readings of a path prove, and which bytes of a file are surely ours."""

from __future__ import annotations

from typing import Any

import pytest

from chaos_locust.backends.base import Reading
from chaos_locust.backends.files.change import ours
from chaos_locust.backends.files.effect import files_effect
from chaos_locust.faults.base import Fault
from chaos_locust.faults.registry import parse_fault


def fault(kind: str) -> Fault:
    more = {"latency": "50ms"} if kind == "slow_io" else {}
    found = parse_fault({"kind": kind, "name": "it", "target": "t", "at": "1s", "for": "2s", **more}, "")
    assert isinstance(found, Fault)
    return found


def readings(acts: list[bool | None], touches: list[int | None], **more: Any) -> list[Reading]:
    empty = {"told": "so", "calls": None, "mapped": False, "traced": None, "error": ""}
    return [
        {"at_s": float(at), "acts": one, "touches": touched, **empty, **more}
        for at, (one, touched) in enumerate(zip(acts, touches, strict=True))
    ]


BEFORE = readings([False, False, False], [0, 4, 9])
UNUSED = readings([False, False], [9, 9])


@pytest.mark.parametrize("kind", ["disk_full", "file_corrupt", "read_only"])
def test_seen_and_used(kind: str) -> None:
    effect = files_effect(fault(kind), BEFORE, readings([True, True, True], [9, 12, 15]))
    assert (effect.mechanism, effect.use) == (True, True)
    assert effect.detail == "so (seen 3 of 3 times), touched 6 times by others while it acted"


def test_what_was_used_just_before_counts_where_use_cannot_show() -> None:
    during = readings([True, True], [9, 9])
    for kind, use in (("file_missing", True), ("disk_full", True), ("file_corrupt", False)):
        assert files_effect(fault(kind), BEFORE, during).use is use
        assert files_effect(fault(kind), UNUSED, during).use is False


def test_mostly_not_seen() -> None:
    effect = files_effect(fault("disk_full"), BEFORE, readings([True, False, False], [9, 9, 9]))
    assert effect.mechanism is False


def test_what_cannot_be_told() -> None:
    corrupt = fault("file_corrupt")
    during = readings([True, True], [9, 12])
    assert files_effect(corrupt, readings([True], [0]), during).mechanism is None, "it was so before"
    assert files_effect(corrupt, BEFORE, []).mechanism is None
    unknown = files_effect(corrupt, BEFORE, readings([None, None], [9, 9], error="no right"))
    assert unknown.mechanism is None
    assert "no right" in unknown.detail
    assert files_effect(corrupt, [], readings([True, True], [None, None])).use is None
    assert files_effect(corrupt, [], readings([True, True], [9, 9], mapped=True)).use is None


def test_touches_by_another_than_the_process_are_no_use() -> None:
    during = readings([True, True], [9, 12], calls=700)
    assert files_effect(fault("file_corrupt"), BEFORE, during).use is False
    during[1]["calls"] = 701
    assert files_effect(fault("file_corrupt"), BEFORE, during).use is True


@pytest.mark.parametrize(
    ("acts", "traced", "mechanism", "use"),
    [(True, 5, True, True), (None, 0, None, False), (False, 0, False, False), (False, 3, False, True)],
)
def test_traced_calls(acts: bool | None, traced: int, mechanism: bool | None, use: bool) -> None:
    effect = files_effect(fault("slow_io"), [], readings([acts], [None], traced=traced))
    assert (effect.mechanism, effect.use) == (mechanism, use)


def test_a_tracer_that_ended() -> None:
    effect = files_effect(fault("io_error"), [], readings([None], [None], traced=0, error="no right"))
    assert (effect.mechanism, effect.use, effect.detail) == (False, None, "no right")


BAD = b"abcdefgh"


@pytest.mark.parametrize(
    ("now", "stretches"),
    [
        (b"abcdefgh", [(0, 8)]),
        (b"ABCDEFGH", []),
        (b"abcdXXXX", [(0, 4)]),
        (b"XXXXefgh", [(4, 8)]),
        (b"abXXXXgh", []),
        (b"XaXXdXXX", []),
        (b"abcXXfgh", [(0, 3), (5, 8)]),
        (b"abcd", [(0, 4)]),
        (b"", []),
    ],
)
def test_only_what_is_surely_ours_is_put_back(now: bytes, stretches: list[tuple[int, int]]) -> None:
    assert ours(now, BAD) == stretches
    assert ours(b"z", b"z") == [(0, 1)]
