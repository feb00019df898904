"""Requests are counted once, under one name, in the second in which they were due."""

from __future__ import annotations

import socket
from typing import Any

import gevent
import pytest
import requests
from geventhttpclient.response import HTTPConnectionClosed
from geventhttpclient.useragent import BadStatusCode, RetriesExceeded
from locust.exception import CatchResponseError

from chaos_locust.locust_plugin.failures import failure_kind, failure_sample
from chaos_locust.locust_plugin.recorder import Recorder
from chaos_locust.measure.histogram import Layout


class Clock:
    def __init__(self) -> None:
        self.t_s = 0.0

    def __call__(self) -> float:
        return self.t_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recorder(clock: Clock) -> Recorder:
    return Recorder(Layout(()), clock)


def test_only_the_first_request_of_an_arrival_counts_from_its_due_time(
    recorder: Recorder, clock: Clock
) -> None:
    clock.t_s = 3.5
    arrival = recorder.take(2.9)
    first = recorder.send("GET /first", arrival)
    clock.t_s = 3.75
    recorder.answer(first, "GET /first", 0.25, None)
    second = recorder.send("GET /second", arrival)
    recorder.answer(second, "GET /second", 0.1, None)
    windows = recorder.take_changes()
    assert windows[2, "GET /first"].response.max_s == pytest.approx(0.85, rel=0.01)
    assert windows[2, "GET /first"].lateness.max_s == pytest.approx(0.6, rel=0.01)
    assert windows[3, "GET /second"].response.max_s == pytest.approx(0.1, rel=0.01)
    assert windows[3, "GET /second"].lateness.max_s == 0


def test_a_request_outside_of_an_arrival_counts_from_its_own_start(recorder: Recorder, clock: Clock) -> None:
    clock.t_s = -0.5  # an on_start before the start instant
    flight = recorder.send("GET /login", None)
    recorder.answer(flight, "GET /login", 0.1, None)
    assert set(recorder.take_changes()) == {(-1, "GET /login")}


def test_changes_are_told_once_and_add_up(recorder: Recorder) -> None:
    flight = recorder.send("GET /", None)
    (sent,) = recorder.take_changes().values()
    assert (sent.sent, sent.ok, sent.in_flight) == (1, 0, 1)
    recorder.answer(flight, "GET /", 0.1, None)
    (answered,) = recorder.take_changes().values()
    assert (answered.sent, answered.ok) == (0, 1)
    sent.add_window(answered)
    assert sent.in_flight == 0
    assert recorder.take_changes() == {}


def test_the_first_end_of_a_request_counts(recorder: Recorder) -> None:
    flight = recorder.send("GET /", None)
    recorder.give_up(flight)
    recorder.answer(flight, "GET /", 0.1, None)
    recorder.give_up(flight)
    (window,) = recorder.take_changes().values()
    assert (window.sent, window.ok, window.unanswered) == (1, 0, 1)
    assert not recorder.flights


def test_a_request_renamed_by_its_answer_moves_to_the_new_name(recorder: Recorder) -> None:
    flight = recorder.send("GET /item/5", None)
    recorder.answer(flight, "GET /item/[id]", 0.1, None)
    windows = recorder.take_changes()
    assert windows[0, "GET /item/5"].sent == 0
    assert (windows[0, "GET /item/[id]"].sent, windows[0, "GET /item/[id]"].ok) == (1, 1)


def test_a_client_that_tells_only_of_the_end(recorder: Recorder, clock: Clock) -> None:
    clock.t_s = 5.2
    recorder.report("SQL insert", 0.4, None, None)
    window = recorder.take_changes()[4, "SQL insert"]
    assert (window.sent, window.ok) == (1, 1)
    assert window.response.max_s == pytest.approx(0.4, rel=0.01)


def test_a_failed_request_makes_its_arrival_fail(recorder: Recorder) -> None:
    arrival = recorder.take(0.0)
    flight = recorder.send("GET /", arrival)
    recorder.answer(flight, "GET /", 0.1, ConnectionRefusedError(111, "refused"))
    recorder.end(arrival, None)
    windows = recorder.take_changes()
    assert windows[0, ""].failed == windows[0, "GET /"].failed == {"connection refused": 1}
    assert "refused" in windows[0, "GET /"].errors_sample["connection refused"]


def _http_error(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError("an error", response=response)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_http_error(503), "HTTP 503"),
        (BadStatusCode("http://x/", code=404), "HTTP 404"),
        (TimeoutError("timed out"), "timeout"),
        (gevent.Timeout(1), "timeout"),
        (requests.ConnectTimeout(), "timeout"),
        (requests.ReadTimeout(), "timeout"),
        (RetriesExceeded("http://x/", 0, original=TimeoutError("timed out")), "timeout"),
        (requests.ConnectionError(ConnectionRefusedError(111, "refused")), "connection refused"),
        (ConnectionResetError(104, "reset"), "connection reset"),
        (BrokenPipeError(32, "broken pipe"), "connection reset"),
        (HTTPConnectionClosed("connection closed."), "connection reset"),
        (CatchResponseError("not ok"), "check failed"),
        (KeyError("id"), "KeyError"),
        (socket.gaierror(-2, "Name or service not known"), "gaierror"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_kinds_of_failures_are_short_and_stable(error: BaseException, kind: str) -> None:
    assert failure_kind(error) == kind


@pytest.mark.parametrize(
    ("error", "sample"),
    [
        (ValueError("http://user:secret@host/path is wrong"), "http://***@host/path is wrong"),
        (ValueError("two\n  lines"), "two lines"),
        (ValueError("x" * 300), "x" * 200),
    ],
)
def test_samples_are_short_and_without_secrets(error: Any, sample: str) -> None:
    assert failure_sample(error) == sample
