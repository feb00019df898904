"""A small server that speaks google.firestore.v1 by gRPC, so that Google's own client works with it.

Known are transactions, documents and queries over one collection; whatever else is asked for is answered
with UNIMPLEMENTED, and never with a guess. Everything is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import grpc
from google.cloud.firestore_v1 import types
from google.protobuf.empty_pb2 import Empty

from .firestore_queries import selected
from .firestore_store import Store, Transaction
from .firestore_writes import Refusal

THREADS = 32
Hook = Callable[[], None]


class FirestoreServer:
    """Serves for the time of a `with` block.

    before, after: what is done when a request of that method has come, and when its answer is ready but not
    yet sent. calls: the methods that were called, in order.
    """

    def __init__(self) -> None:
        self.store = Store()
        self.before: dict[str, Hook] = {}
        self.after: dict[str, Hook] = {}
        self.calls: list[str] = []

    def __enter__(self) -> Self:
        self._threads = ThreadPoolExecutor(THREADS)
        self._server = grpc.server(self._threads)
        one, many = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    "google.firestore.v1.Firestore",
                    {
                        "BeginTransaction": one(*self._served("BeginTransaction", self._begin)),
                        "Commit": one(*self._served("Commit", self._commit)),
                        "Rollback": one(*self._served("Rollback", self._rollback)),
                        "GetDocument": one(*self._served("GetDocument", self._get)),
                        "ListDocuments": one(*self._served("ListDocuments", self._list)),
                        "BatchGetDocuments": many(*self._streamed("BatchGetDocuments", self._batch_get)),
                        "RunQuery": many(*self._streamed("RunQuery", self._query)),
                    },
                )
            ]
        )
        self.host = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(grace=None).wait()
        self._threads.shutdown()

    def _served(self, method: str, answer: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
        """(the handler, how its request is read, how its answer is written)"""

        def handle(request: Any, context: grpc.ServicerContext) -> Any:
            self.calls.append(method)
            self.before.get(method, _nothing)()
            try:
                made = answer(request)
            except Refusal as refusal:
                context.abort(refusal.code, refusal.detail)
            self.after.get(method, _nothing)()
            return made

        read = getattr(types, f"{method}Request").pb().FromString
        return handle, read, lambda message: message.SerializeToString()

    def _streamed(self, method: str, answer: Callable[[Any], list[Any]]) -> tuple[Any, Any, Any]:
        handle, read, write = self._served(method, answer)

        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            yield from handle(request, context)

        return stream, read, write

    def _begin(self, request: Any) -> Any:
        return types.BeginTransactionResponse.pb()(transaction=self._begun(request.options).token)

    def _begun(self, options: Any) -> Transaction:
        only = options.read_only
        read_us = only.read_time.ToMicroseconds() if only.HasField("read_time") else None
        instead_of = options.read_write.retry_transaction
        return self.store.begin(options.WhichOneof("mode") == "read_only", read_us, instead_of)

    def _commit(self, request: Any) -> Any:
        time_us, results = self.store.commit(request.writes, request.transaction)
        response = types.CommitResponse.pb()(write_results=results)
        response.commit_time.FromMicroseconds(time_us)
        return response

    def _rollback(self, request: Any) -> Any:
        self.store.rollback(request.transaction)
        return Empty()

    def _get(self, request: Any) -> Any:
        document = _View(self, request).document(request.name)
        if document is None:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"Document not found: {request.name}")
        return document

    def _list(self, request: Any) -> Any:
        """Pages go by name; the token is the last one that was given."""
        if request.order_by:
            raise Refusal(grpc.StatusCode.UNIMPLEMENTED, "this server does not know order_by")
        found = _View(self, request).collection(request.parent, request.collection_id)
        found = [each for each in found if each.name > request.page_token]
        page = found[: request.page_size] if request.page_size else found
        token = page[-1].name if len(page) < len(found) else ""
        return types.ListDocumentsResponse.pb()(documents=page, next_page_token=token)

    def _batch_get(self, request: Any) -> list[Any]:
        view, answers = _View(self, request), []
        for name in dict.fromkeys(request.documents):
            document = view.document(name)
            answer = types.BatchGetDocumentsResponse.pb()()
            if document is None:
                answer.missing = name
            else:
                answer.found.CopyFrom(document)
            answers.append(answer)
        return view.stamped(answers or [types.BatchGetDocumentsResponse.pb()()])

    def _query(self, request: Any) -> list[Any]:
        """Without documents there is one answer, which tells the time."""
        query = request.structured_query
        (asked,) = query.from_
        if asked.all_descendants:
            raise Refusal(grpc.StatusCode.UNIMPLEMENTED, "this server does not know all_descendants")
        view, response = _View(self, request), types.RunQueryResponse.pb()
        found = selected(query, view.collection(request.parent, asked.collection_id))
        return view.stamped([response(document=each) for each in found] or [response()])


class _View:
    """The documents as one request sees them: at one time, and as reads of its transaction if it has one."""

    def __init__(self, server: FirestoreServer, request: Any) -> None:
        self._store, self._transaction, self._new = server.store, None, b""
        match request.WhichOneof("consistency_selector"):
            case "transaction":
                self._transaction = self._store.transaction(request.transaction)
            case "new_transaction":
                self._transaction = server._begun(request.new_transaction)
                self._new = self._transaction.token
            case "read_time":
                self._at_us = request.read_time.ToMicroseconds()
            case _:
                self._at_us = self._store.now_us()
        if self._transaction is not None:
            self._at_us = self._transaction.read_us

    def document(self, name: str) -> Any | None:
        if self._transaction is not None:
            self._transaction.names.add(name)
        return self._store.document(name, self._at_us)

    def collection(self, parent: str, collection: str) -> list[Any]:
        if self._transaction is not None:
            self._transaction.collections.add((parent, collection))
        return self._store.collection(parent, collection, self._at_us)

    def stamped(self, answers: list[Any]) -> list[Any]:
        """With the time of reading, and the first one with the transaction that was begun."""
        answers[0].transaction = self._new
        for answer in answers:
            answer.read_time.FromMicroseconds(self._at_us)
        return answers


def _nothing() -> None:
    pass
