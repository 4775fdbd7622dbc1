"""CUPED against the regression that it is, for means and ratios."""

from __future__ import annotations

import numpy as np
import pytest

from reclift.stats.comparison import compare
from reclift.stats.cuped import cuped, joint
from reclift.stats.result import CannotCompute, Code
from reclift.stats.sums import Sums


@pytest.fixture
def units():
    rng = np.random.default_rng(5)
    arms = []
    for shift in (0.0, 0.4):
        u = rng.gamma(2.0, 5.0, 800)
        v = 1.0 + rng.poisson(u / 3)
        y = 1.0 + rng.poisson(u / 3)
        arms.append({"x": 0.8 * u + shift + rng.normal(size=800), "y": y, "u": u, "v": v})
    return arms


def test_theta_is_the_pooled_regressions_and_the_difference_is_adjusted_by_it(units):
    a, b = units
    u, x = (np.concatenate([a[name], b[name]]) for name in ("u", "x"))
    theta = np.polyfit(u, x, 1)[0]
    result = cuped(*(Sums.from_arrays(arm["x"], u=arm["u"]) for arm in units))
    assert result.theta == pytest.approx(theta)
    adjusted = [arm["x"] - theta * arm["u"] for arm in units]
    assert result.effect.difference == pytest.approx(adjusted[1].mean() - adjusted[0].mean())
    assert result.effect.difference_variance == pytest.approx(sum(z.var(ddof=1) / z.size for z in adjusted))
    plain = sum(arm["x"].var(ddof=1) / 800 for arm in units)
    assert result.reduction == pytest.approx(1 - result.effect.difference_variance / plain)
    assert result.reduction > 0.9


def test_ratios_are_adjusted_on_their_linearised_units(units):
    def linear(arm, top, bottom):
        return (arm[top] - arm[top].sum() / arm[bottom].sum() * arm[bottom]) / arm[bottom].mean()

    sums = [Sums.from_arrays(**arm) for arm in units]
    for arm, total in zip(units, sums, strict=True):
        z, w = linear(arm, "x", "y"), linear(arm, "u", "v")
        moments = joint(total, "ratio")
        assert moments.value == pytest.approx(arm["x"].sum() / arm["y"].sum())
        assert moments.pre == pytest.approx(arm["u"].sum() / arm["v"].sum())
        assert moments.variance == pytest.approx(z.var(ddof=1))
        assert moments.pre_variance == pytest.approx(w.var(ddof=1))
        assert moments.covariance == pytest.approx(np.cov(z, w)[0, 1])


def test_a_ratios_covariate_may_be_a_plain_value(units):
    arm = units[0]
    z = (arm["x"] - arm["x"].sum() / arm["y"].sum() * arm["y"]) / arm["y"].mean()
    moments = joint(Sums.from_arrays(arm["x"], arm["y"], arm["u"]), "ratio")
    assert moments.covariance == pytest.approx(np.cov(z, arm["u"])[0, 1])
    assert moments.pre == pytest.approx(arm["u"].mean())


def test_without_a_covariate_it_says_so_and_compares_plainly(units):
    sums = [Sums.from_arrays(arm["x"]) for arm in units]
    with pytest.raises(CannotCompute) as caught:
        cuped(*sums)
    assert caught.value.reason.code is Code.NO_COVARIATE
    result = compare(*sums, kind="mean", cuped=True)
    assert result.variance_reduction is None
    assert result.reasons["variance_reduction"].code is Code.NO_COVARIATE
    assert result.p_value == compare(*sums, kind="mean").p_value
    assert "CUPED" not in result.method


def test_the_result_says_that_it_was_adjusted(units):
    result = compare(*(Sums.from_arrays(**arm) for arm in units), kind="mean", cuped=True)
    assert result.method == "Welch t, with CUPED"
    assert 0 < result.variance_reduction < 1
    assert result.std_error < compare(*(Sums.from_arrays(**arm) for arm in units), kind="mean").std_error


def test_arms_that_differed_before_are_warned_about(units):
    a, b = units
    result = compare(
        Sums.from_arrays(a["x"], u=a["u"]), Sums.from_arrays(b["x"], u=b["u"] + 2.0), kind="mean", cuped=True
    )
    assert Code.COVARIATE_IMBALANCE in [w.code for w in result.warnings]


def test_the_past_is_a_metric_of_its_own(units):
    arm = units[0]
    assert Sums.from_arrays(**arm).past.to_dict() == pytest.approx(Sums.from_arrays(arm["u"], arm["v"]).to_dict())
