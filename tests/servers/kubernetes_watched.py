"""The small API server, with watches: what is changed is told to whoever watches, and it can be in trouble.

with WatchedApi(folder) as api:
    api.add("pods", pod("a"))
    api.tell("MODIFIED", "pods", pod("a", ready=False))
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.servers.kubernetes_api import Answer, FakeApi, kubeconfig

GONE = {"kind": "Status", "code": 410, "message": "too old resource version"}

Json = dict[str, Any]


class WatchedApi(FakeApi):
    """kubeconfig: the path of one that leads to it. watches: how often each plural has been watched.
    hanging: while it is set, whoever asks gets no answer, and watches say nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._port = found.getsockname()[1]
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(kubeconfig(f"http://127.0.0.1:{self._port}")))
        self.kubeconfig = str(path)
        self.watches: dict[str, int] = {}
        self.hanging = threading.Event()
        self._watching: list[tuple[str, queue.Queue[Json | None]]] = []
        self._version = 1
        self._told: list[tuple[int, str, Json]] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hanging.clear()
        self.stop()

    def start(self) -> None:
        """At the same port as before."""
        self._server = _server(self, self._port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Every connection breaks off, and nobody listens any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for _, events in self._watching:
            events.put(None)

    def tell(self, event: str, plural: str, body: Json) -> None:
        """ADDED, MODIFIED or DELETED: the object is so from now on."""
        self._version += 1
        about = body["metadata"]
        about.setdefault("uid", f"uid-{about['name']}")
        about["resourceVersion"] = str(self._version)
        key = plural, about.get("namespace", ""), about["name"]
        if event == "DELETED":
            self.objects.pop(key, None)
        else:
            self.objects[key] = body
        self._told.append((self._version, plural, {"type": event, "object": body}))
        self._send(plural, self._told[-1][2])

    def expire(self, plural: str) -> None:
        """410 Gone, as the server tells it in a watch."""
        self._send(plural, {"type": "ERROR", "object": GONE})

    def _send(self, plural: str, event: Json) -> None:
        for watched, events in list(self._watching):
            if watched == plural:
                events.put(event)

    def watch(self, plural: str, version: int) -> queue.Queue[Json | None]:
        """What has been told since the version, and what will be."""
        events: queue.Queue[Json | None] = queue.Queue()
        for when, kind, event in self._told:
            if kind == plural and when > version:
                events.put(event)
        self._watching.append((plural, events))
        self.watches[plural] = self.watches.get(plural, 0) + 1
        return events

    def handle(self, method: str, path: str, query: Mapping[str, str], body: Json | None) -> Answer:
        if path == "/version":
            return self.trouble(method, path, query) or Answer(200, {"gitVersion": "v1.34.4"})
        answer = super().handle(method, path, query, body)
        if answer.status == 200 and "items" in answer.body:
            answer.body["metadata"]["resourceVersion"] = str(self._version)
        return answer


def _server(api: WatchedApi, port: int) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            self._wait()
            if query.get("watch") == "true":
                self._watch(parts.path, query)
                return
            answer = api.handle(self.command, parts.path, query, body)
            raw = json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_POST = do_PATCH = do_DELETE = do_GET

        def _wait(self) -> None:
            while api.hanging.is_set():
                time.sleep(0.05)

        def _watch(self, path: str, query: Mapping[str, str]) -> None:
            self.close_connection = True
            if (other := api.trouble("WATCH", path, query)) is not None:
                self.send_error(other.status)
                return
            events = api.watch(path.rpartition("/")[2], int(query["resourceVersion"]))
            ends_s = time.monotonic() + float(query.get("timeoutSeconds", "60"))
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            while (left_s := ends_s - time.monotonic()) > 0:
                try:
                    event = events.get(timeout=left_s)
                except queue.Empty:
                    return
                self._wait()
                if event is None:
                    return
                self.wfile.write(json.dumps(event).encode() + b"\n")
                self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

        def __init__(self) -> None:
            self.open: set[socket.socket] = set()
            super().__init__(("127.0.0.1", port), Handler)

        def process_request(self, request: Any, client_address: Any) -> None:
            self.open.add(request)
            super().process_request(request, client_address)

        def server_close(self) -> None:
            super().server_close()
            for each in self.open:
                _cut(each)

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # who asked is gone

    return Server()


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        connection.shutdown(socket.SHUT_RDWR)
