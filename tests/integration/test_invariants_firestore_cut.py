"""A link to Firestore that is cut in the middle of a transaction: all of it is there, or nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

import chaos_locust
from bench.ports import free_port
from invariants import StateInvariant
from invariants.checkers.atomic import TransactionAtomicity
from invariants.history import History, Operation
from invariants.machine import NoAnswer, Refused
from invariants.result import Result
from invariants.targets.firestore import FirestoreTarget, FirestoreTransactions
from tests.servers.firestore import FirestoreServer
from tests.servers.firestore_twins import WrittenOneByOne

from .proxied_target import wait_for

LIMIT_S = 60.0
VALUES = {"first": 1, "second": 2, "third": 3}


@pytest.fixture
def server() -> Iterator[FirestoreServer]:
    with FirestoreServer() as running:
        yield running


@dataclass
class Link:
    """A proxy before the server, which is reached by `host`."""

    host: str
    proxy_api: str

    def fault(self, kind: str, **keys: Any) -> chaos_locust.Injection:
        targets = {"link": {"proxy": "link"}}
        return chaos_locust.inject(kind, target="link", targets=targets, proxy_api=self.proxy_api, **keys)

    def plan(self, kind: str, **keys: Any) -> dict[str, Any]:
        fault = {"name": "cut", "kind": kind, "target": "link", "at": "0s", "for": "30s", **keys}
        targets = {"link": {"proxy": "link"}}
        return {"name": "cuts", "proxy_api": self.proxy_api, "targets": targets, "faults": [fault]}


@pytest.fixture
def link(server: FirestoreServer) -> Iterator[Link]:
    port = free_port()
    api = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "chaos_locust.proxy", "-host", "127.0.0.1", "-port", str(port)]
    command.append("-proxy-metrics")
    proxy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def made() -> str | None:
        body = json.dumps({"name": "link", "listen": "127.0.0.1:0", "upstream": server.host}).encode()
        try:
            with urllib.request.urlopen(f"{api}/proxies", body, timeout=LIMIT_S) as reply:
                return str(json.load(reply)["listen"])
        except urllib.error.URLError:
            return None

    try:
        listening: list[str] = []
        wait_for(lambda: listening or listening.extend(filter(None, [made()])), "the proxy")
        yield Link(listening[0], api)
    finally:
        proxy.kill()
        proxy.wait(LIMIT_S)


def outcome_of(call: Callable[[], object]) -> str:
    try:
        call()
    except Refused:
        return "fail"
    except NoAnswer:
        return "info"
    return "ok"


def judged(outcome: str, read: dict[str, int | None]) -> tuple[str, ...]:
    """The anomalies that the checker finds in one transaction of VALUES and one read after it."""
    end_s = float("inf") if outcome == "info" else 1.0
    transaction = Operation("0", 0, "transaction", None, VALUES, outcome, None, 0.0, end_s)  # type: ignore[arg-type]
    seen = Operation("1", 0, "read", None, None, "ok", read, 2.0, 3.0)
    return tuple(
        each.anomaly for each in TransactionAtomicity().check(History((transaction, seen))).violations
    )


@pytest.mark.parametrize(
    ("when", "outcome", "there"),
    [
        ("before the beginning is answered", "fail", False),
        ("before the commit is sent", "info", False),
        ("before the commit is done", "info", True),
        ("before the commit is answered", "info", True),
    ],
)
def test_a_link_cut_in_a_transaction_leaves_all_or_nothing(
    server: FirestoreServer, link: Link, when: str, outcome: str, there: bool
) -> None:
    client = FirestoreTransactions("shop", host=link.host, answer_limit_s=LIMIT_S).connect("cut")
    client.read(["first"])  # the connection is there when it is cut
    with ExitStack() as faults:
        is_cut = threading.Event()

        def cut() -> None:
            faults.enter_context(link.fault("down"))
            is_cut.set()

        def work(transaction: bytes) -> dict[str, int]:
            if when == "before the commit is sent":
                cut()
            return VALUES

        match when:
            case "before the beginning is answered":
                server.after["BeginTransaction"] = cut
            case "before the commit is done":
                server.before["Commit"] = cut
            case "before the commit is answered":
                server.after["Commit"] = cut
        told = outcome_of(lambda: client.link.transact(work))
        client.close()
        assert is_cut.wait(LIMIT_S)
    read = FirestoreTransactions("shop", host=server.host).connect("cut").read(list(VALUES))
    assert told == outcome
    assert read == (VALUES if there else dict.fromkeys(VALUES))
    assert judged(told, read) == ()


def test_a_link_cut_between_two_writes_of_a_twin_leaves_half(server: FirestoreServer, link: Link) -> None:
    client = WrittenOneByOne("shop", host=link.host, answer_limit_s=LIMIT_S).connect("cut")
    with ExitStack() as faults:
        is_cut = threading.Event()

        def cut_after_the_first() -> None:
            if server.calls.count("Commit") == 1:
                faults.enter_context(link.fault("down"))
                is_cut.set()

        server.after["Commit"] = cut_after_the_first
        told = outcome_of(lambda: client.transaction(VALUES))
        client.close()
        assert is_cut.wait(LIMIT_S)
    read = WrittenOneByOne("shop", host=server.host).connect("cut").read(list(VALUES))
    assert read == {"first": 1, "second": None, "third": None}
    assert judged(told, read) == ("half seen",)


def test_transactions_hold_while_connections_are_cut_and_the_fault_makes_the_twin_fail(link: Link) -> None:
    """One lane, in which nothing is seen half done unless the link is cut in the middle."""
    plan = link.plan("limit", bytes="1KB")

    def search(target: FirestoreTarget, iterations: int) -> Result:
        made = StateInvariant.transactions_are_atomic(target).with_kept_in(None).with_faults(plan)
        return made.with_seed(2).with_steps(16).with_iterations(iterations).with_budget("40s").verify()

    right = search(FirestoreTransactions("shop", host=link.host), 10)
    assert right.passed, (right.violations, right.inconclusive)
    met = {outcome for state, _, outcome in right.code_paths_exercised if state == "cut"}
    assert met & {"fail", "info"}, right.code_paths_exercised
    twin = search(WrittenOneByOne("shop", host=link.host), 100)
    assert twin.outcome == "DEVIATED"
    assert twin.violations[0].necessary_faults == ("cut",)
