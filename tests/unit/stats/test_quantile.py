"""Quantiles: their intervals, clusters, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from reclift.stats.quantile import QuantileEstimate, compare_quantiles, quantile
from reclift.stats.result import CannotCompute, Code


def test_the_value_is_an_order_statistic_and_the_interval_covers_by_the_binomial():
    values = np.random.default_rng(4).permutation(np.arange(1.0, 1001.0))
    estimate = quantile(values, 0.9)
    assert estimate.value == 900.0
    # P(low-th <= true quantile < high-th) for independent values is binomial
    coverage = binom.cdf(estimate.high - 1, 1000, 0.9) - binom.cdf(estimate.low - 1, 1000, 0.9)
    assert coverage == pytest.approx(0.95, abs=0.012)


def test_intervals_cover_the_true_quantile():
    rng = np.random.default_rng(6)
    truth = np.log(10.0)  # 0.9 quantile of the unit exponential
    covered = 0
    for _ in range(400):
        estimate = quantile(rng.exponential(size=500), 0.9)
        covered += estimate.low <= truth <= estimate.high
    assert 0.92 <= covered / 400 <= 0.98


def test_values_of_one_unit_do_not_count_as_independent():
    rng = np.random.default_rng(7)
    level = rng.normal(size=300)
    values = np.repeat(level, 20) + 0.1 * rng.normal(size=6000)
    units = np.repeat(np.arange(300), 20)
    naive, aware = quantile(values, 0.5), quantile(values, 0.5, units=units)
    assert naive.value == aware.value
    assert aware.high - aware.low > 3 * (naive.high - naive.low)
    covered = sum(
        (q := quantile(np.repeat(rng.normal(size=300), 20), 0.5, units=units)).low <= 0.0 <= q.high for _ in range(200)
    )
    assert 0.9 <= covered / 200 <= 0.99


def test_units_may_have_any_names():
    values = np.arange(100.0)
    by_number = quantile(values, 0.5, units=np.arange(100))
    by_name = quantile(values, 0.5, units=[f"user-{i}" for i in range(100)])
    assert by_number == by_name


def test_two_arms_are_compared_like_means():
    rng = np.random.default_rng(9)
    a, b = quantile(rng.gamma(2.0, size=3000), 0.9), quantile(1.2 * rng.gamma(2.0, size=3000), 0.9)
    result = compare_quantiles(a, b, arm="new", higher_is_better=False)
    assert result.lift == pytest.approx(b.value / a.value - 1)
    assert result.p_value < 0.001
    assert result.bayesian.chance_to_win < 0.01
    assert result.method == "quantiles with order-statistic intervals, Welch t"
    assert result.kind == "quantile"


def test_a_quantile_without_spread_has_no_test():
    flat = QuantileEstimate(100, 3.0, 3.0, 3.0)
    result = compare_quantiles(flat, flat)
    assert (result.difference, result.p_value) == (0.0, None)
    assert result.reasons["p_value"].code is Code.ZERO_VARIANCE


@pytest.mark.parametrize(("values", "options", "code"), [
    ([], {}, Code.NO_UNITS),
    ([1.0, 2.0, 3.0], {}, Code.TOO_FEW_UNITS),
    (list(range(40)), {"units": [1] * 40}, Code.TOO_FEW_UNITS),
])  # fmt: skip
def test_what_has_no_interval_is_a_reason(values, options, code):
    with pytest.raises(CannotCompute) as caught:
        quantile(values, 0.5, **options)
    assert caught.value.reason.code is code


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="q is 90"):
        quantile([1.0], 90)
    with pytest.raises(ValueError, match="1 missing"):
        quantile([1.0, np.nan], 0.5)
    with pytest.raises(ValueError, match="units has 1 entries and values 20"):
        quantile(np.arange(20.0), 0.5, units=[1])
    with pytest.raises(ValueError, match="outside its interval"):
        QuantileEstimate(10, 5.0, 1.0, 2.0)
    with pytest.raises(ValueError, match="shape"):
        quantile(np.ones((2, 2)), 0.5)
