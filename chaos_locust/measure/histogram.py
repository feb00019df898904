"""A mergeable histogram of durations: log-linear buckets, and the plan's own bounds as exact edges.

A bucket is at most 1/128 of its value wide, from 256 ns up; below that every nanosecond has its own.
For the bounds of a plan the histogram also counts, inside the one bucket that a bound cuts in two, what
lies at or above it. So "how many were slower than the bound" is a fact, not an estimate.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_BITS = 7
_SUB = 1 << _BITS
NS = 1_000_000_000


def bucket_of(value_ns: int) -> int:
    """The number of the bucket that holds `value_ns` (not negative). Higher values, higher numbers."""
    shift = value_ns.bit_length() - _BITS - 1
    return value_ns if shift <= 0 else (shift << _BITS) + (value_ns >> shift)


def lower_edge(bucket: int) -> int:
    """The least value in ns that falls into `bucket`."""
    if bucket < 2 * _SUB:
        return bucket
    shift = (bucket >> _BITS) - 1
    return (bucket - (shift << _BITS)) << shift


@dataclass(frozen=True, slots=True)
class Layout:
    """The extra edges (ns) of all histograms of a run. Only histograms of equal layouts can be merged."""

    edges_ns: tuple[int, ...] = ()
    split: dict[int, tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        edges = tuple(sorted(set(self.edges_ns)))
        if edges and edges[0] < 0:
            raise ValueError(f"an edge must not be negative: {edges[0]} ns")
        split: dict[int, tuple[int, ...]] = {}
        for edge in edges:
            bucket = bucket_of(edge)
            if edge != lower_edge(bucket):
                split[bucket] = (*split.get(bucket, ()), edge)
        object.__setattr__(self, "edges_ns", edges)
        object.__setattr__(self, "split", split)


class Histogram:
    """Counts of durations in ns. Memory is bounded by the number of buckets, about 4500 up to one hour."""

    __slots__ = ("_above", "_buckets", "count", "layout", "max_ns", "total_ns")

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.count = 0
        self.total_ns = 0
        self.max_ns = 0
        self._buckets: dict[int, int] = {}
        self._above: dict[int, int] = {}  # edge -> values in the edge's own bucket at or above the edge

    def add(self, value_ns: int, count: int = 1) -> None:
        """Counts a value `count` times. A negative one (a clock's jitter) counts as 0."""
        if value_ns < 0:
            value_ns = 0
        shift = value_ns.bit_length() - _BITS - 1  # bucket_of, written out: this runs once a request
        bucket = value_ns if shift <= 0 else (shift << _BITS) + (value_ns >> shift)
        buckets = self._buckets
        buckets[bucket] = buckets.get(bucket, 0) + count
        self.count += count
        self.total_ns += value_ns * count
        if value_ns > self.max_ns:
            self.max_ns = value_ns
        if bucket in self.layout.split:
            for edge in self.layout.split[bucket]:
                if value_ns >= edge:
                    self._above[edge] = self._above.get(edge, 0) + count

    def merge(self, other: Histogram) -> None:
        """Adds all of `other`: the same as if its values had been recorded here. ValueError: other layout."""
        if other.layout is not self.layout and other.layout != self.layout:
            raise ValueError("histograms of different layouts cannot be merged")
        buckets = self._buckets
        for bucket, count in other._buckets.items():
            buckets[bucket] = buckets.get(bucket, 0) + count
        for edge, count in other._above.items():
            self._above[edge] = self._above.get(edge, 0) + count
        self.count += other.count
        self.total_ns += other.total_ns
        self.max_ns = max(self.max_ns, other.max_ns)

    def count_at_or_above(self, edge_ns: int) -> tuple[int, int]:
        """The least and greatest number of values >= `edge_ns`; equal when it is an edge of the layout."""
        if self.max_ns < edge_ns or not self.count:
            return 0, 0
        if edge_ns <= 0:
            return self.count, self.count
        own = bucket_of(edge_ns)
        higher = sum(count for bucket, count in self._buckets.items() if bucket > own)
        least = most = higher
        for lower, upper, count in self._cells(own, self._buckets.get(own, 0)):
            least += count if lower >= edge_ns else 0
            most += count if upper > edge_ns else 0
        return least, most

    def quantile_edges(self, q: float) -> tuple[int, int] | None:
        """The cell in ns, [lower, upper), that holds the value of rank ceil(q x count); None: no values."""
        if not self.count:
            return None
        rank, seen = max(1, _ceil(q * self.count)), 0
        cell = (0, 1)
        for lower, upper, count in self.cells():
            seen += count
            cell = (lower, upper)
            if seen >= rank:
                break
        return cell

    def quantile(self, q: float) -> float | None:
        """The quantile in s: the greatest value its cell can hold, at most the maximum. None: no values."""
        cell = self.quantile_edges(q)
        return None if cell is None else min(cell[1] - 1, self.max_ns) / NS

    @property
    def max_s(self) -> float | None:
        """The greatest value in s, exact; None: no values."""
        return self.max_ns / NS if self.count else None

    @property
    def mean_s(self) -> float | None:
        """The mean in s, exact; None: no values."""
        return self.total_ns / self.count / NS if self.count else None

    def cells(self) -> Iterator[tuple[int, int, int]]:
        """(lower, upper, count) in ns of every cell that is not empty, ascending; [lower, upper)."""
        for bucket in sorted(self._buckets):
            yield from self._cells(bucket, self._buckets[bucket])

    def _cells(self, bucket: int, count: int) -> Iterator[tuple[int, int, int]]:
        """One bucket, cut at the layout's edges in it."""
        lower, end = lower_edge(bucket), lower_edge(bucket + 1)
        left = count
        for edge in self.layout.split.get(bucket, ()):
            above = self._above.get(edge, 0)
            if left > above:
                yield lower, edge, left - above
            lower, left = edge, above
        if left:
            yield lower, end, left

    def encode(self) -> str:
        """As compact text: varints of total, maximum, the counts at the edges, then the filled buckets."""
        numbers = [self.total_ns, self.max_ns, len(self.layout.edges_ns)]
        numbers += [self._above.get(edge, 0) for edge in self.layout.edges_ns]
        last = 0
        for bucket in sorted(self._buckets):
            numbers += [bucket - last, self._buckets[bucket]]
            last = bucket
        return base64.b64encode(_varints(numbers)).decode("ascii")

    @classmethod
    def decode(cls, text: str, layout: Layout) -> Histogram:
        """The reverse of `encode`. ValueError: not such a text, or of another layout."""
        numbers = _numbers(base64.b64decode(text, validate=True))
        edges = len(layout.edges_ns)
        pairs_length = len(numbers) - 3 - edges
        if pairs_length < 0 or pairs_length % 2 or numbers[2] != edges:
            raise ValueError("not an encoded histogram of this layout")
        histogram = cls(layout)
        histogram.total_ns, histogram.max_ns = numbers[0], numbers[1]
        histogram._above = {e: n for e, n in zip(layout.edges_ns, numbers[3 : 3 + edges], strict=True) if n}
        bucket = 0
        pairs = iter(numbers[3 + edges :])
        for step, count in zip(pairs, pairs, strict=True):
            bucket += step
            histogram._buckets[bucket] = count
            histogram.count += count
        return histogram

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return (self.layout, self._buckets, self._above, self.total_ns, self.max_ns) == (
            other.layout,
            other._buckets,
            other._above,
            other.total_ns,
            other.max_ns,
        )

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Histogram(count={self.count}, max_s={self.max_s})"


def _ceil(value: float) -> int:
    """Rounds up, but takes 0.99 x 300 = 297.00000000000006 for the 297 that it is."""
    nearest = round(value)
    return nearest if abs(value - nearest) < 1e-9 * max(1.0, value) else int(value) + 1


def _varints(numbers: Iterable[int]) -> bytes:
    out = bytearray()
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out)


def _numbers(data: bytes) -> list[int]:
    numbers, number, shift = [], 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
        else:
            numbers.append(number)
            number = shift = 0
    if shift:
        raise ValueError("an encoded histogram is cut off")
    return numbers
