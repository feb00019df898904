from __future__ import annotations

import pytest

from chaos_locust.proxy.metrics import Metrics


def counted(count, labels=("p", "127.0.0.1:1", "up:2")):
    metrics = Metrics(proxy=True, runtime=False, started_s=0.0)
    metrics.received("upstream", labels, count)
    return metrics.text().splitlines()[-1]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (5, "5"),
        (999_999, "999999"),
        (1_000_000, "1e+06"),
        (1_234_572, "1.234572e+06"),
        (12 * 10**10, "1.2e+11"),
    ],
)
def test_numbers_are_written_as_by_prometheus(count, text):
    labels = '{direction="upstream",listener="127.0.0.1:1",proxy="p",upstream="up:2"}'
    assert counted(count) == f"toxiproxy_proxy_received_bytes_total{labels} {text}"


def test_names_cannot_break_the_text():
    assert 'proxy="a\\"b\\\\c\\nd"' in counted(1, ('a"b\\c\nd', "l", "u"))


def test_counts_add_up_and_directions_are_apart():
    metrics = Metrics(proxy=True, runtime=False, started_s=0.0)
    for direction, count in (("upstream", 1), ("upstream", 2), ("downstream", 10)):
        metrics.sent(direction, ("p", "l", "u"), count)
    assert [line.rpartition(" ")[2] for line in metrics.text().splitlines()[-2:]] == ["10", "3"]
