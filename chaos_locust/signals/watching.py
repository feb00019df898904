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

KNOCKS_EVERY_S, ANSWERS_S = 1.0, 3.0
"""A watch says nothing where nothing changes, and nothing where its server cannot be reached. So the server
is asked besides whether it is there; for so long, both together, it may be away unnoticed."""

Json = dict[str, Any]


class Watching:
    """on_change: called, from threads of its own, when anything may have changed. Two watches: the pods, and
    the workload where it is one. When the server has been away they are begun anew, and what the old ones
    bring late is left aside."""

    def __init__(self, cluster: Kubernetes, target: KubernetesTarget, on_change: Callable[[], None]) -> None:
        self._cluster, self._target, self._on_change = cluster, target, on_change
        self._pods = Pods()
        self._lock = threading.Lock()
        self._parts = ("pods", "workload") if target.workload else ("pods",)
        # part -> why nothing is known of it
        self._blind = dict.fromkeys(self._parts, NOT_YET)
        self._away = ""  # why the server cannot be reached
        self._round = 0

    def start(self) -> None:
        self._begin()
        threading.Thread(target=self._knock, daemon=True).start()

    def _begin(self) -> None:
        for part in self._parts:
            threading.Thread(target=self._watch, args=(part, self._round), daemon=True).start()

    def read(self, probe: str) -> tuple[float | None, str] | None:
        """(value, why there is none); None: it has not been looked at yet."""
        with self._lock:
            if why := self._away or next(filter(None, self._blind.values()), ""):
                return None, why
            return None if self._blind else (self._pods.read(probe), "")

    def _knock(self) -> None:
        again = threading.Event()
        while True:
            try:
                self._cluster.knock(ANSWERS_S)
            except BackendError as error:
                with self._lock:
                    self._away = str(error)
                self._on_change()
            else:
                self._is_back()
            again.wait(KNOCKS_EVERY_S)

    def _is_back(self) -> None:
        """Nothing is known until it has been looked at again."""
        with self._lock:
            if not self._away:
                return
            self._blind = dict.fromkeys(self._parts, self._away)
            self._away = ""
            self._round += 1
        self._begin()

    def _watch(self, part: str, this: int) -> None:
        again = threading.Event()
        while this == self._round:
            try:
                version = self._look(part, this)
                while this == self._round:
                    version = self._follow(part, version, this)
            except BackendError as error:
                if not (isinstance(error, Refused) and error.status == GONE):  # that is no gap: look anew
                    self._say(part, str(error), this)
                    again.wait(AGAIN_S)

    def _look(self, part: str, this: int) -> str:
        """Returns the version of what was seen."""
        kind, namespace, query = self._place(part)
        page = self._cluster.ask("GET", kind.path(namespace), query=query)
        self._note(part, partial(self._seen, part, page.get("items") or ()), this)
        return str(page["metadata"]["resourceVersion"])

    def _follow(self, part: str, version: str, this: int) -> str:
        """One watch, until the server ends it. Returns the version to go on from."""
        kind, namespace, query = self._place(part)
        asked = [*query, ("watch", "true"), ("resourceVersion", version), ("timeoutSeconds", str(LASTS_S))]
        for event in self._cluster.stream(kind.path(namespace), [*asked, ("allowWatchBookmarks", "true")]):
            found: Json = event["object"]
            if event["type"] == "ERROR":
                raise Refused(int(found.get("code", 0)), str(found.get("message")))
            version = str(found["metadata"]["resourceVersion"])
            if event["type"] != "BOOKMARK":
                self._note(part, partial(self._changed, part, event["type"], found), this)
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

    def _note(self, part: str, noted: Callable[[], None], this: int) -> None:
        with self._lock:
            if this != self._round:
                return
            noted()
            self._blind.pop(part, None)
        self._on_change()

    def _say(self, part: str, why: str, this: int) -> None:
        with self._lock:
            if this != self._round:
                return
            self._blind[part] = why
        self._on_change()
