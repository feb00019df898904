"""Every fault on packets, between namespaces and on loopback: measured at both ends, proved, and gone."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.registry import Backends
from chaos_locust.errors import BackendError
from chaos_locust.plan.model import Plan
from tests.crash.cells_packets import (
    CELLS,
    CLIENT,
    OTHER_PORT,
    PORT,
    SERVER,
    STRANGER,
    Network,
    Talk,
    acts,
    sh,
    why_not,
    within,
)

from .conftest import until

SIDES = ("client", "server")


@pytest.fixture
def network() -> Iterator[Network]:
    if reason := why_not():
        pytest.skip(reason)
    with Network() as made:
        yield made


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


class Rig:
    """A fault on the server's address, seen from one of the namespaces."""

    def __init__(self, namespace: str | None, kind: str, lasts: str = "30s", **changes: Any) -> None:
        target = {"addresses": changes.pop("addresses", [f"{SERVER}:{PORT}"]), "namespace": namespace}
        if (peers := changes.pop("peers", None)) is not None:
            target["peers"] = peers
        fault = {"name": "it", "kind": kind, "target": "server", "at": "1s", "for": lasts, **changes}
        self.plan = Plan.from_json({"name": "p", "targets": {"server": target}, "faults": [fault]})
        self.fault, self.target = self.plan.faults[0], self.plan.targets["server"]
        self.backend = Backends().named("packets")
        self.before: list[Reading] = []

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.backend.preflight(self.plan, self.fault, self.target)]

    def __enter__(self) -> Rig:
        assert self.problems() == []
        self.undo = self.backend.prepare("r1", self.plan, self.fault, self.target)
        assert self.backend.verify(self.undo), "preparing changes nothing"
        self.before.append(self.backend.observe(self.fault, self.undo))
        self.backend.inject(self.fault, self.undo)
        return self

    def effect(self) -> Effect:
        return self.backend.effect(self.fault, self.before, [self.backend.observe(self.fault, self.undo)])

    def __exit__(self, *_: object) -> None:
        self.backend.revert(self.undo)
        self.backend.revert(self.undo)
        assert self.backend.verify(self.undo)


def side(network: Network, name: str) -> str:
    return network.client if name == "client" else network.server


@pytest.mark.parametrize("kind", CELLS)
def test_acts_and_goes(kind: str) -> None:
    if reason := why_not():
        pytest.skip(reason)
    with CELLS[kind]() as case:
        fault = dict(case.fault)
        del fault["target"]
        target = case.targets["server"]
        rig = Rig(target["namespace"], fault.pop("kind"), peers=target.get("peers"), **fault)
        assert not case.acting(), "before"
        with rig:
            until(case.acting, "it acts")
            assert not rig.backend.verify(rig.undo)
            effect = rig.effect()
            assert (effect.mechanism, effect.use) == (True, True), effect
        assert not case.acting(), "after"
        assert case.left() == ""


@pytest.mark.parametrize("name", SIDES)
def test_nobody_sends_so_there_is_no_use(network: Network, name: str) -> None:
    with Rig(side(network, name), "packet_loss", share="10%") as rig:
        effect = rig.effect()
    assert (effect.mechanism, effect.use) == (None, False), effect


@pytest.mark.parametrize("name", SIDES)
def test_loss_is_within_its_interval(network: Network, stack: ExitStack, name: str) -> None:
    """Of 10,000 packets; what is sent meets no error, as on a network."""
    talk, count, share = Talk(network, stack), 10_000, 0.1
    with Rig(side(network, name), "packet_loss", share="10%", direction="to") as rig:
        lost = count - len(talk.send(count))
        assert len(talk.send(300, back=True)) == 300, "the other direction is not met"
        effect = rig.effect()
    # 99.9 % of a binomial distribution, by the normal one, which is as good here.
    margin = 3.2905 * math.sqrt(count * share * (1 - share))
    assert abs(lost - count * share) <= margin, lost
    assert f"{lost:,} of {count:,} packets lost" in effect.detail
    assert len(talk.send(1000)) == 1000


@pytest.mark.parametrize("name", SIDES)
def test_delay_has_its_mean_and_spread_and_keeps_the_order(
    network: Network, stack: ExitStack, name: str
) -> None:
    """Jitter is even: of 20 ms each way, from 80 to 120 ms."""
    ports = range(PORT, PORT + 8)
    talks = [Talk(network, stack, port) for port in ports]
    addresses = [f"{SERVER}:{port}" for port in ports]
    jitter = {"jitter": "20ms", "direction": "to", "addresses": addresses}
    with Rig(side(network, name), "packet_delay", delay="100ms", **jitter) as rig:
        found: list[list[tuple[int, float]]] = [[] for _ in talks]

        def measure(index: int) -> None:
            found[index] = talks[index].send(75, apart_s=0.045, wait_s=0.3)

        threads = [threading.Thread(target=measure, args=(index,)) for index in range(len(talks))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        effect = rig.effect()
    for got in found:
        numbers = [number for number, _ in got]
        assert numbers == list(range(75)), "none is lost, and each flow keeps its order"
    ways_s = [way_s for got in found for _, way_s in got]
    # Quartiles, for on a busy machine some receive late. Each has an error of 0.8 ms with so many packets.
    first_s, middle_s, third_s = statistics.quantiles(ways_s, n=4)
    error_s, late_s = 3.2905 * 0.0008, 0.005
    assert -error_s <= middle_s - 0.1 <= error_s + late_s
    assert -error_s <= (third_s - first_s) - 0.02 <= error_s + late_s, "half of all are within 90 to 110 ms"
    assert min(ways_s) >= 0.08
    assert effect.mechanism is True, effect
    assert "600 packets held for" in effect.detail


def test_delay_keeps_the_order_of_a_dense_flow(network: Network, stack: ExitStack) -> None:
    talk = Talk(network, stack)
    with Rig(network.server, "packet_delay", delay="20ms", jitter="20ms", direction="to"):
        numbers = [number for number, _ in talk.send(3000, apart_s=0.0003)]
    assert numbers == list(range(3000))


def test_a_full_queue_is_noticed(network: Network, stack: ExitStack) -> None:
    talk = Talk(network, stack)
    with Rig(network.server, "packet_delay", delay="3s", direction="to") as rig:
        for number in range(20_000):
            talk.near.send(f"{number} 0 ".encode())
        until(lambda: rig.effect().mechanism is False, "the overflow is told")
        assert "queue was full" in rig.effect().detail


def test_duplicates_are_counted(network: Network, stack: ExitStack) -> None:
    talk = Talk(network, stack)
    for name in SIDES:
        with Rig(side(network, name), "packet_duplicate", share="20%", direction="to") as rig:
            numbers = [number for number, _ in talk.send(1000)]
            assert len(talk.send(200, back=True)) == 200
            effect = rig.effect()
        assert set(numbers) == set(range(1000))
        assert 120 < len(numbers) - 1000 < 290
        assert f"{len(numbers) - 1000:,} of 1,000 packets doubled" in effect.detail


def test_reordering(network: Network, stack: ExitStack) -> None:
    talk = Talk(network, stack)
    for name in SIDES:
        with Rig(side(network, name), "packet_reorder", share="10%", delay="5ms", direction="to") as rig:
            numbers = [number for number, _ in talk.send(500, apart_s=0.001)]
            effect = rig.effect()
        assert sorted(numbers) == list(range(500))
        late = sum(any(later < number for later in numbers[at:]) for at, number in enumerate(numbers))
        assert late > 20
        assert re.search(r"\d+ overtook", effect.detail), effect


class Transfer:
    """A TCP connection from the client to the server, over which data goes and is looked at."""

    def __init__(
        self, client: str, server: str, stack: ExitStack, address: str = SERVER, port: int = PORT
    ) -> None:
        def listen() -> socket.socket:
            return stack.enter_context(socket.create_server((address, port)))

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection((address, port), 30))

        listener = within(server, listen)
        self.near = within(client, connect)
        self.far = stack.enter_context(listener.accept()[0])
        self.far.settimeout(60)
        listener.close()

    def send(self, size: int, back: bool = False) -> tuple[bool, float]:
        """(whether it came as it was sent, seconds)"""
        source, sink = (self.far, self.near) if back else (self.near, self.far)
        data = os.urandom(size)
        started_s = time.monotonic()
        sender = threading.Thread(target=source.sendall, args=(data,))
        sender.start()
        got = hashlib.sha256()
        left = size
        while left:
            part = sink.recv(min(left, 65536))
            assert part, "the connection ended"
            got.update(part)
            left -= len(part)
        sender.join()
        return got.digest() == hashlib.sha256(data).digest(), time.monotonic() - started_s


def tcp_counter(namespace: str, name: str) -> int:
    names, values = within(
        namespace,
        lambda: [
            line.split()
            for line in Path("/proc/thread-self/net/snmp").read_text().splitlines()
            if "Tcp:" in line
        ],
    )
    return int(values[names.index(name)])


@pytest.mark.parametrize("name", SIDES)
def test_corruption_is_found_by_checksums(network: Network, stack: ExitStack, name: str) -> None:
    transfer = Transfer(network.client, network.server, stack)
    with Rig(side(network, name), "packet_corrupt", share="5%", direction="to") as rig:
        wrong, again = tcp_counter(network.server, "InCsumErrors"), tcp_counter(network.client, "RetransSegs")
        same, _ = transfer.send(300_000)
        effect = rig.effect()
        changed = int(re.findall(r"([\d,]+) of", effect.detail)[0].replace(",", ""))
        assert tcp_counter(network.server, "InCsumErrors") - wrong == changed > 0
        assert tcp_counter(network.client, "RetransSegs") - again > 0
    assert same
    assert effect.mechanism is True, effect


def test_corruption_on_loopback_is_found_as_well(network: Network, stack: ExitStack) -> None:
    """Where nobody makes or looks at checksums otherwise."""
    transfer = Transfer(network.server, network.server, stack)
    with Rig(network.server, "packet_corrupt", share="10%") as rig:
        wrong = tcp_counter(network.server, "InCsumErrors")
        same = all(transfer.send(1000, back)[0] for back in (False, True) for _ in range(30))
        assert tcp_counter(network.server, "InCsumErrors") - wrong > 0
        assert transfer.send(500_000)[0], "packets of 64 KB"
        assert rig.effect().mechanism is True
    assert same


@pytest.mark.parametrize("name", SIDES)
def test_bandwidth(network: Network, stack: ExitStack, name: str) -> None:
    transfer = Transfer(network.client, network.server, stack)
    _, free_s = transfer.send(400_000)
    with Rig(side(network, name), "packet_bandwidth", rate="200KB/s") as rig:
        results = [transfer.send(300_000), transfer.send(300_000, back=True)]
        effect = rig.effect()
    for same, took_s in results:
        assert same
        assert took_s >= 0.9 * 300_000 / 200_000 > free_s
    assert "dropped for the rate" in effect.detail
    assert transfer.send(400_000)[1] < 1


def test_a_delay_on_the_way_out_is_one_on_the_network(network: Network, stack: ExitStack) -> None:
    """TCP takes packets that wait on its own machine for unsent, and would hardly send any more."""
    transfer = Transfer(network.client, network.server, stack)
    took_s = {}
    for name in SIDES:
        with Rig(side(network, name), "packet_delay", delay="50ms", direction="to"):
            same, took_s[name] = transfer.send(2_000_000)
        assert same
    assert took_s["client"] < 5 * took_s["server"]  # 20 times and more while they waited in the kernel


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize("direction", ["to", "from", "both"])
def test_a_partition_cuts_its_two_groups_only(
    network: Network, stack: ExitStack, name: str, direction: str
) -> None:
    between, stranger = Talk(network, stack), Talk(network, stack, source=STRANGER, port=OTHER_PORT)
    other_port = Talk(network, stack, port=OTHER_PORT + 1)
    addresses = [f"{SERVER}:{PORT}", f"{SERVER}:{OTHER_PORT}"]
    rig = Rig(side(network, name), "partition", addresses=addresses, peers=[CLIENT], direction=direction)
    with rig:
        assert bool(between.send(20)) == (direction == "from")
        assert bool(between.send(20, back=True)) == (direction == "to")
        for talk in (stranger, other_port):
            assert len(talk.send(20)) == len(talk.send(20, back=True)) == 20
        effect = rig.effect()
        assert (effect.mechanism, effect.use) == (True, True), effect
        assert f"{40 if direction == 'both' else 20} of" in effect.detail
    assert len(between.send(20)) == len(between.send(20, back=True)) == 20


def test_loopback_counts_each_packet_once(network: Network, stack: ExitStack) -> None:
    near, far = within(network.server, lambda: [Talk._socket(stack, ("127.0.0.1", 0)) for _ in range(2)])
    near.connect(far.getsockname())
    far.connect(near.getsockname())
    address = f"127.0.0.1:{far.getsockname()[1]}"
    for kind, told in (
        ("packet_loss", "of 400 packets lost"),
        ("packet_duplicate", "of 400 packets doubled"),
    ):
        with Rig(network.server, kind, share="50%", addresses=[address]) as rig:
            for source in (near, far):
                for _ in range(200):
                    source.send(b"x")
            assert told in rig.effect().detail


def test_faults_together_meet_each_packet_once(network: Network, stack: ExitStack) -> None:
    """What is held on its way out is sent anew: it must neither be lost nor held a second time."""
    talk = Talk(network, stack)
    together = [
        ("packet_loss", {"share": "30%", "direction": "to"}),
        ("packet_delay", {"delay": "40ms", "direction": "to"}),
        ("packet_bandwidth", {"rate": "1MB/s", "direction": "to"}),
        ("packet_reorder", {"share": "10%", "delay": "30ms", "direction": "to"}),
    ]
    for order in (together, together[::-1]):
        with ExitStack() as faults:
            for number, (kind, parameters) in enumerate(order):
                rig = Rig(network.client, kind, **parameters)
                rig.fault = rig.fault.model_copy(update={"name": f"it-{number}"})
                faults.enter_context(rig)
            got = talk.send(1000, apart_s=0.001, wait_s=0.3)
        assert abs(len(got) - 700) < 3.2905 * math.sqrt(1000 * 0.3 * 0.7)
        ways_s = sorted(way_s for _, way_s in got)
        assert ways_s[0] >= 0.04
        assert ways_s[len(ways_s) // 2] < 0.07, "held once, and a tenth of them twice"
        assert ways_s[len(ways_s) * 97 // 100] >= 0.07


def test_names_of_both_families_and_ipv6(network: Network, stack: ExitStack) -> None:
    """`localhost` is two addresses; doubles and drops of IPv6 as well."""

    def pair() -> tuple[socket.socket, socket.socket]:
        near, far = (stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) for _ in range(2))
        far.bind(("::1", PORT))
        near.connect(("::1", PORT))
        return near, far

    near, far = within(network.server, pair)
    far.settimeout(0.2)
    with Rig(network.server, "packet_duplicate", share="100%", addresses=[f"[::1]:{PORT}"], direction="to"):
        near.send(b"a")
        assert [far.recv(9), far.recv(9)] == [b"a", b"a"]
    with Rig(network.server, "packet_delay", delay="50ms", addresses=[f"[::1]:{PORT}"], direction="to"):
        sent_s = time.monotonic()
        near.send(b"b")
        assert far.recv(9) == b"b"
        assert time.monotonic() - sent_s >= 0.05
    with Rig(network.server, "packet_loss", share="100%", addresses=[f"[::1]:{PORT}"], direction="to"):
        near.send(b"c")
        with pytest.raises(TimeoutError):
            far.recv(9)


# -- who dies ------------------------------------------------------------------------------------------

INJECTOR = """
import json, sys, time
from chaos_locust.backends.registry import Backends
from chaos_locust.plan.model import Plan
plan = Plan.from_json(json.loads(sys.argv[1]))
fault, backend = plan.faults[0], Backends().named("packets")
undo = backend.prepare("r2", plan, fault, plan.targets["server"])
backend.inject(fault, undo)
print(json.dumps(undo), flush=True)
time.sleep(600)
"""


@pytest.fixture
def injector() -> Iterator[Callable[[Rig], tuple[subprocess.Popen[str], dict[str, Any]]]]:
    started = []

    def start(rig: Rig) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        command = [sys.executable, "-c", INJECTOR, json.dumps(rig.plan.to_json())]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kind", CELLS)
def test_all_of_ours_die(network: Network, stack: ExitStack, injector: Any, kind: str) -> None:
    """kill -9 of who injected, and of who holds packets: without anybody's help packets pass again."""
    with CELLS[kind]() as case:
        target = case.targets["server"]
        parameters = {key: value for key, value in case.fault.items() if key not in ("kind", "target")}
        rig = Rig(target["namespace"], kind, peers=target.get("peers"), **parameters)
        process, undo = injector(rig)
        until(case.acting, "it acts")
        # The kernel's own timer, brought forward: nothing else ends what needs no process.
        if kind == "packet_duplicate":
            elements = f"{{ {SERVER} . {PORT} }}"
            enter = ["ip", "netns", "exec", target["namespace"], "nft"]
            sh(*enter, "delete", "element", "ip", undo["mark"], "targets", elements)
            sh(*enter, "add", "element", "ip", undo["mark"], "targets", elements[:-1] + "timeout 1s }")
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: not case.acting(), "packets pass again")
        until(lambda: "packets.holder" not in case.left(), "who holds packets is gone")
        found = [undo for undo in rig.backend.scan("") if undo["namespace"] == target["namespace"]]
        assert [each["mark"] for each in found] == [undo["mark"]]
        rig.backend.revert(found[0])
        assert case.left() == ""
        assert rig.backend.verify(undo)


@pytest.mark.parametrize("kind", ["partition", "packet_duplicate"])
def test_the_timer_of_the_kernel(
    network: Network, stack: ExitStack, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Everybody lives on, and still it ends."""
    talk = Talk(network, stack)
    monkeypatch.setattr("chaos_locust.backends.packets.backend.TIMER_MARGIN_S", 0.5)
    own = {"peers": [CLIENT]} if kind == "partition" else {"share": "50%"}
    with Rig(network.server, kind, lasts="500ms", **own):
        assert acts(kind, talk)
        until(lambda: not acts(kind, talk), "its time is over")


def test_who_holds_packets_is_killed(network: Network, stack: ExitStack) -> None:
    talk = Talk(network, stack)
    with Rig(network.server, "packet_delay", delay="300ms", direction="to") as rig:
        assert acts("packet_delay", talk)
        (holder,) = network.holders()
        os.kill(int(holder.split()[0]), signal.SIGKILL)
        until(lambda: not acts("packet_delay", talk), "packets pass")
        effect = rig.effect()
        assert effect.mechanism is False
        assert "is gone" in effect.detail


def test_what_is_held_goes_on_at_the_end(network: Network, stack: ExitStack) -> None:
    """Nothing is lost by undoing."""
    for name in SIDES:
        talk = Talk(network, stack, port=PORT + SIDES.index(name))
        addresses = [f"{SERVER}:{PORT + SIDES.index(name)}"]
        with Rig(side(network, name), "packet_delay", delay="5s", direction="to", addresses=addresses):
            assert talk.send(50) == []
        assert [number for number, _ in talk.send(0)] == list(range(50))


def test_nothing_is_lost_by_undoing_while_packets_come(network: Network, stack: ExitStack) -> None:
    talk, got = Talk(network, stack), list[tuple[int, float]]()
    sender = threading.Thread(target=lambda: got.extend(talk.send(6000, apart_s=0.0001)))
    with Rig(network.server, "packet_delay", delay="20ms", direction="to") as rig:
        sender.start()
        until(lambda: rig.effect().mechanism, "packets are held")
    sender.join()
    assert sorted(number for number, _ in got) == list(range(6000))


def test_somebody_else_undoes_what_is_held(network: Network, stack: ExitStack) -> None:
    """From the Undo alone, while who injected lives on."""
    talk = Talk(network, stack)
    with Rig(network.server, "packet_delay", delay="5s", direction="to") as rig:
        assert talk.send(50) == []
        other = Backends().named("packets")
        other.revert(rig.undo)
        assert other.verify(rig.undo)
        assert network.left() == ""
        assert [number for number, _ in talk.send(0)] == list(range(50))


def test_an_undo_of_which_nothing_happened_and_of_a_namespace_that_is_gone(network: Network) -> None:
    rig = Rig(network.server, "packet_delay", delay="100ms")
    undo = rig.backend.prepare("r1", rig.plan, rig.fault, rig.target)
    rig.backend.revert(undo)
    assert rig.backend.verify(undo)
    gone = undo | {"namespace": "pk-never-there"}
    rig.backend.revert(gone)
    assert rig.backend.verify(gone)
    with pytest.raises(BackendError, match="is not there"):
        rig.backend.prepare(
            "r1", rig.plan, rig.fault, rig.target.model_copy(update={"namespace": "pk-never"})
        )


def test_preflight(network: Network) -> None:
    (told,) = Rig("pk-never-there", "packet_loss", share="1%").problems()
    assert told.startswith("targets.server.namespace: 'pk-never-there' is not there; there are: ")
    assert network.client in told
    for addresses, words in (
        (["0.0.0.0:80"], "0.0.0.0 is every address"),
        (["no-such-host.invalid:80"], "the address of no-such-host.invalid is not known"),
    ):
        (told,) = Rig(network.server, "packet_loss", share="1%", addresses=addresses).problems()
        assert words in told
    (told,) = Rig(network.server, "partition", addresses=["[::1]:80"], peers=["10.0.0.1"]).problems()
    assert "no family in common" in told
    assert network.left() == "", "nothing was changed"


def test_preflight_without_rights_and_without_nft(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    code = INJECTOR.partition("undo =")[0] + (
        "print([str(p) for p in backend.preflight(plan, fault, plan.targets['server'])], backend.scan(''))"
    )
    rig = Rig(None, "packet_loss", share="1%")
    command = ["setpriv", "--bounding-set=-net_admin", sys.executable, "-c", code]
    told = sh(*command, json.dumps(rig.plan.to_json()))
    assert "needs the rights CAP_NET_ADMIN and CAP_NET_RAW; run as root" in told
    assert told.strip().endswith("] []")
    monkeypatch.setenv("PATH", "/nowhere")
    (line,) = rig.problems()
    assert "the program nft is not there; install it (Debian: nftables)" in line
