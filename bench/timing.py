"""Due and seen: every fault kind and every step shape at 500 requests/s. `python -m bench.timing`

The faults act on links and a process of their own, beside the load, which goes to a trivial server. Times
are the journal's: `asked` is when the guardian began, `active` when the proxy or the kernel confirmed.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.ports import free_port

SERVER = """
import asyncio, sys
REPLY = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"
class Web(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.transport.write(REPLY * data.count(b"\\r\\n\\r\\n"))
async def main():
    server = await asyncio.get_running_loop().create_server(Web, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
"""

FAULTS = {
    "latency": "latency: 50ms",
    "gradual_latency": "from: 5ms, latency: 50ms",
    "bandwidth": "rate: 100KB/s",
    "timeout": "",
    "reset": "",
    "slow_close": "delay: 100ms",
    "slicer": "size: 100B, delay: 10us",
    "limit": "bytes: 100B",
    "down": "",
}
SHAPES = {
    "steps": "[{step: low, rate: 100/s, for: 2300ms}, {step: high, rate: 500/s, for: 2700ms}]",
    "ramp": "[{ramp: {from: 50/s, to: 500/s, for: 4s}}, {step: hold, rate: 500/s, for: 2s}]",
    "spike": "{spike: {base: 50/s, peak: 500/s, before: 2s, for: 1500ms, after: 2s, times: 2}}",
    "soak": "{soak: {rate: 300/s, for: 5s}}",
    "stress": "{stress: {from: 100/s, to: 500/s, step: 200/s, every: 5s}}",
    "users": "[{step: few, users: 5, for: 2500ms}, {step: many, users: 40, for: 2500ms}]",
}


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def wait_for(port: int) -> None:
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens at port {port}")


def run(plan: str, folder: Path) -> list[dict[str, Any]]:
    """The journal's lines of one run."""
    path, results = folder / "plan.yaml", folder / f"results-{time.monotonic_ns()}"
    path.write_text(plan)
    command = [sys.executable, "-c", "from chaos_locust.cli import main; main()", "run", str(path)]
    done = subprocess.run(
        [*command, "--results", str(results)], capture_output=True, text=True, check=False, env=os.environ
    )
    journals = list(results.glob("*/journal.jsonl"))
    if not journals:
        raise SystemExit(done.stdout + done.stderr)
    return [json.loads(line) for line in journals[0].read_text().splitlines()]


def fault_plan(web: int, api: int, pid_files: tuple[Path, Path]) -> str:
    targets = [
        f"  {kind.replace('_', '-')}: {{upstream: 127.0.0.1:{web}, listen: 127.0.0.1:{free_port()}}}"
        for kind in FAULTS
    ]
    targets += [
        f"  {name}: {{pidfile: {path}}}" for name, path in zip(("kill", "pause"), pid_files, strict=True)
    ]
    faults = []
    for index, (kind, parameters) in enumerate({**FAULTS, "pause": "", "kill": ""}.items()):
        lasts = "" if kind == "kill" else ", for: 1s"
        more = f", {parameters}" if parameters else ""
        name = kind.replace("_", "-")
        faults.append(
            f"  - {{name: a-{name}, kind: {kind}, target: {name}, at: {8 + index * 1.5:g}s{lasts}{more}}}"
        )
    return "\n".join(
        [
            f"name: timing\nhost: http://127.0.0.1:{web}\nproxy_api: http://127.0.0.1:{api}",
            "load: [{step: base, rate: 500/s, for: 27s}]\nwarm_up: 1s\nbaseline: 3s\ntimeout: 1s",
            "steady_state: [error_rate < 50%]\nobjectives: [error_rate < 50% during baseline]",
            "targets:",
            *targets,
            "faults:",
            *faults,
        ]
    )


def main() -> None:
    """Prints a table of due and seen times; nothing is asserted."""
    with tempfile.TemporaryDirectory() as name:
        folder, web, api = Path(name), free_port(), free_port()
        sleeper = (sys.executable, "-c", "import time; time.sleep(600)")
        proxy = (sys.executable, "-m", "chaos_locust.proxy", "-port", str(api), "-proxy-metrics")
        server = (sys.executable, "-c", SERVER, str(web))
        with process(*server), process(*proxy), process(*sleeper) as one, process(*sleeper) as two:
            wait_for(web)
            wait_for(api)
            pid_files = (folder / "kill.pid", folder / "pause.pid")
            for path, sleeping in zip(pid_files, (one, two), strict=True):
                path.write_text(str(sleeping.pid))
            lines = run(fault_plan(web, api, pid_files), folder)
            print(f"{'fault kind':18}{'due s':>9}{'asked ms':>10}{'active ms':>11}{'undone after ms':>17}")
            dues = {f["name"]: f for f in lines[0]["plan"]["faults"]}
            for fault, data in dues.items():
                due_s = float(data["at"].removesuffix("s"))
                seen = {e["state"]: e["t_s"] for e in lines if e["kind"] == "fault" and e["fault"] == fault}
                late = [f"{(seen[s] - due_s) * 1e3:.1f}" if s in seen else "-" for s in ("asked", "active")]
                ended = f"{(seen['reverted'] - due_s - 1) * 1e3:.1f}" if "reverted" in seen else "-"
                print(f"{data['kind']:18}{due_s:9.3f}{late[0]:>10}{late[1]:>11}{ended:>17}")
            print(f"\n{'shape':9}{'step':12}{'due s':>9}{'late ms':>9}")
            for shape, load in SHAPES.items():
                plan = f"name: timing\nhost: http://127.0.0.1:{web}\nload: {load}\nwarm_up: 1s\ntimeout: 1s\n"
                for event in run(plan + "objectives: [error_rate < 50% during run]\n", folder):
                    if event["kind"] == "step":
                        late_ms = (event["seen_s"] - event["due_s"]) * 1e3
                        print(f"{shape:9}{event['step']:12}{event['due_s']:9.3f}{late_ms:9.1f}")


if __name__ == "__main__":
    main()
