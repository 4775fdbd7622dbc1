"""What an experiment can choose, against other programs' numbers."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from reclift.stats.bootstrap import UnitValues, bootstrap, grouped
from reclift.stats.group_sequential import looks, repeated_interval
from reclift.stats.stratify import stratified_effect
from reclift.stats.sums import Sums


def test_post_stratification_is_the_saturated_regression_with_hc2_errors() -> None:
    """statsmodels' OLS on one dummy a cell with HC2: the contrast of cells weighted by their strata's shares.

    The same estimator by another road (Miratrix, Sekhon and Yu 2013, section 2; Lin 2013, Annals of Applied Statistics
    7): a cell's HC2 variance is its sample variance over its size.
    """
    rng = np.random.default_rng(41)
    kind, arm = rng.integers(0, 3, 900), rng.integers(0, 2, 900)
    x = np.array([5.0, 20.0, 60.0])[kind] * rng.gamma(4.0, 0.25, 900) + arm
    cells = [(one, side) for one in range(3) for side in (0, 1)]
    dummies = np.column_stack([(kind == one) & (arm == side) for one, side in cells]).astype(float)
    fitted = sm.OLS(x, dummies).fit(cov_type="HC2")
    shares = [float((kind == one).mean()) * (1 if side else -1) for one, side in cells]
    contrast = fitted.t_test(np.array(shares))
    parts = [
        (Sums.from_arrays(x[(kind == one) & (arm == 0)]), Sums.from_arrays(x[(kind == one) & (arm == 1)]))
        for one in range(3)
    ]
    effect = stratified_effect(parts, "mean")
    assert effect.difference == pytest.approx(float(contrast.effect[0]), rel=1e-6)
    assert effect.std_error == pytest.approx(float(contrast.sd.item()), rel=1e-6)


def test_the_bootstrap_comes_to_scipys() -> None:
    """SciPy's bootstrap of the same units, one by one: equal but for the draws' own noise (about 2 % at 4,000)."""
    rng = np.random.default_rng(42)
    a, b = rng.gamma(2.0, 3.0, 800), rng.gamma(2.0, 3.3, 900)
    theirs = stats.bootstrap(
        (b, a), lambda t, c, axis: t.mean(axis=axis) / c.mean(axis=axis) - 1.0, n_resamples=4_000, method="percentile",
        random_state=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    groups = [grouped(UnitValues(x, *np.zeros((3, x.size))), x.size, seed) for seed, x in enumerate((a, b))]
    ours = bootstrap(*groups, kind="mean", draws=4_000, seed=2).lift_ci
    width = theirs.high - theirs.low
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.06 * width)


@pytest.mark.parametrize(("look", "bound"), list(enumerate([3.0902, 2.7141, 2.4727, 2.2798, 2.1140])))
def test_repeated_intervals_reach_the_published_bounds(look: int, bound: float) -> None:
    """Power family, rho = 2, five looks: the bounds that spotify-confidence publishes, cut after four decimals."""
    design = looks([0.2, 0.4, 0.6, 0.8, 1.0], family="power", rho=2.0)
    low, high = repeated_interval(2.0, 0.5, design[look])
    assert (high - low) / 2 == pytest.approx(bound * 0.5, abs=1e-4)
    assert (low + high) / 2 == pytest.approx(2.0)
