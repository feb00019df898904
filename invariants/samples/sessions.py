"""Stores with a primary and a replica that is behind, and sessions with them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping

from invariants.samples.base import Shows, Twin, one_in_ten
from invariants.samples.in_process import InProcess, Link, Race


class Versions:
    """The primary has the last version of each key; the replica has the one before it."""

    def __init__(self) -> None:
        self._primary: dict[str, int] = {}
        self._replica: dict[str, int | None] = {}
        self._lock = threading.Lock()

    def write(self, key: str, version: int) -> None:
        with self._lock:
            self._replica[key] = self._primary.get(key)
            self._primary[key] = version

    def last(self, key: str) -> int | None:
        with self._lock:
            return self._primary.get(key)

    def before(self, key: str) -> int | None:
        with self._lock:
            return self._replica.get(key)


class Session:
    """Of a correct store: it asks the primary."""

    def __init__(self, versions: Versions) -> None:
        self.versions = versions

    def write(self, key: str, version: int) -> None:
        self.versions.write(key, version)

    def read(self, key: str) -> int | None:
        return self.versions.last(key)


class Linked(Session):
    """A correct one, on a way that is not."""

    def __init__(self, versions: Versions, link: Link) -> None:
        super().__init__(versions)
        self._link = link

    def write(self, key: str, version: int) -> None:
        self._link.send(lambda: super(Linked, self).write(key, version))

    def read(self, key: str) -> int | None:
        return self._link.send(lambda: super(Linked, self).read(key))


class ReadsFromTheReplica(Session):
    def __init__(self, versions: Versions, behind: Shows) -> None:
        super().__init__(versions)
        self._behind = behind

    def read(self, key: str) -> int | None:
        return self.versions.before(key) if self._behind() else super().read(key)


class ReadsFromEither(Session):
    """It asks the primary and the replica in turn, and the primary for what it wrote itself."""

    def __init__(self, versions: Versions, race: Race) -> None:
        super().__init__(versions)
        self._race, self._own, self._count = race, set[str](), 0

    def write(self, key: str, version: int) -> None:
        super().write(key, version)
        self._own.add(key)
        self._race.end()

    def read(self, key: str) -> int | None:
        if key in self._own:
            return super().read(key)
        self._count += 1
        if self._count % 2 == 0:
            return self.versions.before(key)
        self._race.meet()
        return super().read(key)


class Replicated(InProcess):
    """open_session: for each lane one of its own."""

    def __init__(self, open_session: Callable[[Versions], Session]) -> None:
        super().__init__(Versions)
        self._open = open_session

    def connect(self, scope: str) -> Session:
        return self._open(super().connect(scope))


def CORRECT(rng: random.Random) -> Replicated:
    link = Link(rng)
    return Replicated(lambda versions: Linked(versions, link))


def _from_either(rng: random.Random) -> Replicated:
    race = Race()
    return Replicated(lambda versions: ReadsFromEither(versions, race))


TWINS: Mapping[str, Twin] = {
    "own writes are not seen": Twin(
        lambda rng: Replicated(lambda versions: ReadsFromTheReplica(versions, lambda: True)), 2
    ),
    "the replica answers 1 of 10": Twin(
        lambda rng: Replicated(lambda versions: ReadsFromTheReplica(versions, one_in_ten(rng))), 2
    ),
    "reads go back": Twin(_from_either, 3, concurrency=4),
}
