"""What is said of availability, against a real server that is stopped for a part of the window.

The window is told by a clock of the test's own: it goes on when the measure sleeps, and when a server wants
it to.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from bench.ports import free_port
from chaos_locust.errors import ChaosError
from compliance.checks import checks, judge
from compliance.measurement import Measurement, Secrets
from compliance.measures.web.availability import Available
from compliance.site import Site, Unreachable
from compliance.target import Availability, Http, Target
from tests.integration.compliance_judged import PARAMETERS
from tests.servers.small_shop import SmallShop, small_shop

CHECK = "available-as-promised"
SAMPLES = 300


class Clock:
    """do: what happens after so many sleeps."""

    def __init__(self, do: dict[int, Callable[[], None]] | None = None) -> None:
        self.now_s, self.sleeps, self.do = 0.0, 0, do or {}

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.sleeps += 1
        self.do.get(self.sleeps, lambda: None)()


def taken_by(target: Target, clock: Clock) -> tuple[dict[str, Any], Measurement]:
    site = Site(target, Secrets(), clock, clock.sleep)
    value = dict(Available().take(site))
    return value, Measurement("availability", "ok", value, site.evidence, "", "", 0.0)


def judged(found: Measurement) -> tuple[str, str]:
    outcome = judge(checks()[CHECK], found, PARAMETERS)
    return outcome.answer, outcome.text


def promising(url: str, samples: int = SAMPLES, path: str = "/") -> Target:
    part = Availability(path=path, promised=0.99, samples=samples, window_s=3.0)
    return Target(name="test", http=Http(url=url, timeout_s=5.0), availability=part)


class Files:
    """A server in a process of its own, that can be stopped and started again."""

    def __init__(self, folder: str) -> None:
        self.port, self.folder = free_port(), folder
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "http.server", str(self.port), "--bind", "127.0.0.1"]
        self.process = subprocess.Popen([*command, "--directory", self.folder], stderr=subprocess.DEVNULL)
        deadline_s = time.monotonic() + 60
        while True:
            try:
                requests.get(self.url, timeout=5)
                return
            except requests.ConnectionError:
                assert self.process.poll() is None
                assert time.monotonic() < deadline_s, "it did not start"
                time.sleep(0.05)

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@contextmanager
def files(folder: Any) -> Iterator[Files]:
    found = Files(str(folder))
    found.start()
    try:
        yield found
    finally:
        found.stop()


def test_a_target_that_is_stopped_for_a_part_of_the_window_fails_with_the_figure(tmp_path: Any) -> None:
    with files(tmp_path) as server:
        value, found = taken_by(promising(server.url), Clock())
        assert (value["answered"], value["samples"]) == (SAMPLES, SAMPLES)
        assert judged(found) == ("held", "")
        value, found = taken_by(promising(server.url), Clock({100: server.stop, 130: server.start}))
    assert (value["answered"], value["samples"], value["percent"]) == (SAMPLES - 30, SAMPLES, 90.0)
    answer, text = judged(found)
    assert answer == "failed"
    assert "90.0 % of requests were answered well (270 of 300), and 99.0 % are promised." in text
    assert "270 of 300 answered well" in found.evidence[-1]
    assert "1.0 s: " in found.evidence[0]


class Failing(SmallShop):
    """Answers request number `nth` by `status`; 0: hangs for a second of the clock's, and hangs up."""

    nth: range
    status: int
    clock: Clock

    def route(self, method: str, path: str, body: bytes) -> None:
        if len(self.state.requests) not in self.nth:
            super().route(method, path, body)
        elif self.status:
            self.answer(self.status, {"error": "no"})
        else:
            self.clock.now_s += 1.0
            self.close_connection = True


@contextmanager
def failing(nth: range, status: int, samples: int = SAMPLES) -> Iterator[tuple[Target, Clock]]:
    clock = Clock()
    handler = type("F", (Failing,), {"nth": nth, "status": status, "clock": clock})
    with small_shop(handler=handler) as (target, _):
        assert target.http is not None
        yield promising(target.http.url, samples), clock


@pytest.mark.parametrize(
    ("failures", "samples", "answer"),
    [(0, 300, "held"), (1, 300, "not_known"), (9, 300, "failed"), (0, 50, "not_known"), (3, 10, "failed")],
)
def test_answers_that_are_errors(failures: int, samples: int, answer: str) -> None:
    with failing(range(1, failures + 1), 503, samples) as (target, clock):
        value, found = taken_by(target, clock)
    assert (value["answered"], value["samples"]) == (samples - failures, samples)
    assert judged(found)[0] == answer


def test_while_it_hangs_it_is_not_available_for_all_that_time() -> None:
    with failing(range(50, 51), 0) as (target, clock):
        value, found = taken_by(target, clock)
    assert (value["answered"], value["samples"]) == (200, 300)
    assert judged(found)[0] == "failed"


def test_samples_that_are_refused_as_too_many_are_none() -> None:
    with failing(range(1, 11), 429) as (target, clock):
        value, found = taken_by(target, clock)
        assert (value["answered"], value["samples"]) == (290, 290)
        assert judged(found)[0] == "not_known"
    with failing(range(1, 301), 429) as (target, clock), pytest.raises(ChaosError, match="one too many"):
        taken_by(target, clock)


def test_what_always_answers_with_an_error_fails_and_what_was_never_reached_is_not_known() -> None:
    with failing(range(1, 301), 500) as (target, clock):
        value, found = taken_by(target, clock)
    assert value["percent"] == 0
    assert judged(found)[0] == "failed"
    with pytest.raises(Unreachable):
        taken_by(target, Clock())
