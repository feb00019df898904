from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from chaos_locust.measure.histogram import Layout
from chaos_locust.measure.window import Window

LAYOUT = Layout((100_000_000, 100_000_001))
requests = st.lists(
    st.tuples(
        st.floats(7, 7.999),
        st.integers(0, 10**9),
        st.integers(0, 10**10),
        st.sampled_from([None, None, "HTTP 503", "time-out", "never answered"]),
    ),
    max_size=40,
)


def recorded(stream: list[tuple[float, int, int, str | None]]) -> Window:
    window = Window(LAYOUT)
    for due_s, lateness_ns, service_ns, error in stream:
        window.offer(due_s)
        window.send(due_s)
        if error == "never answered":
            window.give_up(due_s)
        else:
            window.answer(due_s, lateness_ns, service_ns, error)
            if error:
                window.errors_sample.setdefault(error, "a sample")
    return window


@given(requests, requests)
def test_adding_windows_in_any_order_equals_recording_all(one: list, two: list) -> None:  # type: ignore[type-arg]
    forth, back = recorded(one), recorded(two)
    forth.add_window(recorded(two))
    back.add_window(recorded(one))
    assert forth == back == recorded(one + two)


@given(requests)
def test_a_window_survives_the_journal(stream: list) -> None:  # type: ignore[type-arg]
    window = recorded(stream)
    assert Window.from_json(json.loads(json.dumps(window.to_json())), LAYOUT) == window


@given(requests)
def test_the_accounts_close(stream: list) -> None:  # type: ignore[type-arg]
    window = recorded(stream)
    assert window.sent == window.ok + window.failures + window.unanswered == len(stream)
    assert window.in_flight == 0
    assert window.response.count == window.service.count == window.ok
    assert window.lateness.count == window.ok + window.failures


def test_response_counts_from_the_due_time_and_failures_are_not_in_it() -> None:
    window = recorded([(7.0, 40_000_000, 60_000_000, None), (7.95, 0, 1_000_000, "HTTP 503")])
    assert window.response.count_at_or_above(100_000_000) == (1, 1)
    assert window.response.count_at_or_above(100_000_001) == (0, 0)
    assert window.service.max_s == 0.06
    assert (window.ok_slots, window.due_slots) == (0b1, 0b10_0000_0001)


def test_a_request_in_flight_is_seen() -> None:
    window = Window(LAYOUT)
    window.send(3.2)
    assert window.in_flight == 1
    window.drop(3.4)
    assert (window.dropped, window.due_slots) == (1, 0b10100)
