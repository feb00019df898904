"""Databases of lists, with transactions of several levels of isolation."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from invariants.machine import Refused
from invariants.samples.base import Shows, Twin, one_in_ten
from invariants.samples.in_process import InProcess, Link, Race

Steps = Sequence[Sequence[Any]]
Lists = dict[str, list[int]]


class Serial:
    """One transaction after another."""

    def __init__(self) -> None:
        self.lists: Lists = {}
        self.lock = threading.Lock()

    def txn(self, steps: Steps) -> list[list[Any]]:
        with self.lock:
            lists = self.copy()
            done = [_do(lists, *step) for step in steps]
            self.lists = lists
            return done

    def copy(self) -> Lists:
        return {key: list(elements) for key, elements in self.lists.items()}


class Linked(Serial):
    """A correct one, on a way that is not."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._link = Link(rng)

    def txn(self, steps: Steps) -> list[list[Any]]:
        return self._link.send(lambda: super(Linked, self).txn(steps))


class Snapshots(Serial):
    """Each transaction works on what was there when it began. Where two change the same list the second is
    refused; where each changes what the other read, none is, which is write skew."""

    def __init__(self) -> None:
        super().__init__()
        self._race = Race()

    def txn(self, steps: Steps) -> list[list[Any]]:
        with self.lock:
            before = self.copy()
        lists = {key: list(elements) for key, elements in before.items()}
        done = [_do(lists, *step) for step in steps]
        self._race.meet()
        with self.lock:
            changed = {key for kind, key, _ in steps if kind == "append"}
            self.commit(before, {key: lists[key] for key in changed})
        self._race.end()
        return done

    def commit(self, before: Lists, changed: Lists) -> None:
        """Raises Refused."""
        if any(self.lists.get(key, []) != before.get(key, []) for key in changed):
            raise Refused("another transaction was faster")
        self.lists.update(changed)


class OverwritingSnapshots(Snapshots):
    """Nobody looks whether another transaction was faster."""

    def commit(self, before: Lists, changed: Lists) -> None:
        self.lists.update(changed)


class ReadCommitted(Serial):
    """Each read sees what is committed at that moment; what is appended is committed at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._race = Race()

    def txn(self, steps: Steps) -> list[list[Any]]:
        own: Lists = {}
        done = []
        for kind, key, element in steps:
            if kind == "append":
                own.setdefault(key, []).append(element)
                done.append([kind, key, element])
            else:
                with self.lock:
                    done.append([kind, key, [*self.lists.get(key, []), *own.get(key, [])]])
            self._race.meet()
        with self.lock:
            for key, elements in own.items():
                self.lists[key] = [*self.lists.get(key, []), *elements]
        self._race.end()
        return done


class RefusedAndDone(Serial):
    def __init__(self, refuses: Shows) -> None:
        super().__init__()
        self._refuses = refuses

    def txn(self, steps: Steps) -> list[list[Any]]:
        done = super().txn(steps)
        if self._refuses():
            raise Refused("it was taken back")
        return done


def _do(lists: Lists, kind: str, key: str, element: Any) -> list[Any]:
    if kind == "append":
        lists.setdefault(key, []).append(element)
        return [kind, key, element]
    return [kind, key, list(lists.get(key, []))]


def CORRECT(rng: random.Random) -> InProcess:
    return InProcess(lambda: Linked(rng))


TWINS: Mapping[str, Twin] = {
    "snapshots that overwrite each other": Twin(
        lambda rng: InProcess(OverwritingSnapshots), 2, concurrency=4
    ),
    "read committed": Twin(lambda rng: InProcess(ReadCommitted), 2, concurrency=4),
    "snapshots, with write skew": Twin(lambda rng: InProcess(Snapshots), 2, concurrency=4),
    "refused and done, 1 of 10": Twin(lambda rng: InProcess(lambda: RefusedAndDone(one_in_ten(rng))), 2),
}
