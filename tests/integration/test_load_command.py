"""A load test without a locustfile: on the command line and in Python, against the target's own log."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaos_locust import LoadTest
from chaos_locust.errors import InvalidPlan

from .load_target import Target
from .proxied_target import ProxiedTarget, wait_for

PROGRAM = [sys.executable, "-c", "from chaos_locust.cli import main; main()", "load"]
ONLY_ERRORS = ("--fail-if-error-rate-exceeds", "0.01")


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as found:
        yield found


Load = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*PROGRAM, *arguments, "--results", str(tmp_path / "results")]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False, env=own(tmp_path)
        )

    return run


def own(folder: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(folder / "state")}


def by_second(target: Target) -> Counter[int]:
    log = target.log()
    start_s = min(at_s for at_s, _ in log)
    return Counter(math.floor(at_s - start_s) for at_s, _ in log)


def test_a_ramp_follows_its_line(target: Target, load: Load) -> None:
    done = load(
        f"{target.url}/products", "--initial-rps", "20", "--peak-rps", "100", "--duration", "10", *ONLY_ERRORS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = by_second(target)
    # from 20/s to 100/s in 10 s: the n-th second has 20 + 8 n + 4; a second's border may fall to either side
    for second in range(1, 9):
        assert seen[second] == pytest.approx(24 + 8 * second, abs=5)
    assert sum(seen.values()) == pytest.approx(600, abs=3)
    assert {what for _, what in target.log()} == {"GET /products"}


def test_a_spike_comes_after_ten_seconds_at_the_base(target: Target, load: Load) -> None:
    rates = ("--initial-rps", "5", "--peak-rps", "100")
    done = load(target.url, "--type", "spike", *rates, "--duration", "6", *ONLY_ERRORS)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = by_second(target)
    assert [round(seen[second] / 5) for second in (8, 11, 14)] == [1, 20, 1]


def test_reads_and_writes_of_a_file_in_the_ratio(target: Target, load: Load, tmp_path: Path) -> None:
    entries = [
        {"request": {"method": method, "url": f"{target.url}{path}", "headers": []}}
        for method, path in (("GET", "/a"), ("POST", "/b"), ("POST", "/b"))
    ]
    har = tmp_path / "recorded.har"
    har.write_text(json.dumps({"log": {"entries": entries}}))
    arguments = ["--type", "soak", "--peak-rps", "100", "--duration", "10", "--requests", str(har)]
    done = load(target.url, *arguments, "--read-write-ratio", "80:20", *ONLY_ERRORS)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = Counter(what for _, what in target.log())
    assert counts["POST /b"] / counts.total() == pytest.approx(0.2, abs=0.05)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A target whose link takes 150 ms longer while a fault acts; its URL and the file with the fault."""
    with ProxiedTarget() as found:
        plan = found.plan()
        keys = {key: plan[key] for key in ("targets", "proxy_api")}
        fault = {"name": "slow", "kind": "latency", "target": "link", "latency": "150ms"}
        file = tmp_path / "faults.yaml"
        times = {"warm_up": "1s", "baseline": "4s"}
        file.write_text(json.dumps({**keys, **times, "faults": [{**fault, "at": "6s", "for": "8s"}]}))
        yield plan["host"], file


def test_only_what_is_demanded_fails(slow: tuple[str, Path], load: Load) -> None:
    host, faults = slow
    arguments = [host, "--type", "soak", "--peak-rps", "50", "--duration", "15", "--faults", str(faults)]
    free = load(*arguments, *ONLY_ERRORS)
    assert free.returncode == 0, free.stdout + free.stderr
    bound = load(*arguments, "--fail-if-p99-exceeds", "100")
    assert bound.returncode == 3, bound.stdout + bound.stderr
    assert "p99 <= 100ms during run" in bound.stdout


def test_python_gives_what_the_target_saw(target: Target, tmp_path: Path) -> None:
    test = LoadTest(target.url).with_ramp_up(20, 60).with_duration("10s").with_limits(p99="1s")
    result = test.run(tmp_path / "results")
    arrived = target.log()
    assert result.passed_slo(), result.sentence
    assert result.requests == len(arrived)
    assert result.error_rate == 0
    assert result.throughput_rps == pytest.approx(len(arrived) / 10, rel=0.05)
    assert result.peak_rps == pytest.approx(max(by_second(target).values()), abs=5)
    p50_ms, p99_ms, max_ms = result.latencies.p50_ms, result.latencies.p99_ms, result.latencies.max_ms
    assert p50_ms is not None
    assert p99_ms is not None
    assert max_ms is not None
    assert 0 < p50_ms <= p99_ms <= max_ms
    assert json.loads((result.folder / "verdict.json").read_text())["exit_code"] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["no-url"], "host"),
        (["http://127.0.0.1:9", "--peak-rps", "-1"], "peak_rps: '-1' is not allowed"),
        (["http://127.0.0.1:9", "--duration", "soon"], "--duration: 'soon' is no duration"),
        (
            ["http://127.0.0.1:9", "--fail-if-p99-exceeds", "much"],
            "--fail-if-p99-exceeds: 'much' is no duration",
        ),
        (["http://127.0.0.1:9", "--fail-if-error-rate-exceeds", "2"], "--fail-if-error-rate-exceeds"),
        (["http://127.0.0.1:9", "--read-write-ratio", "80"], "--read-write-ratio: '80' is not allowed"),
        (["http://127.0.0.1:9", "--read-write-ratio", "80:20"], "wants writes"),
        (["http://127.0.0.1:9", "--requests", "none.har"], "none.har: cannot be read"),
        (["http://127.0.0.1:9", "--faults", "none.yaml"], "none.yaml: cannot be read"),
    ],
)
def test_mistakes(load: Load, arguments: list[str], told: str) -> None:
    done = load(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_load_test_gives_itself_is_refused_in_its_faults() -> None:
    with pytest.raises(InvalidPlan, match="load: is given by the load test"):
        LoadTest("http://127.0.0.1:9").with_faults({"load": []})


def test_a_signal_ends_it_and_what_it_started(target: Target, tmp_path: Path) -> None:
    command = [*PROGRAM, target.url, "--type", "soak", "--peak-rps", "20", "--duration", "10min"]
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            [*command, "--results", str(tmp_path / "results")],
            cwd=tmp_path,
            stdout=output,
            stderr=output,
            env=own(tmp_path),
        )
        try:
            wait_for(lambda: len(target.log()) > 20, "requests arrive")
            process.send_signal(signal.SIGINT)
            code = process.wait(60)
        finally:
            process.kill()
            process.wait()
    assert code == 4, (tmp_path / "output").read_text()  # it was interrupted: nothing can be said
    arrived = len(target.log())
    time.sleep(1)
    assert len(target.log()) == arrived
