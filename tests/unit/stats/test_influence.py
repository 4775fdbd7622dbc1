"""Outliers: whether a handful of units makes the result."""

from __future__ import annotations

import json

import numpy as np
import pytest

from reclift.stats.influence import influence
from reclift.stats.sums import Sums


@pytest.fixture
def spend():
    rng = np.random.default_rng(21)
    return np.sort(rng.gamma(2.0, 5.0, 1000)), np.sort(rng.gamma(2.0, 5.0, 1000))


def read(a, b, top=10):
    return influence(
        Sums.from_arrays(a), Sums.from_arrays(b), Sums.from_arrays(a[:-top]), Sums.from_arrays(b[:-top]), kind="mean"
    )


def test_ordinary_units_drive_nothing(spend):
    result = read(*spend)
    assert (result.removed, result.driven) == (20, False)
    assert result.share == pytest.approx(sum(x[-10:].sum() for x in spend) / sum(x.sum() for x in spend))
    assert result.sentence.startswith("Leaving out the 20 largest units, which hold")
    json.dumps(result.to_dict(), allow_nan=False)


def test_a_few_giants_are_found_out(spend):
    a, b = spend
    b = b.copy()
    b[-30:] = 90.0
    result = read(a, b, top=30)
    assert result.whole.p_value < 0.05 < result.without.p_value
    assert result.driven
    assert result.sentence.endswith("changes the result: it rests on them.")


def test_a_rest_larger_than_the_whole_is_refused(spend):
    a, b = (Sums.from_arrays(x) for x in spend)
    with pytest.raises(ValueError, match="must be part of it"):
        influence(a, b, a + a, b, kind="mean")


def test_nothing_at_all_has_no_share():
    none = Sums.from_arrays([0.0] * 10)
    result = influence(none, none, Sums.from_arrays([0.0] * 9), Sums.from_arrays([0.0] * 9), kind="mean")
    assert (result.share, result.driven) == (None, False)
