"""Stores of named values that are written several at once."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence

from invariants.machine import Refused
from invariants.samples.base import Shows, Twin, one_in_ten
from invariants.samples.in_process import InProcess, Link, Race


class Store:
    def __init__(self) -> None:
        self._values: dict[str, int] = {}
        self._lock = threading.Lock()

    def transaction(self, values: Mapping[str, int]) -> None:
        with self._lock:
            self._values.update(values)

    def read(self, names: Sequence[str]) -> dict[str, int | None]:
        with self._lock:
            return {name: self._values.get(name) for name in names}


class Linked(Store):
    """A correct store, on a way that is not."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._link = Link(rng)

    def transaction(self, values: Mapping[str, int]) -> None:
        self._link.send(lambda: super(Linked, self).transaction(values))

    def read(self, names: Sequence[str]) -> dict[str, int | None]:
        return self._link.send(lambda: super(Linked, self).read(names))


class HalfOfAFailedOneStays(Store):
    def __init__(self, fails: Shows) -> None:
        super().__init__()
        self._fails = fails

    def transaction(self, values: Mapping[str, int]) -> None:
        if self._fails():
            name = next(iter(values))
            super().transaction({name: values[name]})
            raise Refused("it failed half way")
        super().transaction(values)


class TracesOfAFailedOne(Store):
    """Every second one is refused after it was written."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def transaction(self, values: Mapping[str, int]) -> None:
        super().transaction(values)
        self._count += 1
        if self._count % 2 == 0:
            raise Refused("it failed")


class AcknowledgedAndDropped(Store):
    def __init__(self, drops: Shows) -> None:
        super().__init__()
        self._drops = drops

    def transaction(self, values: Mapping[str, int]) -> None:
        if not self._drops():
            super().transaction(values)


class EachStatementAlone(Store):
    """Each value is committed by itself, so others see a part."""

    def __init__(self) -> None:
        super().__init__()
        self._race = Race()

    def transaction(self, values: Mapping[str, int]) -> None:
        for name, value in values.items():
            super().transaction({name: value})
            self._race.meet()
        self._race.end()

    def read(self, names: Sequence[str]) -> dict[str, int | None]:
        found = super().read(names)
        self._race.end()
        return found


def CORRECT(rng: random.Random) -> InProcess:
    return InProcess(lambda: Linked(rng))


TWINS: Mapping[str, Twin] = {
    "half of a failed one stays, in 1 of 10": Twin(
        lambda rng: InProcess(lambda: HalfOfAFailedOneStays(one_in_ten(rng))), 1
    ),
    "a failed one leaves traces": Twin(lambda rng: InProcess(TracesOfAFailedOne), 2),
    "each statement is seen alone": Twin(lambda rng: InProcess(EachStatementAlone), 2, concurrency=4),
    "acknowledged and dropped, 1 of 10": Twin(
        lambda rng: InProcess(lambda: AcknowledgedAndDropped(one_in_ten(rng))), 1
    ),
}
