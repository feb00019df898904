"""Undoing one lease for certain: the guardian and `cleanup` do it alike."""

from __future__ import annotations

import time
from collections.abc import Callable

from chaos_locust.backends.base import Backend, Undo
from chaos_locust.errors import BackendError

SETTLE_S = 0.5
"""Between the first look at an undone fault and the second: a request that was given up as lost may still
have been on its way to the backend and have taken effect after the first."""

RETRY_S = (0.1, 0.2, 0.5, 1.0)


def description(backend: Backend, undo: Undo) -> str:
    """What is undone, for people; also of an Undo that was damaged."""
    try:
        return backend.describe(undo)
    except Exception:
        return f"something of the backend {backend.name}"


def undo_once(backend: Backend, undo: Undo) -> None:
    """Reverts and looks whether it is gone. Raises BackendError. A bug of a backend counts as not undone."""
    try:
        backend.revert(undo)
        clean = backend.verify(undo)
    except BackendError:
        raise
    except Exception as error:
        raise BackendError(f"{description(backend, undo)} could not be undone: {error!r}") from error
    if not clean:
        raise BackendError(f"{description(backend, undo)} is still there")


def undo_until(
    backend: Backend,
    undo: Undo,
    give_up_s: float,
    clock: Callable[[], float],
    on_failure: Callable[[str], None],
) -> str | None:
    """Tries until it is undone (None) or the clock says `give_up_s` (why it is not). At least once."""
    attempt = 0
    while True:
        try:
            undo_once(backend, undo)
        except BackendError as error:
            wait_s = RETRY_S[min(attempt, len(RETRY_S) - 1)]
            if clock() + wait_s >= give_up_s:
                return str(error)
            on_failure(str(error))
            time.sleep(wait_s)
            attempt += 1
        else:
            return None
