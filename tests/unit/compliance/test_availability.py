"""What a share of samples says of a promise."""

from __future__ import annotations

from math import comb

import pytest

from compliance.measures.web.availability import as_promised


@pytest.mark.parametrize(
    ("failures", "samples", "promised", "said"),
    [
        (0, 298, 0.99, None),
        (0, 299, 0.99, True),
        (1, 299, 0.99, None),
        (1, 473, 0.99, True),
        (0, 3000, 0.999, True),
        (3, 100, 0.99, None),
        (4, 100, 0.99, False),
        (100, 100, 0.99, False),
        (0, 1, 0.99, None),
        (1, 1, 0.99, False),
    ],
)
def test_only_what_chance_cannot_explain_is_said(
    failures: int, samples: int, promised: float, said: bool | None
) -> None:
    assert as_promised(failures, samples, promised) is said


@pytest.mark.parametrize("samples", [10, 59, 130])
def test_the_bounds_are_those_of_the_binomial_distribution(samples: int) -> None:
    allowed = 0.05
    chances = [comb(samples, k) * allowed**k * (1 - allowed) ** (samples - k) for k in range(samples + 1)]
    for failures in range(samples + 1):
        so_few, so_many = sum(chances[: failures + 1]), sum(chances[failures:])
        said = True if so_few < 0.05 else False if so_many < 0.05 else None
        assert as_promised(failures, samples, 1 - allowed) is said
