"""Every fault on files: met by a real process on a real file system, and taken back to the last bit."""

from __future__ import annotations

import array
import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.files import held as files_held
from chaos_locust.backends.files.backend import FilesBackend
from chaos_locust.backends.registry import Backends
from chaos_locust.errors import BackendError
from chaos_locust.plan.model import Plan
from tests.crash.cell import Case, NotHere
from tests.crash.cells_files import CELLS, CONTENT, file_system, folder, state_of

from .conftest import until

_GETFLAGS, _SETFLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "chaos-locust" / "files"


class Rig:
    """A backend as the guardian has it; `other` as `cleanup` has it, with what a lease tells alone."""

    def __init__(self, targets: dict[str, Any], fault: dict[str, Any]) -> None:
        data = {"name": "it", "at": "1s", "for": "5s", **fault}
        self.plan = Plan.from_json({"name": "p", "targets": targets, "faults": [data]})
        self.fault, self.target = self.plan.faults[0], self.plan.targets[fault["target"]]
        backend, other = Backends().named("files"), Backends().named("files")
        assert isinstance(backend, FilesBackend)
        assert isinstance(other, FilesBackend)
        self.backend, self.other = backend, other
        self.run_id = secrets.token_hex(4)  # `scan` finds what others try on this machine too
        self.undo: dict[str, Any] = {}

    def prepare(self) -> dict[str, Any]:
        undo = self.backend.prepare(self.run_id, self.plan, self.fault, self.target)
        self.undo = json.loads(json.dumps(undo))
        return self.undo

    def inject(self) -> None:
        self.backend.inject(self.fault, self.prepare())

    def look(self, times: int = 3) -> list[Reading]:
        readings = []
        for _ in range(times):
            readings.append(self.backend.observe(self.fault, self.undo))
            time.sleep(0.08)
        return readings

    def effect(self, before: list[Reading]) -> Effect:
        """As soon as it is told, as a run waits for it too."""
        during: list[Reading] = []

        def told() -> bool:
            during.extend(self.look(1))
            effect = self.backend.effect(self.fault, before, during)
            return len(during) > 2 and effect.mechanism is True and effect.use is True

        until(told, "the effect is seen", 10)
        return self.backend.effect(self.fault, before, during)

    def found(self, place: str) -> bool:
        return self.undo["mark"] in [undo["mark"] for undo in self.other.scan(place)]

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.backend.preflight(self.plan, self.fault, self.target)]


@contextmanager
def case_of(kind: str) -> Iterator[Case]:
    try:
        with CELLS[kind]() as case:
            yield case
    except NotHere as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("kind", CELLS)
def test_it_acts_and_ends(kind: str, state: Path) -> None:
    with case_of(kind) as case:
        rig = Rig(case.targets, case.fault)
        assert rig.problems() == []
        rig.prepare()
        before = rig.look()
        assert rig.backend.effect(rig.fault, before, rig.look()).mechanism is not True, "without the fault"
        rig.inject()
        try:
            until(case.acting, "it acts")
            effect = rig.effect(before)
            assert not rig.backend.verify(rig.undo)
            if "kept" in rig.undo or kind in ("disk_full", "inodes"):
                assert rig.problems(), "it cannot be done twice at once"
            assert rig.found("")
            if rig.undo.get("holder", [""])[0] != "trace":  # a tracer's path is not known without its lease
                assert rig.found(rig.undo["path"])
        finally:
            rig.other.revert(rig.undo)
        assert effect.mechanism is True
        assert effect.use is True
        until(lambda: not case.left(), "nothing is left")
        rig.other.revert(rig.undo)
        rig.backend.revert(rig.undo)
        assert not case.left()
        assert rig.other.verify(rig.undo)
        assert not rig.found("")
        assert not rig.found(rig.undo["path"])
        assert not state.exists() or list(state.iterdir()) == []


@pytest.mark.parametrize("kind", CELLS)
def test_undoing_what_never_was(kind: str) -> None:
    with case_of(kind) as case:
        rig = Rig(case.targets, case.fault)
        rig.other.revert(rig.prepare())
        assert rig.other.verify(rig.undo)
        assert not case.left()


@pytest.mark.parametrize("kind", ["disk_full", "inodes", "slow_io"])
def test_what_a_process_holds_dies_with_the_one_that_started_it(kind: str) -> None:
    with case_of(kind) as case:
        rig = Rig(case.targets, case.fault)
        code = (
            "import json, sys; from chaos_locust.backends.registry import Backends\n"
            "from chaos_locust.plan.model import Plan\n"
            "plan = Plan.from_json(json.loads(sys.argv[1]))\n"
            "Backends().named('files').inject(plan.faults[0], json.loads(sys.argv[2]))\n"
            "print(flush=True); sys.stdin.read()"
        )
        arguments = [json.dumps(rig.plan.to_json()), json.dumps(rig.prepare())]
        guardian = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert guardian.stdout is not None
        assert guardian.stdout.readline()
        until(case.acting, "it acts")
        guardian.kill()
        guardian.wait()
        until(lambda: not case.left(), "nothing is left")
        until(lambda: rig.other.verify(rig.undo), "the process that held it is gone")


def test_a_tracer_whose_holder_is_killed_dies_too() -> None:
    with case_of("io_error") as case:
        rig = Rig(case.targets, case.fault)
        rig.inject()
        until(case.acting, "it acts")
        (holder,) = (pid for pid, own in files_held.living(rig.undo["mark"]).items() if own[1] == "trace")
        os.kill(holder, 9)
        until(lambda: not case.left(), "nothing is left")
        rig.backend.revert(rig.undo)


# -- what a fault leaves, and what it leaves alone --------------------------------------------------------


def test_some_of_the_disk_can_be_left_and_it_is_kept_full() -> None:
    try:
        with file_system() as place:
            (place / "old").write_bytes(b"x" * 3_000_000)
            rig = Rig({"it": {"path": str(place)}}, {"kind": "disk_full", "target": "it", "leave": "1MB"})
            rig.inject()
            try:
                assert 0 <= 1_000_000 - free(place) < 8192 or 0 <= free(place) - 1_000_000 < 8192
                (place / "new").write_bytes(b"x" * 500_000)
                (place / "old").unlink()
                until(lambda: 0 <= free(place) - 1_000_000 < 8192, "room that was made is taken too")
            finally:
                rig.backend.revert(rig.undo)
            assert free(place) > 7_000_000
    except NotHere as reason:
        pytest.skip(str(reason))


def free(place: Path) -> int:
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize


def test_what_the_target_wrote_into_a_corrupted_file_stays() -> None:
    with case_of("file_corrupt") as case:
        path = Path(case.targets["it"]["path"])
        rig = Rig(case.targets, case.fault | {"runs": 1000})
        rig.inject()
        runs = rig.undo["runs"]
        assert len(runs) == 1000
        offset = runs[500][0]
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(b"NEW DATA")
        written_ns = path.stat().st_mtime_ns
        rig.other.revert(rig.undo)
        assert path.read_bytes() == CONTENT[:offset] + b"NEW DATA" + CONTENT[offset + 8 :]
        assert path.stat().st_mtime_ns == written_ns
        assert rig.other.verify(rig.undo)


def test_a_file_that_was_replaced_is_left_alone() -> None:
    for kind in ("file_corrupt", "file_truncate", "read_only"):
        with case_of(kind) as case:
            path = Path(case.targets["it"]["path"])
            rig = Rig(case.targets, case.fault)
            rig.inject()
            new = path.with_name("new")
            new.write_bytes(b"by the target")
            new.chmod(0o444)
            new.replace(path)
            rig.other.revert(rig.undo)
            assert rig.other.verify(rig.undo), kind
            assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"by the target", 0o444), kind


def test_a_link_in_the_place_of_the_file_is_not_followed() -> None:
    for kind in ("file_corrupt", "file_truncate", "read_only"):
        with case_of(kind) as case, folder() as elsewhere:
            path, other = Path(case.targets["it"]["path"]), elsewhere / "other"
            rig = Rig(case.targets, case.fault)
            rig.inject()
            path.replace(other)
            path.symlink_to(other)
            spoiled = state_of(elsewhere)
            rig.other.revert(rig.undo)
            assert state_of(elsewhere) == spoiled, kind


def test_a_truncated_file_that_the_target_writes_is_told_and_its_rest_kept(state: Path) -> None:
    with case_of("file_truncate") as case:
        path = Path(case.targets["it"]["path"])
        rig = Rig(case.targets, case.fault)
        rig.inject()
        with path.open("ab") as file:
            file.write(b"appended")
        with pytest.raises(BackendError, match="was written while it was cut to 4,000 bytes") as told:
            rig.other.revert(rig.undo)
        assert path.read_bytes() == CONTENT[:4000] + b"appended"
        (part,) = state.glob("*.part")
        assert str(part) in str(told.value)
        assert part.read_bytes() == CONTENT[4000:]
        assert not rig.other.verify(rig.undo)
        part.unlink()
        rig.other.revert(rig.undo)
        assert rig.other.verify(rig.undo), "the user has settled it"


def test_an_undoing_that_was_cut_short_is_finished() -> None:
    with case_of("file_truncate") as case:
        path = Path(case.targets["it"]["path"])
        rig = Rig(case.targets, case.fault)
        rig.inject()
        with path.open("ab") as file:
            file.write(CONTENT[4000:7000])
        rig.other.revert(rig.undo)
        assert not case.left()


def test_a_new_file_in_the_place_of_a_missing_one_is_not_overwritten() -> None:
    with case_of("file_missing") as case:
        path = Path(case.targets["it"]["path"])
        rig = Rig(case.targets, case.fault)
        rig.inject()
        path.write_text("by the target")
        with pytest.raises(BackendError, match="was made anew meanwhile and is not overwritten"):
            rig.other.revert(rig.undo)
        assert path.read_text() == "by the target"
        path.unlink()
        rig.other.revert(rig.undo)
        assert rig.other.verify(rig.undo)
        assert not case.left()


def test_a_missing_file_is_found_by_its_name_alone(state: Path) -> None:
    with case_of("file_missing") as case:
        rig = Rig(case.targets, case.fault)
        rig.inject()
        shutil.rmtree(state)
        (undo,) = rig.other.scan(str(Path(case.targets["it"]["path"]).parent))
        assert undo["mark"] == rig.undo["mark"]
        rig.other.revert(undo)
        assert rig.other.verify(undo)
        assert not case.left()


def test_a_folder_with_all_that_is_in_it_becomes_read_only() -> None:
    with case_of("read_only") as case:
        place = Path(case.targets["it"]["path"]).parent
        inner = place / "inner"
        inner.mkdir()
        (inner / "deep").write_bytes(CONTENT)
        (inner / "away").symlink_to("/etc/hostname")
        for path in (inner, inner / "deep"):
            os.chown(path, place.stat().st_uid, place.stat().st_gid)
        before = [state_of(place), state_of(inner)]
        rig = Rig({"it": {"path": str(place)}}, {"kind": "read_only", "target": "it"})
        rig.inject()
        assert not any(path.stat().st_mode & 0o222 for path in (place, inner, inner / "deep"))
        rig.other.revert(rig.undo)
        assert [state_of(place), state_of(inner)] == before


def test_root_is_stopped_by_the_immutable_flag() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, for the immutable flag")
    with folder() as place:
        path = place / "file"
        path.write_bytes(CONTENT)
        flags = array.array("l", [0])
        with path.open("rb") as file:
            fcntl.ioctl(file, _GETFLAGS, flags)
        opened = path.open("r+b")
        rig = Rig({"it": {"path": str(place)}}, {"kind": "read_only", "target": "it"})
        assert rig.problems() == []
        rig.inject()
        try:
            for act in (path.unlink, lambda: path.open("r+b"), lambda: (place / "new").touch()):
                with pytest.raises(PermissionError):
                    act()
            assert rig.look(1)[0]["acts"] is True
        finally:
            rig.other.revert(rig.undo)
        assert rig.other.verify(rig.undo)
        opened.close()
        (place / "new").touch()
        path.unlink()


# -- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "is the root of everything"),
        ("/etc/passwd", "is in the system's /etc"),
        ("/usr", "is the system's /usr"),
        ("/var/lib", "holds the system's /var/lib/dpkg"),
        ("/proc/self", "is in the system's /proc"),
        (sys.prefix, "is Python itself"),
        ("/no/such/file", "cannot be looked at: No such file or directory"),
        ("/dev/null", "is neither a file nor a folder"),
    ],
)
def test_what_is_never_touched(path: str, words: str) -> None:
    for kind in CELLS:
        rig = Rig(
            {"it": {"path": path, "pidfile": "/no/pid"}},
            {"kind": kind, "target": "it"} | ({"latency": "1ms"} if kind == "slow_io" else {}),
        )
        (problem,) = rig.problems()
        assert problem.startswith("targets.it: ")
        assert words in problem


def test_a_link_to_what_is_never_touched(tmp_path: Path, state: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    rig = Rig({"it": {"path": str(tmp_path / "link")}}, {"kind": "file_corrupt", "target": "it"})
    assert "(which is /etc/passwd) is in the system's /etc" in rig.problems()[0]
    state.mkdir(parents=True)
    rig = Rig({"it": {"path": str(state)}}, {"kind": "file_missing", "target": "it"})
    assert "is in our leases" in rig.problems()[0]
    rig = Rig({"it": {"path": str(tmp_path)}}, {"kind": "read_only", "target": "it"})
    assert "holds our leases" in rig.problems()[0]


def test_the_root_file_system_and_our_own_are_refused() -> None:
    with folder() as place:
        if place.stat().st_dev != os.stat("/").st_dev:
            pytest.skip("needs a folder for temporary files on the root file system")
        for kind in ("disk_full", "inodes"):
            rig = Rig({"it": {"path": str(place)}}, {"kind": kind, "target": "it"})
            assert "is on the root file system; say root_disk: true" in rig.problems()[0]
        said = {"path": str(place), "root_disk": True}
        rig = Rig({"it": said}, {"kind": "disk_full", "target": "it"})
        assert "which need room themselves; give leave: 64MB or more" in rig.problems()[0]


def test_a_process_with_roots_rights_is_not_stopped_by_a_mode() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to be the target")
    with folder() as place:
        (place / "file").write_bytes(CONTENT)
        (place / "pid").write_text(str(os.getpid()))
        target = {"path": str(place / "file")}
        for more in ({}, {"pidfile": str(place / "pid")}):
            rig = Rig({"it": target | more}, {"kind": "permission_denied", "target": "it"})
            (problem,) = rig.problems()
            assert "root's rights, which no mode stops" in problem


def test_other_refusals() -> None:
    with folder() as place:
        (place / "empty").touch()
        (place / "pid").write_text(str(os.getpid()))
        target = {"path": str(place / "empty")}
        for kind, words in (
            ("file_corrupt", "is empty"),
            ("file_truncate", "nothing of it would be cut off"),
        ):
            assert words in Rig({"it": target}, {"kind": kind, "target": "it"}).problems()[0]
        rig = Rig({"it": {"path": str(place)}}, {"kind": "file_corrupt", "target": "it"})
        assert "is a folder; a file_corrupt needs a file" in rig.problems()[0]
        target["pidfile"] = str(place / "pid")
        rig = Rig({"it": target}, {"kind": "io_error", "target": "it"})
        assert "this program or one that started it" in rig.problems()[0]
