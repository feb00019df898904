"""Loads and objectives that users ask for by name, at a size that a test can afford.

Each is the same plan as at full size with other numbers, run by `chaos-locust run` in processes of its own
against a server that keeps a log of its own; the full size is checked in the steps that its plan stands for.

The server answers at once. `?every=10&delay_ms=400` makes every tenth request of that path slow,
`?every=111&status=500` makes every 111th fail, `?one_at_a_time_ms=24` serves them one after the other,
`?above=60&...` does so only while more than 60 requests/s come in.
"""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bench.ports import free_port
from chaos_locust.plan.documents import parse_plan

RUN = "from chaos_locust.cli import main; main()"
COMMON = {"timeout": "3s", "warm_up": "1s", "baseline": "1s"}


class Server:
    """The server at `url`, in a process of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def log(self) -> list[tuple[float, str]]:
        """(epoch_s, "METHOD path") of every request since the last call."""
        assert self.process.stdin is not None
        self.process.stdin.write("log\n")
        self.process.stdin.flush()
        return [(epoch_s, what) for epoch_s, what in json.loads(self.line())]

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


class Run:
    """`chaos-locust run` of a plan, over: its exit code, its verdict.json, and the server's log of it."""

    def __init__(self, folder: Path, server: Server, plan: dict[str, Any]) -> None:
        server.log()
        path = folder / "plan.yaml"
        path.write_text(json.dumps({"name": "a requirement", "host": server.url, **COMMON, **plan}))
        command = [sys.executable, "-c", RUN, "run", str(path), "--results", str(folder / "results")]
        env = {**os.environ, "XDG_STATE_HOME": str(folder)}
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert (folder / "results").exists(), done.stderr
        (verdict,) = (folder / "results").glob("*/verdict.json")
        self.exit_code, self.output = done.returncode, done.stdout
        self.verdict = json.loads(verdict.read_text())
        started_s = self.verdict["started_epoch_s"]
        self.log = [(epoch_s - started_s, what) for epoch_s, what in server.log()]

    def outcome(self, text: str) -> str:
        (found,) = [finding for finding in self.verdict["findings"] if finding["text"] == text]
        return str(found["outcome"])

    def rate(self, from_s: float, to_s: float) -> float:
        return sum(from_s <= t_s < to_s for t_s, _ in self.log) / (to_s - from_s)


def steps_of(load: Any) -> list[tuple[str, float, float, float, float]]:
    """(name, starts, ends, from level, to level)"""
    plan = parse_plan({"name": "full size", "load": load}, {})
    assert plan.load is not None
    return [(s.name, s.starts_s, s.ends_s, s.start_level, s.end_level) for s in plan.load.steps]


def ramp(low: int, high: int, for_s: int) -> dict[str, Any]:
    return {"ramp": {"from": f"{low}/s", "to": f"{high}/s", "for": f"{for_s}s"}}


def test_a_fault_in_the_middle_of_a_ramp(server: Server, tmp_path: Path) -> None:
    """Load and fault in one run, the ramp a straight line in the server's log."""
    assert steps_of(ramp(10, 1000, 300)) == [("ramp", 0, 300, 10, 1000)]
    assert steps_of(ramp(100, 1000, 300)) == [("ramp", 0, 300, 100, 1000)]
    api, listen = free_port(), free_port()
    proxy = subprocess.Popen(
        [sys.executable, "-m", "chaos_locust.proxy", "-port", str(api), "-proxy-metrics"]
    )
    try:
        give_up_s = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", api)) != 0:
            assert time.monotonic() < give_up_s, "the proxy does not answer"
            time.sleep(0.05)
        link = {"upstream": f"127.0.0.1:{server.port}", "listen": f"127.0.0.1:{listen}"}
        with _Forwarding(listen) as front:
            plan = {
                "host": front,
                "proxy_api": f"http://127.0.0.1:{api}",
                "targets": {"backend": link},
                "load": ramp(20, 120, 10),
                "faults": [
                    {
                        "name": "slow",
                        "kind": "latency",
                        "target": "backend",
                        "latency": "300ms",
                        "at": "5s",
                        "for": "3s",
                    }
                ],
                "steady_state": ["error_rate < 50%"],
                "objectives": ["error_rate < 5% during slow", "mean > 250ms during slow"],
            }
            run = Run(tmp_path, server, plan)
    finally:
        proxy.terminate()
        proxy.wait()
    assert (run.exit_code, run.verdict["outcome"]) == (0, "UPHELD"), run.output
    (fault,) = run.verdict["faults"]
    assert abs(fault["active_s"] - 5) < 2
    assert abs(fault["reverted_s"] - 8) < 2
    for second in (1, 2, 3, 9):  # the fault shifts what arrives behind it
        planned = 20 + 10 * (second + 0.5)
        assert abs(run.rate(second, second + 1) - planned) <= max(2, 0.05 * planned), second


class _Forwarding:
    """The front of a service in two parts: every request goes on to the back through the proxy at `port`."""

    def __init__(self, port: int) -> None:
        self.own = free_port()
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(self.own), str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> str:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == b"ready"
        return f"http://127.0.0.1:{self.own}"

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def spikes(base: int, peak: int, before: str, for_: str, after: str, times: int) -> dict[str, Any]:
    levels = {"base": f"{base}/s", "peak": f"{peak}/s"}
    return {"spike": {**levels, "before": before, "for": for_, "after": after, "times": times}}


def test_repeated_spikes(server: Server, tmp_path: Path) -> None:
    full = steps_of(spikes(50, 500, "60s", "30s", "120s", 2))
    assert [(start, end, level) for _, start, end, level, _ in full] == [
        (0, 60, 50), (60, 90, 500), (90, 210, 50), (210, 240, 500), (240, 360, 50),
    ]  # fmt: skip
    load = spikes(20, 200, "2s", "2s", "2s", 2)
    run = Run(tmp_path, server, {"load": load, "objectives": ["error_rate < 10% during run"]})
    assert run.exit_code == 0, run.output
    for starts_s, rate in ((0, 20), (2, 200), (4, 20), (6, 200), (8, 20)):
        assert abs(run.rate(starts_s + 0.1, starts_s + 1.9) - rate) <= max(1.2, 0.05 * rate), starts_s


def test_a_rate_that_cannot_be_reached_is_told(server: Server, tmp_path: Path) -> None:
    """10 to 5000 requests/s is a plan like any other; five users with answers in 100 ms make 50 of 200."""
    assert [level for *_, level in steps_of(spikes(10, 5000, "10s", "30s", "20s", 1))] == [10, 5000, 10]
    plan = {
        "load": [{"step": "peak", "rate": "200/s", "for": "4s"}],
        "max_users": 5,
        "drop_after": "200ms",
        "requests": [{"path": "/?every=1&delay_ms=100"}],
        "objectives": ["throughput >= 95% of offered during peak"],
    }
    run = Run(tmp_path, server, plan)
    totals = run.verdict["totals"]
    assert totals["offered"] == 800
    assert totals["sent"] == len(run.log) == totals["offered"] - totals["dropped"]
    assert totals["dropped"] > 400
    assert run.exit_code == 4
    assert any("dropped for lack of users" in reason for reason in run.verdict["trust"]["reasons"])


def test_reads_and_writes_in_the_weights_asked_for(server: Server, tmp_path: Path) -> None:
    requests = [
        {"path": "/health", "weight": 8},
        {"path": "/keys", "weight": 24},
        {"path": "/agents", "weight": 48},
        {"path": "/tokens", "method": "POST", "weight": 20, "json": {"user": "alice"}},
    ]
    plan = {"load": {"soak": {"rate": "500/s", "for": "10500ms"}}, "requests": requests}
    run = Run(tmp_path, server, {**plan, "objectives": ["error_rate < 1% during run"]})
    assert run.exit_code in (0, 4), run.output  # 4: this machine was too busy for a clean measurement
    seen = Counter(what for _, what in run.log)
    total = sum(seen.values())
    assert total == run.verdict["totals"]["sent"] == 5250
    wanted = {"GET /health": 0.08, "GET /keys": 0.24, "GET /agents": 0.48, "POST /tokens": 0.2}
    assert set(seen) == set(wanted)
    for what, share in wanted.items():
        assert abs(seen[what] / total - share) < 0.02, seen


def test_each_limit_is_judged_by_itself(server: Server, tmp_path: Path) -> None:
    """Bounds four times those of `slo: standard`, for a machine that others use too."""
    paths = {
        "a tenth slow": ("/?every=10&delay_ms=320", 3),
        "0.9 %": ("/?every=111&status=500", 7),
        "1.1 %": ("/?every=90&status=500", 7),
        "6 %": ("/?every=16&status=500", 2),
        "600 ms": ("/?every=1&delay_ms=600", 3),
        "login": ("/login?every=1&delay_ms=250", 1),
        "verify": ("/verify?every=1&delay_ms=1", 1),
    }
    judged = {
        'p50 of "GET a tenth slow" < 200ms during run': False,
        'p95 of "GET a tenth slow" < 300ms during run': True,
        'p99 of "GET a tenth slow" < 800ms during run': False,
        'error_rate of "GET 0.9 %" < 1% during run': False,
        'error_rate of "GET 1.1 %" < 1% during run': True,
        'error_rate of "GET 6 %" < 5% during run': True,
        'p95 of "GET 600 ms" < 500ms during run': True,
        'p99 of "GET 600 ms" < 1s during run': False,
        'p95 of "GET login" < 200ms during run': True,
        'p95 of "GET verify" < 200ms during run': False,
    }
    requests = [{"path": path, "name": name, "weight": weight} for name, (path, weight) in paths.items()]
    load = [{"step": "base", "rate": "360/s", "for": "12s"}]
    run = Run(tmp_path, server, {"load": load, "requests": requests, "objectives": list(judged)})
    assert run.exit_code == 3, run.output
    broken = {text for text in judged if run.outcome(text) == "DEVIATED"}
    assert broken == {text for text, breaks in judged.items() if breaks}
    if not run.verdict["trust"]["reasons"]:
        assert {run.outcome(text) for text in judged if text not in broken} == {"UPHELD"}


def test_a_spike_is_judged_on_its_own_seconds(server: Server, tmp_path: Path) -> None:
    """Every sixth request fails, but only under the spike's load."""
    plan = {
        "load": spikes(30, 120, "4s", "3s", "2s", 1),
        "requests": [{"path": "/?every=6&status=503&above=35"}],
        "objectives": [
            "error_rate < 5% during base",
            "error_rate < 15% during peak",
            "p95(ok) < 1s during peak",
        ],
    }
    run = Run(tmp_path, server, plan)
    assert run.exit_code == 3, run.output
    assert run.outcome("error_rate < 15% during peak") == "DEVIATED"
    assert run.outcome("error_rate < 5% during base") != "DEVIATED"
    assert run.outcome("p95(ok) < 1s during peak") != "DEVIATED"


def test_a_stress_load_finds_the_breaking_point(server: Server, tmp_path: Path) -> None:
    """A server that can do 42 requests/s: the level reported is within 10 % of that."""
    full = {"stress": {"from": "10/s", "to": "20000/s", "step": "1110/s", "every": "60s"}}
    assert steps_of(full)[-1][3] > 19_000
    plan = {
        "load": {"stress": {"from": "32/s", "to": "48/s", "step": "4/s", "every": "5s"}},
        "requests": [{"path": f"/?one_at_a_time_ms={1000 / 42:.3f}"}],
        "objectives": ["p95 < 150ms during run", "error_rate < 5% during run"],
    }
    run = Run(tmp_path, server, plan)
    assert run.exit_code == 0, run.output
    assert abs(run.verdict["stress_level"] - 42) <= 4.2, run.output
    reasons = " ".join(finding["reason"] for finding in run.verdict["findings"])
    assert "broke at" in reasons


# -- the servers -----------------------------------------------------------------------------------------


class _Answers:
    """What one server answers; `log` since it was last asked for."""

    def __init__(self) -> None:
        self.log: list[tuple[float, str]] = []
        self.counts: Counter[str] = Counter()
        self.recent: deque[float] = deque()
        self.turn = asyncio.Lock()

    async def answer(self, method: str, target: str) -> int:
        url = urlsplit(target)
        now_s = time.time()
        self.log.append((now_s, f"{method} {url.path}"))
        self.recent.append(now_s)
        while self.recent[0] < now_s - 1:
            self.recent.popleft()
        wanted = {key: float(values[0]) for key, values in parse_qs(url.query).items()}
        if "one_at_a_time_ms" in wanted:
            async with self.turn:
                await asyncio.sleep(wanted["one_at_a_time_ms"] / 1000)
        if len(self.recent) <= wanted.get("above", 0):
            return 200
        self.counts[target] += 1
        if self.counts[target] % int(wanted.get("every", 1)):
            return 200
        await asyncio.sleep(wanted.get("delay_ms", 0) / 1000)
        return int(wanted.get("status", 200))


async def serve(port: int, backend_port: int | None) -> None:
    answers = _Answers()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back = None if backend_port is None else await asyncio.open_connection("127.0.0.1", backend_port)
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, target, _ = head.split(" ", 2)
                length = [
                    h.split(":")[1] for h in head.split("\r\n") if h.lower().startswith("content-length:")
                ]
                if length:
                    await reader.readexactly(int(length[0]))
                if back is not None:
                    back[1].write(f"GET {target} HTTP/1.1\r\nHost: back\r\n\r\n".encode())
                    status = int((await back[0].readuntil(b"\r\n\r\n")).split(b" ", 2)[1])
                    await back[0].readexactly(2)
                else:
                    status = await answers.answer(method, target)
                phrase = http.server.BaseHTTPRequestHandler.responses[http.HTTPStatus(status)][0]
                writer.write(f"HTTP/1.1 {status} {phrase}\r\nContent-Length: 2\r\n\r\nok".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    await asyncio.start_server(connected, "127.0.0.1", port, backlog=2048)
    print("ready", flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    while await commands.readline():
        log, answers.log = answers.log, []
        print(json.dumps(log), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
