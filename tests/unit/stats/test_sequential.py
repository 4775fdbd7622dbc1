"""The always-valid reading: its p-value and its interval tell the same story."""

from __future__ import annotations

import numpy as np
import pytest

from reclift.stats.sequential import always_valid_p, confidence_sequence, mixture_p, rho_squared


@pytest.mark.parametrize("n", [100, 5000, 1_000_000])
@pytest.mark.parametrize("z", [0.5, 2.5, 3.0, 4.0])
def test_p_is_below_alpha_exactly_when_the_sequence_excludes_0(n, z):
    low, _ = confidence_sequence(z, 1.0, n)
    assert (always_valid_p(z, 1.0, n) < 0.05) == (low > 0)


def test_p_at_the_bound_is_alpha():
    low, high = confidence_sequence(0.0, 1.0, 3000, level=0.9)
    assert low == -high
    assert always_valid_p(high, 1.0, 3000, level=0.9) == pytest.approx(0.1)


def test_it_is_tightest_about_where_it_was_tuned():
    """Per unit variance 1: the boundary relative to sqrt(n), least near the tuning."""
    n = np.array([500, 1000, 2000, 5000, 12_000, 50_000, 200_000])
    width = [confidence_sequence(0.0, 1.0, float(k), tuning=5000).high for k in n]
    assert n[int(np.argmin(width))] == 5000


def test_tiny_p_values_do_not_vanish_into_an_error():
    assert 0 <= always_valid_p(60.0, 1.0, 5000) < 1e-300 or always_valid_p(60.0, 1.0, 5000) == 0


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="n is 0"):
        confidence_sequence(1.0, 1.0, 0)
    with pytest.raises(ValueError, match="variance 0"):
        always_valid_p(1.0, 0, 10)
    with pytest.raises(ValueError, match="alpha is 2"):
        rho_squared(2, 100)
    with pytest.raises(ValueError, match="tuning is -5"):
        rho_squared(0.05, -5)


def test_the_mixture_test_is_the_sequence_with_its_width_in_the_effects_units():
    """With tau**2 = n rho**2 V both are the same normal mixture."""
    variance, n = 0.02, 3000
    tau = (n * rho_squared(0.05, 5000) * variance) ** 0.5
    assert mixture_p(0.4, variance, tau=tau) == pytest.approx(always_valid_p(0.4, variance, n))
    with pytest.raises(ValueError, match="tau 0"):
        mixture_p(0.4, variance, tau=0)


def test_the_mixture_is_an_integral_over_effects():
    grid = np.linspace(-8, 8, 20_001) * 0.3
    prior = np.exp(-0.5 * (grid / 0.3) ** 2) / (0.3 * np.sqrt(2 * np.pi))
    ratio = np.exp((0.7 * grid - 0.5 * grid**2) / 0.04)
    assert mixture_p(0.7, 0.04, tau=0.3) == pytest.approx(1 / np.trapezoid(ratio * prior, grid), rel=1e-6)
