"""What belongs to runs that are alive, so that looking for marks leaves it alone."""

from __future__ import annotations

import os

from chaos_locust.backends.base import MARK, Undo
from chaos_locust.leases.claims import Claims
from chaos_locust.leases.store import LeaseStore, boottime_s
from chaos_locust.probes.process import command_line

GUARDIAN_MODULE = "chaos_locust.leases.guardian"


class Alive:
    """As of when it is made. A lease is on the disk before its fault exists: whatever was found earlier and
    belongs to a run that is alive is therefore known here. Raises LeaseError.

    Runs of other users, whose leases we cannot see, are known by their guardians.
    """

    def __init__(self, store: LeaseStore, claims: Claims) -> None:
        leases = [lease for lease in store.read()[0] if not lease.is_due(boottime_s())]
        runs = {lease.run_id for lease in leases}
        runs |= {claim.run_id for claim in claims.read() if claim.is_alive}
        runs |= _guarded()
        self._prefixes = tuple(f"{MARK}{run_id}-" for run_id in runs)
        self._marks = {mark for lease in leases for mark in _marks(lease.undo)}

    def without(self, undo: Undo) -> Undo | None:
        """What is left to undo when that of living runs is taken out; None: nothing."""
        if "toxics" in undo:
            toxics = [toxic for toxic in undo["toxics"] if not self._has(toxic["name"])]
            return undo | {"toxics": toxics} if toxics else None
        return None if any(map(self._has, _marks(undo))) else undo

    def _has(self, mark: str) -> bool:
        return mark in self._marks or mark.startswith(self._prefixes)


def _guarded() -> set[str]:
    """The runs that have a guardian on this machine."""
    found = set()
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        arguments = command_line(int(pid))
        if arguments[-2:-1] == [GUARDIAN_MODULE]:
            found.add(arguments[-1])
    return found


def _marks(undo: Undo) -> list[str]:
    """Whatever of it stands in the target under a name of ours."""
    names = [undo.get("mark"), undo.get("proxy"), *(toxic["name"] for toxic in undo.get("toxics", ()))]
    return [name for name in names if isinstance(name, str) and name.startswith(MARK)]
