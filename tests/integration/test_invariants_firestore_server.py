"""The Firestore of our tests, asked by Google's own client as it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import firestore
from google.cloud.firestore_v1 import types

from tests.servers.firestore import FirestoreServer

WAIT_S = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[FirestoreServer]:
    with FirestoreServer() as running:
        yield running


@pytest.fixture
def client(server: FirestoreServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[firestore.Client]:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", server.host)
    made = firestore.Client(project="shop")
    for path in made.collection("orders").list_documents():
        path.delete()
    yield made
    made.close()


def test_documents_are_written_changed_and_deleted(client: firestore.Client) -> None:
    order = client.collection("orders").document("a")
    order.set({"items": {"paid": [1]}, "total": 2, "note": "x"})
    order.update({"items.paid": firestore.ArrayUnion([1, 2]), "total": firestore.Increment(3)})
    order.update({"items.sent": True, "note": firestore.DELETE_FIELD, "best": firestore.Maximum(7)})
    order.set({"at": firestore.SERVER_TIMESTAMP}, merge=True)
    found = order.get()
    assert found.get("at") == found.update_time > found.create_time
    assert found.to_dict() == {
        "items": {"paid": [1, 2], "sent": True},
        "total": 5,
        "best": 7,
        "at": found.update_time,
    }
    order.update({"items.paid": firestore.ArrayRemove([1]), "total": firestore.Increment(0.5)})
    assert (order.get().get("items.paid"), order.get().get("total")) == ([2], 5.5)
    order.delete()
    assert not order.get().exists


def test_preconditions_are_kept_and_a_batch_is_all_or_nothing(client: firestore.Client) -> None:
    orders = client.collection("orders")
    orders.document("a").create({"n": 1})
    with pytest.raises(exceptions.AlreadyExists):
        orders.document("a").create({"n": 2})
    with pytest.raises(exceptions.NotFound):
        orders.document("b").update({"n": 2})
    old = orders.document("a").get().update_time
    orders.document("a").set({"n": 3})
    with pytest.raises(exceptions.FailedPrecondition):
        orders.document("a").update({"n": 4}, option=client.write_option(last_update_time=old))
    batch = client.batch()
    batch.set(orders.document("c"), {"n": 5})
    batch.update(orders.document("b"), {"n": 6})
    with pytest.raises(exceptions.NotFound):
        batch.commit()
    assert {each.id: each.to_dict() for each in orders.stream()} == {"a": {"n": 3}}


def test_queries(client: firestore.Client) -> None:
    orders = client.collection("orders")
    for number, name in enumerate("abcde"):
        orders.document(name).set({"n": number, "tags": [number % 2], "even": number % 2 == 0})
    orders.document("f").set({"n": "text"})
    orders.document("a").collection("parts").document("x").set({"n": 1})
    where = firestore.FieldFilter

    def names(query: firestore.Query) -> str:
        return "".join(each.id for each in query.stream())

    assert names(orders) == "abcdef"
    assert names(orders.where(filter=where("n", ">=", 1)).order_by("n", "DESCENDING").limit(3)) == "edc"
    assert names(orders.order_by("n").offset(4)) == "ef"
    assert names(orders.where(filter=where("n", "in", [0, 3]))) == "ad"
    assert names(orders.where(filter=where("tags", "array_contains", 1))) == "bd"
    both = firestore.And([where("even", "==", True), where("n", ">", 1)])
    assert names(orders.where(filter=both)) == "ce"
    (shown,) = orders.where(filter=where("n", "==", 2)).select(["even"]).stream()
    assert shown.to_dict() == {"even": True}
    with pytest.raises(exceptions.MethodNotImplemented):
        names(orders.order_by("n").start_at({"n": 1}))


def test_no_increment_of_concurrent_transactions_is_lost(client: firestore.Client) -> None:
    counter = client.collection("orders").document("counter")
    counter.set({"n": 0})
    done: list[int] = []
    gave_up: list[str] = []

    def increment(transaction: firestore.Transaction) -> int:
        number = counter.get(transaction=transaction).get("n")
        transaction.set(counter, {"n": number + 1})
        return int(number)

    def work() -> None:
        for _ in range(10):
            try:
                done.append(firestore.transactional(increment)(client.transaction()))
            except ValueError as error:  # others were in the way each time
                gave_up.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert sorted(done) == list(range(counter.get().get("n")))
    assert len(done) + len(gave_up) == 40
    assert set(gave_up) <= {"Failed to commit transaction in 5 attempts."}
    assert len(done) >= 10  # of those that are in each other's way, one gets through


@pytest.mark.parametrize("changed", ["the document read", "a document that was not there", "the collection"])
def test_a_transaction_is_aborted_when_what_it_read_was_changed(
    client: firestore.Client, changed: str
) -> None:
    orders, tries = client.collection("orders"), []
    orders.document("a").set({"n": 1})

    @firestore.transactional
    def work(transaction: firestore.Transaction) -> None:
        if changed == "the collection":
            found = len(list(orders.stream(transaction=transaction)))
        elif changed == "the document read":
            found = orders.document("a").get(transaction=transaction).get("n")
        else:
            found = int(orders.document("b").get(transaction=transaction).exists)
        tries.append(found)
        if len(tries) == 1:
            orders.document("a" if changed == "the document read" else "b").set({"n": 2})
        transaction.set(orders.document("result"), {"found": found})

    work(client.transaction())
    assert tries == ([0, 1] if changed == "a document that was not there" else [1, 2])
    assert orders.document("result").get().get("found") == tries[-1]


def test_a_transaction_that_nobody_disturbs_is_tried_once(
    client: firestore.Client, server: FirestoreServer
) -> None:
    orders = client.collection("orders")
    orders.document("a").set({"n": 1})
    del server.calls[:]

    @firestore.transactional
    def work(transaction: firestore.Transaction) -> None:
        orders.document("a").get(transaction=transaction)
        orders.document("b").set({"n": 2})
        transaction.set(orders.document("a"), {"n": 3})

    work(client.transaction())
    assert server.calls == ["BeginTransaction", "BatchGetDocuments", "Commit", "Commit"]


def test_a_transaction_reads_one_instant_and_leaves_nothing_when_rolled_back(
    client: firestore.Client,
) -> None:
    orders = client.collection("orders")
    orders.document("a").set({"n": 1})

    @firestore.transactional
    def read(transaction: firestore.Transaction) -> list[int]:
        first = orders.document("a").get(transaction=transaction).get("n")
        for name in "ab":
            orders.document(name).set({"n": 2})
        again = orders.document("a").get(transaction=transaction).get("n")
        return [first, again, len(list(orders.stream(transaction=transaction)))]

    assert read(client.transaction(read_only=True)) == [1, 1, 1]

    @firestore.transactional
    def fail(transaction: firestore.Transaction) -> None:
        transaction.set(orders.document("a"), {"n": 3})
        raise KeyError("no")

    with pytest.raises(KeyError):
        fail(client.transaction())
    assert orders.document("a").get().get("n") == 2


def test_what_is_over_cannot_be_used_again(client: firestore.Client, server: FirestoreServer) -> None:
    channel = grpc.insecure_channel(server.host)
    begin, commit = (
        channel.unary_unary(
            f"/google.firestore.v1.Firestore/{method}",
            request_serializer=getattr(types, f"{method}Request").serialize,
            response_deserializer=getattr(types, f"{method}Response").deserialize,
        )
        for method in ("BeginTransaction", "Commit")
    )
    database = "projects/shop/databases/(default)"
    token = begin(types.BeginTransactionRequest(database=database), timeout=WAIT_S).transaction
    request = types.CommitRequest(database=database, transaction=token)
    commit(request, timeout=WAIT_S)
    with pytest.raises(grpc.RpcError) as caught:
        commit(request, timeout=WAIT_S)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    channel.close()
