"""What each toxic does to real connections, on both servers."""

from __future__ import annotations

import socket
import struct
import time

import pytest

STREAMS = ["upstream", "downstream"]


def send_and_read(sock, data=b"x", size=None):
    """Sends `data` and returns how long the echo took, in seconds."""
    begin_s = time.monotonic()
    sock.sendall(data)
    assert read(sock, len(data) if size is None else size) == data[:size]
    return time.monotonic() - begin_s


def read(sock, size):
    """Reads `size` bytes, or less if the stream ends."""
    parts = []
    while size and (data := sock.recv(min(size, 1 << 16))):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


@pytest.mark.parametrize("stream", STREAMS)
def test_latency_delays_new_and_live_connections_until_it_is_removed(server, upstream, connect, stream):
    port = server.proxy(upstream.port)
    live = connect(port)
    send_and_read(live)
    toxic = server.toxic("latency", stream, latency=150)
    assert send_and_read(live) >= 0.15
    assert send_and_read(connect(port)) >= 0.15
    server.do("PATCH", toxic, {"attributes": {"latency": 300}})
    assert send_and_read(live) >= 0.3
    server.do("DELETE", toxic)
    assert send_and_read(live) < 0.15


def test_latency_does_not_reduce_throughput(server, upstream, connect):
    sock = connect(server.proxy(upstream.port))
    server.toxic("latency", latency=200)
    begin_s = time.monotonic()
    # Sent one after another without waiting: every chunk is delayed, but all of them at the same time.
    for _ in range(40):
        sock.sendall(b"y" * 1000)
    assert read(sock, 40_000) == b"y" * 40_000
    assert 0.2 <= time.monotonic() - begin_s < 40 * 0.2 / 4


def test_jitter_stays_in_its_range_and_keeps_the_order(server, upstream, connect):
    sock = connect(server.proxy(upstream.port))
    server.toxic("latency", latency=100, jitter=50)
    delays_s = [send_and_read(sock) for _ in range(8)]
    assert min(delays_s) >= 0.05
    assert max(delays_s) - min(delays_s) > 0.002
    data = bytes(range(256))
    for i in range(0, 256, 16):
        sock.sendall(data[i : i + 16])
    assert read(sock, 256) == data


@pytest.mark.parametrize("stream", STREAMS)
def test_bandwidth_is_in_thousands_of_bytes_a_second(server, upstream, connect, stream):
    sock = connect(server.proxy(upstream.port))
    toxic = server.toxic("bandwidth", stream, rate=200)
    took_s = send_and_read(sock, b"z" * 100_000)
    assert 0.45 <= took_s < 2
    server.do("DELETE", toxic)
    assert send_and_read(sock, b"z" * 100_000) < took_s / 2


@pytest.mark.parametrize("stream", STREAMS)
def test_timeout_zero_holds_data_and_its_removal_closes(server, upstream, connect, stream):
    sock = connect(server.proxy(upstream.port))
    send_and_read(sock)
    toxic = server.toxic("timeout", stream, timeout=0)
    sock.sendall(b"lost")
    sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    sock.settimeout(20)
    server.do("DELETE", toxic)
    assert b"lost" not in read(sock, 100)


def test_timeout_closes_after_its_time(server, upstream, connect):
    sock = connect(server.proxy(upstream.port))
    server.toxic("timeout", timeout=200)
    begin_s = time.monotonic()
    sock.sendall(b"lost")
    assert read(sock, 100) == b""
    assert time.monotonic() - begin_s >= 0.2


@pytest.mark.parametrize("stream", STREAMS)
def test_reset_peer_resets_new_connections_after_its_time(server, upstream, connect, wait_until, stream):
    port = server.proxy(upstream.port)
    server.toxic("reset_peer", stream, timeout=150)
    sock = connect(port)
    begin_s = time.monotonic()
    sock.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    assert time.monotonic() - begin_s >= 0.15
    wait_until(lambda: upstream.ends == ["reset"], "the upstream saw a reset too")


def test_slow_close_delays_only_the_end(server, upstream, connect):
    sock = connect(server.proxy(upstream.port))
    server.toxic("slow_close", delay=300)
    assert send_and_read(sock) < 0.3
    begin_s = time.monotonic()
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(100) in (b"bye", b"")
    sock.recv(100)
    assert time.monotonic() - begin_s >= 0.3


@pytest.mark.parametrize("stream", STREAMS)
def test_limit_data_closes_after_its_bytes(server, upstream, connect, stream):
    port = server.proxy(upstream.port)
    sock = connect(port)
    send_and_read(sock, b"a" * 500)
    toxic = server.toxic("limit_data", stream, bytes=1000)
    send_and_read(sock, b"b" * 600)
    sock.sendall(b"c" * 600)
    # Of a client that is cut off while it sends, the last bytes need not arrive; never more than the limit.
    assert len(read(sock, 2000).replace(b"bye", b"")) <= 400
    server.do("DELETE", toxic)
    send_and_read(connect(port), b"d" * 5000)


def test_limit_data_counts_on_through_an_edit(server, upstream, connect):
    sock = connect(server.proxy(upstream.port))
    toxic = server.toxic("limit_data", bytes=1000)
    send_and_read(sock, b"a" * 800)
    server.do("PATCH", toxic, {"attributes": {"bytes": 1200}})
    sock.sendall(b"b" * 1000)
    assert read(sock, 2000) == b"b" * 400


def test_slicer_cuts_data_into_packets(server, upstream, connect):
    sock = connect(server.proxy(upstream.port))
    server.toxic("slicer", average_size=100, size_variation=10, delay=5000)
    begin_s = time.monotonic()
    sock.sendall(b"s" * 2000)
    sizes = []
    while sum(sizes) < 2000:
        sizes.append(len(sock.recv(5000)))
    assert len(sizes) > 5
    # Halves of halves are small enough after 110 bytes at most, so there are at least 19 packets.
    assert time.monotonic() - begin_s >= 18 * 0.005


def test_toxics_of_a_chain_act_together(server, upstream, connect):
    sock = connect(server.proxy(upstream.port))
    for name in ("one", "two"):
        document = {"type": "latency", "name": name, "attributes": {"latency": 100}}
        server.do("POST", "/proxies/p/toxics", document)
    server.toxic("latency", "upstream", latency=100)
    server.toxic("limit_data", bytes=10)
    begin_s = time.monotonic()
    sock.sendall(b"0123456789abcdef")
    assert read(sock, 100) == b"0123456789"
    assert time.monotonic() - begin_s >= 0.3


def test_toxicity_is_rolled_per_connection_and_again_at_an_edit(server, upstream, connect):
    port = server.proxy(upstream.port)
    toxic = server.toxic("latency", toxicity=0.5, latency=50)
    socks = [connect(port) for _ in range(40)]
    hits = [send_and_read(sock) >= 0.05 for sock in socks]
    # All alike happens once in 2^39 times.
    assert len(set(hits)) == 2
    # A connection keeps its roll,
    assert [send_and_read(sock) >= 0.05 for sock in socks] == hits
    # until the toxic is edited.
    server.do("PATCH", toxic, {"toxicity": 1})
    assert all(send_and_read(sock) >= 0.05 for sock in socks[:10])
    server.do("PATCH", toxic, {"toxicity": 0})
    assert min(send_and_read(sock) for sock in socks[:10]) < 0.05


def test_disabling_closes_everything_and_enabling_opens_again(server, upstream, connect):
    port = server.proxy(upstream.port)
    sock = connect(port)
    send_and_read(sock)
    assert server.do("PATCH", "/proxies/p", {"enabled": False})["enabled"] is False
    with pytest.raises(ConnectionRefusedError):
        connect(port)
    assert sock.recv(1) == b""
    server.do("PATCH", "/proxies/p", {"enabled": True})
    send_and_read(connect(port))


def test_another_upstream_takes_over(server, upstream, connect):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = server.proxy(upstream.port)
        sock = connect(port)
        send_and_read(sock)
        server.do("PATCH", "/proxies/p", {"upstream": f"localhost:{other.getsockname()[1]}"})
        assert sock.recv(1) == b""
        connect(port).sendall(b"hello")
        with other.accept()[0] as accepted:
            assert accepted.recv(5) == b"hello"


def test_an_upstream_that_refuses_closes_the_client(server, connect, choose_free_port):
    sock = connect(server.proxy(choose_free_port()))
    assert sock.recv(1) == b""


def test_reset_starts_all_proxies_without_toxics(server, upstream, connect):
    port = server.proxy(upstream.port)
    server.toxic("timeout", timeout=0)
    server.do("PATCH", "/proxies/p", {"enabled": False})
    server.do("POST", "/reset")
    assert server.do("GET", "/proxies/p/toxics") == []
    send_and_read(connect(port))


def test_bytes_are_counted_as_by_the_real_server(start, upstream, connect, wait_until):
    texts = []
    for kind in ("embedded", "real"):
        server = start(kind, "-proxy-metrics")
        port = server.proxy(upstream.port)
        for size in (5, 1_234_567):
            sock = connect(port)
            send_and_read(sock, b"m" * size)
            sock.close()
        document = server.do("GET", "/proxies/p")

        def metrics(server=server, document=document):
            reply = server.request("GET", "/metrics")
            text = reply.body.replace(document["listen"], "LISTEN")
            return reply._replace(body=text)

        # The upstream says `bye` to a client that is gone, so that what is sent downstream is chance.
        wait_until(lambda fetch=metrics: "1.234572e+06" in fetch().body, "both connections are counted")
        wait_until(lambda fetch=metrics: fetch().body.count("\ntoxiproxy_proxy_rec") == 2, "both directions")
        kept = [line for line in metrics().body.splitlines() if 'direction="downstream"' not in line]
        texts.append((kept, metrics().content_type))
    assert texts[0] == texts[1]


def test_linger_is_not_left_on_connections_that_the_roll_spared(embedded, upstream, connect, wait_until):
    port = embedded.proxy(upstream.port)
    embedded.toxic("reset_peer", toxicity=0, timeout=0)
    sock = connect(port)
    send_and_read(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
    sock.shutdown(socket.SHUT_WR)
    assert read(sock, 100) == b"bye"
    wait_until(lambda: upstream.ends == ["closed"], "the upstream saw a plain end")
