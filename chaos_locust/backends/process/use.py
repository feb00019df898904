"""A process of this machine: who a pid file names, and whether the load used it while a fault acted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chaos_locust.backends.base import Reading
from chaos_locust.backends.link.effect import Proof, link_use
from chaos_locust.backends.link.watch import LinkWatch
from chaos_locust.backends.proxy.toxics import made_proxy
from chaos_locust.errors import BackendError, ProbeError
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target
from chaos_locust.probes.process import (
    ProcessId,
    ancestors,
    command_line,
    identify,
    listening_ports,
    read_pidfile,
)
from chaos_locust.probes.process_tree import cpu_s, tree


def resolve(pidfile: str) -> ProcessId:
    """Who the pid file names now. Raises BackendError when that is nobody, or nobody that we may touch:
    the first process, ourselves, an ancestor of ours, Locust, another user's."""
    try:
        pid = read_pidfile(pidfile)
    except ProbeError as error:
        raise BackendError(str(error)) from None
    found = identify(pid)
    if found is None:
        raise BackendError(f"no process has the pid {pid} of {pidfile}")
    if pid == 1 or pid == os.getpid() or pid in ancestors(os.getpid()):
        who = "the first process of this machine" if pid == 1 else "this program or one that started it"
        raise BackendError(f"process {pid} of {pidfile} is {who}, which is never touched")
    if _is_locust(command_line(pid)):
        raise BackendError(f"process {pid} of {pidfile} is Locust, the load itself, which is never touched")
    try:
        os.kill(pid, 0)
    except PermissionError:
        raise BackendError(
            f"process {pid} of {pidfile} belongs to another user; run as that user or as root"
        ) from None
    except ProcessLookupError:
        raise BackendError(f"no process has the pid {pid} of {pidfile}") from None
    return found


def link_before(run_id: str, plan: Plan, target: Target) -> dict[str, str] | None:
    """The proxy before the process as data, {api, proxy}, where the target names one; for `use_reading`."""
    if not target.has_link:
        return None
    return {"api": plan.proxy_api, "proxy": target.proxy or made_proxy(run_id, target)}


def use_reading(
    watch: LinkWatch, victim: ProcessId, link: dict[str, str] | None, known_ports: Iterable[int] = ()
) -> Reading:
    """What `use` compares: {at_s, pid, state (None: gone), ports: TCP ports it listens on, received:
    bytes so far, connections: new ones so far, own: (bytes, connections) of our hellos on all links, link: a
    reading of the proxy before it or None, cpu_s: CPU time so far, with its children's, error}. Never raises.

    known_ports: those it is known to listen on when it is there.
    """
    reading: Reading = {
        "at_s": time.monotonic(),
        "pid": victim.pid,
        "state": victim.state,
        "ports": [],
        "received": 0,
        "connections": 0,
        "link": _link_reading(watch, link),
        "cpu_s": cpu_s(tree(victim.pid)) if victim.state else None,
        "error": "",
    }
    ports = set(known_ports)
    try:
        ports |= listening_ports(victim.pid)
    except ProbeError as error:
        reading["error"] = str(error)
    try:
        for port in sorted(ports):
            reading["ports"].append(port)
            use = watch.ports.count(port)
            reading["received"] += use.received
            reading["connections"] += use.connections
    except ProbeError as error:
        reading["error"] = str(error)
    reading["own"] = watch.own_hellos()
    return reading


def process_use(
    readings: Sequence[Reading], words: str, earlier: Sequence[Reading] = (), by_cpu: bool = False
) -> Proof:
    """Whether the load used the process from the first reading to the last. Pure.

    words: when that was, for the text. earlier: readings before these. by_cpu: a process that listens on
    nothing is taken as used when its CPU time grew.
    """
    links = [reading["link"] for reading in readings]
    if links and all(links):
        return link_use(links, words, [reading["link"] for reading in earlier if reading["link"]])
    seen = [reading for reading in readings if reading["ports"]]
    if len(seen) < 2:
        error = next((r["error"] for r in reversed(readings) if r["error"]), "")
        if by_cpu and not seen and not error:
            return _cpu_use(readings, words)
        return None, f"its use is not known ({error or 'it listens on no TCP port'})"
    first, last = seen[0], seen[-1]
    # Another fault's hellos may have come to this process through a proxy: all of them are taken off.
    own_bytes, own_connections = (b - a for a, b in zip(first["own"], last["own"], strict=True))
    received = max(0, last["received"] - first["received"] - own_bytes)
    connections = max(0, last["connections"] - first["connections"] - own_connections)
    ports = ", ".join(map(str, sorted({port for reading in seen for port in reading["ports"]})))
    text = f"{received:,} bytes and {connections} new connections of the load on port {ports} {words}"
    return received > 0 or connections > 0, text


def _cpu_use(readings: Sequence[Reading], words: str) -> Proof:
    spans = [reading["cpu_s"] for reading in readings if reading["cpu_s"] is not None]
    if len(spans) < 2:
        return None, "its use is not known (it listens on no TCP port)"
    used_s = max(0.0, spans[-1] - spans[0])
    text = f"no TCP port of its own, {used_s:.2f} s of CPU time {words}"
    return used_s > 0, text


def _link_reading(watch: LinkWatch, link: Any) -> Reading | None:
    """The bytes through the proxy before the process."""
    if link is None:
        return None
    api = watch.api(link["api"])
    try:
        listen = api.proxy(link["proxy"])["listen"]
    except BackendError as error:
        return {"at_s": time.monotonic(), "sent": None, "own": 0, "exact": False, "error": str(error)}
    return watch.count(api, link["proxy"], listen)


def _is_locust(arguments: Sequence[str]) -> bool:
    names = [Path(argument).name for argument in arguments[:2]]
    if "locust" in names or list(arguments[1:3]) == ["-m", "locust"]:
        return True
    return "chaos-locust" in names and "run" in arguments[1:3]
