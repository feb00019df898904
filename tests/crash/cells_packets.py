"""Packets between two network namespaces of the test's own, over a pair of virtual Ethernet devices."""

from __future__ import annotations

import ctypes
import functools
import os
import secrets
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from .cell import Case, Cell, NotHere

CLIENT, SERVER, STRANGER = "10.77.0.1", "10.77.0.2", "10.77.0.3"
PORT, OTHER_PORT = 9000, 9001
_CLONE_NEWNET = 0x40000000
_LIMIT_S = 10.0

T = TypeVar("T")


def sh(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=_LIMIT_S).stdout


def within(namespace: str, action: Callable[[], T]) -> T:
    """Does it in a thread that has entered the namespace; sockets that it makes stay there."""

    def act() -> T:
        with open(f"/run/netns/{namespace}", "rb") as entry:
            if ctypes.CDLL(None, use_errno=True).setns(entry.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        return action()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(act).result()


def why_not() -> str:
    """Why there can be no namespaces here; empty: there can."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [program for program in ("ip", "nft", "nsenter", "ethtool") if shutil.which(program) is None]
    return f"needs the program {missing[0]}" if missing else ""


class Network:
    """Two namespaces, client and server, with a link between; the client's has a second address."""

    def __init__(self) -> None:
        name = f"pk{secrets.token_hex(3)}"
        self.client, self.server = f"{name}c", f"{name}s"

    def __enter__(self) -> Network:
        ends = [(self.client, [CLIENT, STRANGER]), (self.server, [SERVER])]
        for namespace, _ in ends:
            sh("ip", "netns", "add", namespace)
        sh("ip", "link", "add", self.client, "type", "veth", "peer", "name", self.server)
        for namespace, addresses in ends:
            sh("ip", "link", "set", namespace, "netns", namespace)
            for address in addresses:
                sh("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", namespace)
            for device in ("lo", namespace):
                sh("ip", "-n", namespace, "link", "set", device, "up")
            # Without it no checksum would ever be made between the two, so none could be wrong.
            sh("ip", "netns", "exec", namespace, "ethtool", "-K", namespace, "tx", "off", "tso", "off")
        return self

    def __exit__(self, *_: object) -> None:
        for namespace in (self.client, self.server):
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)

    def left(self) -> str:
        found = [
            sh("ip", "netns", "exec", name, "nft", "list", "tables") for name in (self.client, self.server)
        ]
        return "\n".join([*filter(None, found), *map(str, self.holders())])

    def holders(self) -> list[str]:
        """The processes that hold packets there, as `pid command`."""
        ours = {os.stat(f"/run/netns/{name}").st_ino for name in (self.client, self.server)}
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if "packets.holder" in command and (entry / "ns" / "net").stat().st_ino in ours:
                    found.append(f"{entry.name} {command}")
            except OSError:
                continue
        return found


class Talk:
    """Datagrams from the client to the server or back, each with its number."""

    def __init__(self, network: Network, stack: ExitStack, port: int = PORT, source: str = CLIENT) -> None:
        self.near = within(network.client, functools.partial(self._socket, stack, (source, 0)))
        self.far = within(network.server, functools.partial(self._socket, stack, (SERVER, port)))
        self.near.connect((SERVER, port))
        self.far.connect(self.near.getsockname())

    @staticmethod
    def _socket(stack: ExitStack, address: tuple[str, int]) -> socket.socket:
        made = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        made.bind(address)
        return made

    def send(
        self, count: int, back: bool = False, apart_s: float = 0.0, size: int = 100, wait_s: float = 0.1
    ) -> Any:
        """[(number, seconds on the way), ...] as they came, until none came for `wait_s`."""
        source, sink = (self.far, self.near) if back else (self.near, self.far)
        got: list[tuple[int, float]] = []

        def receive(limit_s: float) -> bool:
            if not select.select([sink], [], [], max(limit_s, 0))[0]:
                return False
            number, sent_s = sink.recv(65536).split()[:2]
            got.append((int(number), time.monotonic() - float(sent_s)))
            return True

        for number in range(count):
            due_s = time.monotonic() + apart_s
            source.send(f"{number} {time.monotonic()} ".encode().ljust(size, b"x"))
            while receive(due_s - time.monotonic()):
                pass
        while receive(wait_s):
            pass
        return got


_FAULTS: dict[str, dict[str, Any]] = {
    "packet_loss": {"share": "50%"},
    "packet_duplicate": {"share": "50%"},
    "packet_corrupt": {"share": "50%"},
    "packet_reorder": {"share": "50%", "delay": "10ms"},
    "packet_delay": {"delay": "100ms", "direction": "to"},
    "packet_bandwidth": {"rate": "10KB/s"},
    "partition": {},
}


def acts(kind: str, talk: Talk) -> bool:
    """Whether it acts now on what the client sends, as the server sees it."""
    count = 60
    got = talk.send(count, apart_s=0.0005)
    numbers = [number for number, _ in got]
    match kind:
        case "packet_duplicate":
            return len(numbers) > count
        case "packet_reorder":
            return numbers != sorted(numbers)
        case "packet_delay":
            return not got or min(way_s for _, way_s in got) > 0.05
        case "partition":
            return not got
    return len(got) < count


@contextmanager
def _cell(kind: str, side: str) -> Iterator[Case]:
    if reason := why_not():
        raise NotHere(reason)
    with Network() as network, ExitStack() as stack:
        namespace = network.client if side == "client" else network.server
        target: dict[str, Any] = {"addresses": [f"{SERVER}:{PORT}"], "namespace": namespace}
        if kind == "partition":
            target["peers"] = [CLIENT]
        talk = Talk(network, stack)
        fault = {"kind": kind, "target": "server", **_FAULTS[kind]}
        yield Case({"server": target}, fault, lambda: acts(kind, talk), network.left)


# What leaves for another machine goes another way through the kernel than what arrives: each has its kinds.
_SIDES = {
    "packet_loss": "client",
    "packet_delay": "client",
    "packet_reorder": "server",
    "partition": "client",
}

CELLS: dict[str, Cell] = {
    kind: functools.partial(_cell, kind, _SIDES.get(kind, "server")) for kind in _FAULTS
}
