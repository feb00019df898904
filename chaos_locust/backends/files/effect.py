"""What readings of a path prove of a fault on it. Pure.

A reading: {at_s, acts: whether the fault was seen to act (None: it cannot be told), told: what was seen,
touches: how often others have touched the path so far (None: not known), calls: reads and writes of the
process so far (None: no process), mapped: whether the process has the path in memory, traced: calls of the
process that the fault met (None: it is no fault on calls), error}.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.backends.link.effect import Proof
from chaos_locust.faults.base import Fault
from chaos_locust.faults.files import FileCorrupt, FileTruncate, Traced


def files_effect(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
    if isinstance(fault, Traced):
        return _traced(during)
    mechanism, how = _mechanism(before, during)
    use, what = _use(during if len(during) > 1 else [*before[-1:], *during], "while it acted")
    # What cannot be opened, or is not there, shows nobody who tries: then who used it just before counts.
    if use is False and not isinstance(fault, FileCorrupt | FileTruncate):
        earlier, words = _use(before, "just before it")
        if earlier is True:
            use, what = earlier, words
    return Effect(mechanism, use, f"{how}, {what}")


def _traced(during: Sequence[Reading]) -> Effect:
    if not during:
        return Effect(None, None, "it was over before it could be looked at")
    last = during[-1]
    if last["error"]:
        return Effect(False, None, last["error"])
    return Effect(last["acts"], last["traced"] > 0, last["told"])


def _mechanism(before: Sequence[Reading], during: Sequence[Reading]) -> Proof:
    known = [reading for reading in during if reading["acts"] is not None]
    if not known:
        error = next(
            (r["error"] for r in reversed(during) if r["error"]), "it was over before it was looked at"
        )
        return None, f"what it did is not known ({error})"
    if any(reading["acts"] for reading in before):
        return None, f"it was so before too ({known[-1]['told']})"
    acting = [reading for reading in known if reading["acts"]]
    told = (acting or known)[-1]["told"]
    return 2 * len(acting) > len(known), f"{told} (seen {len(acting)} of {len(known)} times)"


def _use(readings: Sequence[Reading], words: str) -> Proof:
    seen = [reading for reading in readings if reading["touches"] is not None]
    if len(seen) < 2:
        return None, f"nobody could be watched {words}"
    touches = seen[-1]["touches"] - seen[0]["touches"]
    own = [reading["calls"] for reading in seen if reading["calls"] is not None]
    if len(own) > 1 and own[-1] == own[0]:
        return False, f"the process neither read nor wrote {words}"
    if not touches and seen[-1]["mapped"]:
        return None, f"the process has it in memory, so that its use cannot be seen {words}"
    return touches > 0, f"touched {touches} times by others {words}"
