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
