"""Posteriors against simulation, closed forms and symmetry."""

from __future__ import annotations

import numpy as np
import pytest

from reclift.stats.bayes import BetaPrior, NormalPrior, beta_reading, normal_posterior, normal_reading


@pytest.mark.parametrize(
    ("control", "treatment"),
    [
        ((100, 0), (100, 3)),
        ((10_000, 46), (10_000, 69)),
        ((20, 5), (1_000_000, 200_000)),
        ((5, 0), (5, 5)),
        ((300, 299), (200, 190)),
    ],
)
def test_beta_posteriors_are_those_of_a_simulation(control, treatment):
    rng = np.random.default_rng(8)
    a, b = (rng.beta(k + 1, n - k + 1, 400_000) for n, k in (control, treatment))
    reading = beta_reading(control, treatment, BetaPrior())
    assert reading.difference.chance == pytest.approx((b > a).mean(), abs=4e-3)
    assert reading.difference.loss == pytest.approx(np.maximum(a - b, 0).mean(), rel=1e-2, abs=1e-3 * a.std())
    assert reading.difference.loss_control == pytest.approx(np.maximum(b - a, 0).mean(), rel=1e-2, abs=1e-3 * b.std())
    for bound, tail in zip(reading.difference.interval, (0.025, 0.975), strict=True):
        assert (b - a <= bound).mean() == pytest.approx(tail, abs=2e-3)
    for bound, tail in zip(reading.lift_ci, (0.025, 0.975), strict=True):
        assert (b / a - 1 <= bound).mean() == pytest.approx(tail, abs=2e-3)


def test_the_chance_has_a_closed_form_for_whole_priors():
    """P(b > a) as the sum of Miller 2015, "Formulas for Bayesian A/B Testing"."""
    from scipy.special import betaln

    a_alpha, a_beta, b_alpha, b_beta = 50, 52, 52, 50
    i = np.arange(b_alpha)
    total = np.exp(
        betaln(a_alpha + i, b_beta + a_beta) - np.log(b_beta + i) - betaln(1 + i, b_beta) - betaln(a_alpha, a_beta)
    ).sum()
    assert beta_reading((100, 49), (100, 51), BetaPrior()).difference.chance == pytest.approx(total, abs=1e-10)


def test_equal_arms_are_an_even_bet():
    reading = beta_reading((500, 0), (500, 0), BetaPrior()).difference
    assert reading.chance == pytest.approx(0.5, abs=1e-12)
    assert reading.interval.low == pytest.approx(-reading.interval.high, rel=1e-9)


def test_a_normal_prior_is_combined_by_precision():
    mean, variance = normal_posterior(0.2, 0.04, NormalPrior(0.0, 0.2))
    assert (mean, variance) == pytest.approx((0.1, 0.02))
    assert normal_posterior(0.2, 0.04, NormalPrior()) == (0.2, 0.04)


def test_losses_are_those_of_a_simulation():
    draws = np.random.default_rng(2).normal(0.3, 0.5, 1_000_000)
    reading = normal_reading(0.3, 0.25, NormalPrior(), level=0.9)
    assert reading.chance == pytest.approx((draws > 0).mean(), abs=2e-3)
    assert reading.loss == pytest.approx(np.maximum(-draws, 0).mean(), abs=2e-3)
    assert reading.loss_control == pytest.approx(np.maximum(draws, 0).mean(), abs=2e-3)
    assert reading.interval == pytest.approx(np.quantile(draws, [0.05, 0.95]), abs=5e-3)


def test_priors_are_checked_and_worded():
    with pytest.raises(ValueError, match="sd is 0"):
        NormalPrior(0.0, 0)
    with pytest.raises(ValueError, match="alpha and beta are 0 and 1"):
        BetaPrior(0, 1)
    assert NormalPrior().words == "flat on the lift"
    assert BetaPrior(2, 50).words == "each rate ~ Beta(2, 50)"
