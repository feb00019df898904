"""A small API server of Kubernetes for unit tests: objects are kept as they are given, in memory.

It lists with pages and label selectors of equalities, gets, creates, merges patches, deletes, evicts, and
answers access reviews. `trouble` makes it answer otherwise: see `Trouble`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Json = dict[str, Any]
Trouble = Callable[[str, str, Mapping[str, str]], "Answer | None"]
"""(method, path, query) -> another answer; None: as usual."""


class Answer:
    """status 0: the connection is cut without an answer. cut: after so many bytes of the body."""

    def __init__(
        self,
        status: int,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        cut: int | None = None,
        wait: threading.Event | None = None,
    ) -> None:
        self.status, self.body, self.headers, self.cut, self.wait = status, body, headers or {}, cut, wait


def refusal(status: int, message: str, **headers: str) -> Answer:
    return Answer(
        status, {"kind": "Status", "status": "Failure", "message": message, "code": status}, headers
    )


class FakeApi:
    """objects: {(plural, namespace or "", name): object}. calls: (method, path) of each in order. denied:
    what access reviews refuse, as (verb, resource). budget: so many evictions are allowed. page: so many are
    listed at once."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Json] = {}
        self.calls: list[tuple[str, str]] = []
        self.denied: set[tuple[str, str]] = set()
        self.budget = 10
        self.page = 1000
        self.trouble: Trouble = lambda method, path, query: None
        self._uids = 0
        self._lock = threading.Lock()

    def add(self, plural: str, body: Json) -> Json:
        """As it is given, with a uid."""
        about = body.setdefault("metadata", {})
        self._uids += 1
        about.setdefault("uid", f"uid-{self._uids}")
        self.objects[plural, about.get("namespace", ""), about["name"]] = body
        return body

    def handle(self, method: str, path: str, query: Mapping[str, str], body: Json | None) -> Answer:
        with self._lock:
            self.calls.append((method, path))
            if (other := self.trouble(method, path, query)) is not None:
                return other
            return self._do(method, path, query, body or {})

    def _do(self, method: str, path: str, query: Mapping[str, str], body: Json) -> Answer:
        parts = path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        plural, name, part = (*parts, "", "")[:3]
        dry = query.get("dryRun") == "All"
        if plural == "selfsubjectaccessreviews":
            asked = body["spec"]["resourceAttributes"]
            resource = "/".join(filter(None, (asked["resource"], asked["subresource"])))
            return Answer(201, {"status": {"allowed": (asked["verb"], resource) not in self.denied}})
        if method == "POST" and not name:
            return self._create(plural, namespace, body, dry)
        if not name:
            return self._list(plural, namespace, query)
        found = self.objects.get((plural, namespace, name))
        if found is None:
            return refusal(404, f'{plural} "{name}" not found')
        if part == "eviction":
            return self._evict(plural, namespace, name, body)
        if method == "PATCH":
            return self._patch(found, body, dry)
        if method == "DELETE":
            return self._delete(plural, namespace, name, body)
        return Answer(200, found)

    def _create(self, plural: str, namespace: str, body: Json, dry: bool) -> Answer:
        name = body["metadata"]["name"]
        if (plural, namespace, name) in self.objects:
            return refusal(409, f'{plural} "{name}" already exists')
        made = {**body, "metadata": {**body["metadata"], "namespace": namespace, "uid": "dry"}}
        if dry:
            return Answer(201, made)
        del made["metadata"]["uid"]
        return Answer(201, self.add(plural, made))

    def _list(self, plural: str, namespace: str, query: Mapping[str, str]) -> Answer:
        wanted = query.get("labelSelector", "")
        found = [
            each
            for (kind, where, _), each in sorted(self.objects.items())
            if kind == plural and namespace in ("", where) and _matches(each, wanted)
        ]
        start = int(query.get("continue", "0"))
        page = found[start : start + self.page]
        rest = str(start + self.page) if start + self.page < len(found) else ""
        return Answer(200, {"metadata": {"continue": rest, "resourceVersion": "1"}, "items": page})

    def _patch(self, found: Json, body: Json, dry: bool) -> Answer:
        wanted = body.get("metadata", {}).get("uid")
        if wanted not in (None, found["metadata"]["uid"]):
            return refusal(409, "the uid is another")
        merged = _merged(found, body)
        if not dry:
            found.clear()
            found.update(merged)
        return Answer(200, merged)

    def _delete(self, plural: str, namespace: str, name: str, body: Json) -> Answer:
        wanted = body.get("preconditions", {}).get("uid")
        found = self.objects[plural, namespace, name]
        if wanted not in (None, found["metadata"]["uid"]):
            return refusal(409, "the uid is another")
        if not body.get("dryRun"):
            del self.objects[plural, namespace, name]
        return Answer(200, {"status": "Success"})

    def _evict(self, plural: str, namespace: str, name: str, body: Json) -> Answer:
        if self.budget < 1:
            return refusal(429, "Cannot evict pod as it would violate the pod's disruption budget.")
        if not body.get("deleteOptions", {}).get("dryRun"):
            self.budget -= 1
            del self.objects[plural, namespace, name]
        return Answer(201, {"metadata": {}})


def _matches(found: Json, selector: str) -> bool:
    labels = found["metadata"].get("labels", {})
    for part in filter(None, selector.split(",")):
        key, equals, value = part.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _merged(old: Any, new: Any) -> Any:
    """A strategic merge: None takes away, `$patch: replace` takes all that was there, lists of named things
    are merged by their names."""
    if isinstance(new, dict) and new.get("$patch") == "replace":
        return {key: value for key, value in new.items() if key != "$patch"}
    if isinstance(old, dict) and isinstance(new, dict):
        found = {**old}
        for key, value in new.items():
            if value is None:
                found.pop(key, None)
            else:
                found[key] = _merged(old.get(key), value)
        return found
    if isinstance(old, list) and all(isinstance(each, dict) and "name" in each for each in new):
        named = {each["name"]: each for each in old}
        return list({**named, **{e["name"]: _merged(named.get(e["name"]), e) for e in new}}.values())
    return new


@contextmanager
def served(api: FakeApi, folder: Path) -> Iterator[str]:
    """The path of a kubeconfig that leads to it, with the context `fake`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            self._send(api.handle(self.command, parts.path, query, body))

        do_POST = do_PATCH = do_DELETE = do_GET

        def _send(self, answer: Answer) -> None:
            if answer.wait is not None:
                answer.wait.wait()
            if answer.status == 0:
                self.close_connection = True
                return
            raw = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw if answer.cut is None else raw[: answer.cut])
            self.close_connection = answer.cut is not None

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # who asked did not wait for the answer

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig(f"http://127.0.0.1:{server.server_address[1]}")))
    try:
        yield str(path)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def kubeconfig(server: str, context: str = "fake") -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": context, "context": {"cluster": "c", "user": "u"}}],
    }


# -- objects, as a real server shows them --------------------------------------------------------------------


def pod(name: str, node: str = "node-1", ready: bool = True, app: str = "web", **spec: Any) -> Json:
    condition = {"type": "Ready", "status": str(ready)}
    status = {"name": "web", "restartCount": 0, "state": {"running": {}}}
    resources = {"limits": {"cpu": "300m"}, "requests": {"cpu": "20m"}}
    container = {"name": "web", "image": "app:1", "resources": resources}
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": app}},
        "spec": {"nodeName": node, "containers": [container], **spec},
        "status": {
            "phase": "Running",
            "podIP": f"10.0.0.{len(name)}",
            "conditions": [condition],
            "containerStatuses": [status],
        },
    }


def workload(name: str = "web", replicas: int = 3) -> Json:
    container = {"name": "web", "image": "app:1"}
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
        "status": {},
    }


def node(name: str, **spec: Any) -> Json:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": name, "labels": {"pool": "all"}}, "spec": spec, "status": ready}


def config_map(name: str = "settings", **data: str) -> Json:
    about = {"name": name, "namespace": "shop"}
    return {"metadata": about, "data": {"limit": "100", "other": "same", **data}}


def service(name: str = "web", **spec: Any) -> Json:
    about = {"name": name, "namespace": "shop"}
    return {
        "metadata": about,
        "spec": {"clusterIPs": ["10.1.0.1"], "ports": [{"port": 80}], **spec},
        "status": {},
    }
