"""Post-stratification: like with like."""

from __future__ import annotations

import numpy as np
import pytest

from reclift.stats.comparison import compare
from reclift.stats.result import Code
from reclift.stats.stratify import compare_stratified, stratified_effect
from reclift.stats.sums import Sums


@pytest.fixture
def strata():
    """Two very different kinds of customers, unevenly split by chance."""
    rng = np.random.default_rng(12)
    sizes = ((100, 140), (400, 360))
    return [
        (Sums.from_arrays(rng.normal(mean, 1.0, n)), Sums.from_arrays(rng.normal(mean + 0.3, 1.0, m)))
        for mean, (n, m) in zip((50.0, 5.0), sizes, strict=True)
    ]


def test_by_hand(strata):
    effect = stratified_effect(strata, "mean")
    weights = [240 / 1000, 760 / 1000]
    difference = sum(w * (t.mean("x") - c.mean("x")) for w, (c, t) in zip(weights, strata, strict=True))
    variance = sum(
        w * w * (c.covariance("x", "x") / c.n + t.covariance("x", "x") / t.n)
        for w, (c, t) in zip(weights, strata, strict=True)
    )
    assert effect.difference == pytest.approx(difference)
    assert effect.difference_variance == pytest.approx(variance)


def test_it_takes_the_uneven_split_out(strata):
    result = compare_stratified(strata, kind="mean")
    plain = compare(strata[0][0] + strata[1][0], strata[0][1] + strata[1][1], kind="mean")
    assert result.difference_ci.low < 0.3 < result.difference_ci.high
    assert result.std_error < plain.std_error / 5
    assert result.variance_reduction > 0.95
    assert result.method == "post-stratified Welch t"
    assert result.lift == pytest.approx(
        result.difference / (0.24 * strata[0][0].mean("x") + 0.76 * strata[1][0].mean("x"))
    )


def test_one_stratum_is_no_stratification():
    rng = np.random.default_rng(1)
    a, b = Sums.from_arrays(rng.gamma(2.0, size=200)), Sums.from_arrays(rng.gamma(2.2, size=250))
    alone, plain = compare_stratified([(a, b)], kind="mean"), compare(a, b, kind="mean")
    assert alone.p_value == pytest.approx(plain.p_value)
    assert alone.lift_ci == pytest.approx(plain.lift_ci)


def test_ratios_are_weighted_by_their_denominator():
    rng = np.random.default_rng(2)
    y = [1.0 + rng.poisson(4, 300) for _ in range(4)]
    sums = [Sums.from_arrays(rng.binomial(n.astype(int), p), n) for n, p in zip(y, (0.1, 0.12, 0.4, 0.45), strict=True)]
    result = compare_stratified([(sums[0], sums[1]), (sums[2], sums[3])], kind="ratio")
    w = (sums[0].y + sums[1].y) / sum(s.y for s in sums)
    expected = w * (sums[1].x / sums[1].y - sums[0].x / sums[0].y) + (1 - w) * (
        sums[3].x / sums[3].y - sums[2].x / sums[2].y
    )
    assert result.difference == pytest.approx(expected)


def test_no_strata_and_empty_cells_are_reasons(strata):
    assert compare_stratified([], kind="mean").reasons["p_value"].code is Code.NO_UNITS
    broken = [*strata, (Sums.from_arrays([1.0, 2.0]), Sums.empty())]
    assert compare_stratified(broken, kind="mean").reasons["lift"].code is Code.NO_UNITS
