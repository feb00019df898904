"""What a TCP connection makes of bad packets, and who can reach whom when one node of three is cut off."""

from __future__ import annotations

import secrets
import socket
import statistics
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import pytest

import chaos_locust
from tests.crash.cells_packets import PORT, SERVER, Network, Talk, sh, why_not, within

from .conftest import until

SIZE = 400_000


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := why_not():
        pytest.skip(reason)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as made:
        yield made
        assert made.left() == ""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def fault(network: Network, kind: str, **keys: Any) -> chaos_locust.Injection:
    target = {"addresses": keys.pop("addresses", [f"{SERVER}:{PORT}"]), "namespace": network.server}
    targets = {"server": target}
    return chaos_locust.inject(kind, target="server", targets=targets, allow=[SERVER], direction="to", **keys)


def counter(namespace: str, name: str) -> int:
    """One of the kernel's TCP counters, of /proc/net/snmp or /proc/net/netstat."""

    def look() -> int:
        for file in ("snmp", "netstat"):
            lines = Path(f"/proc/thread-self/net/{file}").read_text().splitlines()
            for names, values in zip(lines[::2], lines[1::2], strict=True):
                if names.startswith("Tcp") and name in names.split():
                    return int(values.split()[names.split().index(name)])
        raise AssertionError(f"there is no counter {name}")

    return within(namespace, look)


class Transfer:
    """A TCP connection from the client to the server."""

    def __init__(self, network: Network, stack: ExitStack) -> None:
        for end in (network.client, network.server):  # else packets are of up to 64 KB, and few
            sh("ip", "netns", "exec", end, "ethtool", "-K", end, "gso", "off", "gro", "off")
        listener = within(network.server, lambda: socket.create_server((SERVER, PORT)))
        self._near = within(network.client, lambda: socket.create_connection((SERVER, PORT), 60))
        self._far = listener.accept()[0]
        for each in (listener, self._near, self._far):
            stack.callback(each.close)
        self._far.settimeout(60)

    def send(self, size: int) -> bool:
        """Whether it came as it was sent."""
        data, got = secrets.token_bytes(size), bytearray()
        sender = threading.Thread(target=self._near.sendall, args=(data,))
        sender.start()
        while len(got) < size and (part := self._far.recv(65536)):
            got += part
        sender.join()
        return bytes(got) == data


def told(injected: chaos_locust.Injection) -> str:
    until(lambda: injected.effect is not None and injected.effect.mechanism is True, "the effect is told")
    assert injected.effect is not None
    return injected.effect.detail


@pytest.mark.parametrize(
    ("kind", "keys", "side", "names"),
    [
        ("packet_loss", {"share": "1%"}, "client", ["RetransSegs"]),
        ("packet_loss", {"share": "5%"}, "client", ["RetransSegs"]),
        ("packet_loss", {"share": "10%"}, "client", ["RetransSegs"]),
        ("packet_reorder", {"share": "2%", "delay": "5ms"}, "server", ["TCPOFOQueue"]),
        ("packet_corrupt", {"share": "0.1%"}, "server", ["InCsumErrors"]),
    ],
)
def test_tcp_mends_it_and_its_counters_tell(
    network: Network, stack: ExitStack, kind: str, keys: dict[str, Any], side: str, names: list[str]
) -> None:
    """Without the fault the counter stands; with it, it rises, and every byte is right all the same."""
    transfer = Transfer(network, stack)
    namespace = network.client if side == "client" else network.server

    def risen(before: list[int]) -> list[bool]:
        return [counter(namespace, name) > old for name, old in zip(names, before, strict=True)]

    before = [counter(namespace, name) for name in names]
    assert transfer.send(SIZE)
    assert not any(risen(before)), "nothing of it happens by itself"
    with fault(network, kind, **keys) as injected:
        same = [transfer.send(SIZE)]
        while not all(risen(before)) and len(same) < 60:
            same.append(transfer.send(SIZE))
        assert all(risen(before))
        assert all(same)
        detail = told(injected)
    assert {"packet_loss": "lost", "packet_reorder": "overtook", "packet_corrupt": "of"}[kind] in detail
    assert transfer.send(SIZE)


def test_a_delay_with_jitter_and_correlation(network: Network, stack: ExitStack) -> None:
    """100 ms, 10 ms, 25 %: the mean, the spread, and how much a delay is like the one before."""
    ports = range(PORT, PORT + 8)
    talks = [Talk(network, stack, port) for port in ports]
    delay = {"delay": "100ms", "jitter": "10ms", "correlation": "25%"}
    found: list[list[float]] = [[] for _ in talks]

    def measure(index: int) -> None:
        got = talks[index].send(100, apart_s=0.03, wait_s=0.4)
        assert [number for number, _ in got] == list(range(100))
        found[index] = [way_s for _, way_s in got]

    with fault(network, "packet_delay", addresses=[f"{SERVER}:{port}" for port in ports], **delay):
        threads = [threading.Thread(target=measure, args=(index,)) for index in range(len(talks))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    ways_s = [way_s for flow in found for way_s in flow]
    assert len(ways_s) == 800
    # Quartiles, for on a busy machine some receive late: half of all are within 95 to 105 ms.
    first_s, middle_s, third_s = statistics.quantiles(ways_s, n=4)
    assert middle_s == pytest.approx(0.1, abs=0.005)
    assert third_s - first_s == pytest.approx(0.01, abs=0.004)
    clipped = [[min(way_s, 0.111) for way_s in flow] for flow in found]
    pairs = [pair for flow in clipped for pair in pairwise(flow)]
    assert 0.08 < statistics.correlation(*zip(*pairs, strict=True)) < 0.42, "0.25, as well as 800 can tell"
    assert talks[0].send(10)[-1][1] < 0.09


# -- three nodes ----------------------------------------------------------------------------------------

NODES = {"a": "10.78.0.1", "b": "10.78.0.2", "c": "10.78.0.3"}
MEETS = 9100


@contextmanager
def three_nodes() -> Iterator[dict[str, str]]:
    """The namespaces of three nodes on one switch; each answers at its port."""
    name = f"rq{secrets.token_hex(3)}"
    switch, spaces = f"{name}x", {node: f"{name}{node}" for node in NODES}
    with ExitStack() as made:
        for namespace in (switch, *spaces.values()):
            sh("ip", "netns", "add", namespace)
            made.callback(subprocess.run, ["ip", "netns", "delete", namespace], check=False)
        sh("ip", "-n", switch, "link", "add", "sw", "type", "bridge")
        sh("ip", "-n", switch, "link", "set", "sw", "up")
        for node, namespace in spaces.items():
            sh(
                "ip",
                "-n",
                namespace,
                "link",
                "add",
                "up0",
                "type",
                "veth",
                "peer",
                "name",
                node,
                "netns",
                switch,
            )
            sh("ip", "-n", switch, "link", "set", "dev", node, "master", "sw", "up")
            sh("ip", "-n", namespace, "address", "add", f"{NODES[node]}/24", "dev", "up0")
            sh("ip", "-n", namespace, "link", "set", "up0", "up")
            listener = within(namespace, lambda at=NODES[node]: socket.create_server((at, MEETS)))
            made.callback(listener.close)
        yield spaces


def reached(spaces: dict[str, str]) -> set[tuple[str, str]]:
    """Every (from, to) of which a connection is made."""
    found = set[tuple[str, str]]()

    def knock(pair: tuple[str, str]) -> None:
        def connect() -> None:
            socket.create_connection((NODES[pair[1]], MEETS), 1.5).close()
            found.add(pair)

        try:
            within(spaces[pair[0]], connect)
        except TimeoutError:
            return  # dropped, not refused

    threads = [threading.Thread(target=knock, args=(pair,)) for pair in permutations(NODES, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_one_node_is_cut_off_from_two_others_and_only_those_pairs() -> None:
    """The minority is a, the majority b and c; both directions of each pair are tried."""
    everybody = set(permutations(NODES, 2))
    with three_nodes() as spaces:
        assert reached(spaces) == everybody
        target = {
            "addresses": [f"{NODES[node]}:{MEETS}" for node in NODES],
            "peers": list(NODES.values()),  # of all that passes here, everything is to or from a
            "namespace": spaces["a"],
        }
        allow = list(NODES.values())
        with chaos_locust.inject("partition", target="a", targets={"a": target}, allow=allow) as injected:
            assert reached(spaces) == {("b", "c"), ("c", "b")}
            told(injected)
        assert reached(spaces) == everybody
