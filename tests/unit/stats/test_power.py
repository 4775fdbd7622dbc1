"""Power: against statsmodels, and each answer against the other."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower

from reclift.stats.power import (
    Baseline,
    Design,
    achieved_power,
    baseline,
    detectable_lift,
    duration_days,
    quantile_baseline,
    required_units,
)
from reclift.stats.quantile import quantile
from reclift.stats.result import CannotCompute, Code
from reclift.stats.sums import Sums

RATE = Baseline.proportion(0.05)


@pytest.mark.parametrize(("share", "alpha", "lift"), [(0.5, 0.05, 0.1), (0.2, 0.01, -0.05), (0.5, 0.05, 0.9)])
def test_power_is_statsmodels(share, alpha, lift):
    units = 12_000
    effect = lift * 0.05 / sqrt(0.05 * 0.95)
    expected = NormalIndPower().power(effect, units * share, alpha, ratio=(1 - share) / share)
    design = Design(alpha=alpha, control_share=share)
    assert achieved_power(RATE, lift, units, design) == pytest.approx(expected, rel=1e-9)


def test_units_are_statsmodels():
    effect = 0.1 * 0.05 / sqrt(0.05 * 0.95)
    per_arm = NormalIndPower().solve_power(effect, alpha=0.05, power=0.8)
    assert required_units(RATE, 0.1) == pytest.approx(2 * per_arm, abs=1)


@pytest.mark.parametrize("design", [Design(), Design(power=0.9, control_share=0.3), Design(regime="sequential")])
def test_the_three_questions_answer_each_other(design):
    units = required_units(RATE, 0.08, design)
    assert achieved_power(RATE, 0.08, units, design) == pytest.approx(design.power, abs=1e-4)
    assert detectable_lift(RATE, units, design) == pytest.approx(0.08, rel=1e-3)


def test_more_arms_and_looking_early_cost_units():
    plain = required_units(RATE, 0.1)
    assert required_units(RATE, 0.1, Design(comparisons=3)) > plain
    assert required_units(RATE, 0.1, Design(regime="sequential")) > plain


def test_cuped_saves_what_its_correlation_promises():
    rng = np.random.default_rng(3)
    u = rng.normal(10.0, 2.0, 50_000)
    history = Sums.from_arrays(0.8 * u + 0.6 * 2.0 * rng.normal(size=u.size) + 2.0, u=u)
    ratio = required_units(baseline(history, "mean", cuped=True), 0.02) / required_units(
        baseline(history, "mean"), 0.02
    )
    assert ratio == pytest.approx(1 - 0.8**2, abs=0.01)


def test_a_ratios_variance_is_its_units():
    y = np.array([1.0, 5.0, 2.0, 8.0])
    x = np.array([0.0, 2.0, 1.0, 1.0])
    base = baseline(Sums.from_arrays(x, y), "ratio")
    z = (x - base.mean * y) / y.mean()
    assert base.variance == pytest.approx(z.var(ddof=1))


def test_duration_follows_the_placements_own_arrivals():
    assert duration_days(100, [60, 50, 40]) == 2
    assert duration_days(100, [60, 50, 40], share=0.5) == 4  # 30, 25, 20, then 25 a day
    assert duration_days(290, [70, 60, 50, 40, 30, 20, 10, 10]) == 8
    # after the history, days bring the mean of its last seven: 220 / 7
    assert duration_days(290 + 220, [70, 60, 50, 40, 30, 20, 10, 10]) == 15


def test_what_is_never_reached_is_a_reason():
    with pytest.raises(CannotCompute) as caught:
        duration_days(1000, [100] + [0] * 7)
    assert caught.value.reason.code is Code.NO_UNITS
    with pytest.raises(CannotCompute):
        baseline(Sums.from_arrays([1.0, 2.0]), "mean", cuped=True)
    with pytest.raises(CannotCompute):
        baseline(Sums.from_arrays([0.0, 0.0]), "mean")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: required_units(RATE, 0.0), "lift is 0"),
        (lambda: required_units(Baseline(0.0, 1.0), 0.1), "mean is 0.0"),
        (lambda: detectable_lift(RATE, 0), "units is 0"),
        (lambda: Design(power=1.0), "power is 1.0"),
        (lambda: Design(comparisons=0), "comparisons is 0"),
        (lambda: Design(regime="daily"), "regime is 'daily'"),
        (lambda: Baseline.proportion(0), "rate is 0"),
        (lambda: duration_days(5, []), "at least one day"),
        (lambda: duration_days(5, [1], share=0), "share is 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_quantiles_baseline_is_the_textbooks_with_the_true_density():
    """Of an exponential: q (1 - q) / f**2 is q / (1 - q), whatever q; units without any value count as units."""
    rng = np.random.default_rng(3)
    for q in (0.5, 0.9):
        levels, variances = [], []
        for _ in range(30):
            values = rng.exponential(1.0, 20_000)
            found = quantile(values, q, units=np.arange(values.size))
            base = quantile_baseline(found.value, found.estimate.std_error, values.size)
            levels.append(base.mean)
            variances.append(base.variance)
        assert np.mean(levels) == pytest.approx(-np.log(1 - q), rel=0.01)
        assert np.mean(variances) == pytest.approx(q / (1 - q), rel=0.1)
        more = quantile_baseline(found.value, found.estimate.std_error, 2 * values.size)
        assert more.variance == pytest.approx(2 * base.variance)


def test_a_quantiles_spread_goes_with_its_level():
    """The arm's standard error is (1 + lift) times the control's: the textbook's formula with both variances."""
    base = quantile_baseline(100.0, 10.0, 400)  # a variance of 40,000 per unit
    per_arm = (1.959964 + 0.841621) ** 2 * 40_000 * (1 + 1.2**2) / 20**2
    assert required_units(base, 0.2) == pytest.approx(2 * per_arm, rel=0.01)
    down = (1.959964 + 0.841621) ** 2 * 40_000 * (1 + 0.8**2) / 20**2
    assert required_units(base, -0.2) == pytest.approx(2 * down, rel=0.01)
    assert detectable_lift(base, 2 * per_arm) == pytest.approx(0.2, rel=0.01)
    wild = quantile_baseline(1.0, 2.0, 100)  # noise of twice the level in 100 units
    assert achieved_power(wild, detectable_lift(wild, 8_000), 8_000) == pytest.approx(0.8, abs=0.01)
    with pytest.raises(CannotCompute, match="20 units find no lift of this quantile"):
        detectable_lift(wild, 20)


@pytest.mark.parametrize(
    ("level", "std_error", "code"),
    [(0.0, 1.0, Code.ZERO_DENOMINATOR), (-2.0, 1.0, Code.NEGATIVE_DENOMINATOR), (7.0, 0.0, Code.ZERO_VARIANCE)],
)
def test_a_quantile_without_a_baseline_says_why(level, std_error, code):
    with pytest.raises(CannotCompute) as impossible:
        quantile_baseline(level, std_error, 100)
    assert impossible.value.reason.code is code
