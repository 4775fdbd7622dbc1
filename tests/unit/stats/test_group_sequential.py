"""Planned looks: alpha is spent as the family says, and never more."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from reclift.stats.group_sequential import latest_look, looks, obrien_fleming, power_family, repeated_interval

FIFTHS = [0.2, 0.4, 0.6, 0.8, 1.0]


@pytest.mark.parametrize("family", ["obrien_fleming", "power"])
@pytest.mark.parametrize("sides", [1, 2])
def test_the_last_look_has_spent_all(family, sides):
    design = looks(FIFTHS, family=family, sides=sides, alpha=0.05)
    assert design[-1].spent == pytest.approx(0.05)
    assert all(a.bound > b.bound for a, b in itertools.pairwise(design))


def test_the_bounds_cross_with_the_spent_probability():
    """Against the multivariate normal of the three looks, an independent computation."""
    design = looks([0.3, 0.5, 1.0], family="power", rho=1.5)
    t = np.array([look.information for look in design])
    correlation = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    bounds = np.array([look.bound for look in design])
    inside = multivariate_normal(cov=correlation, abseps=1e-8, releps=1e-8).cdf(bounds, lower_limit=-bounds)
    assert 1 - inside == pytest.approx(0.05, abs=2e-6)


def test_one_look_is_the_ordinary_test():
    (only,) = looks([1.0])
    assert only.bound == pytest.approx(norm.ppf(0.975))
    assert only.nominal_alpha == pytest.approx(0.05)


def test_looks_that_are_added_change_no_earlier_bound():
    assert looks(FIFTHS[:3]) == looks(FIFTHS)[:3]


def test_families():
    assert obrien_fleming(1.0, 0.025) == pytest.approx(0.025)
    assert power_family(0.5, 0.04, 2) == pytest.approx(0.01)
    assert obrien_fleming(0.1, 0.025) < 1e-10


def test_a_look_with_nothing_to_spend_never_stops():
    assert looks([0.01, 1.0])[0].nominal_alpha < 1e-14


def test_a_looks_interval_excludes_0_when_it_stops():
    look = looks(FIFTHS)[2]
    assert repeated_interval(look.bound * 0.1, 0.1, look) == pytest.approx((0.0, 2 * look.bound * 0.1))


def test_the_latest_look_counts():
    design = looks(FIFTHS)
    assert latest_look(design, 0.1) is None
    assert latest_look(design, 0.65) == (3, design[2])
    assert latest_look(design, 1.2) == (5, design[4])


@pytest.mark.parametrize(
    ("information", "options", "message"),
    [
        ([], {}, "information is empty"),
        ([0.5, 0.4], {}, r"information\[1\] is 0.4"),
        ([0.5, 1.1], {}, r"information\[1\] is 1.1"),
        ([1.0], {"family": "pocock"}, "family is 'pocock'"),
        ([1.0], {"rho": 0}, "rho is 0"),
        ([1.0], {"alpha": 1}, "alpha is 1"),
        ([1.0], {"sides": 3}, "sides is 3"),
    ],
)
def test_bad_input_is_named(information, options, message):
    with pytest.raises(ValueError, match=message):
        looks(information, **options)
