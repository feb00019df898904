"""What readings of a cluster prove of a fault in it. Pure.

A reading: {at_s, error, pods: as in kubernetes_reading, or None, victims: uids, nodes: {name: whether it is
cordoned}, serving: {uid: node} of the service's ready endpoints, or None, loaded: whether the load calls that
service, received: {uid: bytes so far}, connects: [whether it could] of our own pod since the last reading,
inside: {uid: what processes of ours do there},
config: {there: whether values of ours are, shown: {uid: whether a file of the pod shows them}} or None}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.kubernetes.inside_effect import inside_mechanism
from chaos_locust.backends.kubernetes.rollout_effect import UNKNOWN, configured, new_pods, stays_unready
from chaos_locust.backends.link.effect import Proof
from chaos_locust.faults.base import Fault
from chaos_locust.faults.kubernetes import (
    NodeCordon,
    PodCpu,
    PodEvict,
    PodKill,
    PodPartition,
    PodScale,
    PodSignal,
    RolloutImage,
    RolloutRestart,
    RolloutUnready,
)
from chaos_locust.faults.kubernetes_config import ConfigChange
from chaos_locust.faults.kubernetes_inside import Inside

_BACKGROUND_BYTES_PER_S = 2_000.0  # the kubelet's own probes
_UNPULLED = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_LEAST_TRIES = 3
_GO_ON = (PodCpu, Inside, PodScale, RolloutImage, RolloutUnready, ConfigChange, NodeCordon)
"""The pods that are met are there meanwhile."""


def kubernetes_effect(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
    if not during:
        return Effect(None, None, "it was over before it could be looked at")
    seen = [reading for reading in during if reading["pods"] is not None]
    if not seen:
        mechanism, how = None, f"the cluster did not tell ({during[-1]['error']})"
    else:
        mechanism, how = _mechanism(fault, before, seen)
    goes_on = isinstance(fault, _GO_ON)
    use, what = load_use([*before[-1:], *during], "meanwhile") if goes_on else load_use(before, "just before")
    return Effect(mechanism, use, f"{how}, {what}")


def _mechanism(fault: Fault, before: Sequence[Reading], seen: Sequence[Reading]) -> Proof:
    last, victims = seen[-1], set(seen[-1]["victims"])
    pods = last["pods"]
    match fault:
        case PodKill() | PodEvict():
            gone = [uid for uid in victims if uid not in pods or pods[uid]["deleting"]]
            kept = "" if len(gone) == len(victims) else "; the rest was not allowed or did not go"
            return len(gone) == len(victims) > 0, f"{len(gone)} of {len(victims)} pods are gone{kept}"
        case PodSignal():
            restarts = _restarts(before, victims)
            if restarts.keys() != victims:
                return None, "how often they had been started before is unknown"
            again = [u for u in victims if u not in pods or _ended(pods[u], restarts[u])]
            return len(again) == len(victims) > 0, f"{len(again)} of {len(victims)} containers ended"
        case PodScale():
            ready = [sum(pod["ready"] for pod in reading["pods"].values()) for reading in seen]
            return fault.replicas in ready, f"{ready[-1]} pods are ready, {fault.replicas} are asked for"
        case RolloutRestart():
            new = new_pods(before, seen)
            return (bool(new), f"{len(new)} new pods came") if new is not None else (None, UNKNOWN)
        case RolloutImage():
            waiting = _unpulled(seen) - _unpulled(before)
            return bool(waiting), f"{len(waiting)} pods wait for their image"
        case RolloutUnready():
            return stays_unready(before, seen)
        case PodCpu():
            limits = [[_limit(reading, uid) for uid in victims] for reading in seen]
            forced = [bool(each) and all(cpus == fault.cpus for cpus in each) for each in limits]
            return any(forced), f"the limit was in force {sum(forced)} of {len(seen)} times"
        case ConfigChange():
            return configured(fault, before, seen)
        case Inside():
            return inside_mechanism(fault, seen)
        case PodPartition():
            return _cut(before, seen)
    assert isinstance(fault, NodeCordon)
    cordoned = [name for name, is_cordoned in last["nodes"].items() if is_cordoned]
    held = [uid for uid in victims if uid in pods and not pods[uid]["deleting"]]
    words = f"{len(cordoned)} of {len(last['nodes'])} nodes take no pods"
    if held:
        return False, f"{words}, {len(held)} of {len(victims)} pods could not be evicted"
    return len(cordoned) == len(last["nodes"]) > 0, words


def _ended(pod: Mapping[str, Any], restarts: int) -> bool:
    return bool(pod["restarts"] > restarts or pod["waiting"])


def _unpulled(readings: Sequence[Reading]) -> set[str]:
    """uids"""
    known = [reading["pods"] for reading in readings if reading["pods"] is not None]
    return {uid for pods in known for uid, pod in pods.items() if pod["waiting"] in _UNPULLED}


def _limit(reading: Reading, uid: str) -> float | None:
    pod = reading["pods"].get(uid)
    return None if pod is None else pod["cpus"]


def _restarts(before: Sequence[Reading], victims: set[str]) -> dict[str, int]:
    known = [reading["pods"] for reading in before if reading["pods"] is not None]
    return {uid: pods[uid]["restarts"] for pods in known for uid in victims & pods.keys()}


def _cut(before: Sequence[Reading], seen: Sequence[Reading]) -> Proof:
    could = [each for reading in before for each in reading["connects"]]
    can = [each for reading in seen for each in reading["connects"]]
    if len(could) < _LEAST_TRIES or len(can) < _LEAST_TRIES:
        return None, f"our own pod tried to connect {len(could)} times before and {len(can)} times since"
    if not any(could[-_LEAST_TRIES:]):
        return None, "our own pod could not connect before either"
    known = [set(reading["pods"]) for reading in (*before[-1:], seen[-1]) if reading["pods"] is not None]
    if not set.intersection(*known):
        return None, "the pods that our own pod connected to are gone"
    if can[-1]:
        return False, "our own pod still connects: no network enforces the policy"
    # the first tries may still be of the moment before the policy was in force
    if any(can[-_LEAST_TRIES:]):
        return None, f"our own pod could not connect at last, but has not tried {_LEAST_TRIES} times since"
    return True, "our own pod cannot connect any more"


def load_use(readings: Sequence[Reading], words: str) -> Proof:
    """By the bytes that reached the pods; by what the load calls, where those are few or unknown."""
    received, quiet = _received(readings)
    if received is not None and received > quiet:
        return True, f"{received:,} bytes reached them {words}"
    served = [reading for reading in readings if reading["serving"] is not None]
    if served and served[-1]["loaded"]:
        if any(map(_serves, served)):
            return True, f"the service that the load calls led to them {words}"
        return False, f"the service that the load calls did not lead to them {words}"
    if received is None:
        return (
            None,
            "whether the load reaches them is not known (no exec, and no service that the load calls)",
        )
    return None, f"{received:,} bytes reached them {words}, which may be probes"


def _received(readings: Sequence[Reading]) -> tuple[int | None, float]:
    """(bytes, so many may be probes); None: not known."""
    counted = [(reading["at_s"], reading["received"]) for reading in readings if reading["received"]]
    if len(counted) < 2:
        return None, 0.0
    (first_s, first), (last_s, last) = counted[0], counted[-1]
    both = first.keys() & last.keys()
    if not both:
        return None, 0.0
    bytes_received = sum(max(0, last[uid] - first[uid]) for uid in both)
    return bytes_received, _BACKGROUND_BYTES_PER_S * (last_s - first_s) * len(both)


def _serves(reading: Reading) -> bool:
    victims, nodes = set(reading["victims"]), set(reading["nodes"])
    if nodes:
        return bool(nodes & set(reading["serving"].values()))
    return bool((victims or set(reading["pods"] or ())) & reading["serving"].keys())
