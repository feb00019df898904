"""What the proxy's own counts prove of a fault on HTTP messages. Pure.

A reading: {at_s, listed: {name, counts} or None, error}. The toxic's counts begin with it: requests, matched,
chosen, faulted, own, untouched_connections (see the proxy's HttpCounts). Own probes are in `own` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.faults.base import Fault
from chaos_locust.faults.http import HttpFault
from chaos_locust.units import format_share

_CHANCE = 1e-6  # what is less likely than this has not happened by chance

Proof = tuple[bool | None, str]


def http_effect(fault: Fault, during: Sequence[Reading]) -> Effect:
    assert isinstance(fault, HttpFault)
    answered = [reading for reading in during if not reading["error"]]
    listed = [reading["listed"] for reading in answered if reading["listed"] is not None]
    if not answered:
        error = during[-1]["error"] if during else "it was over before it could be looked at"
        return Effect(None, None, f"the proxy did not say what it does ({error})")
    if not listed:
        return Effect(False, None, "the proxy lists nothing of it")
    counts = listed[-1]["counts"]
    mechanism, how = _mechanism(fault, counts)
    if answered[-1]["listed"] is None:
        mechanism, how = False, f"{how}, then somebody took it off the proxy"
    use, what = _use(fault, counts)
    return Effect(mechanism, use, f"{how}, {what}")


def _mechanism(fault: HttpFault, counts: Mapping[str, int]) -> Proof:
    matched, chosen, faulted = counts["matched"], counts["chosen"], counts["faulted"]
    if faulted:
        return True, f"done to {faulted:,} of {chosen:,} requests"
    if chosen:
        return False, f"done to none of {chosen:,} requests"
    if matched:
        unlucky = (1 - fault.share) ** matched >= _CHANCE
        return (
            None if unlucky else False,
            f"{format_share(fault.share)} of requests were to be met, and none was",
        )
    return None, "there was no request to do it to"


def _use(fault: HttpFault, counts: Mapping[str, int]) -> Proof:
    matched, requests, untouched = counts["matched"], counts["requests"], counts["untouched_connections"]
    what = f"{fault.method or 'any method'} {fault.route}"
    text = f"{matched:,} of {requests:,} requests of the load matched {what}"
    if untouched:
        text += (
            f", {untouched:,} connections carried no HTTP that can be read (TLS without the target's tls?)"
        )
    if matched:
        return True, text
    return (None, text) if untouched else (False, text)
