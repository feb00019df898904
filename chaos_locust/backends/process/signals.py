"""Signals to one process for certain: its descriptor is opened before it is looked at and signalled."""

from __future__ import annotations

import os
import select
import signal
import time

from chaos_locust.errors import BackendError
from chaos_locust.probes.process import ProcessId

_LIMIT_S = 5.0
_LOOK_AGAIN_S = 0.002
STOPPED = ("T", "t")


def stop(victim: ProcessId) -> None:
    """Returns when it is stopped. Raises BackendError."""
    send(victim, signal.SIGSTOP)
    deadline_s = time.monotonic() + _LIMIT_S
    while (state := victim.state) not in STOPPED:
        if state is None:
            raise BackendError(f"process {victim.pid} is gone")
        if time.monotonic() > deadline_s:
            raise BackendError(f"process {victim.pid} does not stop (state {state})")
        time.sleep(_LOOK_AGAIN_S)


def go_on(victim: ProcessId) -> None:
    """Returns when it is not stopped, or gone. Raises BackendError."""
    if victim.state is None:
        return
    send(victim, signal.SIGCONT)  # also takes back a SIGSTOP that has not stopped it yet
    deadline_s = time.monotonic() + _LIMIT_S
    while victim.state in STOPPED:
        if time.monotonic() > deadline_s:
            raise BackendError(f"process {victim.pid} is still stopped")
        time.sleep(_LOOK_AGAIN_S)


def kill(victim: ProcessId, number: signal.Signals) -> None:
    """Returns when it is gone. Raises BackendError."""
    descriptor = _open(victim)
    try:
        send(victim, number)
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        gone = ended.poll(_LIMIT_S * 1000)
    finally:
        os.close(descriptor)
    if not gone:
        raise BackendError(f"process {victim.pid} lives on {_LIMIT_S:g} s after {number.name}")


def send(victim: ProcessId, number: signal.Signals) -> None:
    """Raises BackendError."""
    descriptor = _open(victim)
    try:
        if victim.state is None:
            raise BackendError(
                f"process {victim.pid} is not the one that was meant: its pid was given to another"
            )
        signal.pidfd_send_signal(descriptor, number)
    except OSError as error:
        raise BackendError(f"process {victim.pid} takes no {number.name}: {error.strerror}") from None
    finally:
        os.close(descriptor)


def _open(victim: ProcessId) -> int:
    try:
        return os.pidfd_open(victim.pid)
    except OSError as error:
        raise BackendError(f"process {victim.pid} cannot be reached: {error.strerror}") from None
