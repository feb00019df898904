"""What readings of a PostgreSQL server prove of a fault on it. Pure.

Every reading has at_s and error (why it could not be read; then nothing else); what else is in it stands in
the docstring of the fault's way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaos_locust.backends.base import Effect, Reading
from chaos_locust.faults import postgres as kinds
from chaos_locust.faults.base import Fault

Proof = tuple[bool | None, str]
_HELD_SHARE = 0.5
_SURELY = 1e-6


def postgres_effect(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Effect:
    earlier, seen = ([reading for reading in part if not reading["error"]] for part in (before, during))
    if not seen:
        error = next(
            (reading["error"] for reading in reversed(during)), "it was over before it was looked at"
        )
        return Effect(None, None, f"the server could not be looked at ({error})")
    mechanism, how = _mechanism(fault, earlier, seen)
    use, what = _use(fault, earlier, seen)
    return Effect(mechanism, use, f"{how}, {what}")


def _mechanism(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Proof:
    last = during[-1]
    match fault:
        case kinds.PostgresLockTable() | kinds.PostgresLockRow():
            return _mostly(during, [reading["granted"] is True for reading in during], "the lock was ours")
        case kinds.PostgresSlowQueries() | kinds.PostgresSlowConnect():
            return _pulsed(during)
        case kinds.PostgresExhaustConnections():
            full = [reading["free"] <= fault.leave and reading["held"] > 0 for reading in during]
            how, what = _mostly(during, full, f"no more than {fault.leave} connections were free")
            return how, f"{what}, we held {last['held']}"
        case kinds.PostgresRefuseConnections():
            return _mostly(
                during, [_refuses(reading) for reading in during], "a connection of ours was refused"
            )
        case kinds.PostgresUnavailable():
            away = [_refuses(reading) and reading["others"] == 0 for reading in during]
            return _mostly(during, away, "nobody was in the database and a connection of ours was refused")
        case kinds.PostgresTerminateBackends():
            return _ended(last)
        case kinds.PostgresDropIndex():
            return _unplanned(before, during)
        case kinds.PostgresSerializationFailures():
            return _failed(fault, during)
        case kinds.PostgresReplicationLag():
            return _mostly(during, [reading["paused"] for reading in during], "its replay was paused")
        case _:  # settings; what was read before the fault is what it was not
            old = {reading["shown"] for reading in before}
            new = [reading["shown"] == last["wanted"] and last["wanted"] not in old for reading in during]
            return _mostly(during, new, f"a new session had {last['wanted']}")


def _use(fault: Fault, before: Sequence[Reading], during: Sequence[Reading]) -> Proof:
    last = during[-1]
    match fault:
        case kinds.PostgresLockTable() | kinds.PostgresLockRow():
            waiters = {tuple(waiter) for reading in during for waiter in reading["waiters"]}
            most = max(len(reading["waiters"]) for reading in during)
            if waiters:
                return True, f"{len(waiters)} statements of others were seen waiting for it, {most} at once"
            return False, "nobody was seen waiting for it"
        case kinds.PostgresSlowQueries() | kinds.PostgresSlowConnect():
            what = "connections" if isinstance(fault, kinds.PostgresSlowConnect) else "statements"
            return last["waited"] > 0, f"{last['waited']} {what} of others stood waiting for it"
        case kinds.PostgresExhaustConnections() | kinds.PostgresRefuseConnections():
            return _turned_away(during)
        case kinds.PostgresTerminateBackends():
            return last["busy"] > 0, f"{last['busy']} of them had run a statement shortly before"
        case kinds.PostgresUnavailable():
            refused, what = _turned_away(during)
            ended = f"{last['ended']} sessions were ended, {last['busy']} of them at work shortly before"
            return True if last["busy"] > 0 else refused, f"{ended}, {what}"
        case kinds.PostgresDropIndex():
            return _scanned(before, during)
        case kinds.PostgresSerializationFailures():
            return last["failed"] > 0, f"{last['failed']} of {last['seen']} statements of others failed by it"
        case kinds.PostgresReplicationLag():
            return _lagged(during)
        case kinds.PostgresWorkMem():
            files = last["temp_files"] - (before or during)[-1 if before else 0]["temp_files"]
            return _more(before, during, "temp_files", f"{files} temporary files were written meanwhile")
        case _:
            failed = last["rollbacks"] - (before or during)[-1 if before else 0]["rollbacks"]
            return _more(before, during, "rollbacks", f"{failed} transactions were rolled back meanwhile")


def _mostly(during: Sequence[Reading], seen: Sequence[bool], words: str) -> Proof:
    return 2 * sum(seen) > len(seen), f"{words} {sum(seen)} of {len(during)} times"


def _refuses(reading: Reading) -> bool:
    return reading["refused"] is True and not reading["allowed"]


def _pulsed(during: Sequence[Reading]) -> Proof:
    first, last = during[0], during[-1]
    span_s, held_s = last["at_s"] - first["at_s"], last["held_s"] - first["held_s"]
    if last["pulses"] < 2 or span_s <= 0:
        return None, f"the lock was held {last['pulses']} times so far"
    share = min(held_s / span_s, 1.0)
    return share >= _HELD_SHARE, f"the lock was held {share:.0%} of the time"


def _ended(last: Reading) -> Proof:
    if last["ended"] == 0:
        return False, "no session was there to end"
    gone = last["ended"] - last["survivors"]
    return gone > 0, f"{gone} of {last['ended']} sessions that were told to end are gone"


def _unplanned(before: Sequence[Reading], during: Sequence[Reading]) -> Proof:
    """A plan that would rather scan nothing shows it before and not now; where none can, the catalogue."""
    last = during[-1]
    if last["valid"] or last["planned"]:
        return False, "the index is in use"
    if any(reading["planned"] for reading in before):
        return True, "a plan that had the index before has it no more"
    return True, "the index is invalid to the planner"


def _failed(fault: kinds.PostgresSerializationFailures, during: Sequence[Reading]) -> Proof:
    last = during[-1]
    if not (last["there"] and last["held"]):
        return False, "its trigger is not there"
    if last["failed"] == 0 and (1 - fault.share) ** last["seen"] < _SURELY:
        return False, f"its trigger failed none of {last['seen']} statements"
    return True, "its trigger is there"


def _scanned(before: Sequence[Reading], during: Sequence[Reading]) -> Proof:
    if len(before) < 2 or len(during) < 2:
        return None, "the scans of the table before are not known"
    was_used = before[-1]["own_scans"] - before[0]["own_scans"]
    if was_used <= 0:
        return False, "nobody used the index before"
    others = during[-1]["other_scans"] - before[-1]["other_scans"]
    earlier, now = _rate(before, "other_scans"), _rate([before[-1], *during], "other_scans")
    text = f"it was used {was_used} times before, and the table scanned {others} times otherwise now"
    return now > earlier and others > 0, text


def _turned_away(span: Sequence[Reading]) -> Proof:
    """From the first look on: what we did to make it refuse is over by then."""
    if len(span) < 2:
        return None, "it was too short to see connections that were refused"
    if span[0]["tries"] is None or span[-1]["tries"] is None:
        return None, "connections that were refused can only be counted on the server's own machine"
    tries = span[-1]["tries"] - span[0]["tries"]
    came = 0 if span[0]["sessions"] is None else max(0, span[-1]["sessions"] - span[0]["sessions"])
    refused = max(0, tries - came)
    return refused > 0, f"{refused} connections of others were refused"


def _lagged(during: Sequence[Reading]) -> Proof:
    last = during[-1]
    behind = last["behind_bytes"] or 0
    if behind <= 0:
        return False, "its primary wrote nothing meanwhile"
    text = f"it is {behind:,} bytes behind"
    if last["worked_s"] is not None and last["worked_s"] > during[0]["server_s"]:
        return True, f"{text}, and sessions of others read from it"
    return False, f"{text}, but nobody was seen to read from it"


def _more(before: Sequence[Reading], during: Sequence[Reading], what: str, words: str) -> Proof:
    """Whether there were more of them for each second than before."""
    if len(before) < 2:
        return None, f"{words}; how many there are without it is not known"
    span = [before[-1], *during]
    earlier, now = _rate(before, what), _rate(span, what)
    happened: Any = span[-1][what] - span[0][what]
    return happened > 0 and now > 2 * earlier, f"{words} ({now:.2g}/s, {earlier:.2g}/s before)"


def _rate(readings: Sequence[Reading], what: str) -> float:
    first, last = readings[0], readings[-1]
    span_s = last["at_s"] - first["at_s"]
    return float(last[what] - first[what]) / span_s if span_s > 0 else 0.0
