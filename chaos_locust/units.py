"""Durations, rates, shares and sizes as people type them, and back.

Every quantity has a unit: a bare number is refused, because 40 could be seconds or milliseconds.
Numbers go through Decimal, so that `200ms` is exactly 0.2 and text written here reads back as the same float.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

_SECONDS = {
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "min": Decimal(60),
    "h": Decimal(3600),
}
_BYTES = {
    "B": 1,
    "KB": 1000,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,15})?", re.ASCII)
_QUANTITY = re.compile(rf"({_NUMBER.pattern})\s*(\D*)", re.ASCII)
_CLOCK = re.compile(r"\d+:\d+(:\d+)?", re.ASCII)


def parse_duration(text: object) -> float:
    """Seconds of `200ms`, `1.5s`, `2min`, `1h`, `30us`. Raises ValueError that says what is allowed."""
    number, unit = _split(text, "a duration with a unit", "s")
    if _CLOCK.fullmatch(str(text).strip()):
        raise ValueError(f"'{text}' can be read in two ways; give a unit, such as 90s or 1.5min")
    if number is None or unit not in _SECONDS:
        hint = "; m could be minutes or milliseconds" if unit == "m" else ""
        raise ValueError(f"{_shown(text)} is no duration{hint}; units are us, ms, s, min, h, such as 1.5s")
    return float(number * _SECONDS[unit])


def parse_rate(text: object) -> float:
    """Requests per second of `50/s`."""
    number, unit = _split(text, "a rate", "/s")
    if number is None or unit != "/s":
        raise ValueError(f"{_shown(text)} is no rate; give one per second, such as 50/s")
    return float(number)


def parse_share(text: object) -> float:
    """A share of one of `5%`; a number from 0 to 1 is taken as it is."""
    if isinstance(text, int | float) and not isinstance(text, bool) and 0 <= text <= 1:
        return float(text)
    number, unit = _split(text, "a share", "%")
    if number is None or unit != "%" or number > 100:
        raise ValueError(f"{_shown(text)} is no share; give a percentage from 0% to 100%, such as 5%")
    return float(number / 100)


def parse_size(text: object) -> int:
    """Bytes of `100KB` (1000 bytes each) or `4KiB` (1024 bytes each)."""
    number, unit = _split(text, "a size", "KB")
    if number is None or unit not in _BYTES or number * _BYTES[unit] % 1:
        raise ValueError(f"{_shown(text)} is no size; units are B, KB, MB, GB, KiB, MiB, GiB")
    return int(number * _BYTES[unit])


def parse_byte_rate(text: object) -> int:
    """Bytes per second of `100KB/s`."""
    if isinstance(text, str) and text.strip().endswith("/s"):
        return parse_size(text.strip().removesuffix("/s"))
    raise ValueError(f"{_shown(text)} is no rate of bytes; give a size per second, such as 100KB/s")


def format_duration(value_s: float) -> str:
    """`0.2` as `200ms`: the text that reads back as exactly this float."""
    seconds = Decimal(repr(float(value_s)))
    for unit in ("s", "ms"):
        if seconds == 0 or seconds >= _SECONDS[unit]:
            return format_number(seconds / _SECONDS[unit]) + unit
    return format_number(seconds / _SECONDS["us"]) + "us"


def format_rate(value_rps: float) -> str:
    return format_number(Decimal(repr(float(value_rps)))) + "/s"


def format_share(value: float) -> str:
    return format_number(Decimal(repr(float(value))) * 100) + "%"


def format_size(value_bytes: int) -> str:
    """The largest unit of 1000 that divides it: `100KB`, `1500B`."""
    for unit in ("GB", "MB", "KB"):
        if value_bytes and value_bytes % _BYTES[unit] == 0:
            return f"{value_bytes // _BYTES[unit]}{unit}"
    return f"{value_bytes}B"


def format_number(value: Decimal) -> str:
    """Without exponent and without trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _split(text: object, wanted: str, unit: str) -> tuple[Decimal | None, str]:
    """Number and unit of `text`; (None, "") when it has not that form. Refuses bare numbers."""
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        return None, ""
    if isinstance(text, int | float) or _NUMBER.fullmatch(text.strip()):
        bare = str(text).strip()
        if isinstance(text, float) and not math.isfinite(text):
            return None, ""
        raise ValueError(f"'{bare}' is a bare number; give {wanted}, such as {bare.lstrip('-')}{unit}")
    match = _QUANTITY.fullmatch(text.strip())
    return (Decimal(match[1]), match[2].strip()) if match else (None, "")


def _shown(value: object) -> str:
    """A value in quotes, cut to a length that fits into a message."""
    text = "nothing" if value is None else f"'{value}'"
    return text if len(text) <= 80 else text[:77] + "...'"
