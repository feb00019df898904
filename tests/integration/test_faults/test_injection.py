"""`inject` and `chaos_inject`: a fault for the length of a block, on real proxies and processes."""

from __future__ import annotations

import asyncio
import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import chaos_locust
from chaos_locust.errors import BackendError, DirtyTarget, InvalidPlan, PreflightFailed
from chaos_locust.faults.network import Latency

from .conftest import ROOT, ProxyServer, Victim, accepts, until

TARGETS = {"web": {"proxy": "web"}}


@pytest.fixture(autouse=True)
def leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Leases go into the test's own folder, and none is left at its end."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield tmp_path / "state"
    assert not left(tmp_path)


def left(folder: Path) -> list[Path]:
    return list(folder.rglob("*.fault.*.json"))


def elapsed_s(port: int) -> float:
    started_s = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()
    return time.monotonic() - started_s


def test_the_fault_acts_in_the_block_and_only_there(embedded: ProxyServer, upstream: int) -> None:
    port = embedded.make("web", upstream)
    latency: dict[str, Any] = {"latency": "300ms", "targets": TARGETS, "proxy_api": embedded.url}
    assert elapsed_s(port) < 0.3
    with chaos_locust.inject("latency", target="web", **latency) as injected:
        assert embedded.toxics() != []
        while injected.effect is None:
            assert elapsed_s(port) >= 0.3
    assert embedded.toxics() == []
    assert elapsed_s(port) < 0.3
    assert (injected.effect.mechanism, injected.effect.use) == (True, True), injected.effect
    assert injected.fault == Latency(name="latency", target="web", latency="300ms", at="0s", duration="60s")


def test_what_was_before_is_a_part_of_the_effect(embedded: ProxyServer, upstream: int, load: Any) -> None:
    """Nobody watched the link before: that it was used, and answered, is seen before it is cut."""
    port = embedded.make("web", upstream)
    load(port)
    with chaos_locust.inject("down", target="web", targets=TARGETS, proxy_api=embedded.url) as injected:
        until(lambda: injected.effect is not None, "the effect is told")
    assert injected.effect is not None
    assert injected.effect.mechanism is True, injected.effect
    assert "refused" in injected.effect.detail


def test_a_fault_of_a_plan_and_variables_of_the_environment(
    embedded: ProxyServer, upstream: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded.make("web", upstream)
    monkeypatch.setenv("WHERE", embedded.url)
    fault = Latency(name="slow", target="web", latency="50ms", when="steady for 9s", duration="20s")
    with chaos_locust.inject(fault, targets=TARGETS, proxy_api="${WHERE}"):
        assert [toxic.rpartition("-slow")[1] for toxic in embedded.toxics()] == ["-slow"]
    assert embedded.toxics() == []


def test_a_block_that_raises_leaves_nothing(victim: Victim) -> None:
    targets = {"victim": {"pidfile": str(victim.pidfile)}}

    def raise_in_it() -> None:
        with chaos_locust.inject("pause", target="victim", targets=targets):
            assert victim.state == "T"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        raise_in_it()
    assert victim.state != "T"


def test_an_instant_fault_takes_no_time(victim: Victim) -> None:
    targets = {"victim": {"pidfile": str(victim.pidfile)}}
    with chaos_locust.inject("kill", target="victim", targets=targets):
        assert victim.state in ("", "Z")


def test_a_mistake_is_told_before_anything_starts(embedded: ProxyServer) -> None:
    with pytest.raises(InvalidPlan, match=r"faults\[0\]\.latency: is missing"):
        chaos_locust.inject("latency", target="web", targets=TARGETS)
    with pytest.raises(
        InvalidPlan, match=r"faults\[0\]\.kind: 'latencyy' is no fault kind; did you mean latency"
    ):
        chaos_locust.inject("latencyy", target="web", targets=TARGETS)
    with pytest.raises(InvalidPlan, match="'wbe' is no target; did you mean web"):
        chaos_locust.inject("down", target="wbe", targets=TARGETS)
    elsewhere = {"web": {"upstream": "10.0.0.1:80", "listen": "127.0.0.1:1080"}}
    with pytest.raises(InvalidPlan, match=r"10\.0\.0\.1 is not allowed"):
        chaos_locust.inject("down", target="web", targets=elsewhere)
    injection = chaos_locust.inject("down", target="web", targets=TARGETS, proxy_api=embedded.url)
    with pytest.raises(PreflightFailed, match="web"), injection:
        pytest.fail("there is no such proxy")


def test_what_cannot_be_injected_is_an_error_and_leaves_nothing(
    embedded: ProxyServer, upstream: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy goes away after the look at it and before the injection."""
    embedded.make("web", upstream)
    injection = chaos_locust.inject("down", target="web", targets=TARGETS, proxy_api=embedded.url)
    start = injection_start(monkeypatch, embedded.kill)
    with pytest.raises(BackendError, match="down could not be injected: "), injection:
        pytest.fail("it was not injected")
    assert start == ["started"]


def test_to_leave_what_was_never_entered_is_harmless(
    embedded: ProxyServer, upstream: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand, as a test's `finally` does it, whatever became of `__enter__`."""
    nowhere = chaos_locust.inject("down", target="web", targets=TARGETS, proxy_api=embedded.url)
    nowhere.__exit__(None, None, None)
    with pytest.raises(PreflightFailed):
        nowhere.__enter__()
    nowhere.__exit__(None, None, None)

    embedded.make("web", upstream)
    injection = chaos_locust.inject("down", target="web", targets=TARGETS, proxy_api=embedded.url)
    injection.__enter__()
    assert not embedded.all_enabled()
    for _ in range(2):
        injection.__exit__(None, None, None)
        assert embedded.all_enabled()

    refused = chaos_locust.inject("down", target="web", targets=TARGETS, proxy_api=embedded.url)
    injection_start(monkeypatch, embedded.kill)
    with pytest.raises(BackendError):
        refused.__enter__()
    refused.__exit__(None, None, None)


def injection_start(monkeypatch: pytest.MonkeyPatch, then: Any) -> list[str]:
    from chaos_locust.leases.client import Guardian

    started: list[str] = []
    start = Guardian.start

    def start_and(guardian: Guardian) -> None:
        start(guardian)
        started.append("started")
        then()

    monkeypatch.setattr(Guardian, "start", start_and)
    return started


def test_a_fault_that_ends_before_the_block_fails_it(embedded: ProxyServer, upstream: int) -> None:
    embedded.make("web", upstream)
    injection = chaos_locust.inject(
        "down", target="web", targets=TARGETS, proxy_api=embedded.url, duration="700ms"
    )
    told = "down ended before the block did: its 700ms were over"
    with pytest.raises(BackendError, match=told), injection:
        until(embedded.all_enabled, "the lease runs out")


def test_a_target_that_cannot_be_undone_is_an_error(
    embedded: ProxyServer, upstream: int, leases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos_locust.injection.UNDO_LIMIT_S", 2.0)
    embedded.make("web", upstream)
    injection = chaos_locust.inject(
        "down", target="web", targets=TARGETS, proxy_api=embedded.url, duration="1s"
    )
    with pytest.raises(DirtyTarget, match=r"down could not be undone: .*chaos-locust cleanup"), injection:
        embedded.kill()
    embedded.start()  # without its proxies: what was done to them went with it
    until(lambda: not left(leases), "the guardian goes on until it is undone")


def test_who_dies_in_the_block_leaves_nothing(
    embedded: ProxyServer, upstream: int, leases: Path, tmp_path: Path
) -> None:
    embedded.make("web", upstream)
    folder = tmp_path / "temporary"
    folder.mkdir()
    program = f"""
import os, signal, chaos_locust
with chaos_locust.inject("down", target="web", targets={TARGETS}, proxy_api="{embedded.url}"):
    print("in the block", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("in the block\n", -9), done.stderr
    until(lambda: embedded.all_enabled() and not left(leases), "the guardian undoes it")
    until(lambda: not any(folder.iterdir()), "no file is left")


def test_it_patches_nothing_and_loads_no_locust() -> None:
    program = "import sys, chaos_locust; chaos_locust.inject; print({'gevent', 'locust'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


class TestDecorated:
    """As a user writes it: the addresses are known when the test is called."""

    @pytest.fixture(autouse=True)
    def place(self, embedded: ProxyServer, upstream: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.port = embedded.make("web", upstream)
        monkeypatch.setenv("PROXY_API", embedded.url)

    @chaos_locust.chaos_inject("down", target="web", targets=TARGETS, proxy_api="${PROXY_API}")
    def test_fixtures_and_methods_work(self, embedded: ProxyServer) -> None:
        assert not accepts(self.port)
        assert not embedded.all_enabled()

    def test_a_coroutine_function_is_surrounded_too(self, embedded: ProxyServer) -> None:
        @chaos_locust.chaos_inject("down", target="web", targets=TARGETS, proxy_api="${PROXY_API}")
        async def ask() -> str:
            assert not accepts(self.port)
            await asyncio.sleep(0)
            return "asked"

        assert asyncio.run(ask()) == "asked"
        assert embedded.all_enabled()

    def test_what_the_test_raises_comes_through(self, embedded: ProxyServer) -> None:
        @chaos_locust.chaos_inject("down", target="web", targets=TARGETS, proxy_api="${PROXY_API}")
        def wrong() -> None:
            raise AssertionError("the service did not hold")

        with pytest.raises(AssertionError, match="did not hold"):
            wrong()
        assert embedded.all_enabled()
