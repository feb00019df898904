"""Counters of bytes, and their Prometheus text, with Toxiproxy's names."""

from __future__ import annotations

import os
import resource
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Literal

Direction = Literal["upstream", "downstream"]
Labels = tuple[str, str, str]
"""Name, listen address and upstream of a proxy."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
_HANDLER = "promhttp_metric_handler_errors_total"
_HANDLER_HELP = "Total number of internal errors encountered by the promhttp metric handler."


class Metrics:
    """Bytes per direction and proxy. A connection's bytes are added when a direction of it has ended.

    `proxy` and `runtime` say which groups are served; with neither there is no /metrics at all.
    """

    def __init__(self, proxy: bool, runtime: bool, started_s: float) -> None:
        self.proxy = proxy
        self.runtime = runtime
        self._started_s = started_s
        self._received: Counter[tuple[Direction, Labels]] = Counter()
        self._sent: Counter[tuple[Direction, Labels]] = Counter()

    def received(self, direction: Direction, labels: Labels, count: int) -> None:
        self._received[direction, labels] += count

    def sent(self, direction: Direction, labels: Labels, count: int) -> None:
        self._sent[direction, labels] += count

    def text(self) -> str:
        """The Prometheus text, metrics in the order of their names."""
        lines = [f"# HELP {_HANDLER} {_HANDLER_HELP}", f"# TYPE {_HANDLER} counter"]
        lines += [f'{_HANDLER}{{cause="{cause}"}} 0' for cause in ("encoding", "gathering")]
        if self.runtime:
            lines = _process_lines(self._started_s) + lines
        if self.proxy:
            lines += _counter_lines("toxiproxy_proxy_received_bytes_total", self._received)
            lines += _counter_lines("toxiproxy_proxy_sent_bytes_total", self._sent)
        return "\n".join(lines) + "\n"


def _counter_lines(name: str, counts: Counter[tuple[Direction, Labels]]) -> list[str]:
    if not counts:
        return []
    rows = []
    for (direction, (proxy, listener, upstream)), count in counts.items():
        pairs = {"direction": direction, "listener": listener, "proxy": proxy, "upstream": upstream}
        labels = ",".join(f'{key}="{_escape(value)}"' for key, value in pairs.items())
        rows.append(f"{name}{{{labels}}} {_number(count)}")
    return [f"# HELP {name} ", f"# TYPE {name} counter", *sorted(rows)]


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    """As Prometheus prints a number: with an exponent from a million on."""
    number = Decimal(repr(float(value))).normalize()
    power = number.adjusted()
    if number and (power < -4 or power >= 6):
        mantissa = f"{number:e}".partition("e")[0]
        return f"{mantissa}e{power:+03d}"
    return f"{number:f}"


def _process_lines(started_s: float) -> list[str]:
    """The process group of the runtime metrics; what is about Go's own runtime has no counterpart here."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = Path("/proc/self/statm").read_text().split()
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    values = {
        ("process_cpu_seconds_total", "counter"): usage.ru_utime + usage.ru_stime,
        ("process_max_fds", "gauge"): float(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        ("process_open_fds", "gauge"): float(len(os.listdir("/proc/self/fd"))),
        ("process_resident_memory_bytes", "gauge"): float(int(pages[1]) * page_bytes),
        ("process_start_time_seconds", "gauge"): started_s,
        ("process_virtual_memory_bytes", "gauge"): float(int(pages[0]) * page_bytes),
    }
    lines: list[str] = []
    for (name, kind), value in values.items():
        lines += [f"# TYPE {name} {kind}", f"{name} {_number(value)}"]
    return lines
