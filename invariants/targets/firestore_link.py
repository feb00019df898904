"""One connection to Firestore, and what its answers mean: needs the extra `firestore`.

Nothing is written before a commit, so all that fails earlier is Refused. A commit is sent once: Google's
client would send it again by itself when the connection breaks, and nobody could tell then what an error
says about the first one.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import grpc
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError
from google.cloud.firestore_v1 import types
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport
from grpc import StatusCode
from grpc.experimental import gevent as grpc_gevent

from invariants.machine import NoAnswer, Refused, TargetDown

SERVICE = "firestore.googleapis.com"
ATTEMPTS = 5
"""So often a transaction is tried that others are in the way of, as Google's own clients do."""

CERTAIN = frozenset(
    {
        StatusCode.ABORTED,
        StatusCode.ALREADY_EXISTS,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.NOT_FOUND,
        StatusCode.PERMISSION_DENIED,
    }
)
"""What the service answers to a commit that it did not carry out. The others may also come from the way."""

_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),  # a TCP connection of its own
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),  # usual is 1 s, and more each time: a link that
    ("grpc.max_reconnect_backoff_ms", 500),  # is healed would look broken for long
]
_FIELD = "value"
_MOST_WRITES = 500


class Aborted(Refused):
    """Another transaction was in the way."""


class Link:
    """The documents of one collection, each with one whole number. For one thread.

    host: of an emulator, without TLS; None: Google's service, with the credentials of the environment.
    database: `projects/<project>/databases/<database>`. Raises TargetDown: there are no credentials.
    """

    def __init__(self, host: str | None, database: str, collection: str, answer_limit_s: float) -> None:
        _fit_for_gevent()
        try:
            self._channel = (
                grpc.insecure_channel(host, _OPTIONS)
                if host
                else FirestoreGrpcTransport.create_channel(SERVICE, options=_OPTIONS)
            )
        except GoogleAuthError as error:
            raise TargetDown(
                f"{SERVICE} needs credentials, and an emulator FIRESTORE_EMULATOR_HOST: {error}"
            ) from None
        transport = FirestoreGrpcTransport(host=host or SERVICE, channel=self._channel)
        self._api = FirestoreClient(transport=transport)
        self._database, self._collection = database, collection
        self._limit_s = answer_limit_s
        # The owner is above the rules that an emulator may have.
        self._metadata = [("google-cloud-resource-prefix", database)]
        self._metadata += [("authorization", "Bearer owner")] if host else []

    def close(self) -> None:
        self._channel.close()

    def get(self, names: Sequence[str], transaction: bytes = b"") -> dict[str, int | None]:
        """None for what is not there. In a transaction, or else all at one instant. Raises Refused."""
        request = types.BatchGetDocumentsRequest(
            database=self._database, documents=[self._path(name) for name in dict.fromkeys(names)]
        )
        if transaction:
            request.transaction = transaction
        else:
            request.new_transaction = types.TransactionOptions(read_only=types.TransactionOptions.ReadOnly())
        found: dict[str, int | None] = {}
        with _nothing_happens():
            for answer in self._api.batch_get_documents(
                request, retry=None, timeout=self._limit_s, metadata=self._metadata
            ):
                if answer.missing:
                    found[_name(answer.missing)] = None
                elif answer.found.name:
                    found[_name(answer.found.name)] = answer.found.fields[_FIELD].integer_value
        lacking = [name for name in names if name not in found]
        if lacking:
            raise Refused(f"nothing was said of {', '.join(lacking)}")
        return found

    def transact(self, work: Callable[[bytes], Mapping[str, int] | None]) -> bool:
        """Writes what `work` gives for the transaction, in which it may `get`; it is called anew when others
        were in the way. False: it gave None, so nothing was done. Raises Refused, NoAnswer."""
        aborted, why = b"", Aborted()
        for _ in range(ATTEMPTS):
            transaction = self._begin(aborted)
            try:
                values = work(transaction)
                if values is not None:
                    self._commit([self._write(*each) for each in values.items()], transaction)
                    return True
            except Aborted as error:
                aborted, why = transaction, error
            except Refused:
                self._roll_back(transaction)
                raise
            else:
                self._roll_back(transaction)
                return False
        self._roll_back(aborted)
        raise why

    def delete_all(self) -> None:
        """Raises Refused, NoAnswer."""
        parent, _, collection = self._path("").rstrip("/").rpartition("/")
        request = types.ListDocumentsRequest(parent=parent, collection_id=collection)
        with _nothing_happens():
            pages = self._api.list_documents(
                request, retry=None, timeout=self._limit_s, metadata=self._metadata
            )
            paths = [document.name for document in pages]
        for start in range(0, len(paths), _MOST_WRITES):
            self._commit([types.Write(delete=path) for path in paths[start : start + _MOST_WRITES]], b"")

    def _begin(self, aborted: bytes) -> bytes:
        mode = types.TransactionOptions.ReadWrite(retry_transaction=aborted)
        request = types.BeginTransactionRequest(
            database=self._database, options=types.TransactionOptions(read_write=mode)
        )
        with _nothing_happens():
            begun = self._api.begin_transaction(
                request, retry=None, timeout=self._limit_s, metadata=self._metadata
            )
        return bytes(begun.transaction)

    def _commit(self, writes: Iterable[types.Write], transaction: bytes) -> None:
        request = types.CommitRequest(database=self._database, writes=writes, transaction=transaction)
        try:
            self._api.commit(request, retry=None, timeout=self._limit_s, metadata=self._metadata)
        except GoogleAPICallError as error:
            if error.grpc_status_code in CERTAIN:
                raise _refused(error) from None
            raise NoAnswer(f"no answer to Commit: {_said(error)}") from None

    def _roll_back(self, transaction: bytes) -> None:
        """The service ends by itself what it is not told of, after a minute."""
        request = types.RollbackRequest(database=self._database, transaction=transaction)
        with suppress(GoogleAPICallError):
            self._api.rollback(request, retry=None, timeout=self._limit_s, metadata=self._metadata)

    def _write(self, name: str, value: int) -> types.Write:
        fields = {_FIELD: types.Value(integer_value=value)}
        return types.Write(update=types.Document(name=self._path(name), fields=fields))

    def _path(self, name: str) -> str:
        return f"{self._database}/documents/{self._collection}/{name}"


@contextmanager
def _nothing_happens() -> Iterator[None]:
    """For requests that change nothing: whatever fails did not happen."""
    try:
        yield
    except GoogleAPICallError as error:
        raise _refused(error) from None


def _refused(error: GoogleAPICallError) -> Refused:
    return (Aborted if error.grpc_status_code is StatusCode.ABORTED else Refused)(_said(error))


def _said(error: GoogleAPICallError) -> str:
    code = error.grpc_status_code
    return f"{code.name if code else type(error).__name__}: {error.message}"


def _name(path: str) -> str:
    return path.rpartition("/")[2]


@functools.cache
def _fit_for_gevent() -> None:
    """Where gevent stands in for the standard library, as in a Locust user, gRPC would stop the process."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("socket"):
        grpc_gevent.init_gevent()
