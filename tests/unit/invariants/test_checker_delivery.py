"""Messages: once, and in order of their sender, where it can be told."""

from __future__ import annotations

from invariants.checkers.delivery import Delivery

from .histories import history, operation

op = operation
SENT = [op("a", "enqueue", 1, at=(0, 1)), op("a", "enqueue", 2, at=(2, 3))]


def anomalies(*operations: object, order: str = "sender") -> list[str]:
    checked = Delivery(order).check(history(*operations))  # type: ignore[arg-type]
    return [found.anomaly for found in checked.violations]


def test_in_order_and_once() -> None:
    done = history(*SENT, op("b", "dequeue", result=1, at=(4, 5)), op("b", "drain", result=[2], at=(6, 7)))
    assert Delivery().check(done).passed


def test_the_later_one_first() -> None:
    first, second = op("b", "dequeue", result=2, at=(4, 5)), op("c", "dequeue", result=1, at=(6, 7))
    assert anomalies(*SENT, first, second, op("b", "drain", result=[], at=(8, 9))) == ["out of order"]


def test_the_later_one_first_in_one_answer() -> None:
    assert anomalies(*SENT, op("b", "drain", result=[2, 1], at=(4, 5))) == ["out of order"]
    assert anomalies(*SENT, op("b", "drain", result=[1, 2], at=(4, 5))) == []


def test_two_that_receive_at_the_same_time_may_tell_it_either_way() -> None:
    first, second = op("b", "dequeue", result=2, at=(4, 6)), op("c", "dequeue", result=1, at=(5, 7))
    assert anomalies(*SENT, first, second, op("b", "drain", result=[], at=(8, 9))) == []


def test_messages_of_two_senders_have_no_order_unless_it_is_asked_for() -> None:
    sent = [op("a", "enqueue", 1, at=(0, 1)), op("b", "enqueue", 2, at=(2, 3))]
    drained = op("c", "drain", result=[2, 1], at=(4, 5))
    assert anomalies(*sent, drained) == []
    assert anomalies(*sent, drained, order="all") == ["out of order"]
    at_once = [op("a", "enqueue", 1, at=(0, 2)), op("b", "enqueue", 2, at=(1, 3))]
    assert anomalies(*at_once, drained, order="all") == []


def test_messages_that_were_sent_at_the_same_time_have_no_order() -> None:
    sent = [op("a", "enqueue", 1, at=(0, 2)), op("b", "enqueue", 2, at=(1, 3))]
    came = [op("c", "dequeue", result=2, at=(4, 5)), op("c", "dequeue", result=1, at=(6, 7))]
    assert anomalies(*sent, *came, op("c", "drain", result=[], at=(8, 9)), order="all") == []


def test_an_enqueue_without_an_answer_may_have_come_late() -> None:
    silent = op("a", "enqueue", 1, at=(0, 0), outcome="info")
    later = op("b", "enqueue", 2, at=(2, 3))
    assert anomalies(silent, later, op("c", "drain", result=[2, 1], at=(4, 5)), order="all") == []


def test_a_dequeue_without_an_answer_may_have_given_its_message_back() -> None:
    silent = op("d", "dequeue", at=(3, 3), outcome="info")
    first, second = op("b", "dequeue", result=2, at=(4, 5)), op("c", "dequeue", result=1, at=(6, 7))
    checked = Delivery().check(history(*SENT, silent, first, second, op("b", "drain", result=[], at=(8, 9))))
    assert checked.violations == ()
    assert "given a message back" in checked.inconclusive


def test_lost_and_twice_as_in_a_queue() -> None:
    drained = op("b", "drain", result=[2], at=(6, 7))
    assert anomalies(*SENT, drained) == ["lost"]
    twice = [op("b", "dequeue", result=1, at=(3, 4)), op("c", "dequeue", result=1, at=(3, 4))]
    assert anomalies(*SENT, *twice, drained) == ["duplicated"]


def test_one_message_shows_no_order() -> None:
    one = history(SENT[0], op("b", "drain", result=[1], at=(4, 5)))
    assert "no two messages" in Delivery().check(one).inconclusive
