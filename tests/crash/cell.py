"""What the crash matrix needs of a kind of fault: something real to do it to, and a look from outside."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any


class NotHere(Exception):
    """This kind cannot be tried on this machine; the text says why, and what would be needed."""


@dataclass(frozen=True)
class Case:
    """One fault on one real target that belongs to it alone, so that cases can run at the same time.

    targets, fault: as in a plan, the fault without name, at and for. acting: whether the fault acts now.
    left: what of it is there now, for people; empty when it is clean. Both look from outside: /proc, nft,
    pg_locks, checksums; they import nothing of chaos_locust.
    """

    targets: dict[str, Any]
    fault: dict[str, Any]
    acting: Callable[[], bool]
    left: Callable[[], str]
    plan: dict[str, Any] = field(default_factory=dict)
    """Further keys of the plan, such as proxy_api."""


Cell = Callable[[], AbstractContextManager[Case]]
"""Makes the target, yields the case, removes the target. Raises NotHere."""
