"""What is written to the journal comes back; what is secret is not in it; damage is told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from chaos_locust import events as e
from chaos_locust.errors import ChaosError
from chaos_locust.journal import (
    GUARDIAN_NAME,
    JOURNAL_NAME,
    Journal,
    event_from_json,
    event_to_json,
    read_journal,
)
from chaos_locust.measure.histogram import Layout
from chaos_locust.measure.window import ARRIVALS, Window

LAYOUT = Layout((100_000_000, 123_456_789))
HEADER = e.RunStarted(0.0, "r1", 1000.0, {"name": "p"}, 7, "chaos-locust run p.yaml", {"x": "1"}, 2)
END = e.RunEnded(60.0, "finished")
EVERY_EVENT = (
    e.WorkerEvent(0.1, "w1", "joined", "v1"),
    e.ClockOffset(0.2, "w1", -0.25, 0.001),
    e.SharesChanged(20.0, 20.0, ("w1", "w2"), 3),
    e.StepSeen(30.01, "peak", 30.0, 30.01, "w1"),
    e.FaultEvent(40.0, "slow-db", "active", "ok"),
    e.EffectSeen(41.0, "slow-db", True, None, "+201 ms"),
    e.ProbeRead(42.0, "lag", float("inf"), True),
    e.ProbeRead(42.5, "lag", None, False, "refused"),
    e.GeneratorSample(43.0, "w1", 0.5, 0.0, 0.001, 10, 2),
    e.SteadyState(44.0, None),
    e.Note(45.0, "rules", "3 requests left out"),
    e.LoadStopped(59.0, 59.8),
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "run" / JOURNAL_NAME, LAYOUT, clock=lambda: 1.5)


def window(*latencies_ms: int, error: str | None = None, sample: str | None = None) -> Window:
    result = Window(LAYOUT)
    for latency in latencies_ms:
        result.send(3.25)
        result.answer(3.25, 1000, latency * 1_000_000, error)
    if error and sample:
        result.errors_sample[error] = sample
    return result


def test_every_event_comes_back_as_it_was(journal: Journal) -> None:
    for event in (HEADER, *EVERY_EVENT, END):
        journal.write(event)
    journal.close()
    recording = read_journal(journal.path)
    assert recording.header == HEADER
    assert recording.events == (HEADER, *EVERY_EVENT, END)
    assert recording.complete


def test_the_list_of_events_tried_above_is_complete() -> None:
    named = [c for c in vars(e).values() if isinstance(c, type) and issubclass(c, e.Event)]
    classes = [c for c in named if c is not e.Event]
    assert {event.kind for event in (HEADER, *EVERY_EVENT, END)} == {c.kind for c in classes}


def test_events_come_back_in_order_of_time_with_the_header_first(journal: Journal) -> None:
    early = e.ClockOffset(-0.5, "w1", 0.0, 0.0)
    for event in (HEADER, END, early):
        journal.write(event)
    assert read_journal(journal.path).events == (HEADER, early, END)


def test_changes_of_a_window_add_up(journal: Journal) -> None:
    journal.write(HEADER)
    journal.write_window(3, "GET /", window(10, 123))
    journal.write_window(4, "GET /", window(1))
    journal.write_window(3, "GET /", window(124, error="HTTP 500", sample="oops"))
    arrivals = Window(LAYOUT)
    arrivals.offer(3.5)
    journal.write_window(3, ARRIVALS, arrivals)

    windows = read_journal(journal.path.parent).windows

    expected = window(10, 123)
    expected.add_window(window(124, error="HTTP 500", sample="oops"))
    assert windows == {(3, "GET /"): expected, (4, "GET /"): window(1), (3, ARRIVALS): arrivals}


def test_the_bounds_of_the_plan_stay_exact_in_the_journal(journal: Journal) -> None:
    journal.write(HEADER)
    journal.write_window(3, "GET /", window(100, 100, 99))
    # 100 ms and 1 us of lateness: at or above the edge of 100 ms are exactly two.
    assert read_journal(journal.path).windows[3, "GET /"].response.count_at_or_above(100_000_000) == (2, 2)


def test_the_first_line_is_the_start_and_only_that(journal: Journal) -> None:
    with pytest.raises(ValueError, match="first line"):
        journal.write(END)
    journal.write(HEADER)
    with pytest.raises(ValueError, match="first line"):
        journal.write(HEADER)


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_line_cut_off_by_a_crash_makes_the_recording_incomplete(journal: Journal, cut: int) -> None:
    for event in (HEADER, EVERY_EVENT[0], END):
        journal.write(event)
    journal.close()
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-cut])
    recording = read_journal(journal.path)
    assert not recording.complete
    assert recording.events[:2] == (HEADER, EVERY_EVENT[0])


def test_without_the_end_of_the_run_the_recording_is_incomplete(journal: Journal) -> None:
    journal.write(HEADER)
    assert not read_journal(journal.path).complete


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (b"", "does not begin with the run's start"),
        (b'{"kind":"end","t_s":1,"reason":"finished"}\n', "does not begin with the run's start"),
        (b"not json\n{}\n", "line 1: not JSON"),
        (b"[1]\n", "line 1: not a JSON object"),
        (b'{"kind":"surprise"}\n', "unknown kind 'surprise'"),
        (b'{"kind":"note","t_s":1,"topic":"a","detail":"b","more":1}\n', "no field 'more'"),
        (b'{"kind":"note","t_s":1}\n', "line 1"),
        (b'{"kind":"window","second":1,"name":"x","data":{}}\n', "a window before the layout"),
        (b'{"kind":"run","schema":99}\n', "schema 99"),
    ],
)
def test_a_damaged_journal_is_named_with_its_line(tmp_path: Path, damage: bytes, told: str) -> None:
    file = tmp_path / JOURNAL_NAME
    file.write_bytes(damage)
    with pytest.raises(ChaosError, match=told) as caught:
        read_journal(tmp_path)
    assert str(file) in str(caught.value)


def test_a_missing_journal_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(ChaosError, match=r"cannot read the journal .*: No such file"):
        read_journal(tmp_path)


def test_a_journal_is_never_written_over(journal: Journal) -> None:
    with pytest.raises(ChaosError, match="File exists"):
        Journal(journal.path, LAYOUT, clock=lambda: 0.0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_message_and_stays_one(journal: Journal) -> None:
    journal.write(HEADER)
    room = os.dup(journal._fd)
    for fd in (os.open("/dev/full", os.O_WRONLY), room):  # full, then room again: what is missing stays so
        os.dup2(fd, journal._fd)
        os.close(fd)
        with pytest.raises(ChaosError, match=r"cannot write the journal .*: No space left on device"):
            journal.write(END)
    assert not read_journal(journal.path).complete


def test_no_secret_reaches_the_journal(journal: Journal) -> None:
    plan = {
        "host": "https://user:hunter2@shop.test/",
        "targets": {"token-service": {"proxy": "postgres"}},
        "requests": [{"headers": [["Authorization", "Basic hunter2"]], "json": {"password": "hunter2"}}],
    }
    header = e.RunStarted(0.0, "r", 1.0, plan, 1, "locust --api-key hunter2 --x-token=hunter2", {}, 1)
    journal.write(header)
    journal.write(e.FaultEvent(1.0, "f", "failed", "postgres://app:hunter2@db/shop refused"))
    noisy = window(5, 6, error="401 Authorization: Bearer hunter2hunter2", sample="Cookie: s=hunter2")
    journal.write_window(1, "GET /me?access_token=hunter2", noisy)
    journal.close()
    assert "hunter2" not in journal.path.read_text()
    recording = read_journal(journal.path)
    assert recording.header.plan["targets"] == {"token-service": {"proxy": "postgres"}}
    [(key, kept)] = recording.windows.items()
    assert key == (1, "GET /me?access_token=***")
    assert kept.failed == {"401 Authorization: ***": 2}


def test_what_only_the_guardian_wrote_is_in_the_recording(journal: Journal) -> None:
    active = e.FaultEvent(40.0, "slow-db", "active")
    seen = e.EffectSeen(41.0, "slow-db", True, True, "a")
    for event in (HEADER, active, seen):
        journal.write(event)
    proofs = {"mechanism": True, "use": True}
    lines = [
        {"event": "opened", "epoch_s": 1001.0},
        {"event": "active", "fault": "slow-db", "epoch_s": 1040.0, "detail": ""},
        {"event": "effect", "fault": "slow-db", "epoch_s": 1041.0, "detail": "a", **proofs},
        {"event": "reverted", "fault": "slow-db", "epoch_s": 1055.5, "detail": "owner died"},
    ]
    guardian = journal.path.with_name(GUARDIAN_NAME)
    guardian.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"event": "rev')
    recording = read_journal(journal.path)
    assert recording.events[1:] == (
        active,
        seen,
        e.FaultEvent(55.5, "slow-db", "reverted", "owner died"),
    )


def test_numbers_that_json_lacks_survive() -> None:
    event = e.ProbeRead(1.0, "p", float("-inf"), True)
    line = json.dumps(event_to_json(event), allow_nan=False)
    assert event_from_json(json.loads(line)) == event
