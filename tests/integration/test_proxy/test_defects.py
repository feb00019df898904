"""What is known to go wrong in the real server must not go wrong here; and nothing may leak."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def echo(sock, data=b"x"):
    sock.sendall(data)
    assert read(sock, len(data)) == data


def read(sock, size):
    """Reads `size` bytes, or less if the stream ends."""
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data


def fill(sock):
    """Sends until nobody takes any more; returns the number of bytes."""
    sock.settimeout(1)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while True:
            sent += sock.send(b"f" * 65536)
    return sent


def is_knocking(port):
    """True if a connect to the port has been sent and not been answered."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[2].endswith(f":{port:04X}") and row[3] == "02" for row in rows)


def memory_bytes(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_a_stalled_reader_does_not_hold_up_the_removal_of_a_toxic(embedded, upstream, connect):
    port = embedded.proxy(upstream.port)
    toxic = embedded.toxic("latency", latency=50)
    stalled = connect(port)
    fill(stalled)
    embedded.do("DELETE", toxic)
    echo(connect(port))


@pytest.mark.parametrize(
    "kind", ["latency", "bandwidth", "slicer", "reset_peer", "timeout", "slow_close", "noop"]
)
def test_a_slow_reader_does_not_cost_memory(embedded, connect, kind):
    with socket.create_server(("127.0.0.1", 0)) as sink:
        port = embedded.proxy(sink.getsockname()[1])
        embedded.toxic(kind, "upstream")
        before = memory_bytes(embedded.process.pid)
        stop = time.monotonic() + 2
        client = connect(port)
        client.settimeout(0.3)
        with contextlib.suppress(OSError):
            while time.monotonic() < stop:
                client.sendall(b"f" * 1_000_000)
        assert memory_bytes(embedded.process.pid) - before < 50_000_000


def test_a_black_hole_does_not_hold_up_other_clients(embedded, connect, wait_until):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as hole:
        # The only place in its queue is taken, so that the system drops whatever else knocks.
        filler = connect(hole.getsockname()[1])
        port = embedded.proxy(hole.getsockname()[1])
        first = connect(port)
        first.sendall(b"first")
        wait_until(lambda: is_knocking(hole.getsockname()[1]), "the proxy tries to connect, in vain")
        hole.accept()[0].close()
        filler.close()
        # There is room now. The first client's knock is repeated only after a second; the second's is new.
        second = connect(port)
        second.sendall(b"second")
        hole.settimeout(20)
        served = []
        for _ in range(2):
            with hole.accept()[0] as accepted:
                accepted.settimeout(20)
                served.append(accepted.recv(10))
        assert served == [b"second", b"first"]


@pytest.mark.parametrize("toxic", [None, "latency", "bandwidth", "slicer", "slow_close", "limit_data"])
def test_a_client_that_has_finished_sending_still_gets_its_reply(embedded, upstream, connect, toxic):
    port = embedded.proxy(upstream.port)
    if toxic:
        attributes = {"latency": 20, "rate": 1000, "average_size": 10, "delay": 10, "bytes": 100}
        embedded.do("POST", "/proxies/p/toxics", {"type": toxic, "attributes": attributes})
    sock = connect(port)
    sock.sendall(b"question")
    sock.shutdown(socket.SHUT_WR)
    received = b""
    while data := sock.recv(100):
        received += data
    assert received == b"questionbye"


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_live_connections_are_reset_for_real(embedded, upstream, connect, wait_until, stream):
    sock = connect(embedded.proxy(upstream.port))
    echo(sock)
    embedded.toxic("reset_peer", stream, timeout=100)
    begin_s = time.monotonic()
    sock.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    assert time.monotonic() - begin_s >= 0.1
    wait_until(lambda: upstream.ends == ["reset"], "the upstream saw a reset too")


def test_attributes_that_crash_the_real_server_do_nothing_here(embedded, upstream, connect):
    port = embedded.proxy(upstream.port)
    slicer = embedded.toxic("slicer", average_size=0, size_variation=0)
    echo(connect(port), b"0123456789")
    embedded.do("PATCH", slicer, {"attributes": {"average_size": -5, "size_variation": 100}})
    echo(connect(port), b"0123456789" * 20)
    embedded.do("DELETE", slicer)
    held = connect(port)
    bandwidth = embedded.toxic("bandwidth", rate=-1)
    held.sendall(b"held")
    embedded.do("DELETE", bandwidth)
    assert read(held, 4) == b"held"


def test_connections_that_a_timeout_spared_survive_its_removal(embedded, upstream, connect):
    port = embedded.proxy(upstream.port)
    toxic = embedded.toxic("timeout", toxicity=0, timeout=0)
    sock = connect(port)
    echo(sock)
    embedded.do("DELETE", toxic)
    echo(sock)


def test_hundreds_of_connections_leave_no_file_open(embedded, upstream, connect, wait_until):
    port = embedded.proxy(upstream.port)
    embedded.do("GET", "/proxies")
    before = embedded.open_files()
    socks = [connect(port) for _ in range(400)]
    for sock in socks:
        sock.sendall(b"hello")
    for sock in socks:
        assert read(sock, 5) == b"hello"
    assert embedded.open_files() >= before + 800
    # They end in every way there is: closed, reset, half closed, cut off by a toxic, by disabling.
    for sock in socks[:100]:
        sock.close()
    for sock in socks[100:150]:
        sock.shutdown(socket.SHUT_WR)
    toxic = embedded.toxic("limit_data", bytes=0)
    for sock in socks[150:250]:
        sock.sendall(b"x")
    embedded.do("DELETE", toxic)
    toxic = embedded.toxic("reset_peer", timeout=0)
    for sock in socks[250:300]:
        sock.sendall(b"x")
    for sock in socks[250:300]:
        with contextlib.suppress(ConnectionResetError):
            sock.recv(1)
    embedded.do("DELETE", toxic)
    embedded.toxic("timeout", "upstream", timeout=1)
    embedded.do("PATCH", "/proxies/p", {"enabled": False})
    wait_until(lambda: embedded.open_files() <= before - 1, "all files but the listener's are closed")
    embedded.do("PATCH", "/proxies/p", {"enabled": True})
    assert embedded.open_files() <= before


def test_many_clients_at_once_get_their_own_bytes(embedded, upstream, connect):
    port = embedded.proxy(upstream.port)
    embedded.toxic("slicer", average_size=5000, size_variation=500)
    failures = []

    def client(i):
        data = bytes([i]) * 300_000
        with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
            sender = threading.Thread(target=sock.sendall, args=(data,))
            sender.start()
            if read(sock, len(data)) != data:
                failures.append(i)
            sender.join()

    threads = [threading.Thread(target=client, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    # Edits in the middle of it all must not lose or mix up a byte.
    for latency in range(5):
        toxic = embedded.toxic("latency", latency=latency)
        embedded.do("PATCH", toxic, {"attributes": {"jitter": 2}})
        embedded.do("DELETE", toxic)
    for thread in threads:
        thread.join()
    assert failures == []


# --- the program


def run(*flags):
    command = [sys.executable, "-m", "chaos_locust.proxy", *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)


def test_a_port_in_use_is_one_clear_line(embedded):
    done = run("-host", "127.0.0.1", "-port", str(embedded.port))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"chaos-locust proxy: cannot listen on 127.0.0.1:{embedded.port}: already in use"
    ]


@pytest.mark.parametrize("flag", ["-version", "--version"])
def test_version(flag):
    assert run(flag).stdout == "toxiproxy-server version git\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "No such file or directory"),
        ("{bad", "bad request body: invalid character 'b' looking for beginning of object key string"),
        ('[{"name": "p"}]', "missing required field: upstream at proxy 1"),
    ],
)
def test_a_bad_config_is_one_clear_line(tmp_path, choose_free_port, text, complaint):
    config = tmp_path / "proxies.json"
    if text is not None:
        config.write_text(text)
    done = run("-port", str(choose_free_port()), "-config", str(config))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"chaos-locust proxy: -config {config}: {complaint}"]


def test_a_config_is_loaded(tmp_path, start, upstream, connect, choose_free_port):
    port = choose_free_port()
    config = tmp_path / "proxies.json"
    entry = {"name": "c", "listen": f"127.0.0.1:{port}", "upstream": f"127.0.0.1:{upstream.port}"}
    config.write_text(json.dumps([entry]))
    server = start("embedded", f"--config={config}", "-seed", "5")
    assert list(server.do("GET", "/proxies")) == ["c"]
    echo(connect(port))


def test_it_ends_cleanly_with_connections_open(start, upstream, connect):
    server = start("embedded")
    sock = connect(server.proxy(upstream.port))
    echo(sock)
    assert server.close() == 0
    assert sock.recv(1) == b""


def test_process_metrics_are_served_on_demand(start):
    text = start("embedded", "-runtime-metrics").request("GET", "/metrics").body
    assert "\nprocess_open_fds " in text
    assert "toxiproxy_proxy" not in text
