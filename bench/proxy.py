"""Round trip, throughput and connections a second: direct, through the embedded proxy, through the real one.

    python bench/proxy.py            (the real server: TOXIPROXY_SERVER or .tools/toxiproxy-server)

All kinds are measured in turns in one run, so that their ratios mean something on a busy machine.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROUNDS = 5
TRIPS = 2000
BLOCK = 1 << 18
BLOCKS = 1000
CONNECTIONS = 500


def upstream() -> tuple[int, int]:
    """Pid and port of a server process that echoes, or swallows blocks if the first byte says so."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    pid = os.fork()
    if pid == 0:
        while True:
            client, _ = listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(client,), daemon=True).start()
    return pid, int(listener.getsockname()[1])


def serve(client: socket.socket) -> None:
    buffer = bytearray(BLOCK)
    with client:
        swallowed = 0
        while size := client.recv_into(buffer):
            if buffer[0] == 1:
                swallowed += size
                if swallowed == BLOCK * BLOCKS:
                    client.sendall(b"!")
            else:
                client.sendall(memoryview(buffer)[:size])


def open_(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def round_trip_us(port: int) -> float:
    with open_(port) as sock:
        begin = time.perf_counter()
        for _ in range(TRIPS):
            sock.sendall(b"\0" * 100)
            sock.recv(100)
        return (time.perf_counter() - begin) / TRIPS * 1e6


def throughput_gb_s(port: int) -> float:
    with open_(port) as sock:
        block = b"\1" * BLOCK
        begin = time.perf_counter()
        for _ in range(BLOCKS):
            sock.sendall(block)
        sock.recv(1)
        return BLOCK * BLOCKS / (time.perf_counter() - begin) / 1e9


def connections_s(port: int) -> float:
    begin = time.perf_counter()
    for _ in range(CONNECTIONS):
        with open_(port) as sock:
            sock.sendall(b"\0")
            sock.recv(1)
    return CONNECTIONS / (time.perf_counter() - begin)


def proxied(command: list[str], target: int) -> tuple[subprocess.Popen[bytes], int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*command, "-host", "127.0.0.1", "-port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    document = {"name": "bench", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{target}"}
    while True:
        try:
            api = http.client.HTTPConnection("127.0.0.1", port)
            api.request("POST", "/proxies", json.dumps(document))
            return process, int(json.loads(api.getresponse().read())["listen"].rpartition(":")[2])
        except ConnectionRefusedError:
            time.sleep(0.05)


def main() -> None:
    pid, target = upstream()
    ports = {"direct": target}
    commands = {"embedded": [sys.executable, "-m", "chaos_locust.proxy"]}
    real = Path(os.environ.get("TOXIPROXY_SERVER") or ROOT / ".tools" / "toxiproxy-server")
    if real.is_file():
        commands["real"] = [str(real)]
    processes = []
    for name, command in commands.items():
        process, ports[name] = proxied(command, target)
        processes.append(process)
    for measure in (round_trip_us, throughput_gb_s, connections_s):
        values: dict[str, list[float]] = {name: [] for name in ports}
        for _ in range(ROUNDS):
            for name, port in ports.items():
                values[name].append(measure(port))
        medians = {name: statistics.median(seen) for name, seen in values.items()}
        for name, median in medians.items():
            print(
                f"{measure.__name__:16} {name:9} {median:10.2f}   x{median / medians['direct']:.2f} of direct"
            )
    for process in processes:
        process.terminate()
        process.wait()
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
