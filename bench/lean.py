"""`python -m bench.lean`: LeanHttpUser against FastHttpUser, in requests for each second of CPU.

A second of the generator's CPU is what a core of its own would give in a second, whatever else goes on here.
The clients take turns, each in a process of its own; nginx answers.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tests.certificates import Authority

CLIENTS = ("fast", "lean")
KINDS = {"get": "GET of 1 KB", "json": "JSON POST, two checks", "tls": "GET of 1 KB over TLS"}
REPEATS = 3
USERS = 20
WARM_UP_CPU_S = 0.3
MEASURED_CPU_S = 1.0
LOOK_EVERY_S = 0.05

CONFIG = """
daemon off; worker_processes 1; error_log stderr crit; pid {folder}/pid;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port}; listen 127.0.0.1:{tls_port} ssl;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    location /get {{ default_type text/plain; return 200 "{body}"; }}
    location /json {{ default_type application/json; return 200 '{{"status": "ok", "total": 12.5}}'; }}
  }}
}}
"""


def main() -> None:
    if shutil.which("nginx") is None:
        sys.exit("python -m bench.lean needs nginx on the PATH")
    with nginx() as (port, tls_port):
        rates: dict[tuple[str, str], list[float]] = {(c, k): [] for c in CLIENTS for k in KINDS}
        for _ in range(REPEATS):
            for client, kind in rates:
                url = f"https://localhost:{tls_port}" if kind == "tls" else f"http://localhost:{port}"
                command = [sys.executable, "-m", "bench.lean", client, kind, url]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                rates[client, kind].append(float(done.stdout))
    print(f"{'':24}{'FastHttpUser':>14}{'LeanHttpUser':>14}{'ratio':>8}   of each turn")
    for kind, text in KINDS.items():
        fast, lean = rates["fast", kind], rates["lean", kind]
        ratios = sorted(ours / theirs for ours, theirs in zip(lean, fast, strict=True))
        spread = f"{ratios[0]:.1f} to {ratios[-1]:.1f}"
        print(f"{text:24}{median(fast):14,.0f}{median(lean):14,.0f}{median(ratios):8.1f}   {spread}")


@contextmanager
def nginx() -> Iterator[tuple[int, int]]:
    """Its ports, without TLS and with."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        certificate, key = Authority(folder).issue("localhost")
        port, tls_port = free_port(), free_port()
        text = CONFIG.format(
            folder=folder, port=port, tls_port=tls_port, certificate=certificate, key=key, body="x" * 1024
        )
        (folder / "nginx.conf").write_text(text)
        server = subprocess.Popen(["nginx", "-p", name, "-c", str(folder / "nginx.conf")])
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    if server.poll() is not None:
                        sys.exit("nginx did not start")
                    time.sleep(LOOK_EVERY_S)
            yield port, tls_port
        finally:
            server.terminate()
            server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def generate(client: str, kind: str, url: str) -> None:
    """Runs users of Locust's own in this process; prints requests for each second of its CPU."""
    import gevent
    from locust import FastHttpUser, constant, task
    from locust.env import Environment

    from chaos_locust import LeanHttpUser

    base: Any = {"fast": FastHttpUser, "lean": LeanHttpUser}[client]

    class Visitor(base):  # type: ignore[misc]
        host = url
        wait_time = constant(0)
        insecure = True

        @task
        def visit(self) -> None:
            if kind == "json":
                order = {"item": 17, "quantity": 2}
                with self.client.post("/json", json=order, catch_response=True) as response:
                    if response.status_code != 200:
                        response.failure("status")
                    elif response.json()["status"] != "ok":
                        response.failure("not ok")
            else:
                self.client.get("/get")

    environment = Environment(user_classes=[Visitor])
    runner = environment.create_local_runner()
    runner.start(USERS, spawn_rate=USERS)

    def after(cpu_s: float) -> tuple[int, float]:
        start_s = time.process_time()
        while time.process_time() - start_s < cpu_s:
            gevent.sleep(LOOK_EVERY_S)
        return environment.stats.total.num_requests, time.process_time()

    before, before_s = after(WARM_UP_CPU_S)
    requests, now_s = after(MEASURED_CPU_S)
    for error in environment.stats.errors.values():
        sys.exit(f"requests failed: {error.error}")
    print((requests - before) / (now_s - before_s))
    sys.stdout.flush()
    os._exit(0)  # users have no end of their own, and stopping them is not measured


if __name__ == "__main__":
    if len(sys.argv) == 4:
        generate(*sys.argv[1:])
    else:
        main()
