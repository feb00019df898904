"""One fault for the length of a `with` block or of a test, without Locust and without a load.

    with chaos_locust.inject("latency", target="db", latency="200ms", targets={"db": {"proxy": "postgres"}}):
        ...

It is done as in a run: by a guardian process, with a lease on the disk, and undone when this process dies.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from uuid import uuid4

from chaos_locust.backends.base import Effect
from chaos_locust.backends.registry import backend_for
from chaos_locust.backends.state import state_problems
from chaos_locust.errors import BackendError, DirtyTarget, InvalidPlan, PreflightFailed
from chaos_locust.events import FaultState
from chaos_locust.faults.base import Fault
from chaos_locust.faults.registry import KINDS
from chaos_locust.leases.client import Guardian
from chaos_locust.plan.check import check_plan
from chaos_locust.plan.documents import parse_plan
from chaos_locust.units import format_duration

LONGEST = "60s"
"""So long a fault acts at most, unless it says otherwise: a block that hangs does not keep it."""

CONFIRM_LIMIT_S = 60.0
UNDO_LIMIT_S = 30.0
_LOST = "lost"
_SETTLED: frozenset[FaultState] = frozenset({"active", "failed", "dirty", "reverted"})

Test = TypeVar("Test", bound=Callable[..., Any])


class Injection:
    """What `inject` gives: a context manager for one use, which gives itself.

    fault: as it is injected. effect: what has been seen of it so far, None when nothing has been told yet;
    after the block what was seen until its end.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._plan = parse_plan(document, os.environ)
        problems = check_plan(self._plan).problems
        if problems:
            raise InvalidPlan(problems)
        (self.fault,) = self._plan.faults
        self.effect: Effect | None = None
        self._states: list[tuple[str, str]] = []  # (state, detail), in order
        self._ending_epoch_s: float | None = None  # when its end was asked for
        self._told = threading.Condition()
        self._acts = False

    def __enter__(self) -> Self:
        """Returns when the fault is confirmed. Raises PreflightFailed, LeaseError or BackendError."""
        target = self._plan.targets[self.fault.target]
        problems = state_problems(os.environ)
        problems += backend_for(self.fault).preflight(self._plan, self.fault, target)
        if problems:
            raise PreflightFailed(problems)
        run_id = f"inject-{time.strftime('%Y%m%d-%H%M%S')}-{uuid4().hex[:6]}"
        self._folder = tempfile.TemporaryDirectory(prefix="chaos-locust-")
        self._guardian = Guardian(run_id, self._plan, Path(self._folder.name), self._on_event, temporary=True)
        self._guardian.start()
        try:
            self._guardian.begin(time.time())
            self._guardian.inject(self.fault.name, self.fault.duration_s or 0.0)
            self._confirm()
        except BaseException:
            self._end()
            raise
        self._acts = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Returns when it is undone; at once where nothing was injected. Raises DirtyTarget when it could not
        be, and BackendError when it had ended before the block did."""
        if not self._acts:
            return
        self._acts = False
        left_epoch_s, lost = time.time(), self._last() == _LOST
        self._end()
        early = self._ending_epoch_s is not None and self._ending_epoch_s < left_epoch_s
        if error is None and (early or lost):
            lasting = format_duration(self.fault.duration_s or 0.0)
            why = "the guardian died" if lost else f"its {lasting} were over"
            raise BackendError(f"{self.fault.name} ended before the block did: {why}")

    def _confirm(self) -> None:
        with self._told:
            settled = self._told.wait_for(
                lambda: any(state in _SETTLED or state == _LOST for state, _ in self._states), CONFIRM_LIMIT_S
            )
            state, detail = self._states[-1] if self._states else ("", "")
        if not settled:
            raise BackendError(f"{self.fault.name} was not confirmed within {CONFIRM_LIMIT_S:g} s")
        if state == _LOST:
            raise BackendError(f"{self.fault.name} could not be injected: the guardian died")
        if state in ("failed", "dirty"):
            raise BackendError(f"{self.fault.name} could not be injected: {detail}")

    def _end(self) -> None:
        """Undoes what acts and ends the guardian. Raises DirtyTarget."""
        if self._last() == _LOST:
            clean = self._guardian.recover(UNDO_LIMIT_S)
        else:
            clean = self._guardian.close(UNDO_LIMIT_S)
        self._folder.cleanup()
        if not clean:
            told = [detail for state, detail in self._states if state == "dirty"]
            why = told[-1] if told else "the guardian did not tell that it was undone"
            raise DirtyTarget(f"{self.fault.name} could not be undone: {why}; run `chaos-locust cleanup`")

    def _last(self) -> str:
        with self._told:
            return self._states[-1][0] if self._states else ""

    def _on_event(self, message: Mapping[str, Any]) -> None:
        """Called from the thread that listens to the guardian."""
        with self._told:
            match message["event"]:
                case "effect":
                    self.effect = Effect(message["mechanism"], message["use"], message["detail"])
                case "guardian_lost":
                    self._states.append((_LOST, ""))
                case "note":
                    pass
                case state:
                    self._states.append((state, message.get("detail", "")))
                    if state == "revert_asked":
                        self._ending_epoch_s = float(message["epoch_s"])
            self._told.notify_all()


def inject(
    fault: Fault | str,
    *,
    targets: Mapping[str, Any],
    proxy_api: str | None = None,
    allow: Sequence[str] = (),
    **keys: Any,
) -> Injection:
    """A context manager in which `fault` acts: a kind with its `keys` as in a plan, or a fault of a plan.

        inject("pause", target="payments", targets={"payments": {"pidfile": "/run/payments.pid"}})

    targets, proxy_api, allow: as in a plan, `${NAME}` too. `duration` (60s) is how long it acts at most: one
    that is over before the block makes the block fail. A fault of a plan has its `for`; its `at` or `when` do
    not count. Raises InvalidPlan at once, and what the world refuses at `with`.
    """
    if isinstance(fault, str):
        data = {"kind": fault, "name": fault.replace("_", "-"), "at": "0s", **keys}
        given = {"for", "duration", "duration_s"} & set(data)
        kind = KINDS.get(fault)
        if not given and kind is not None and not kind.instant:
            data["for"] = LONGEST
    elif keys:
        raise TypeError(f"a fault is complete; it takes no {', '.join(keys)}")
    else:
        data = {**fault.to_json(), "at": "0s"}
        data.pop("when", None)
    document: dict[str, Any] = {"name": "inject", "targets": targets, "allow": list(allow), "faults": [data]}
    return Injection(document if proxy_api is None else {**document, "proxy_api": proxy_api})


def chaos_inject(
    fault: Fault | str,
    *,
    targets: Mapping[str, Any],
    proxy_api: str | None = None,
    allow: Sequence[str] = (),
    **keys: Any,
) -> Callable[[Test], Test]:
    """A decorator: the fault acts while the test function, or coroutine function, runs. As `inject`, but that
    everything is read when the test is called."""

    def made() -> Injection:
        return inject(fault, targets=targets, proxy_api=proxy_api, allow=allow, **keys)

    def decorate(test: Test) -> Test:
        if inspect.iscoroutinefunction(test):

            @functools.wraps(test)
            async def surrounded(*args: Any, **kwargs: Any) -> Any:
                injection = made()
                await asyncio.to_thread(injection.__enter__)
                try:
                    return await test(*args, **kwargs)
                finally:
                    await asyncio.to_thread(injection.__exit__, *sys.exc_info())

        else:

            @functools.wraps(test)
            def surrounded(*args: Any, **kwargs: Any) -> Any:
                with made():
                    return test(*args, **kwargs)

        return cast(Test, surrounded)

    return decorate
