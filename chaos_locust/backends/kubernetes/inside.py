"""Processes of ours in the containers of pods: how they are begun, seen and ended.

They are begun by exec and go on when its connection is closed. Each knows its end by the node's uptime or
sleeps until then, so none needs another to end it, and all are known by a variable in their environment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from chaos_locust.backends.kubernetes.api import PODS, Kubernetes
from chaos_locust.backends.kubernetes.inside_reading import Json, Room, read_processes, read_room
from chaos_locust.errors import BackendError
from chaos_locust.faults.kubernetes_inside import Inside, PodCpuPressure, PodDiskFull, PodMemoryPressure

STARTED = "started"
NEEDED = "command -v grep head sleep tail tr >/dev/null"

# grep alone may read no further than the first zero byte
_OURS = (
    "for p in /proc/[0-9]*; do "
    "(tr '\\0' '\\n' <$p/environ) 2>/dev/null | grep -qxF \"CHAOS_LOCUST=$1\" || continue; "
)

_BEGIN = 'export CHAOS_LOCUST="$1"; exec sh -c "$2" chaos-locust "$3" "$4" "$5"'
"""Arguments: mark, script, seconds, amount, path. /proc shows the environment as it was when a program began,
so another one is begun with it."""

_GO_ON = f"echo {STARTED}; exec >/dev/null 2>&1; "

SCRIPTS: Mapping[str, str] = {
    # a read of a file needs no process of its own, of which a container may have few
    "cpu": "read -r up rest </proc/uptime; end=$(( ${up%.*} + $1 )); "
    "hold() { while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; "
    'read -r up rest </proc/uptime; [ "${up%.*}" -lt $end ] || exit 0; done; }; '
    + _GO_ON
    + "i=0; n=0; while [ $n -lt $2 ]; do hold & n=$((n+1)); done; wait",
    # tail keeps all of a line without an end, and holds it as long as something might come
    "memory": _GO_ON + 'echo 1000 >/proc/self/oom_score_adj; { head -c "$2" /dev/zero; sleep "$1"; } | tail',
    "disk": 'file="$3/.chaos-locust-$$"; exec 3>"$file" && rm -f "$file" || exit 1; '
    + _GO_ON
    + 'head -c "$2" /dev/zero >&3; sleep "$1"',
}

_END = (
    "for n in 1 2 3 4 5 6; do left=; " + _OURS + "left=1; kill -9 ${p#/proc/} 2>/dev/null; done; "
    '[ "$left" ] || exit 0; [ $n -lt 3 ] || sleep 1; done; exit 1'
)

_LOOK = (
    "read -r up rest </proc/uptime; echo uptime $up; " + _OURS + "echo process; cat $p/stat; "
    "grep VmRSS $p/status; ls -lnL $p/fd/3 2>/dev/null; done; "
    "cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpu/cpu.stat 2>/dev/null; true"
)

_ROOM = (
    "for f in memory/memory.limit_in_bytes memory.max memory/memory.usage_in_bytes memory.current; do "
    "[ -r /sys/fs/cgroup/$f ] && echo ${f##*/} $(cat /sys/fs/cgroup/$f); done; "
    "grep -h inactive_file /sys/fs/cgroup/memory.stat /sys/fs/cgroup/memory/memory.stat 2>/dev/null; "
    'grep MemAvailable /proc/meminfo; [ -z "$1" ] || { [ -d "$1" ] && [ -w "$1" ] && df -Pk "$1"; }'
)


def pressure_of(cluster: Kubernetes, fault: Inside, pods: Sequence[Json], mark: str) -> list[Json]:
    """A change for each pod: of the pod's mark alone, for nothing else in it is changed. pods: as victims.
    Raises BackendError where it would be too much, or cannot be done."""
    return [_pressure(cluster, fault, pod, mark) for pod in pods]


def _pressure(cluster: Kubernetes, fault: Inside, pod: Json, mark: str) -> Json:
    ours: Json = {"script": "cpu", "amount": 0, "path": ""}
    match fault:
        case PodCpuPressure():
            ours["amount"] = fault.cores
            _asked(cluster, pod, NEEDED)
        case PodMemoryPressure():
            ours |= {"script": "memory", "amount": _room(cluster, pod, "").memory(fault, _place(pod))}
        case PodDiskFull():
            room = _room(cluster, pod, fault.path)
            ours |= {"script": "disk", "path": fault.path, "amount": room.disk(fault, _place(pod))}
    one: Json = {"what": "process", "kind": "pod", "before": None, "ours": ours, "mark": mark}
    return one | {key: pod[key] for key in ("namespace", "name", "uid", "container")}


def begin(cluster: Kubernetes, one: Json, lasts_s: float) -> None:
    """Raises BackendError."""
    ours, pod = one["ours"], _place(one)
    script, amount, path = SCRIPTS[ours["script"]], str(ours["amount"]), ours["path"]
    words = ["sh", "-c", _BEGIN, "sh", one["mark"], script, str(math.ceil(lasts_s)), amount, path]
    _, text = cluster.run(one["namespace"], one["name"], one["container"], words, until=STARTED)
    if STARTED not in text:
        raise BackendError(f"nothing could be begun in {pod}: {text.strip()[:200] or 'it says nothing'}")


def end(cluster: Kubernetes, one: Json, found: Mapping[str, Any]) -> None:
    """Idempotent. found: the pod. Raises BackendError where they may still be there."""
    try:
        code, text = cluster.run(one["namespace"], one["name"], one["container"], _script(_END, one["mark"]))
    except BackendError:
        if is_running(found, one["container"]) and is_running(_again(cluster, one), one["container"]):
            raise
        return  # they have ended with the container
    if code != 0:
        raise BackendError(f"processes of ours in {_place(one)} do not end ({code}): {text.strip()[:200]}")


def look(cluster: Kubernetes, one: Json, limit_s: float) -> Json:
    """{uptime_s, processes: [{cpu_s, resident_bytes, room_bytes}], throttled: so often, due: the amount that
    was asked for}. Raises BackendError."""
    words = _script(_LOOK, one["mark"])
    code, text = cluster.run(one["namespace"], one["name"], one["container"], words, limit_s)
    if code != 0:
        raise BackendError(f"looking into {_place(one)} ended with {code}")
    return read_processes(text) | {"due": one["ours"]["amount"]}


def is_running(pod: Mapping[str, Any], container: str) -> bool:
    statuses = pod["status"].get("containerStatuses") or ()
    return any(each["name"] == container and "running" in (each.get("state") or {}) for each in statuses)


def _again(cluster: Kubernetes, one: Json) -> Json:
    return cluster.get(PODS, one["namespace"], one["name"])


def _room(cluster: Kubernetes, pod: Json, path: str) -> Room:
    text = _asked(cluster, pod, f"{NEEDED} && {{ {_ROOM}; }}", path)
    return read_room(text)


def _asked(cluster: Kubernetes, pod: Json, script: str, argument: str = "") -> str:
    words = _script(script, argument)
    code, text = cluster.run(pod["namespace"], pod["name"], pod["container"], words)
    if code == 0:
        return text
    if argument:
        raise BackendError(f"{_place(pod)}: {argument} is no folder there that may be written to")
    raise BackendError(f"{_place(pod)} has no sh, grep, head, sleep, tail and tr: {text.strip()[:120]}")


def _script(script: str, argument: str) -> list[str]:
    return ["sh", "-c", script, "sh", argument]


def _place(pod: Mapping[str, Any]) -> str:
    return f"{pod['namespace']}/{pod['name']}/{pod['container']}"
