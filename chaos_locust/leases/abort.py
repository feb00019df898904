"""The big red button: ends a run from another terminal, and undoes its faults itself if the run does not."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chaos_locust.errors import ChaosError, LeaseError
from chaos_locust.leases.audit import Audit
from chaos_locust.leases.claims import Claim, Claims
from chaos_locust.leases.cleanup import undo_leases_of
from chaos_locust.leases.store import LeaseStore

REACT_LIMIT_S = 15.0
"""So long, besides its requests' time-out, a run has to undo its faults by itself, unless it stands still."""
REPORT_LIMIT_S = 60.0
"""So long, besides its requests' time-out, it then has to write its report."""
_LOOK_AGAIN_S = 0.1


def find_runs(store: LeaseStore, run: str | None) -> list[Claim]:
    """The live runs; of one by its run id or its results folder. Raises ChaosError when there is none."""
    alive = [claim for claim in Claims(store).read() if claim.is_alive]
    if run is None:
        return alive
    folder = str(Path(run).absolute().resolve())
    found = [claim for claim in alive if claim.run_id == run or str(Path(claim.folder).resolve()) == folder]
    if not found:
        shown = ", ".join(f"{claim.run_id} ({claim.folder})" for claim in alive) or "none"
        raise ChaosError(f"'{run}' is no run with faults that is alive; alive: {shown}")
    return found


def abort(
    claims: Sequence[Claim],
    store: LeaseStore,
    tell: Callable[[str], None],
    react_limit_s: float = REACT_LIMIT_S,
    report_limit_s: float = REPORT_LIMIT_S,
) -> None:
    """Ends the runs as SIGTERM does: faults undone, load drained, report written; returns when they are over.

    Raises BackendError when a fault could not be undone, after everything else was done.
    """
    audit = Audit(store, "abort")
    since = audit.path.stat().st_size if audit.path.exists() else 0
    for claim in claims:
        result = _ask(claim)
        audit.write(claim.run_id, "abort", "run", f"process {claim.owner.pid}", result)
        tell(f"run {claim.run_id} (process {claim.owner.pid}): {result}")
    problems = []
    for claim in claims:
        try:
            _follow(claim, store, tell, react_limit_s, report_limit_s)
        except ChaosError as error:
            problems.append(error)
        for line in _undone(audit.path, since, claim.run_id):
            tell(line)
    if problems:
        raise problems[0] if len(problems) == 1 else type(problems[0])("\n".join(map(str, problems)))


def _ask(claim: Claim) -> str:
    """The result, for people."""
    try:
        descriptor = os.pidfd_open(claim.owner.pid)
    except OSError as error:
        return f"cannot be asked to end: {error.strerror}"
    try:
        if claim.owner.state is None:
            return "is gone already"
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    except OSError as error:
        return f"cannot be asked to end: {error.strerror}"
    finally:
        os.close(descriptor)
    return "was asked to end"


def _follow(
    claim: Claim, store: LeaseStore, tell: Callable[[str], None], react_limit_s: float, report_limit_s: float
) -> None:
    """Until the run is over. Raises BackendError."""
    stopped = claim.owner.state in ("T", "t")
    give_up_s = time.monotonic() + (0.0 if stopped else claim.limit_s + react_limit_s)
    while _faults(store, claim.run_id):
        if time.monotonic() >= give_up_s:
            tell(f"run {claim.run_id} does not react: its faults are undone by its leases")
            undo_leases_of(claim.run_id, store, "abort")
            break
        time.sleep(_LOOK_AGAIN_S)
    give_up_s = time.monotonic() + (0.0 if stopped else claim.limit_s + report_limit_s)
    while claim.owner.state is not None:
        if time.monotonic() >= give_up_s:
            how = "stands still" if stopped else "goes on"
            tell(f"process {claim.owner.pid} {how}, without faults; `kill -9 {claim.owner.pid}` ends it")
            return
        time.sleep(_LOOK_AGAIN_S)
    while any(lease.run_id == claim.run_id for lease in store.read()[0]):
        if time.monotonic() >= give_up_s:
            undo_leases_of(claim.run_id, store, "abort")
            break
        time.sleep(_LOOK_AGAIN_S)
    tell(f"run {claim.run_id} is over; its report is in {claim.folder}")


def _faults(store: LeaseStore, run_id: str) -> bool:
    """Whether a fault of the run may still act, or its lease cannot be read."""
    leases, unreadable = store.read()
    if any(run_id in line for line in unreadable):
        raise LeaseError("\n".join(line for line in unreadable if run_id in line))
    return any(lease.run_id == run_id and lease.fault is not None for lease in leases)


def _undone(path: Path, since: int, run_id: str) -> list[str]:
    """What the audit says was undone of the run meanwhile, by whomever."""
    lines = []
    with contextlib.suppress(OSError), path.open("rb") as stream:
        stream.seek(since)
        for text in stream:
            with contextlib.suppress(ValueError):
                line: dict[str, Any] = json.loads(text)
                if line["run_id"] == run_id and line["action"] == "revert":
                    lines.append(f"{line['what']}, {line['on']}: {line['result']}")
    return lines
