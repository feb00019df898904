"""The units of a plan. They live below the faults, which use them too."""

from chaos_locust.units import (
    format_duration,
    format_number,
    format_rate,
    format_share,
    format_size,
    parse_byte_rate,
    parse_duration,
    parse_rate,
    parse_share,
    parse_size,
)

__all__ = [
    "format_duration",
    "format_number",
    "format_rate",
    "format_share",
    "format_size",
    "parse_byte_rate",
    "parse_duration",
    "parse_rate",
    "parse_share",
    "parse_size",
]
