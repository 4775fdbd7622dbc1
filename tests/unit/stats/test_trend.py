"""Novelty and primacy: a line through the days since exposure."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.regression.linear_model import WLS

from reclift.stats.comparison import compare
from reclift.stats.result import Code
from reclift.stats.sums import Sums
from reclift.stats.trend import lift_trend


def days(successes, n=20_000):
    return [
        (day, compare(Sums.of_counts(n, 2000), Sums.of_counts(n, k), kind="proportion"))
        for day, k in enumerate(successes)
    ]


def test_the_slope_is_weighted_least_squares():
    points = days([2600, 2450, 2300, 2200, 2120])
    trend = lift_trend(points)
    lifts = np.array([c.lift for _, c in points])
    errors = np.array([c.lift_std_error for _, c in points])
    fit = WLS(lifts, np.column_stack([np.ones(5), np.arange(5)]), weights=errors**-2).fit(cov_type="fixed scale")
    assert trend.slope == pytest.approx(fit.params[1])
    assert trend.std_error == pytest.approx(fit.bse[1])
    assert trend.p_value == pytest.approx(fit.pvalues[1])


def test_shapes():
    assert lift_trend(days([2600, 2450, 2300, 2200, 2120])).shape == "novelty"
    assert lift_trend(days([2050, 2150, 2300, 2450, 2600])).shape == "primacy"
    assert lift_trend(days([2210, 2190, 2205, 2200, 2195])).shape == "steady"
    assert "from +" in lift_trend(days([2600, 2450, 2300, 2200, 2120])).sentence


def test_two_days_are_no_trend():
    trend = lift_trend(days([2600, 2450]))
    assert (trend.slope, trend.shape) == (None, "unknown")
    assert trend.to_dict()["reasons"]["slope"]["code"] == Code.TOO_FEW_UNITS.value
