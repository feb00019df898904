"""Watches the pods, the workload and the autoscaler of one target, and looks anew whenever that broke off."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

from chaos_locust.backends.kubernetes.api import AUTOSCALERS, PODS, WORKLOADS, Kind, Kubernetes, Refused
from chaos_locust.backends.kubernetes.reading import scales
from chaos_locust.backends.kubernetes.victims import text_of
from chaos_locust.errors import BackendError
from chaos_locust.plan.cluster import KubernetesTarget
from chaos_locust.plan.probes import OF_AUTOSCALERS
from chaos_locust.signals.pods import Pods

LASTS_S = 10
"""So long one watch goes on, if only to learn that the server still knows of it."""

SILENT_S = 13.0

AGAIN_S = 1.0
GONE = 410
NOT_YET = ""

KNOCKS_EVERY_S, ANSWERS_S = 1.0, 3.0
"""A watch says nothing where nothing changes, and nothing where its server cannot be reached. So the server
is asked besides whether it is there; for so long, both together, it may be away unnoticed."""

Json = dict[str, Any]


class Watching:
    """on_change: called, from threads of its own, when anything may have changed. A watch for each part: the
    pods, the workload where it is one, and its autoscaler where one of the probes asks it. When the server
    has been away they are begun anew, and what the old ones bring late is left aside."""

    def __init__(
        self,
        cluster: Kubernetes,
        target: KubernetesTarget,
        probes: Collection[str],
        on_change: Callable[[], None],
    ) -> None:
        self._cluster, self._target, self._on_change = cluster, target, on_change
        self._pods = Pods()
        self._lock = threading.Lock()
        # part -> why nothing is known of it
        asked = {
            "pods": True,
            "workload": target.workload is not None,
            "autoscaler": any(name in OF_AUTOSCALERS for name in probes),
        }
        self._parts = tuple(part for part, is_asked in asked.items() if is_asked)
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
            if self._blind:
                return None
            value = self._pods.read(probe)
            gone = "an autoscaler's figures" if probe in OF_AUTOSCALERS else "a workload"
            return value, f"there is no such thing as {gone} of {self._target}" if value is None else ""

    def _knock(self) -> None:
        again = threading.Event()
        while True:
            try:
                self._cluster.ping(ANSWERS_S)
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
        again, before_s, looked_s = threading.Event(), -math.inf, -math.inf
        while this == self._round:
            try:
                version, before_s, looked_s = self._look(part, this), looked_s, time.monotonic()
                while this == self._round:
                    version = self._follow(part, version, this)
            except BackendError as error:
                out_of_date = isinstance(error, Refused) and error.status == GONE
                if out_of_date and looked_s - before_s > AGAIN_S:
                    continue  # that is no gap: look anew
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
        asked.append(("allowWatchBookmarks", "true"))
        for event in self._cluster.stream(kind.path(namespace), asked, SILENT_S):
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
        if part == "autoscaler":  # no selector finds them by what they scale
            return AUTOSCALERS, self._target.namespace, []
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
        elif part == "workload":
            self._pods.wanted = None
            for workload in found:
                self._pods.want(workload)
        else:
            self._pods.scale(next(filter(self._is_ours, found), None))

    def _changed(self, part: str, event: str, found: Json) -> None:
        if part == "pods":
            self._pods.change(event, found)
        elif part == "autoscaler":
            if self._is_ours(found):
                self._pods.scale(None if event == "DELETED" else found)
        elif event == "DELETED":
            self._pods.wanted = None
        else:
            self._pods.want(found)

    def _is_ours(self, scaler: Json) -> bool:
        return self._target.workload is not None and scales(scaler, self._target.workload)

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
