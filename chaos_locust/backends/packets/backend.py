"""Faults on packets: rules of nftables, and a process that holds packets where the kernel alone cannot."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Sequence
from ipaddress import ip_address

from chaos_locust.backends.base import MARK, Effect, Reading, Undo, mark
from chaos_locust.backends.link.watch import LinkWatch
from chaos_locust.backends.packets.effect import packets_effect
from chaos_locust.backends.packets.rules import Scope, holder_settings, needs_holder, rules
from chaos_locust.backends.packets.system import (
    HolderProcess,
    counters,
    end_holder,
    has_namespace,
    holders,
    missing_right,
    namespaces,
    nft,
    resolve,
    tables,
)
from chaos_locust.errors import BackendError, Problem
from chaos_locust.faults.base import Fault
from chaos_locust.faults.packets import PacketFault
from chaos_locust.plan.model import Plan
from chaos_locust.plan.parts import Target

TIMER_MARGIN_S = 15.0
"""So long after a fault is due to end its timer in the kernel ends it, if all of ours are dead."""
_TRIAL = f"{MARK}trial"


class PacketsBackend:
    """An Undo: {backend, mark, namespace, scope, target}. mark: the name of our tables, and the last argument
    of the process that holds packets. scope: as of `Scope.to_json`; an Undo found by scan has none."""

    name = "packets"

    def __init__(self, watch: LinkWatch) -> None:
        self._watch = watch
        self._holders: dict[str, HolderProcess] = {}
        self._injected: set[str] = set()
        self._lock = threading.Lock()

    def preflight(self, plan: Plan, fault: Fault, target: Target) -> list[Problem]:
        assert isinstance(fault, PacketFault)
        place = f"targets.{target.name}"
        if not has_namespace(target.namespace):
            there = ", ".join(namespaces()) or "none"
            return [Problem(f"{place}.namespace", f"'{target.namespace}' is not there; there are: {there}")]
        try:
            scope = _scope(target)
        except BackendError as error:
            return [Problem(place, str(error))]
        if right := missing_right(target.namespace):
            return [Problem(place, f"a {fault.kind} needs {right}; run as root")]
        try:
            nft(target.namespace, ["-c", "-f", "-"], rules(fault, scope, _TRIAL, 1))
            if needs_holder(fault):
                trial = HolderProcess(_TRIAL, target.namespace)
                trial.begin({"how": "check", "families": scope.families})
                trial.close()
        except BackendError as error:
            return [Problem(place, f"a {fault.kind} cannot be done here: {error}")]
        return []

    def open(self, run_id: str, plan: Plan, target: Target) -> Undo | None:
        return None

    def build(self, undo: Undo, target: Target) -> None:
        raise BackendError("nothing is made for packets before they are faulted")

    def prepare(self, run_id: str, plan: Plan, fault: Fault, target: Target) -> Undo:
        if not has_namespace(target.namespace):
            raise BackendError(f"the namespace {target.namespace} is not there")
        return {
            "backend": self.name,
            "mark": _table_name(mark(run_id, fault.name)),
            "namespace": target.namespace,
            "scope": _scope(target).to_json(),
            "target": target.name,
        }

    def inject(self, fault: Fault, undo: Undo) -> None:
        assert isinstance(fault, PacketFault)
        assert fault.duration_s is not None
        scope, table, namespace = Scope.from_json(undo["scope"]), undo["mark"], undo["namespace"]
        lasts_s = fault.duration_s + TIMER_MARGIN_S
        with self._lock:
            self._injected.add(table)
            holder = self._holder(fault, table, namespace)
        nft(namespace, ["-f", "-"], rules(fault, scope, table, lasts_s))
        if holder is not None:
            holder.begin(holder_settings(fault, scope, table, lasts_s))

    def adjust(self, fault: Fault, undo: Undo, elapsed_s: float) -> None:
        raise BackendError(f"a {fault.kind} does not change with time")

    def observe(self, fault: Fault, undo: Undo) -> Reading:
        """{at_s, own, matched, acted, held, holder, error}; matched: packets of the scope since the onset, or
        None; holder: whether its process is there and is needed; own: connections of our hellos so far."""
        reading: Reading = {"at_s": time.monotonic(), "matched": None, "acted": 0, "held": {}}
        reading |= {"holder": None, "error": "", "own": 0}
        table, namespace = undo["mark"], undo["namespace"]
        try:
            with self._lock:
                injected = table in self._injected
                # Before the onset it is started, so that the onset need not wait for it.
                holder = self._holders.get(table) if injected else self._holder(fault, table, namespace)
            if injected:
                reading |= counters(namespace, Scope.from_json(undo["scope"]).families, table)
        except BackendError as error:
            reading["error"] = str(error)
        if injected and needs_holder(fault):
            held = holder.look() if holder is not None else None
            reading |= {"holder": held is not None, "held": held or {}}
        # Taken last: what is counted of ours is then surely among it.
        reading["own"] = self._watch.own_hellos()[1]
        return reading

    def effect(self, fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
        return packets_effect(fault, before, during)

    def revert(self, undo: Undo) -> None:
        """First nothing more is taken, then what is held goes on, and then the rules go: the kernel drops
        everything that is held when a chain goes."""
        table, namespace = undo["mark"], undo["namespace"]
        ours = self._tables(undo)
        if ours:
            nft(namespace, ["-f", "-"], "".join(f"flush set {family} {table} targets\n" for family in ours))
        with self._lock:
            holder = self._holders.pop(table, None)
        if holder is not None:
            holder.close()
        for pid in holders(table).get(table, ()):
            end_holder(pid)
        if ours:
            nft(namespace, ["-f", "-"], "".join(f"delete table {family} {table}\n" for family in ours))

    def verify(self, undo: Undo) -> bool:
        return not self._tables(undo) and undo["mark"] not in holders(undo["mark"])

    def describe(self, undo: Undo) -> str:
        where = f" in the namespace {undo['namespace']}" if undo["namespace"] else ""
        return f"the fault on packets {undo['mark']}{where}"

    def scan(self, place: str) -> list[Undo]:
        """place: empty. Without the right to have made any, nothing is looked for."""
        if place or missing_right(None):
            return []
        found: dict[str, Undo] = {name: self._found(name, None) for name in holders(MARK) if name != _TRIAL}
        for namespace in (None, *([] if missing_right("any") else namespaces())):
            try:
                names = [name for _, name in tables(namespace) if name.startswith(MARK)]
            except BackendError:
                continue  # without nft there are none, and what is no namespace has none
            found |= {name: self._found(name, namespace) for name in names}
        return list(found.values())

    def _holder(self, fault: Fault, table: str, namespace: str | None) -> HolderProcess | None:
        """The living process for this fault, started if need be; None: it needs none. Under the lock."""
        if not needs_holder(fault):
            return None
        holder = self._holders.get(table)
        if holder is None or not holder.lives:
            holder = self._holders[table] = HolderProcess(table, namespace)
        return holder

    def _found(self, name: str, namespace: str | None) -> Undo:
        return {"backend": self.name, "mark": name, "namespace": namespace}

    def _tables(self, undo: Undo) -> list[str]:
        """The families of our tables that are there. Raises BackendError when it cannot be told."""
        if not has_namespace(undo["namespace"]):
            return []  # they went with it
        if right := missing_right(undo["namespace"]):
            raise BackendError(f"{self.describe(undo)} cannot be looked at without {right}; run as root")
        return [family for family, name in tables(undo["namespace"]) if name == undo["mark"]]


def _scope(target: Target) -> Scope:
    """Names are looked up now. Raises BackendError."""
    assert target.addresses is not None
    addresses: list[tuple[str, int]] = []
    for address in target.addresses:
        host, _, port = address.rpartition(":")
        addresses += [(found, int(port)) for found in resolve(host.strip("[]"))]
    peers = None
    if target.peers is not None:
        peers = tuple(sorted({found for peer in target.peers for found in resolve(peer)}))
    for host in (*(host for host, _ in addresses), *(peers or ())):
        if ip_address(host).is_unspecified:
            raise BackendError(f"{host} is every address; give those that are meant")
    scope = Scope(tuple(sorted(set(addresses))), peers)
    if not scope.families:
        raise BackendError(
            "its addresses and its peers have no family in common: one is IPv4, the other IPv6"
        )
    return scope


def _table_name(name: str) -> str:
    """As nftables takes it."""
    if re.fullmatch(r"[a-z][A-Za-z0-9._-]*", name, re.ASCII):
        return name
    return MARK + hashlib.sha256(name.encode()).hexdigest()[:16]
