"""Looking at what a fault in a cluster does: see `effect` for what a reading has."""

from __future__ import annotations

import time
from typing import Any

from chaos_locust.backends.base import Reading, Undo
from chaos_locust.backends.kubernetes import config, inside
from chaos_locust.backends.kubernetes.api import NODES, PODS, SLICES, Kubernetes
from chaos_locust.backends.kubernetes.effect import kubernetes_effect
from chaos_locust.backends.kubernetes.made import COULD, COULD_NOT
from chaos_locust.backends.kubernetes.marks import MARK
from chaos_locust.backends.kubernetes.reading import pods_of, received_bytes, serving
from chaos_locust.errors import BackendError
from chaos_locust.faults.base import Fault

COUNTED_PODS = 3
COUNT_LIMIT_S = 2.0
"""Of so many pods the bytes are counted, each by a command in it that may take so long."""

INSIDE_LIMIT_S = 5.0
"""A container whose CPU is used up takes long to answer."""

LINES = 40

SHOWS_S, LOOK_AGAIN_S = 8.0, 0.2
"""So long it takes at most until the cluster tells of a container or a rollout that was started again."""


class Look:
    """At one fault, again and again."""

    def __init__(self) -> None:
        self._told_until = ""  # of what our own pod wrote
        self._last: Reading | None = None
        self._expected: tuple[Fault, Reading] | None = None

    @staticmethod
    def blind(undo: Undo, error: str) -> Reading:
        reading: Reading = {"at_s": time.monotonic(), "error": error, "pods": None, "serving": None}
        victims = [pod["uid"] for pod in undo["victims"]]
        reading |= {"victims": victims, "nodes": {}, "loaded": False, "received": {}, "connects": []}
        return reading | {"inside": {}, "config": None}

    def expect(self, fault: Fault) -> None:
        """It happens now: the next look goes on until it shows, or SHOWS_S."""
        if self._last is not None:
            self._expected = fault, self._last

    def at(self, cluster: Kubernetes, undo: Undo) -> Reading:
        """Raises BackendError."""
        expected, self._expected = self._expected, None
        give_up_s = time.monotonic() + SHOWS_S
        reading = self._read(cluster, undo)
        while expected is not None and time.monotonic() < give_up_s:
            fault, before = expected
            if kubernetes_effect(fault, [before], [reading]).mechanism:
                break
            time.sleep(LOOK_AGAIN_S)
            reading = self._read(cluster, undo)
        self._last = reading
        return reading

    def _read(self, cluster: Kubernetes, undo: Undo) -> Reading:
        reading = self.blind(undo, "")
        if undo["nodes"]:
            names = set(undo["nodes"])
            nodes = [node for node in cluster.all_of(NODES) if node["metadata"]["name"] in names]
            reading["nodes"] = {
                node["metadata"]["name"]: bool(node["spec"].get("unschedulable")) for node in nodes
            }
        reading["pods"] = pods_of(_pods(cluster, undo), undo["container"])
        if undo["service"]:
            named = f"kubernetes.io/service-name={undo['service']['name']}"
            reading["serving"] = serving(cluster.all_of(SLICES, undo["namespace"], named))
            reading["loaded"] = undo["service"]["loaded"]
        if undo["may_exec"]:
            reading["received"] = _received(cluster, undo, reading["pods"])
        reading["inside"] = _inside(cluster, undo)
        for one in undo["changes"]:
            if one["what"] == "config":
                shown = _shown(cluster, undo, one, reading["pods"])
                reading["config"] = {"there": config.holds_ours(cluster, one), "shown": shown}
        if "probe" in undo:
            reading["connects"] = self._connects(cluster, undo)
        return reading

    def _connects(self, cluster: Kubernetes, undo: Undo) -> list[bool]:
        """What our own pod has written since."""
        pods = cluster.all_of(PODS, undo["namespace"], f"{MARK}={undo['probe']}")
        running = [pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running"]
        if not running:
            return []
        rows = cluster.log(undo["namespace"], running[0], LINES)
        lines = [(when, word) for when, word in rows if when > self._told_until]
        self._told_until = max((when for when, _ in lines), default=self._told_until)
        return [word == COULD for _, word in lines if word in (COULD, COULD_NOT)]


def _pods(cluster: Kubernetes, undo: Undo) -> list[dict[str, Any]]:
    if undo["selector"]:
        return cluster.all_of(PODS, undo["namespace"], undo["selector"])
    wanted = {(pod["namespace"], pod["uid"]) for pod in undo["victims"]}
    found = [pod for space in {space for space, _ in wanted} for pod in cluster.all_of(PODS, space)]
    return [pod for pod in found if (pod["metadata"]["namespace"], pod["metadata"]["uid"]) in wanted]


def _received(cluster: Kubernetes, undo: Undo, pods: dict[str, Any]) -> dict[str, int]:
    """By /proc/net/dev of a container; an image without cat tells nothing."""
    found = {}
    for victim in undo["victims"][:COUNTED_PODS]:
        if not pods.get(victim["uid"], {}).get("ready"):
            continue
        try:
            where = victim["namespace"], victim["name"], victim["container"]
            _, text = cluster.run(*where, ["cat", "/proc/net/dev"], COUNT_LIMIT_S)
        except BackendError:
            continue
        if (received := received_bytes(text)) is not None:
            found[victim["uid"]] = received
    return found


def _inside(cluster: Kubernetes, undo: Undo) -> dict[str, Any]:
    """What processes of ours do; of a container that is not there now, or is too busy, nothing is told."""
    found = {}
    for one in [each for each in undo["changes"] if each["what"] == "process"][:COUNTED_PODS]:
        try:
            found[one["uid"]] = inside.look(cluster, one, INSIDE_LIMIT_S)
        except BackendError:
            continue
    return found


def _shown(cluster: Kubernetes, undo: Undo, one: dict[str, Any], pods: dict[str, Any]) -> dict[str, bool]:
    """uid -> whether a file shows our value, in some of the pods that run. What it holds goes no further."""
    path = undo.get("mounted_at")
    if path is None:
        return {}
    (ours,) = one["ours"]["values"].values()
    found = {}
    running = {uid: pod for uid, pod in pods.items() if pod["running"] and not pod["deleting"]}
    for uid, pod in list(running.items())[:COUNTED_PODS]:
        words = ["sh", "-c", '[ ! -e "$1" ] || { echo there; cat "$1"; }', "sh", path]
        try:
            where = one["namespace"], pod["name"], pod["container"]
            code, text = cluster.run(*where, words, COUNT_LIMIT_S)
        except BackendError:
            continue
        if code == 0:
            found[uid] = text == ("" if ours is None else f"there\n{ours}")
    return found
