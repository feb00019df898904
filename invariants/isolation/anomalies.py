"""Each anomaly as an interleaving of two or three transactions that shows it, where it can happen.

After Martin Kleppmann's Hermitage, which tests databases so. The table `items` has (1, 10) and (2, 20).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future

from invariants.isolation.promises import Level
from invariants.isolation.sessions import Answer, Session

Interleaving = Callable[[Session, Session, Session, Level], bool]
"""Whether the anomaly was seen. The third session looks on from outside."""

_ALL = "SELECT value FROM items ORDER BY id"


def _set(item: int, value: int) -> str:
    return f"UPDATE items SET value = {value} WHERE id = {item}"


def _get(item: int) -> str:
    return f"SELECT value FROM items WHERE id = {item}"


def _then_commit(session: Session, asked: Future[Answer]) -> bool:
    """Whether what waited, and its transaction, were carried out."""
    return not (session.wait(asked).conflict or session.commit().conflict)


def dirty_write(a: Session, b: Session, c: Session, level: Level) -> bool:
    """Both write both items; in the end they have to be of one of the two."""
    a.begin(level)
    b.begin(level)
    a.do(_set(1, 11))
    asked = b.ask(_set(1, 12))
    a.do(_set(2, 21))
    a.commit()
    if not b.wait(asked).conflict:
        b.do(_set(2, 22))
        b.commit()
    return [row[0] for row in c.do(_ALL).rows] not in ([11, 21], [12, 22])


def aborted_read(a: Session, b: Session, c: Session, level: Level) -> bool:
    a.begin(level)
    b.begin(level)
    a.do(_set(1, 101))
    before = b.do(_get(1)).one
    a.rollback()
    after = b.do(_get(1)).one
    b.commit()
    return 101 in (before, after)


def intermediate_read(a: Session, b: Session, c: Session, level: Level) -> bool:
    a.begin(level)
    b.begin(level)
    a.do(_set(1, 101))
    before = b.do(_get(1)).one
    a.do(_set(1, 11))
    a.commit()
    after = b.do(_get(1)).one
    b.commit()
    return 101 in (before, after)


def non_repeatable_read(a: Session, b: Session, c: Session, level: Level) -> bool:
    a.begin(level)
    first = a.do(_get(1)).one
    b.begin(level)
    b.do(_set(1, 11))
    b.commit()
    second = a.do(_get(1))
    done = not a.commit().conflict
    return done and first != second.one


def phantom_read(a: Session, b: Session, c: Session, level: Level) -> bool:
    count = "SELECT count(*) FROM items WHERE value >= 10"
    a.begin(level)
    first = a.do(count).one
    b.begin(level)
    b.do("INSERT INTO items VALUES (3, 30)")
    b.commit()
    second = a.do(count)
    done = not a.commit().conflict
    return done and first != second.one


def lost_update(a: Session, b: Session, c: Session, level: Level) -> bool:
    """Each adds one to what it read."""
    a.begin(level)
    b.begin(level)
    read = a.do(_get(1)).one, b.do(_get(1)).one
    a.do(_set(1, read[0] + 1))
    asked = b.ask(_set(1, read[1] + 1))
    first = not a.commit().conflict
    second = _then_commit(b, asked)
    return bool(c.do(_get(1)).one != 10 + first + second)


def read_skew(a: Session, b: Session, c: Session, level: Level) -> bool:
    """The sum is 30 at every moment."""
    a.begin(level)
    one = a.do(_get(1)).one
    b.begin(level)
    b.do(_set(1, 12))
    b.do(_set(2, 18))
    b.commit()
    two = a.do(_get(2))
    done = not a.commit().conflict
    return done and one + two.one != 30


def write_skew(a: Session, b: Session, c: Session, level: Level) -> bool:
    """Each may take its item to 0 while the other one is more than that."""
    a.begin(level)
    b.begin(level)
    read = [a.do(_ALL).rows, b.do(_ALL).rows]
    assert read[0] == read[1]
    a.do(_set(1, 0))
    b.do(_set(2, 0))
    a.commit()
    b.commit()
    return [row[0] for row in c.do(_ALL).rows] == [0, 0]


def predicate_write_skew(a: Session, b: Session, c: Session, level: Level) -> bool:
    """Each inserts a multiple of 7 because there is none yet."""
    missing = "SELECT count(*) FROM items WHERE value % 7 = 0"
    a.begin(level)
    b.begin(level)
    read = [a.do(missing).one, b.do(missing).one]
    assert read == [0, 0]
    a.do("INSERT INTO items VALUES (3, 7)")
    b.do("INSERT INTO items VALUES (4, 14)")
    a.commit()
    b.commit()
    return bool(c.do(missing).one == 2)


INTERLEAVINGS: Mapping[str, Interleaving] = {
    "dirty write": dirty_write,
    "aborted read": aborted_read,
    "intermediate read": intermediate_read,
    "non-repeatable read": non_repeatable_read,
    "phantom read": phantom_read,
    "lost update": lost_update,
    "read skew": read_skew,
    "write skew": write_skew,
    "predicate write skew": predicate_write_skew,
}
"""By the names of `promises.ANOMALIES`."""
