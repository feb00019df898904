"""Times as cron has them, checked, and as systemd and others have them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

NAMED = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LONGEST_MONTHS = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_PART = re.compile(r"(?P<from>\*|\w+)(-(?P<to>\w+))?(/(?P<step>\d+))?")
_NO_NAMES: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Field:
    """values: those at which it fits. is_star: begins with `*`, and so does not limit which days fit."""

    text: str
    values: tuple[int, ...]
    is_star: bool

    @property
    def is_any(self) -> bool:
        return self.text == "*"


@dataclass(frozen=True, slots=True)
class Cron:
    """Where days of the month and of the week are both limited, a day fits that fits either."""

    minutes: Field
    hours: Field
    days: Field
    months: Field
    weekdays: Field

    @property
    def text(self) -> str:
        fields = (self.minutes, self.hours, self.days, self.months, self.weekdays)
        return " ".join(each.text for each in fields)

    @property
    def shortest_min(self) -> int:
        """Minutes between two times that follow each other, at the least."""
        at = [60 * hour + minute for hour in self.hours.values for minute in self.minutes.values]
        return min(after - before for before, after in zip(at, [*at[1:], at[0] + 24 * 60], strict=True))

    def on_calendar(self) -> list[str]:
        """Expressions for OnCalendar= of a systemd timer: it goes off where one of them fits."""
        clock = f"{_calendar(self.hours)}:{_calendar(self.minutes)}:00"
        weekdays = ",".join(WEEKDAYS[each].capitalize() for each in self.weekdays.values)
        dates = f"*-{_calendar(self.months)}-{_calendar(self.days)} {clock}"
        on_weekdays = f"{weekdays} *-{_calendar(self.months)}-* {clock}"
        if self.weekdays.is_any:
            return [dates]
        return [on_weekdays] if self.days.is_any else [dates, on_weekdays]


def parse_cron(text: str) -> Cron:
    """Five fields, or @hourly, @daily, @weekly or @monthly. Raises ValueError, which says what is allowed."""
    words = NAMED.get(text.strip().lower(), text).split()
    if len(words) != 5 or "\n" in text:
        raise ValueError(
            f"{text!r} is not a time of cron; allowed: minute hour day month weekday, such as '30 2 * * 1', "
            f"or {', '.join(NAMED)}"
        )
    minute, hour, day, month, weekday = words
    found = Cron(
        _field("minute", minute, 0, 59),
        _field("hour", hour, 0, 23),
        _field("day", day, 1, 31),
        _field("month", month, 1, 12, {name: number for number, name in enumerate(MONTHS, 1)}),
        _weekday(weekday),
    )
    limited = not found.days.is_any and not found.weekdays.is_any
    if limited and (found.days.is_star or found.weekdays.is_star):
        raise ValueError(
            f"{text!r} limits days of the month and of the week, one of them as */n: programs disagree on "
            "what that means; name the days"
        )
    if found.weekdays.is_any and not any(
        min(found.days.values) <= LONGEST_MONTHS.get(month, 31) for month in found.months.values
    ):
        raise ValueError(f"{text!r} never comes: no such month has such a day")
    return found


def _field(name: str, text: str, low: int, high: int, names: Mapping[str, int] = _NO_NAMES) -> Field:
    def number(word: str) -> int:
        value = names.get(word.lower()) if not word.isdecimal() else int(word)
        if value is None or not word.isascii() or not low <= value <= high:
            raise ValueError(f"the {name} {word!r} in {text!r} is not allowed: {low} to {high}")
        return value

    values: set[int] = set()
    for part in text.split(","):
        found = _PART.fullmatch(part)
        if found is None or (found["from"] == "*" and found["to"]):
            raise ValueError(
                f"the {name} {text!r} is not allowed: *, numbers, a-b, */n, a-b/n, in lists by ,"
            )
        if found["from"] == "*":
            first, last = low, high
        else:
            first = number(found["from"])
            last = number(found["to"]) if found["to"] else first
            if found["step"] and not found["to"]:
                raise ValueError(f"the {name} {text!r} is not allowed: a step is of * or of a range")
        step = int(found["step"] or 1)
        if first > last or step < 1:
            raise ValueError(f"the {name} {text!r} is not allowed: it contains nothing")
        values.update(range(first, last + 1, step))
    return Field(text, tuple(sorted(values)), text.startswith("*"))


def _weekday(text: str) -> Field:
    """0 and 7 are both Sunday, but not to everybody: it is written as 0."""
    found = _field("weekday", text, 0, 7, {name: number for number, name in enumerate(WEEKDAYS)})
    values = set(found.values)
    if found.is_star:
        values.discard(7)
    numbers = tuple(sorted({each % 7 for each in values}))
    return Field(text if found.is_star else ",".join(map(str, numbers)), numbers, found.is_star)


def _calendar(field: Field) -> str:
    return "*" if field.is_any else ",".join(f"{each:02}" for each in field.values)
