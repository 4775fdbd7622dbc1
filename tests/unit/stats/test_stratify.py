"""Post-stratification: like with like."""

from __future__ import annotations

import numpy as np
import pytest

from reclift.stats.comparison import compare
from reclift.stats.result import Code
from reclift.stats.stratify import merged, stratified_effect
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


def totals(strata):
    return tuple(sum((pair[side] for pair in strata), Sums.empty()) for side in (0, 1))


def read(strata, kind="mean"):
    return compare(*totals(strata), kind=kind, strata=strata)


def test_it_takes_the_uneven_split_out(strata):
    result = read(strata)
    plain = compare(*totals(strata), kind="mean")
    assert result.difference_ci.low < 0.3 < result.difference_ci.high
    assert result.std_error < plain.std_error / 5
    assert result.variance_reduction > 0.95
    assert result.method == "Welch t, post-stratified (2 strata)"
    assert result.lift == pytest.approx(
        result.difference / (0.24 * strata[0][0].mean("x") + 0.76 * strata[1][0].mean("x"))
    )


def test_one_stratum_is_no_stratification():
    rng = np.random.default_rng(1)
    a, b = Sums.from_arrays(rng.gamma(2.0, size=200)), Sums.from_arrays(rng.gamma(2.2, size=250))
    alone, plain = read([(a, b)]), compare(a, b, kind="mean")
    assert alone.p_value == pytest.approx(plain.p_value)
    assert alone.lift_ci == pytest.approx(plain.lift_ci)


def test_ratios_are_weighted_by_their_denominator():
    rng = np.random.default_rng(2)
    y = [1.0 + rng.poisson(4, 300) for _ in range(4)]
    sums = [Sums.from_arrays(rng.binomial(n.astype(int), p), n) for n, p in zip(y, (0.1, 0.12, 0.4, 0.45), strict=True)]
    result = read([(sums[0], sums[1]), (sums[2], sums[3])], kind="ratio")
    w = (sums[0].y + sums[1].y) / sum(s.y for s in sums)
    expected = w * (sums[1].x / sums[1].y - sums[0].x / sums[0].y) + (1 - w) * (
        sums[3].x / sums[3].y - sums[2].x / sums[2].y
    )
    assert result.difference == pytest.approx(expected)


def test_small_strata_are_put_together(strata):
    few = [(Sums.from_arrays([1.0] * 20), Sums.from_arrays([2.0] * 20))] * 2
    parts = merged([*strata, *few], "mean")
    assert parts == [*strata, (few[0][0] + few[1][0], few[0][1] + few[1][1])]
    # too small even together: with the smallest of the others
    one = (Sums.from_arrays([1.0, 2.0]), Sums.empty())
    assert merged([*strata, one], "mean") == [strata[1], (strata[0][0] + one[0], strata[0][1])]
    assert merged([one], "mean") == [one]
    # a ratio needs a denominator in each
    bare = [(Sums(50, 0, 0), Sums(50, 0, 0)), (Sums(50, 5, 9, y=50, yy=50, xy=5), Sums(50, 5, 9, y=50, yy=50, xy=5))]
    assert len(merged(bare, "ratio")) == 1


def test_no_strata_fall_back_to_all_units_with_a_reason(strata):
    plain = compare(*totals(strata), kind="mean")
    result = compare(*totals(strata), kind="mean", strata=[])
    assert result.p_value == plain.p_value
    assert result.method == plain.method
    assert result.variance_reduction is None
    assert result.reasons["variance_reduction"].code is Code.NO_UNITS


def test_an_empty_arm_is_a_reason():
    result = read([(Sums.from_arrays([1.0, 2.0]), Sums.empty())])
    assert result.p_value is None
    assert result.reasons["lift"].code is Code.NO_UNITS


def test_few_successes_are_read_exactly_and_unstratified():
    parts = [(Sums.of_counts(500, 2), Sums.of_counts(500, 5)), (Sums.of_counts(300, 1), Sums.of_counts(300, 3))]
    result, plain = read(parts, "proportion"), compare(*totals(parts), kind="proportion")
    assert result == plain
    assert Code.SMALL_COUNTS in [warning.code for warning in result.warnings]


def test_proportions_by_hand():
    """Miratrix, Sekhon and Yu 2013, section 2: the estimator is the strata's differences weighted by their shares.

    With 80 units of one kind (10 % against 20 %) and 180 of another (50 % against 60 %), computed by hand.
    """
    parts = [(Sums.of_counts(40, 4), Sums.of_counts(40, 8)), (Sums.of_counts(100, 50), Sums.of_counts(80, 48))]
    effect = stratified_effect(parts, "proportion")
    assert effect.difference == pytest.approx(0.1)
    first = 0.1 * 0.9 / 40 + 0.2 * 0.8 / 40
    second = 0.5 * 0.5 / 100 + 0.6 * 0.4 / 80
    assert effect.difference_variance == pytest.approx((80 / 260) ** 2 * first + (180 / 260) ** 2 * second)
