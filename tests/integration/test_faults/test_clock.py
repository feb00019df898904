"""Every fault on a clock: a real server says what time it is, and the shop what it makes of a token."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.clock.backend import ClockBackend
from chaos_locust.backends.registry import Backends
from chaos_locust.errors import BackendError
from chaos_locust.plan.model import Plan
from tests.crash.cell import NotHere
from tests.crash.cells_clock import CELLS, Clocked, clocked

from .conftest import ROOT, until

SHOP_LIMIT_S = 60.0
COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")


class Rig:
    def __init__(self, targets: dict[str, Any], fault: dict[str, Any]) -> None:
        data = {"name": "it", "at": "1s", "for": "30s", **fault}
        self.plan = Plan.from_json({"name": "p", "targets": targets, "faults": [data]})
        self.fault, self.target = self.plan.faults[0], self.plan.targets[fault["target"]]
        backend = Backends().named("clock")
        assert isinstance(backend, ClockBackend)
        self.backend = backend
        self.run_id = secrets.token_hex(4)  # `scan` finds what others try on this machine too
        self.undo: dict[str, Any] = {}
        self._began_s = 0.0

    def prepare(self) -> dict[str, Any]:
        undo = self.backend.prepare(self.run_id, self.plan, self.fault, self.target)
        self.undo = json.loads(json.dumps(undo))
        return self.undo

    def inject(self) -> None:
        self.backend.inject(self.fault, self.prepare())
        self._began_s = time.monotonic()

    def look(self, times: int = 3) -> list[Reading]:
        readings = []
        for _ in range(times):
            readings.append(self.backend.observe(self.fault, self.undo))
            time.sleep(0.1)
        return readings

    def follow(self) -> None:
        if self.fault.changes:
            self.backend.adjust(self.fault, self.undo, time.monotonic() - self._began_s)

    def effect(self, before: list[Reading], words: str) -> Effect:
        """As soon as it is told in these words."""
        during: list[Reading] = []

        def told() -> bool:
            self.follow()
            during.extend(self.look(1))
            effect = self.backend.effect(self.fault, before, during)
            return effect.mechanism is True and effect.use is True and words in effect.detail

        until(told, f"the effect is seen: {words}")
        return self.backend.effect(self.fault, before, during)

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.backend.preflight(self.plan, self.fault, self.target)]


@contextmanager
def here() -> Iterator[None]:
    try:
        yield
    except NotHere as reason:
        pytest.skip(str(reason))


WORDS = {
    "clock_skew": "Date header was",
    "clock_jump": "cannot show so little",
    "clock_freeze": "Date header was",
    "clock_drift": "ahead",
}


@pytest.mark.parametrize("kind", CELLS)
def test_it_acts_and_ends(kind: str) -> None:
    with here(), CELLS[kind]() as case:
        rig = Rig(case.targets, case.fault)
        assert rig.problems() == []
        rig.prepare()
        before = rig.look()
        assert rig.backend.effect(rig.fault, before, rig.look()).mechanism is not True, "without the fault"
        rig.inject()
        until(lambda: [rig.follow(), case.acting()][1], "it acts")
        effect = rig.effect(before, WORDS[kind])
        assert effect.mechanism is True
        assert effect.use is True
        assert not rig.backend.verify(rig.undo)
        assert "is set by another fault" in rig.problems()[0]
        file = case.targets["it"]["clock"]
        for place in ("", file, str(Path(file).parent)):
            assert rig.undo["mark"] in [undo["mark"] for undo in rig.backend.scan(place)]
        Backends().named("clock").revert(rig.undo)
        assert not case.left()
        rig.backend.revert(rig.undo)
        assert not case.left()
        assert rig.backend.verify(rig.undo)
        assert rig.backend.scan(file) == []


def skewed(server: Clocked, offset: str) -> Rig:
    target = {"clock": str(server.clock), "pidfile": str(server.pidfile)}
    return Rig({"it": target}, {"kind": "clock_skew", "target": "it", "offset": offset})


def test_the_targets_clock_moves_by_the_offset_and_ours_does_not() -> None:
    with here(), clocked() as server:
        for offset, ahead_s in (("3600s", 3600.0), ("-1.5s", -1.5)):
            rig = skewed(server, offset)
            ours_s = time.time() - time.monotonic()
            rig.inject()
            assert server.is_ahead(ahead_s)
            assert time.time() - time.monotonic() == pytest.approx(ours_s, abs=0.5)
            rig.backend.revert(rig.undo)
            assert server.is_ahead(0)


def test_a_clock_that_stands_and_one_that_jumps_back() -> None:
    with here(), clocked() as server:
        target = {"clock": str(server.clock), "pidfile": str(server.pidfile)}
        rig = Rig({"it": target}, {"kind": "clock_freeze", "target": "it"})
        rig.inject()
        first_s = server.ask()[1]
        until(lambda: server.ahead() < -1.5, "it stands while time goes on")
        assert server.ask()[1] == first_s
        rig.backend.revert(rig.undo)
        jump = {"kind": "clock_jump", "target": "it", "offset": "1h", "every": "2s"}
        rig = Rig({"it": target}, jump)
        rig.inject()
        seen = []
        for elapsed_s in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
            rig.backend.adjust(rig.fault, rig.undo, elapsed_s)
            seen.append(server.is_ahead(3600))
        assert seen == [True, True, False, False, True, False]
        rig.backend.revert(rig.undo)


def test_what_it_starts_has_its_clock_and_its_timers_go_on() -> None:
    code = (
        "import asyncio, subprocess, sys, time\n"
        "while sys.stdin.readline():\n"
        "    begun = time.monotonic()\n"
        "    asyncio.run(asyncio.sleep(0.2))\n"
        "    child = subprocess.run(['date', '+%s'], capture_output=True, text=True).stdout\n"
        "    print(time.monotonic() - begun, int(child) - time.time(), time.time(), flush=True)\n"
    )
    with here(), clocked() as server:
        command = [*COMMAND, "clock", str(server.clock), "--", sys.executable, "-c", code]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdin is not None
        assert process.stdout is not None

        def ask() -> tuple[float, float, float]:
            print(file=process.stdin, flush=True)
            took_s, child_s, own_s = map(float, process.stdout.readline().split())  # type: ignore[union-attr]
            return took_s, child_s, own_s

        try:
            assert ask()[2] == pytest.approx(time.time(), abs=5)
            rig = skewed(server, "-7200s")
            rig.inject()
            took_s, child_s, own_s = ask()
            assert own_s == pytest.approx(time.time() - 7200, abs=5)
            assert took_s >= 0.2
            assert took_s < 60, "its timers do not see the jump"
            assert child_s == pytest.approx(0, abs=5)
            rig.backend.revert(rig.undo)
            assert ask()[2] == pytest.approx(time.time(), abs=5)
        finally:
            process.stdin.close()
            process.wait()


def test_who_does_not_run_under_the_clock_is_refused(tmp_path: Path) -> None:
    with here(), clocked() as server:
        pidfile = tmp_path / "pid"
        stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        pidfile.write_text(str(stranger.pid))
        fault = {"kind": "clock_freeze", "target": "it"}
        target = {"clock": str(server.clock), "pidfile": str(pidfile)}
        assert "does not run under the clock" in Rig({"it": target}, fault).problems()[0]
        stranger.communicate(b"\n")
        assert "no process has the pid" in Rig({"it": target}, fault).problems()[0]
        assert Rig({"it": {"clock": str(server.clock)}}, fault).problems() == [], (
            "it is found without a pid file"
        )
        lonely = tmp_path / "lonely"
        lonely.write_text(server.clock.read_text())
        assert (
            "no process that we may look at runs under"
            in Rig({"it": {"clock": str(lonely)}}, fault).problems()[0]
        )
        (tmp_path / "other").write_text("+0\n")
        refused = {"other": "is no clock made by", "none": "is not there; `chaos-locust clock` makes it"}
        for name, words in refused.items():
            rig = Rig({"it": {"clock": str(tmp_path / name)}}, fault)
            assert words in rig.problems()[0]
            with pytest.raises(BackendError):
                rig.prepare()


def test_another_runs_clock_is_left_alone() -> None:
    with here(), clocked() as server:
        rig = skewed(server, "100s")
        rig.inject()
        other = rig.undo | {"mark": "chaos-r2-it"}
        rig.backend.revert(other)
        assert rig.backend.verify(other)
        assert server.ahead() > 99
        with pytest.raises(BackendError, match="set by another fault"):
            rig.backend.inject(rig.fault, other)
        rig.backend.revert(rig.undo)


def test_mistakes_of_the_command(tmp_path: Path) -> None:
    with here(), clocked():  # it says whether libfaketime is here
        pass
    (tmp_path / "text").write_text("not a clock\n")
    for arguments, words in (
        ([str(tmp_path / "new")], "COMMAND: is missing"),
        ([str(tmp_path / "text"), "--", "date"], "is no clock made by"),
        ([str(tmp_path / "new"), "--", "no-such-program"], "no-such-program: No such file or directory"),
        ([str(tmp_path / "no" / "folder"), "--", "date"], "cannot be made: No such file or directory"),
    ):
        done = subprocess.run(
            [*COMMAND, "clock", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "text").read_text() == "not a clock\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with here(), clocked():
        pass
    ready = tmp_path_factory.mktemp("shop") / "ready.json"
    command = [sys.executable, "-m", "chaos_locust.demo", "serve", "--ports", "free", "--clock"]
    process = subprocess.Popen(
        [*command, "--ready-file", str(ready)], stdout=subprocess.DEVNULL, cwd=ROOT, env={**os.environ}
    )
    try:
        until(lambda: ready.exists() or process.poll() is not None, "the shop is ready", SHOP_LIMIT_S)
        yield json.loads(ready.read_text())["env"]
    finally:
        process.terminate()
        process.wait(30)


def test_the_shop_refuses_a_token_that_its_clock_takes_for_expired(shop: dict[str, str]) -> None:
    target = {"clock": shop["SHOP_CLOCK"], "pidfile": f"{shop['SHOP_STATE']}/shop.pid"}
    rig = Rig({"it": target}, {"kind": "clock_skew", "target": "it", "offset": "120s"})
    assert rig.problems() == []
    with httpx.Client(base_url=shop["SHOP_URL"], trust_env=False, timeout=10) as client:
        login = {"user": "alice", "password": "wonderland", "expires_in": 100}
        token = client.post("/login", json=login).json()["token"]

        def order() -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return client.post("/orders", json={"product_id": 1, "quantity": 1}, headers=headers).status_code

        assert order() == 201
        rig.prepare()
        before = rig.look()
        rig.inject()
        assert order() == 401
        assert client.get("/products").status_code == 200
        during: list[Reading] = []

        def told() -> bool:
            order()
            during.extend(rig.look(1))
            effect = rig.backend.effect(rig.fault, before, during)
            return effect.mechanism is True and effect.use is True and "Date header was 1" in effect.detail

        until(told, "its own Date header shows it")
        rig.backend.revert(rig.undo)
        assert order() == 201
