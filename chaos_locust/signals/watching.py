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

Json = dict[str, Any]


class Watching:
    """on_change: called, from threads of its own, when anything may have changed. A watch for each part: the
    pods, the workload where it is one, and its autoscaler where one of the probes asks it."""

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
        self._blind = {part: NOT_YET for part, is_asked in asked.items() if is_asked}

    def start(self) -> None:
        for part in list(self._blind):
            threading.Thread(target=self._watch, args=(part,), daemon=True).start()

    def read(self, probe: str) -> tuple[float | None, str] | None:
        """(value, why there is none); None: it has not been looked at yet."""
        with self._lock:
            if why := next(filter(None, self._blind.values()), ""):
                return None, why
            if self._blind:
                return None
            value = self._pods.read(probe)
            gone = "an autoscaler's figures" if probe in OF_AUTOSCALERS else "a workload"
            return value, f"there is no such thing as {gone} of {self._target}" if value is None else ""

    def _watch(self, part: str) -> None:
        again, before_s, looked_s = threading.Event(), -math.inf, -math.inf
        while True:
            try:
                version, before_s, looked_s = self._look(part), looked_s, time.monotonic()
                while True:
                    version = self._follow(part, version)
            except BackendError as error:
                out_of_date = isinstance(error, Refused) and error.status == GONE
                if out_of_date and looked_s - before_s > AGAIN_S:
                    continue  # that is no gap: look anew
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
        asked.append(("allowWatchBookmarks", "true"))
        for event in self._cluster.stream(kind.path(namespace), asked, SILENT_S):
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

    def _note(self, part: str, noted: Callable[[], None]) -> None:
        with self._lock:
            noted()
            self._blind.pop(part, None)
        self._on_change()

    def _say(self, part: str, why: str) -> None:
        with self._lock:
            self._blind[part] = why
        self._on_change()
