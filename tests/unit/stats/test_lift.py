"""Relative lifts: Fieller against its definition and against the test of the difference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reclift.stats.estimate import Estimate, t_quantile, two_sided_p
from reclift.stats.lift import base_is_weak, fieller, lift, lift_variance
from reclift.stats.readings import plain_effect
from reclift.stats.result import CannotCompute, Code

EFFECT = plain_effect(Estimate(400, 2.0, 30.0), Estimate(500, 2.7, 40.0))


def test_delta_variance_is_the_usual_form():
    a, b, va, vb = 2.0, 2.7, 30 / 400, 40 / 500
    assert lift(EFFECT) == pytest.approx(0.35)
    assert lift_variance(EFFECT) == pytest.approx(vb / a**2 + va * b**2 / a**4)


def test_fiellers_bounds_are_where_the_test_of_that_lift_is_at_its_level():
    t = t_quantile(0.95, EFFECT.required_df)
    for bound in fieller(EFFECT, t):
        numerator = EFFECT.difference - bound * EFFECT.base
        variance = EFFECT.difference_variance - 2 * bound * EFFECT.covariance + bound * bound * EFFECT.base_variance
        assert abs(numerator) / np.sqrt(variance) == pytest.approx(t)


@pytest.mark.parametrize("treatment", [2.3, 2.75, 2.78, 2.9])
def test_fieller_excludes_0_exactly_when_the_difference_is_significant(treatment):
    effect = plain_effect(Estimate(400, 2.0, 30.0), Estimate(500, treatment, 40.0))
    low, _ = fieller(effect, t_quantile(0.95, effect.required_df))
    assert (low > 0) == (two_sided_p(effect.difference, effect.std_error, effect.required_df) < 0.05)


def test_a_base_that_may_be_0_has_no_bounds():
    effect = plain_effect(Estimate(10, 0.5, 9.0), Estimate(10, 1.0, 9.0))
    with pytest.raises(CannotCompute) as caught:
        fieller(effect, 2.1)
    assert caught.value.reason.code is Code.UNBOUNDED
    assert base_is_weak(effect)
    assert not base_is_weak(plain_effect(Estimate(400, 2.0, 3.0), Estimate(500, 2.7, 40.0)))


def test_bases_without_a_lift():
    for base, code in ((0.0, Code.ZERO_DENOMINATOR), (-1.0, Code.NEGATIVE_DENOMINATOR)):
        with pytest.raises(CannotCompute) as caught:
            lift(replace(EFFECT, base=base))
        assert caught.value.reason.code is code
