"""What readings prove of rollouts, and of what pods are configured by. Pure. See `effect` for a reading."""

from __future__ import annotations

from collections.abc import Sequence

from chaos_locust.backends.base import Reading
from chaos_locust.backends.link.effect import Proof
from chaos_locust.faults.kubernetes_config import ConfigChange

UNKNOWN = "what was before is unknown"
_UNREADY_S = 3.0


def new_pods(before: Sequence[Reading], seen: Sequence[Reading]) -> set[str] | None:
    """uids of pods that were not there before; None: it is not known which were."""
    known = {uid for reading in before if reading["pods"] for uid in reading["pods"]}
    return {uid for reading in seen for uid in reading["pods"]} - known if known else None


def configured(fault: ConfigChange, before: Sequence[Reading], seen: Sequence[Reading]) -> Proof:
    """The file shows them some time after the values are there, and so do new pods come."""
    known = [reading["config"] for reading in seen if reading["config"] is not None]
    if not known:
        return None, "the values could not be read"
    if not any(each["there"] for each in known):
        return False, "the values are not there"
    words, proofs = ["the values are there"], list[bool | None]()
    if fault.restart:
        new = new_pods(before, seen)
        words.append(UNKNOWN if new is None else f"{len(new)} new pods came")
        proofs.append(None if new is None else bool(new))
    if fault.mounted_at is not None:
        shown = [each["shown"] for each in known if each["shown"]]
        last = shown[-1] if shown else {}
        words.append(f"{sum(last.values())} of {len(last)} pods that were asked show them in the file")
        proofs.append(any(all(each.values()) for each in shown) if shown else None)
    text = ", ".join(words)
    return (None if None in proofs else all(proofs)), text


def stays_unready(before: Sequence[Reading], seen: Sequence[Reading]) -> Proof:
    """Pods that start are not ready at first either, so it has to last."""
    new = new_pods(before, seen)
    if new is None:
        return None, UNKNOWN
    ready = {uid for reading in seen for uid in new & reading["pods"].keys() if reading["pods"][uid]["ready"]}
    unready_s = [
        [reading["at_s"] for reading in seen if reading["pods"].get(uid, {}).get("running")]
        for uid in new - ready
    ]
    lasted_s = max((times[-1] - times[0] for times in unready_s if times), default=0.0)
    words = f"{len(new)} new pods came, {len(ready)} of them became ready"
    return not ready and lasted_s >= _UNREADY_S, f"{words}; one ran for {lasted_s:.0f} s and did not"
