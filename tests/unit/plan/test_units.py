"""Quantities have units, mean exactly what they say, and read back as they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_locust.units import (
    format_duration,
    format_rate,
    format_share,
    format_size,
    parse_byte_rate,
    parse_duration,
    parse_rate,
    parse_share,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "value_s"),
    [
        ("200ms", 0.2),
        ("1.5s", 1.5),
        ("2min", 120.0),
        ("1h", 3600.0),
        ("30us", 3e-5),
        (" 10 s ", 10.0),
        ("0s", 0.0),
    ],
)
def test_durations(text: str, value_s: float) -> None:
    assert parse_duration(text) == value_s


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("40", "'40' is a bare number; give a duration with a unit, such as 40s"),
        (40, "'40' is a bare number"),
        (1.5, "'1.5' is a bare number"),
        ("1:30", "'1:30' can be read in two ways"),
        ("01:30:00", "can be read in two ways"),
        ("5m", "m could be minutes or milliseconds"),
        ("5 parsecs", "units are us, ms, s, min, h"),
        ("-5s", "'-5s' is no duration"),
        ("1e3s", "'1e3s' is no duration"),
        ("٣s", "is no duration"),
        ("", "'' is no duration"),
        (None, "nothing is no duration"),
        (True, "'True' is no duration"),
        (float("nan"), "'nan' is no duration"),
        ("9" * 400 + "s", "is no duration"),
    ],
)
def test_what_is_no_duration(text: object, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_duration(text)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 200


@given(st.floats(0, 1e9))
def test_durations_read_back_exactly(value_s: float) -> None:
    rounded = round(value_s, 9)
    assert parse_duration(format_duration(rounded)) == rounded


@given(st.floats(0, 1e6), st.floats(0, 1), st.integers(1, 10**12))
def test_rates_shares_and_sizes_read_back_exactly(rate: float, share: float, size: int) -> None:
    rate, share = round(rate, 6), round(share, 6)
    assert parse_rate(format_rate(rate)) == rate
    assert parse_share(format_share(share)) == share
    assert parse_size(format_size(size)) == size


def test_shares_sizes_and_rates() -> None:
    assert (parse_share("5%"), parse_share("99.9%"), parse_share(0.25)) == (0.05, 0.999, 0.25)
    assert (parse_size("100KB"), parse_size("4KiB"), parse_size("1.5MB")) == (100_000, 4096, 1_500_000)
    assert parse_byte_rate("100KB/s") == 100_000
    assert parse_rate("12.5/s") == 12.5


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_share, "101%"),
        (parse_share, "5"),
        (parse_share, 5),
        (parse_rate, "50"),
        (parse_rate, "50/min"),
        (parse_size, "1.5B"),
        (parse_size, 100),
        (parse_byte_rate, "100KB"),
    ],
)
def test_other_quantities_without_their_unit_are_refused(parse: object, text: object) -> None:
    with pytest.raises(ValueError, match=r"give|units"):
        parse(text)  # type: ignore[operator]
