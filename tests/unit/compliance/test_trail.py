"""The trail: whatever is done to it afterwards is told, and where."""

from __future__ import annotations

import fcntl
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pytest

from chaos_locust.errors import ChaosError
from compliance.measurement import digest
from compliance.trail import FIRST, Entry, Told, append, check_end, verify

AT = datetime(2030, 6, 15, 10, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audits" / "trail.jsonl"
    for number in range(1, 5):
        append(path, "audit", digest(number), f"the {number}. ü", AT)
    return path


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def first(path: Path, *told: Told) -> tuple[int, str]:
    wrong = verify(path, told).wrong[0]
    return wrong.number, wrong.what


def entry(path: Path, number: int) -> Entry:
    return Entry(**json.loads(lines(path)[number - 1]))


def test_it_is_a_chain(path: Path) -> None:
    found = verify(path)
    assert found.wrong == ()
    assert found.entries == 4
    assert found.head == entry(path, 4).hash
    assert entry(path, 1).previous == FIRST
    assert [entry(path, n).previous for n in (2, 3, 4)] == [entry(path, n).hash for n in (1, 2, 3)]


def test_every_changed_byte_is_told_with_its_entry(path: Path) -> None:
    whole = path.read_bytes()
    for place in range(len(whole)):
        for other in {whole[place] ^ 1, whole[place] ^ 0x20, ord("\n"), ord("0")} - {whole[place]}:
            path.write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
            number = whole[:place].count(b"\n") + 1
            assert first(path) == (number, "changed"), (place, other)


def test_every_removed_or_added_byte_is_told(path: Path) -> None:
    whole = path.read_bytes()
    for place in range(len(whole)):
        number = whole[:place].count(b"\n") + 1
        path.write_bytes(whole[:place] + whole[place + 1 :])
        assert first(path) == (number, "changed")
        path.write_bytes(whole[:place] + b" " + whole[place:])
        assert first(path) == (number, "changed")


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_a_missing_entry_is_named(path: Path, gone: int) -> None:
    kept = lines(path)
    del kept[gone - 1]
    path.write_bytes(b"".join(kept))
    assert first(path) == (gone, "missing")


def test_entries_that_change_places_are_named(path: Path) -> None:
    one, two, three, four = lines(path)
    path.write_bytes(one + three + two + four)
    assert first(path) == (3, "reordered")
    path.write_bytes(one + two + two + three + four)
    assert first(path) == (2, "reordered")


def test_a_hash_that_was_made_to_fit_is_told(path: Path) -> None:
    kept = lines(path)
    data = {**asdict(entry(path, 2)), "summary": "all is well"}
    data["hash"] = digest({key: value for key, value in data.items() if key != "hash"})
    kept[1] = Entry(**data).line
    path.write_bytes(b"".join(kept))
    assert first(path) == (2, "changed")


def test_a_report_tells_of_an_end_that_was_cut_off(path: Path) -> None:
    told = Told("audit.json", 4, entry(path, 4).hash)
    assert verify(path, [told]).wrong == ()
    path.write_bytes(b"".join(lines(path)[:3]))
    assert verify(path).wrong == ()
    assert first(path, told) == (4, "cut off")
    path.write_bytes(b"")
    assert first(path, told) == (4, "cut off")


def test_a_report_tells_of_a_trail_that_was_made_anew(path: Path) -> None:
    told = [Told("audit.json", number, entry(path, number).hash) for number in (1, 3, 4)]
    path.unlink()
    for number in (1, 2, 3, 4):
        append(path, "audit", digest(number), "all is well" if number == 3 else f"the {number}. ü", AT)
    assert verify(path).wrong == ()
    assert [(each.number, each.what) for each in verify(path, told).wrong] == [(3, "changed"), (4, "changed")]


def test_nothing_is_added_to_a_damaged_end(path: Path) -> None:
    check_end(path)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole.replace(b"the 4.", b"the 5."), whole + b"\n"):
        path.write_bytes(damaged)
        for attempt in (lambda: check_end(path), lambda: append(path, "audit", digest(5), "", AT)):
            with pytest.raises(ChaosError, match="trail verify"):
                attempt()
        assert path.read_bytes() == damaged


def test_several_at_a_time_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "trail.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: append(path, "audit", digest(n), str(n), AT), range(40)))
    found = verify(path)
    assert (found.entries, found.wrong) == (40, ())


def test_an_entry_waits_for_the_one_that_is_being_added(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = threading.Event()
    lock = fcntl.flock

    def told(file: IO[bytes], how: int) -> None:
        waiting.set()
        lock(file, how)

    kept, added = lines(path)[:3], lines(path)[3]
    path.write_bytes(b"".join(kept))
    with ThreadPoolExecutor(1) as pool, path.open("ab") as file:
        lock(file, fcntl.LOCK_EX)
        monkeypatch.setattr(fcntl, "flock", told)
        later = pool.submit(append, path, "audit", digest(5), "later", AT)
        assert waiting.wait(30)
        file.write(added)
        file.flush()
        lock(file, fcntl.LOCK_UN)
        assert later.result(30).number == 5
    assert verify(path).wrong == ()


def test_a_trail_that_is_not_there(tmp_path: Path) -> None:
    check_end(tmp_path / "none")
    with pytest.raises(ChaosError, match="none cannot be read: No such file"):
        verify(tmp_path / "none")
