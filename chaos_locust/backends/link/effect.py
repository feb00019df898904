"""What readings of a link prove of a fault on it. Pure.

A reading: {at_s, listed: attributes of our toxics or None, others: names of other toxics, enabled,
hellos: [...], sent: bytes by clients or None, own: bytes of hellos, exact, error, moved: bytes that were
seen to move on open connections of others}.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import dropwhile, pairwise, takewhile
from statistics import median
from typing import Any

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.faults.base import Fault, ProxyFault
from chaos_locust.faults.network import (
    Bandwidth,
    Down,
    Flap,
    GradualLatency,
    Latency,
    Limit,
    Reset,
    Slicer,
    SlowClose,
    Timeout,
)

MAX_HELLOS = 60
_MISSED = 1e-6
_SILENT_READINGS = 2  # one may be lost without a cause
_FEELABLE_S = 0.002  # shorter delays drown in the noise of one answer
_OWN_BYTES_LATE_S = 3.0  # a hello's bytes may be counted so long after it was said

Proof = tuple[bool | None, str]


def hellos_needed(share: float) -> int:
    """So many connections show a fault on a share of them with all but certainty."""
    return 1 if share >= 1 else min(MAX_HELLOS, math.ceil(math.log(_MISSED) / math.log(1 - share)))


def link_effect(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
    mechanism, how = _mechanism(fault, before, during)
    use, what = (
        link_use(before, "just before it")
        if isinstance(fault, Down)
        else link_use(during, "through it", before)
    )
    return Effect(mechanism, use, f"{how}, {what}")


def link_use(readings: Sequence[Reading], words: str, earlier: Sequence[Reading] = ()) -> Proof:
    """Whether anybody but us sent bytes over the link from the first reading to the last."""
    seen = [reading for reading in readings if reading.get("sent") is not None]
    if len(seen) < 2:
        error = next((r["error"] for r in reversed(readings) if r.get("error")), "it was too short to see")
        return None, f"the link's use is not known ({error})"
    first, last = seen[0], seen[-1]
    owns = [r["own"] for r in (*earlier, *readings) if r["at_s"] <= first["at_s"] - _OWN_BYTES_LATE_S]
    own = last["own"] - max(owns, default=0)
    used = last["sent"] - first["sent"] - own
    if last["sent"] < first["sent"]:
        return None, "the link's use is not known (the proxy's counters went back: was it started again?)"
    if first["exact"] and last["exact"]:
        used = max(used, last["moved"] - first["moved"])
        if used > 0:
            return True, f"{used:,} bytes of the load {words}"
        return False, f"no bytes of the load {words}"
    # Only connections that ended are counted, with all they ever carried: that proves use of the link
    # where connections come and go all the time, and nothing where a pool keeps them.
    steps = list(pairwise(seen))
    moved = sum(b["sent"] - a["sent"] > b["own"] - a["own"] for a, b in steps)
    if used > 0 and moved >= 3 and moved * 2 >= len(steps):
        return True, f"{used:,} bytes of the load on connections that ended {words}"
    return None, (
        "the link's use is not known (the proxy is not on this machine, and counts a connection's bytes "
        "only when it ends)"
    )


def _mechanism(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Proof:
    if not during:
        return None, "it was over before it could be looked at"
    looked = [reading for reading in during if reading["listed"] is not None]
    if not looked:
        return None, f"the proxy did not say what it does ({during[-1]['error']})"
    acting = [r for r in looked if _acts(fault, r)]
    if not acting:
        if isinstance(fault, Flap):
            return None, f"the link was up whenever it was looked at ({len(looked)} times)"
        return False, "the proxy lists nothing of it"
    broken_off = _broken_off(fault, during)
    if broken_off:
        return None, broken_off
    felt = _felt(fault, before, acting)
    return felt if felt is not None else (True, "listed by the proxy (the link itself was not measured)")


def _acts(fault: Fault, reading: Reading) -> bool:
    return bool(not reading["enabled"] if isinstance(fault, Down) else reading["listed"])


def _broken_off(fault: Fault, during: Sequence[Reading]) -> str:
    """Why it did not act until it was undone, such as a proxy that was started again; empty: it did."""
    silent = list(takewhile(lambda reading: reading["listed"] is None, reversed(during)))
    if len(silent) >= _SILENT_READINGS:
        return f"whether it acted until its end is not known ({during[-1]['error']})"
    looked = [reading for reading in during if reading["listed"] is not None]
    from_then = list(dropwhile(lambda reading: not _acts(fault, reading), looked))
    gone = next((reading for reading in from_then if not _acts(fault, reading)), None)
    if gone is None or isinstance(fault, Flap):
        return ""
    return (
        f"it ended by itself {gone['at_s'] - during[0]['at_s']:.1f} s after it was first seen (who ended it?)"
    )


def _felt(fault: Fault, before: Sequence[Reading], acting: Sequence[Reading]) -> Proof | None:
    """What hellos over the link say; None: they cannot say anything about this fault."""
    undisturbed = [r for r in before if r["hellos"]]
    if not undisturbed:
        return None
    alike = [r for r in acting if r["others"] == undisturbed[-1]["others"]]
    usual = [h for r in undisturbed for h in r["hellos"] if h["outcome"] == "answered"]
    hellos = [(h, r["listed"]) for r in alike for h in r["hellos"]]
    if not hellos:
        return None  # another fault came or went on this link
    if not usual:
        return None, "nothing answered over the link before it either"
    if isinstance(fault, Latency | GradualLatency | Bandwidth | Slicer | SlowClose):
        return _slower(fault, usual, hellos)
    if isinstance(fault, Timeout | Reset | Down) or (isinstance(fault, Limit) and _exceeds(fault, usual[0])):
        return _cut_off(fault, [hello for hello, _ in hellos])
    return None


def _slower(fault: ProxyFault, usual: Sequence[Any], hellos: Sequence[tuple[Any, Any]]) -> Proof | None:
    field = _field(fault)
    baseline = [h[field] for h in usual if h[field] is not None]
    added = _added(fault)
    samples = [
        (h[field], added(listed, h))
        for h, listed in hellos
        if h["outcome"] == "answered" and h[field] is not None
    ]
    if not baseline or (samples and max(wanted for _, wanted in samples) < _FEELABLE_S):
        return None
    if not samples:
        return None, f"no answer over the link while it acted ({len(hellos)} hellos)"
    usual_s = median(baseline)
    if fault.share >= 1:
        more_s = median(value for value, _ in samples) - usual_s
        wanted_s = median(wanted for _, wanted in samples)
        text = f"{more_s * 1000:+.0f} ms on the link ({len(samples)} hellos)"
        if more_s >= wanted_s / 2:
            return True, text
        return False, f"{text} where {wanted_s * 1000:+.0f} ms were due"
    slow = [value - usual_s for value, wanted in samples if value - usual_s >= wanted / 2 > 0]
    if slow:
        return True, f"{median(slow) * 1000:+.0f} ms on the link for {len(slow)} of {len(samples)} hellos"
    return _unseen(fault, len(samples))


def _cut_off(fault: Fault, hellos: Sequence[Any]) -> Proof:
    cut = [hello for hello in hellos if hello["outcome"] != "answered"]
    share = fault.share if isinstance(fault, ProxyFault) else 1.0
    kinds = ", ".join(sorted({hello["outcome"] for hello in cut}))
    if share >= 1:
        text = f"{len(cut)} of {len(hellos)} hellos without an answer" + (f" ({kinds})" if cut else "")
        return 2 * len(cut) > len(hellos), text
    if cut:
        return True, f"{len(cut)} of {len(hellos)} hellos without an answer ({kinds})"
    return _unseen(fault, len(hellos))


def _unseen(fault: Fault, count: int) -> Proof:
    share = fault.share if isinstance(fault, ProxyFault) else 1.0
    if count < hellos_needed(share):
        return None, f"not met by {count} hellos, and {hellos_needed(share)} would be needed to be sure"
    return False, f"not met by {count} hellos"


def _field(fault: ProxyFault) -> str:
    if isinstance(fault, Bandwidth | Slicer):
        return "whole_s"
    return "closed_s" if isinstance(fault, SlowClose) else "first_s"


def _added(fault: ProxyFault) -> Callable[[Any, Any], float]:
    """How much longer a hello must take, from the attributes that the proxy lists and the hello's bytes."""

    def each(listed: Any, hello: Any) -> float:
        return math.fsum(
            _added_by(toxic["type"], toxic["stream"], toxic["attributes"], hello) for toxic in listed
        )

    return each


def _added_by(kind: str, stream: str, attributes: Any, hello: Any) -> float:
    size = hello["sent"] if stream == "upstream" else hello["received"]
    match kind:
        case "latency":
            return float(attributes["latency"]) / 1000
        case "bandwidth":
            return float(size / (attributes["rate"] * 1000)) if attributes["rate"] else math.inf
        case "slicer":
            pieces = size / max(attributes["average_size"] + attributes["size_variation"], 1)
            return float(max(pieces - 1, 0) * attributes["delay"]) / 1_000_000
        case "slow_close" if stream == "downstream":
            return float(attributes["delay"]) / 1000
    return 0.0


def _exceeds(fault: Limit, hello: Any) -> bool:
    """Whether one hello is more than the limit lets through."""
    down = fault.direction != "upstream" and hello["received"] > fault.limit_bytes
    return down or (fault.direction != "downstream" and hello["sent"] > fault.limit_bytes)
