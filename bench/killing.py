"""Nothing is left behind, whoever is killed and whenever: `python -m bench.killing --times 20 --seed 1`

Each round starts a run with three faults that act at once (a slow link, a link that is down, a process that
stands still) and sends SIGKILL to Locust, to its guardian or to both at a random instant. What is left is
read here with nothing of chaos-locust: from the proxy's API and from /proc. A round takes about 15 s.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bench.ports import free_port

ROOT = Path(__file__).parent.parent
PATIENCE_S = 60.0
UNDONE_LIMIT_S = 10.0
"""By the end of the leases it would take more than 15 s: who is this fast has seen the run die."""

Who = Literal["locust", "guardian", "both", "nobody"]
When = Literal["before", "onset", "during", "end", "after"]

PLAN = """
name: everything may be killed
host: http://127.0.0.1:{web}
locustfile: {folder}/load.py
proxy_api: {api}
targets:
  web: {{proxy: web}}
  side: {{proxy: side}}
  server: {{proxy: web, pidfile: {folder}/server.pid}}
load:
  - {{step: base, rate: 30/s, for: 13s}}
warm_up: 1s
baseline: 2s
timeout: 1s
faults:
  - {{name: slow, kind: latency, target: web, latency: 30ms, at: 3s, for: 8500ms}}
  - {{name: off, kind: down, target: side, at: 3500ms, for: 7s}}
  - {{name: stand, kind: pause, target: server, at: 4s, for: 6s}}
steady_state: [error_rate < 90%]
objectives:
  - error_rate < 50% during baseline
"""
ONSETS_S = (3.0, 3.5, 4.0)
ENDS_S = (10.0, 10.5, 11.5)
LENGTH_S = 13.0
CLEANUP_S = 4.0
"""So long after the last onset `cleanup` may take, before anything is killed."""

COMMAND = (sys.executable, "-c", "from chaos_locust.cli import main; main()")
LOAD = """
import locust

class Visitor(locust.FastHttpUser):
    @locust.task
    def both(self):
        self.client.get("/")

    @locust.task
    def side(self):
        self.client.get("http://127.0.0.1:{side}/", name="side")
"""
SERVER = """
import http.server, sys

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "500")
        self.end_headers()
        self.wfile.write(b"x" * 500)

    def log_message(self, *args):
        pass

Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def until(condition: Callable[[], Any], limit_s: float = PATIENCE_S) -> bool:
    """Whether it became true in time."""
    give_up_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > give_up_s:
            return False
        time.sleep(0.01)
    return True


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def state_of(pid: int) -> str:
    """The kernel's letter; empty: gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


@dataclass
class World:
    """What the faults act on: two servers, each behind its own link of one proxy."""

    folder: Path
    api: str
    links: dict[str, int]
    server_pid: int

    def left(self) -> list[str]:
        """Everything that a fault has changed and that is not as it was."""
        with urllib.request.urlopen(f"{self.api}/proxies", timeout=10) as reply:
            proxies = json.loads(reply.read())
        found = [f"toxic {toxic['name']}" for proxy in proxies.values() for toxic in proxy["toxics"]]
        found += [f"link {name} is down" for name, proxy in proxies.items() if not proxy["enabled"]]
        state = state_of(self.server_pid)
        return found + ([] if state in ("S", "R", "D") else [f"process in state {state!r}"])

    @property
    def environ(self) -> dict[str, str]:
        """For our programs; the state folder is this world's own, and its name marks their processes."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return {**os.environ, "XDG_STATE_HOME": str(self.folder / "state"), "PYTHONPATH": path}

    def processes(self) -> dict[int, str]:
        """Pid and command line of each of our processes that lives."""
        found = {}
        mark = f"XDG_STATE_HOME={self.folder / 'state'}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().decode().replace("\0", " ")
        return found

    def cleanup(self) -> tuple[int, str]:
        """Exit code and output of `chaos-locust cleanup`."""
        done = subprocess.run(
            [*COMMAND, "cleanup"], env=self.environ, capture_output=True, text=True, timeout=PATIENCE_S
        )
        return done.returncode, (done.stdout + done.stderr).strip()


@contextmanager
def world() -> Iterator[World]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="killing-")))
        started = []

        def start(*command: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            started.append(process)
            return process

        ports = {name: free_port() for name in ("web", "side", "api")}
        server = start("-c", SERVER, str(ports["web"]))
        start("-c", SERVER, str(ports["side"]))
        start("-m", "chaos_locust.proxy", "-host", "127.0.0.1", "-port", str(ports["api"]), "-proxy-metrics")
        (folder / "server.pid").write_text(str(server.pid))
        if not until(lambda: all(accepts(port) for port in ports.values())):
            raise RuntimeError("the servers did not start")
        found = World(folder, f"http://127.0.0.1:{ports['api']}", {}, server.pid)
        for name in ("web", "side"):
            proxy = {"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{ports[name]}"}
            request = urllib.request.Request(f"{found.api}/proxies", json.dumps(proxy).encode())
            with urllib.request.urlopen(request, timeout=10) as reply:
                found.links[name] = int(json.loads(reply.read())["listen"].rpartition(":")[2])
        (folder / "load.py").write_text(LOAD.format(side=found.links["side"]))
        (folder / "plan.yaml").write_text(PLAN.format(folder=folder, web=found.links["web"], api=found.api))
        yield found


@dataclass
class Round:
    """One run and what became of it. wrong: empty when all is as it must be. dirty: what acted at the kill.

    took_s: from the kill until nothing was left; with both killed: by `cleanup`.
    """

    who: Who
    when: When
    at_s: float
    wrong: list[str] = field(default_factory=list)
    dirty: list[str] = field(default_factory=list)
    exit_code: int | None = None
    took_s: float = 0.0

    def expect(self, condition: bool, text: str) -> None:
        if not condition:
            self.wrong.append(text)


def play(who: Who, when: When, rng: random.Random) -> Round:
    """One round in a world of its own."""
    found = Round(who, when, instant_s(when, rng))
    with world() as target:
        command = [*COMMAND, "run", str(target.folder / "plan.yaml")]
        command += ["--results", str(target.folder / "results")]
        with (target.folder / "output").open("wb") as output:
            run = subprocess.Popen(command, env=target.environ, stdout=output, stderr=output)
        try:
            _play(found, target, run)
            if found.wrong:
                found.wrong.append((target.folder / "output").read_text())
        finally:
            run.kill()
            run.wait()
            for pid in target.processes():
                os.kill(pid, signal.SIGKILL)
    return found


def instant_s(when: When, rng: random.Random) -> float:
    """Seconds of the run."""
    if when in ("onset", "end"):
        return rng.choice(ONSETS_S if when == "onset" else ENDS_S) + rng.uniform(-0.02, 0.06)
    first, last = {
        "before": (0.0, ONSETS_S[0]),
        "during": (ONSETS_S[-1] + CLEANUP_S, ENDS_S[0] - 0.5),
        "after": (ENDS_S[-1] + 0.2, LENGTH_S - 0.2),
    }[when]
    return rng.uniform(first, last)


def _play(found: Round, target: World, run: subprocess.Popen[bytes]) -> None:
    start_epoch_s = _start_of(target, run)
    if start_epoch_s is None:
        found.wrong.append("the run did not start")
        return
    (guardian,) = (pid for pid, command in target.processes().items() if "leases.guardian" in command)
    if found.when == "during":
        time.sleep(max(0.0, start_epoch_s + ONSETS_S[-1] + 0.3 - time.time()))
        code, told = target.cleanup()
        found.expect((code, told) == (0, "Nothing to undo."), f"cleanup beside a live run: {code}, {told}")
    time.sleep(max(0.0, start_epoch_s + found.at_s - time.time()))
    pids = {"locust": [run.pid], "guardian": [guardian], "both": [run.pid, guardian], "nobody": []}[found.who]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first: neither sees the other die
        for pid in pids:
            os.kill(pid, number)
    killed_s = time.monotonic()
    found.dirty = target.left()
    if found.who in ("guardian", "nobody"):
        found.exit_code = run.wait(PATIENCE_S)
        expected = 4 if found.who == "guardian" else 0
        found.expect(found.exit_code == expected, f"exit code {found.exit_code}, not {expected}")
    elif found.who == "locust":
        run.wait(PATIENCE_S)
        until(lambda: not target.processes() and not target.left(), UNDONE_LIMIT_S)
    else:
        run.wait(PATIENCE_S)
    if found.who == "both":
        code, told = target.cleanup()
        found.expect(code == 0, f"cleanup: {code}, {told}")
        found.expect(not found.dirty or "undone:" in told, f"cleanup found nothing: {told}")
    found.took_s = time.monotonic() - killed_s
    found.expect(not target.left(), f"left: {target.left()}")
    found.expect(not target.processes(), f"still running: {target.processes()}")
    code, told = target.cleanup()
    found.expect((code, told) == (0, "Nothing to undo."), f"the last cleanup: {code}, {told}")


def _start_of(target: World, run: subprocess.Popen[bytes]) -> float | None:
    """The start instant of the run as its journal tells it; None: it ended before."""
    starts: list[float] = []

    def begun() -> bool:
        for journal in target.folder.glob("results/*/*.jsonl*"):
            with contextlib.suppress(ValueError, KeyError, IndexError):
                starts.append(float(json.loads(journal.read_text().splitlines()[0])["started_epoch_s"]))
        return bool(starts) or run.poll() is not None

    until(begun)
    return starts[0] if starts else None


def main(
    times: Annotated[int, typer.Option(help="How many rounds.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the instants.")] = 1,
) -> None:
    """Every round must leave nothing behind; the exit code is 1 when one did."""
    rng = random.Random(seed)
    instants: list[When] = ["before", "onset", "onset", "during", "end", "after"]
    wrong = 0
    for index in range(times):
        victims: list[Who] = ["locust", "guardian", "both"]
        who = victims[index % len(victims)]
        found = play(who, rng.choice(instants), rng)
        wrong += bool(found.wrong)
        told = f"exit {found.exit_code}" if found.exit_code is not None else ""
        print(
            f"{index + 1:3} {who:9} {found.when:7} at {found.at_s:6.3f} s  acting {len(found.dirty)}"
            f"  clean after {found.took_s:5.2f} s  {told:7} {'; '.join(found.wrong) or 'right'}",
            flush=True,
        )
    print(f"{times - wrong} of {times} rounds left nothing behind")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    typer.run(main)
