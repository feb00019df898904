"""What is known of a set of pods, from the events of a watch. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chaos_locust.backends.kubernetes.reading import is_ready

Json = Mapping[str, Any]


@dataclass
class Pods:
    """ready, restarts: by the pods' uid. A pod that is seen for the first time while the watch goes on has
    been started since, so that its restarts count from none; those of the first look are what was before."""

    ready: dict[str, bool] = field(default_factory=dict)
    _restarts: dict[tuple[str, str], int] = field(default_factory=dict)
    _killed: set[tuple[str, str, str]] = field(default_factory=set)
    wanted: int | None = None
    hpa_desired: int | None = None
    hpa_current: int | None = None
    restarts: int = 0
    oom_killed: int = 0
    _seen: bool = False

    def look(self, pods: Iterable[Json]) -> None:
        """All of them, as they are now."""
        found = {pod["metadata"]["uid"]: pod for pod in pods}
        self.ready = {}
        for pod in found.values():
            self._note(pod, counts=self._seen)
        self._seen = True

    def change(self, event: str, pod: Json) -> None:
        """event: ADDED, MODIFIED or DELETED, as the API has it."""
        self._note(pod, counts=True)
        if event == "DELETED":
            self.ready.pop(pod["metadata"]["uid"], None)

    def want(self, workload: Json) -> None:
        self.wanted = int(workload["spec"].get("replicas", 1))

    def scale(self, scaler: Json | None) -> None:
        """What its autoscaler tells; None: there is none any more."""
        status = {} if scaler is None else scaler.get("status") or {}
        self.hpa_desired, self.hpa_current = status.get("desiredReplicas"), status.get("currentReplicas")

    def read(self, probe: str) -> float | None:
        """None: not known."""
        ready = sum(self.ready.values())
        missing = None if self.wanted is None else max(0, self.wanted - ready)
        found = {
            "ready_replicas": ready,
            "desired_replicas": self.wanted,
            "missing_replicas": missing,
            "hpa_desired": self.hpa_desired,
            "hpa_current": self.hpa_current,
            "restarts": self.restarts,
            "oom_killed": self.oom_killed,
        }[probe]
        return None if found is None else float(found)

    def _note(self, pod: Json, counts: bool) -> None:
        uid = pod["metadata"]["uid"]
        self.ready[uid] = is_ready(pod)
        for name, restarts, killed in _containers(pod):
            more = restarts - self._restarts.get((uid, name), 0)
            self._restarts[uid, name] = max(restarts, self._restarts.get((uid, name), 0))
            new = {(uid, name, when) for when in killed} - self._killed
            self._killed |= new
            if counts:
                self.restarts += max(0, more)
                self.oom_killed += len(new)


def _containers(pod: Json) -> Iterator[tuple[str, int, list[str]]]:
    """(name, times started again, when it was killed for want of memory, as far as the pod tells)"""
    for status in pod["status"].get("containerStatuses") or ():
        ends = [(status.get(key) or {}).get("terminated") or {} for key in ("state", "lastState")]
        killed = [str(end.get("finishedAt")) for end in ends if end.get("reason") == "OOMKilled"]
        yield status["name"], int(status.get("restartCount", 0)), killed
