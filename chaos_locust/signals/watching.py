"""Watches the pods and the workload of one target, and looks anew whenever that broke off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from chaos_locust.backends.kubernetes.api import PODS, WORKLOADS, Kind, Kubernetes, Refused
from chaos_locust.backends.kubernetes.victims import text_of
from chaos_locust.errors import BackendError
from chaos_locust.plan.cluster import KubernetesTarget
from chaos_locust.signals.pods import Pods

LASTS_S = 60
"""So long one watch goes on; the server's answer to nothing at all."""

AGAIN_S = 1.0
GONE = 410
NOT_YET = ""

Json = dict[str, Any]


class Watching:
    """on_change: called, from threads of its own, when anything may have changed. Two watches: the pods, and
    the workload where it is one."""

    def __init__(self, cluster: Kubernetes, target: KubernetesTarget, on_change: Callable[[], None]) -> None:
        self._cluster, self._target, self._on_change = cluster, target, on_change
        self._pods = Pods()
        self._lock = threading.Lock()
        # part -> why nothing is known of it
        self._blind = {"pods": NOT_YET} | ({"workload": NOT_YET} if target.workload else {})

    def start(self) -> None:
        for part in list(self._blind):
            threading.Thread(target=self._watch, args=(part,), daemon=True).start()

    def read(self, probe: str) -> tuple[float | None, str] | None:
        """(value, why there is none); None: it has not been looked at yet."""
        with self._lock:
            if why := next(filter(None, self._blind.values()), ""):
                return None, why
            return None if self._blind else (self._pods.read(probe), "")

    def _watch(self, part: str) -> None:
        again = threading.Event()
        while True:
            try:
                version = self._look(part)
                while True:
                    version = self._follow(part, version)
            except BackendError as error:
                if not (isinstance(error, Refused) and error.status == GONE):  # that is no gap: look anew
                    self._say(part, str(error))
                    again.wait(AGAIN_S)

    def _look(self, part: str) -> str:
        """Returns the version of what was seen."""
        kind, namespace, query = self._place(part)
        page = self._cluster.ask("GET", kind.path(namespace), query=query)
        self._note(part, partial(self._seen, part, page.get("items") or ()))
        return str(page["metadata"]["resourceVersion"])

    def _follow(self, part: str, version: str) -> str:
        """One watch, until the server ends it. Returns the version to go on from."""
        kind, namespace, query = self._place(part)
        asked = [*query, ("watch", "true"), ("resourceVersion", version), ("timeoutSeconds", str(LASTS_S))]
        for event in self._cluster.stream(kind.path(namespace), [*asked, ("allowWatchBookmarks", "true")]):
            found: Json = event["object"]
            if event["type"] == "ERROR":
                raise Refused(int(found.get("code", 0)), str(found.get("message")))
            version = str(found["metadata"]["resourceVersion"])
            if event["type"] != "BOOKMARK":
                self._note(part, partial(self._changed, part, event["type"], found))
        return version

    def _place(self, part: str) -> tuple[Kind, str | None, list[tuple[str, str]]]:
        if part == "workload":
            assert self._target.workload is not None
            kind, name = self._target.workload
            return WORKLOADS[kind], self._target.namespace, [("fieldSelector", f"metadata.name={name}")]
        return PODS, self._target.namespace, [("labelSelector", self._selector())]

    def _selector(self) -> str:
        if self._target.workload is None:
            return str(self._target.selector)
        kind, name = self._target.workload
        workload = self._cluster.get(WORKLOADS[kind], self._target.namespace, name)
        return text_of(workload["spec"]["selector"])

    def _seen(self, part: str, found: Iterable[Json]) -> None:
        if part == "pods":
            self._pods.look(found)
            return
        self._pods.wanted = None
        for workload in found:
            self._pods.want(workload)

    def _changed(self, part: str, event: str, found: Json) -> None:
        if part == "pods":
            self._pods.change(event, found)
        elif event == "DELETED":
            self._pods.wanted = None
        else:
            self._pods.want(found)

    def _note(self, part: str, noted: Callable[[], None]) -> None:
        with self._lock:
            noted()
            self._blind.pop(part, None)
        self._on_change()

    def _say(self, part: str, why: str) -> None:
        with self._lock:
            self._blind[part] = why
        self._on_change()
