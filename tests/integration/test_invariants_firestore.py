"""Firestore as a target: transactions and registers hold, and their twins are caught."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.ports import free_port
from chaos_locust.errors import ChaosError
from invariants import StateInvariant
from invariants.bindings import InvalidTarget
from invariants.catalogue import machine_of
from invariants.draw import drawn
from invariants.machine import NoAnswer, Refused, TargetDown
from invariants.runner import Runner
from invariants.targets.firestore import FirestoreRegisters, FirestoreTarget, FirestoreTransactions, bindings
from tests.servers.firestore import FirestoreServer
from tests.servers.firestore_twins import OneByOne, ReadOutside, WrittenOneByOne
from tests.servers.firestore_writes import Write

ATOMIC, REGISTERS = "transactions_are_atomic", "registers_are_linearizable"
ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0


@pytest.fixture
def server() -> Iterator[FirestoreServer]:
    with FirestoreServer() as running:
        yield running


@pytest.mark.parametrize(
    ("target", "name"), [(FirestoreTransactions, ATOMIC), (FirestoreRegisters, REGISTERS)]
)
@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 10), marks=pytest.mark.long)], ids=str)
def test_the_right_way_holds_with_ten_seeds(
    server: FirestoreServer, target: type[FirestoreTarget], name: str, seeds: range
) -> None:
    for seed in seeds:
        search = StateInvariant.named(name, target("shop", host=server.host)).with_kept_in(None)
        result = search.with_seed(seed).with_concurrency(4).with_iterations(20).verify()
        assert result.passed, (seed, result.violations, result.inconclusive)
        assert result.told >= 10
        assert {kind for _, kind, outcome in result.code_paths_exercised if outcome == "ok"} >= {"read"}
    assert not server.store.collection(
        "projects/shop/databases/(default)/documents", "", server.store.now_us()
    )


@pytest.mark.parametrize(
    ("twin", "name"), [(OneByOne, ATOMIC), (WrittenOneByOne, ATOMIC), (ReadOutside, REGISTERS)]
)
@pytest.mark.parametrize("seeds", [range(4), pytest.param(range(4, 20), marks=pytest.mark.long)], ids=str)
def test_a_twin_without_transactions_is_caught_with_twenty_of_twenty_seeds(
    server: FirestoreServer, twin: type[FirestoreTarget], name: str, seeds: range
) -> None:
    machine, target = machine_of(name), twin("shop", host=server.host)

    def caught(seed: int) -> bool:
        """Within the iterations, steps and lanes that a search has by itself."""
        runner = Runner(lambda scope: machine(target, scope), None, f"seed{seed}", LIMIT_S)
        sequences = itertools.islice(drawn(machine(target), 10, 4, (), seed), 100)
        return any(runner.run(steps).checked.violations for steps in sequences)

    assert [seed for seed in seeds if not caught(seed)] == []


def test_what_is_found_is_told_with_its_shortest_steps_and_a_test_file(server: FirestoreServer) -> None:
    search = StateInvariant.transactions_are_atomic(WrittenOneByOne("shop", host=server.host))
    result = search.with_kept_in(None).with_concurrency(4).with_seed(1).with_budget("20s").verify()
    (found,) = result.violations
    assert "a part of a transaction was seen" in found.title
    assert {step.rule for step in found.steps} == {"transaction", "read"}
    text = found.to_pytest()
    compile(text, "test_found.py", "exec")
    assert "from tests.servers.firestore_twins import WrittenOneByOne" in text
    assert f"TARGET = WrittenOneByOne(project='shop', database='(default)', host='{server.host}'" in text


def test_a_transaction_that_is_always_disturbed_is_refused_after_five_tries(server: FirestoreServer) -> None:
    target = FirestoreRegisters("shop", host=server.host)
    client = target.connect("busy")
    path = "projects/shop/databases/(default)/documents/chaos-locust-busy/x"

    def disturb() -> None:
        server.store.commit([Write(delete=path)], b"")

    server.before["Commit"] = disturb
    with pytest.raises(Refused, match="ABORTED: Too much contention"):
        client.cas("x", None, 1)
    assert server.calls.count("BeginTransaction") == server.calls.count("Commit") == 5
    server.before.clear()
    assert client.cas("x", None, 1)
    assert not client.cas("x", None, 2)
    assert client.read("x") == 1
    client.close()


def test_an_answer_that_comes_too_late_is_none_where_something_may_have_happened(
    server: FirestoreServer,
) -> None:
    target, released = FirestoreTransactions("shop", host=server.host, answer_limit_s=2.0), threading.Event()
    client = target.connect("late")
    client.read(["first"])

    def hold() -> None:
        released.wait(LIMIT_S)

    server.after["Commit"] = hold
    with pytest.raises(NoAnswer, match="no answer to Commit: DEADLINE_EXCEEDED"):
        client.transaction({"first": 1})
    server.before["BeginTransaction"] = server.before["BatchGetDocuments"] = hold
    with pytest.raises(Refused, match="DEADLINE_EXCEEDED"):
        client.transaction({"first": 2})
    with pytest.raises(Refused, match="DEADLINE_EXCEEDED"):
        client.read(["first"])
    released.set()
    client.close()
    assert target.connect("late").read(["first", "none"]) == {"first": 1, "none": None}


def test_a_sequence_leaves_no_documents(server: FirestoreServer) -> None:
    target = FirestoreTransactions("shop", host=server.host)
    for scope in ("one", "other"):
        client = target.connect(scope)
        client.transaction({f"n{number}": number for number in range(620)})
        client.close()
    target.forget("one")
    names = [f"n{number}" for number in (0, 619)]
    assert target.connect("one").read(names) == dict.fromkeys(names)
    assert target.connect("other").read(names) == {"n0": 0, "n619": 619}


def test_where_nothing_answers_nothing_is_said() -> None:
    host = f"127.0.0.1:{free_port()}"
    result = StateInvariant.transactions_are_atomic(FirestoreTransactions("shop", host=host)).verify()
    assert result.outcome == "INCONCLUSIVE"
    assert f"Firestore at {host}, project shop does not answer: UNAVAILABLE" in result.inconclusive


def test_the_service_without_credentials_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("FIRESTORE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(TargetDown, match=r"firestore\.googleapis\.com needs credentials"):
        FirestoreTransactions("shop").check()


def test_the_emulator_of_the_environment_is_asked(
    server: FirestoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", server.host)
    bound = bindings("firestore://shop/second")
    assert set(bound) == {ATOMIC, REGISTERS}
    client = bound[ATOMIC].target.connect("env")
    client.transaction({"a": 1})
    client.close()
    now_us, parent = server.store.now_us(), "projects/shop/databases/second/documents"
    assert len(server.store.collection(parent, "chaos-locust-env", now_us)) == 1
    assert bindings("firestore://shop")[REGISTERS].target == FirestoreRegisters("shop", "(default)")


@pytest.mark.parametrize(
    "url", ["firestore://", "firestore:///x", "firestore://a/b/c", "firestore://u:p@a", "x://a"]
)
def test_a_url_that_names_no_database_is_refused(url: str) -> None:
    with pytest.raises(InvalidTarget, match="give firestore://PROJECT or firestore://PROJECT/DATABASE"):
        bindings(url)


def test_a_missing_extra_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "invariants.targets.firestore_link", raising=False)
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(ChaosError, match=r"pip install 'chaos-locust\[firestore\]'"):
        FirestoreTransactions("shop", host="127.0.0.1:1").check()


UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from invariants.targets.firestore import FirestoreTransactions

target = FirestoreTransactions("shop", host=sys.argv[1], answer_limit_s=30)
one, other = target.connect("one"), target.connect("other")
waiting = gevent.spawn(one.transaction, {"a": 1})  # is answered only when the other has read meanwhile
while not waiting.ready():
    other.read(["a"])
waiting.get()
print(one.read(["a"]))
"""


def test_in_a_process_that_gevent_patched_one_call_does_not_stop_the_others(server: FirestoreServer) -> None:
    read = threading.Event()

    def hold() -> None:
        read.wait(LIMIT_S)

    server.before["Commit"] = hold
    server.before["BatchGetDocuments"] = lambda: read.set() if "Commit" in server.calls else None
    command = [sys.executable, "-c", UNDER_GEVENT, server.host]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT_S, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "{'a': 1}\n"
