"""Which share of requests is answered, by requests that are spread over a while.

A share of a few requests says little. What is said is what chance alone cannot explain: that fewer are
answered than is promised, that as many are, or, with too few requests for either, nothing. The bound is that
of Clopper and Pearson (1934), at 95 %, and takes the requests for independent of each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from chaos_locust.errors import ChaosError
from chaos_locust.measure.binomial import CONFIDENCE, surely_above, tail
from compliance.measures.bad import BadHandler, bad_service
from compliance.measures.base import Measure, SideEffect
from compliance.site import Site, Unreachable, new_session
from compliance.target import Availability, Http, Target

MOST_SHOWN = 10
THROTTLED = 429  # our own doing, which says nothing of what others are answered
GOOD, BAD, NONE = "good", "bad", "none"


class Available(Measure):
    name = "availability"
    says = "which share of requests is answered well and in time, over a while"
    side_effect: ClassVar[SideEffect] = "passive"
    needs = ("http", "availability")
    fields: ClassVar[Mapping[str, str]] = {
        "as_promised": "whether the share is what is promised; none: too few samples to tell",
        "percent": "of the samples that were answered well",
        "answered": "number of samples that were",
        "samples": "number of them all",
        "promised_percent": "what is promised",
    }

    def take(self, site: Site) -> Mapping[str, Any]:
        part = site.target.availability
        assert part is not None
        seen, took_s = _sampled(site, part)
        if not seen[GOOD] + seen[BAD]:
            raise ChaosError(f"GET {part.path}: every sample was refused as one too many ({THROTTLED})")
        samples = seen[GOOD] + seen[BAD]
        site.note(f"GET {part.path}: {seen[GOOD]} of {samples} answered well, in {took_s:.1f} s")
        return {
            "as_promised": as_promised(seen[BAD], samples, part.promised),
            "percent": round(100 * seen[GOOD] / samples, 4),
            "answered": seen[GOOD],
            "samples": samples,
            "promised_percent": round(100 * part.promised, 6),
        }

    @contextmanager
    def bad(self) -> Iterator[Target]:
        part = Availability(path="/", promised=0.99, samples=100, window_s=0.01)
        with bad_service(_HalfDown) as url:
            yield Target(name="bad", http=Http(url=url), availability=part)


class _HalfDown(BadHandler):
    """Answers, but not what it was asked for."""

    def do_GET(self) -> None:
        self._answer(503, {"error": "unavailable"})


def _sampled(site: Site, part: Availability) -> tuple[Counter[str], float]:
    """How many went how, and seconds. A failure counts for all samples that were due while it was waited for:
    else a service that hangs would be asked less often than one that answers. Raises Unreachable when it was
    never reached: that may be our own network."""
    every_s = part.window_s / part.samples
    began_s = site.clock()
    seen: Counter[str] = Counter()
    reached, last = False, ""
    with new_session() as session:
        while (number := seen.total()) < part.samples:
            if (early_s := began_s + number * every_s - site.clock()) > 0:
                site.sleep(early_s)
            sent_s = site.clock()
            try:
                status = site.request("GET", part.path, noted=False, session=session).status_code
            except Unreachable as error:
                kind, last = BAD, str(error)
            else:
                kind = NONE if status == THROTTLED else BAD if status >= 400 else GOOD
                reached, last = True, str(status)
            due = int((site.clock() - sent_s) / every_s) if kind == BAD else 1
            if kind == BAD and seen[BAD] < MOST_SHOWN:
                site.note(f"{sent_s - began_s:.1f} s: {last}")
            seen[kind] += max(1, min(due, part.samples - number))
    if not reached:
        raise Unreachable(last)
    return seen, site.clock() - began_s


def as_promised(failures: int, samples: int, promised: float) -> bool | None:
    """False: surely fewer are answered; True: surely not fewer; None: neither is sure."""
    allowed = 1 - promised
    if surely_above(failures, samples, allowed):
        return False
    # So few failures as these, or fewer, would be rare if more than what is allowed failed.
    return True if 1 - tail(failures + 1, samples, allowed) < 1 - CONFIDENCE else None


MEASURES = (Available,)
