"""How far another machine's clock is from ours, from requests and their replies."""

from __future__ import annotations

from collections.abc import Sequence


def estimate_offset(samples: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """The remote clock minus ours, and the greatest error of that, both in s.

    samples: (sent, remote, received): our clock when we asked, theirs when they replied, ours when the
    reply came. The sample of the shortest round trip decides: the reply was made somewhere within it, so
    the error is at most half of it. ValueError: no samples, or a reply before its question.
    """
    if not samples:
        raise ValueError("a clock offset needs at least one sample")
    sent_s, remote_s, received_s = min(samples, key=lambda sample: sample[2] - sample[0])
    if received_s < sent_s:
        raise ValueError("a reply came before its question: the local clock was set back")
    return remote_s - (sent_s + received_s) / 2, (received_s - sent_s) / 2


class ClockError:
    """How far a remote clock may be from ours, `offset_s` taken off, as time goes on.

    offset_s, error_s: as `estimate_offset` gave them. drift: so many seconds a second at most it moves away
    from ours. origin_s: our clock when the seconds of `at` begin to count. now_s: our clock.
    """

    def __init__(self, offset_s: float, error_s: float, drift: float, origin_s: float, now_s: float) -> None:
        self._offset_s = offset_s
        self._drift = drift
        self._origin_s = origin_s
        self._measured_s = now_s - origin_s
        self._error_s = error_s

    def measure(self, sent_s: float, remote_s: float, received_s: float) -> None:
        """One more sample; it counts if it tells more than those before it."""
        offset_s, error_s = estimate_offset([(sent_s, remote_s, received_s)])
        error_s += abs(offset_s - self._offset_s)
        at_s = sent_s - self._origin_s
        error_s += self._drift * (received_s - sent_s)
        if error_s < self.at(at_s):
            self._error_s, self._measured_s = error_s, at_s

    def at(self, t_s: float) -> float:
        """The greatest error at that moment, in s. It holds for earlier and later moments alike."""
        return self._error_s + self._drift * abs(t_s - self._measured_s)

    def within(self, start_s: float, end_s: float) -> float:
        """The greatest error between these moments, in s: it is at one of them."""
        away_s = max(abs(start_s - self._measured_s), abs(end_s - self._measured_s))
        return self._error_s + self._drift * away_s
