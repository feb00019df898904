"""A lease in the hands of a guardian, and how it passes into other hands."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from chaos_locust.backends.base import Undo
from chaos_locust.errors import LeaseError
from chaos_locust.leases.store import Lease, LeaseStore, Superseded, boottime_s
from chaos_locust.probes.process import ProcessId, identify

HOLDER_LIMIT_S = 10.0
"""So long a holder that lives is left to undo by itself what is due."""
_END_LIMIT_S = 5.0
_LOOK_AGAIN_S = 0.1


def myself() -> ProcessId:
    found = identify(os.getpid())
    assert found is not None
    return found


class Held:
    """The lease of one fault: written before it exists, renewed while it acts. For several threads."""

    def __init__(self, store: LeaseStore, run_id: str, label: str, owner: ProcessId) -> None:
        self._store = store
        self._blank = Lease(run_id, label, owner, None, {}, holder=myself())
        self._lease: Lease | None = None
        self._lock = threading.Lock()

    def promises(self, undo: Undo) -> bool:
        """Whether it is on the disk, with this Undo, and nobody else's. Raises LeaseError."""
        with self._lock:
            lease = self._lease
            return lease is not None and lease.undo == undo and self._store.is_current(lease)

    def write(self, undo: Undo, deadline_s: float) -> None:
        """Returns when it is on the disk. Raises LeaseError."""
        with self._lock:
            lease = self._lease or self._blank
            self._lease = self._store.save(replace(lease, undo=undo, deadline_s=deadline_s))

    def renew(self, deadline_s: float) -> None:
        """Moves its end: nearer at once, further when half of the time is over. Raises LeaseError."""
        with self._lock:
            lease = self._lease
            if lease is None or lease.deadline_s is None:
                return
            now_s = boottime_s()
            if deadline_s < lease.deadline_s or lease.deadline_s - now_s < (deadline_s - now_s) / 2:
                self._lease = self._store.save(replace(lease, deadline_s=deadline_s))

    def was_taken(self) -> bool:
        """Whether somebody else undoes the fault, or has. Raises LeaseError."""
        with self._lock:
            return self._lease is not None and not self._store.is_current(self._lease)

    def is_gone(self) -> bool:
        with self._lock:
            return self._lease is None or self._store.find(self._lease) is None

    def drop(self) -> None:
        """The fault is undone. Raises LeaseError."""
        with self._lock:
            lease, self._lease = self._lease, None
            if lease is not None:
                with contextlib.suppress(Superseded):  # then it is for another to remove
                    self._store.remove(lease)


def take(
    store: LeaseStore, lease: Lease, force: bool = False, clock: Callable[[], float] = boottime_s
) -> Lease | None:
    """The lease as ours to undo; None: there is nothing left of it. Raises LeaseError.

    A holder that lives has HOLDER_LIMIT_S to undo what is due. Then it is ended where its run is dead; where
    it stands still, at once, for it must not act behind our back. force: at once, also what is not due.
    """
    give_up_s = clock() + HOLDER_LIMIT_S
    while (current := store.find(lease)) is not None:
        holder = current.holder
        if not (force or current.is_due(clock())):
            return None  # its run has been heard of again
        if holder == myself():
            return current
        state = holder.state if holder is not None else None
        if holder is not None and state is not None:
            stands_still = state in ("T", "t")
            if not (force or stands_still) and clock() < give_up_s:
                time.sleep(_LOOK_AGAIN_S)
                continue
            if force or stands_still or current.owner_is_dead:
                end(holder)
        try:
            return store.save(replace(current, holder=myself()))
        except Superseded:
            time.sleep(_LOOK_AGAIN_S)  # somebody was faster: it is looked at again
        except LeaseError:
            return current  # a full disk must not keep us from undoing
    return None


def end(process: ProcessId) -> None:
    """Kills a process of ours for certain. Raises LeaseError."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    except OSError as error:
        raise LeaseError(f"process {process.pid} cannot be ended: {error.strerror}") from None
    try:
        if process.state is None:
            return
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        gone = ended.poll(_END_LIMIT_S * 1000)
    except OSError as error:
        raise LeaseError(f"process {process.pid} cannot be ended: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if not gone:
        raise LeaseError(f"process {process.pid} lives on {_END_LIMIT_S:g} s after KILL")
