from itertools import product

import numpy as np
import pytest

from reclift.domain.ranking_uncertainty import bootstrap_interval, holm, paired_randomization


def test_bootstrap_agrees_with_the_normal_interval_of_many_users():
    values = np.random.default_rng(0).gamma(2.0, 1.0, (4000, 2))
    low, high = bootstrap_interval(values, draws=2000, seed=1)
    half = 1.96 * values.std(axis=0, ddof=1) / np.sqrt(len(values))
    np.testing.assert_allclose(low, values.mean(axis=0) - half, atol=0.1 * half.max())
    np.testing.assert_allclose(high, values.mean(axis=0) + half, atol=0.1 * half.max())


def test_bootstrap_is_reproducible_and_names_what_it_cannot_do():
    values = np.arange(10.0)[:, None]
    assert bootstrap_interval(values, seed=3)[0] == bootstrap_interval(values, seed=3)[0]
    with pytest.raises(ValueError, match="1 users"):
        bootstrap_interval(values[:1])
    with pytest.raises(ValueError, match="level=1"):
        bootstrap_interval(values, level=1)


def test_randomization_approaches_the_exact_test():
    difference = np.array([0.3, -0.1, 0.5, 0.2, 0.0, 0.4, -0.2, 0.1])
    sums = [abs(np.dot(signs, difference)) for signs in product((-1, 1), repeat=len(difference))]
    exact = np.mean(np.array(sums) >= abs(difference.sum()) - 1e-12)
    assert paired_randomization(difference, draws=40_000) == pytest.approx(exact, abs=0.01)


def test_randomization_is_uniform_where_nothing_differs():
    rng = np.random.default_rng(5)
    found = [paired_randomization(rng.normal(0, 1, 40), draws=499, seed=n) for n in range(300)]
    assert np.mean(np.array(found) <= 0.1) == pytest.approx(0.1, abs=0.05)
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)


def test_randomization_edges():
    assert paired_randomization(np.zeros(5)) == 1.0
    assert paired_randomization(np.ones(200), draws=999) == pytest.approx(1 / 1000)
    with pytest.raises(ValueError, match="no users"):
        paired_randomization(np.zeros(0))


def test_holm_is_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p_values = [0.01, 0.04, 0.03, 0.005, 0.8]
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())
    assert holm([]) == []
