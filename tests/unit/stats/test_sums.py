"""Sums: what they refuse, that they add, and that their moments are NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from reclift.stats.sums import Sums


@pytest.fixture
def columns():
    rng = np.random.default_rng(3)
    y = rng.poisson(5, 200) + 1.0
    x = rng.binomial(y.astype(int), 0.3).astype(float)
    return {"x": x, "y": y, "u": x + rng.normal(size=200), "v": y + rng.normal(size=200)}


def test_moments_are_those_of_numpy(columns):
    sums = Sums.from_arrays(**columns)
    for a in "xyuv":
        assert sums.mean(a) == pytest.approx(columns[a].mean())
        for b in "xyuv":
            assert sums.covariance(a, b) == pytest.approx(np.cov(columns[a], columns[b], ddof=1)[0, 1])


def test_adding_is_putting_units_together(columns):
    first = Sums.from_arrays(**{name: values[:70] for name, values in columns.items()})
    second = Sums.from_arrays(**{name: values[70:] for name, values in columns.items()})
    assert (first + second).to_dict() == pytest.approx(Sums.from_arrays(**columns).to_dict())
    assert first + Sums.empty() == first


def test_scaling_repeats_every_unit(columns):
    sums = Sums.from_arrays(**columns)
    tripled = Sums.from_arrays(**{name: np.tile(values, 3) for name, values in columns.items()})
    assert (3 * sums).to_dict() == pytest.approx(tripled.to_dict())
    with pytest.raises(ValueError, match="scale is -1"):
        _ = -1 * sums


def test_missing_values_are_refused_and_located():
    with pytest.raises(ValueError, match=r"x has 2 missing or infinite values, the first at index 1 \(nan\)"):
        Sums.from_arrays([1.0, np.nan, np.inf])


def test_unequal_lengths_and_tables_are_refused():
    with pytest.raises(ValueError, match="y has 1 values and x has 2"):
        Sums.from_arrays([1.0, 2.0], y=[1.0])
    with pytest.raises(ValueError, match=r"x has shape \(1, 2\)"):
        Sums.from_arrays(np.ones((1, 2)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n": -1, "x": 0, "xx": 0}, "n is -1"),
        ({"n": 2, "x": float("nan"), "xx": 0}, "x is nan"),
        ({"n": 2, "x": 1, "xx": -1}, "xx is -1"),
        ({"n": 2, "x": 10, "xx": 1}, r"xx is 1; with n = 2 and x = 10"),
        ({"n": 0, "x": 1, "xx": 1}, "xx is 1; with n = 0"),
        ({"n": 4, "x": 1, "xx": 1, "y": 1, "yy": 1, "xy": 5}, "xy is 5; its square"),
    ],
)
def test_sums_that_no_units_can_have_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Sums(**fields)


def test_constant_values_have_no_variance_whatever_the_rounding():
    assert Sums.from_arrays(np.full(1_000_003, 0.1)).covariance("x", "x") == 0.0


def test_other_ways_in_agree():
    values = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    assert Sums.of_counts(5, 3).to_dict() == Sums.from_arrays(values).to_dict()
    moments = Sums.of_moments(5, values.mean(), values.var(ddof=1))
    assert moments.to_dict() == pytest.approx(Sums.from_arrays(values).to_dict())
    assert not moments.has_covariate
    assert moments.units == 5
