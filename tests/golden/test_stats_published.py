"""Values that other tools and papers publish, each with its source."""

from __future__ import annotations

from math import floor

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from reclift.stats.comparison import compare
from reclift.stats.cuped import cuped
from reclift.stats.group_sequential import looks
from reclift.stats.srm import srm
from reclift.stats.srm_sequential import sequential_srm
from reclift.stats.sums import Sums

FIFTHS = [0.2, 0.4, 0.6, 0.8, 1.0]

# tea-tasting 1.14.0, make_users_data(seed=42, covariates=True), added up by variant. Its README shows results of the
# same data, rounded: orders per session 8.8 %, p .0762; orders per user 8.0 %, p .118; revenue per user 9.3 %, p .123.
REVENUE = (
    Sums(2023, 10602.6, 243736.4268, u=10678.43, uu=405481.0443, xu=193410.1949),
    Sums(1977, 11328.43, 278029.88889999996, u=9331.96, uu=284676.85919999995, xu=172016.71829999998),
)
ORDERS = (
    Sums(2023, 1073, 2073, y=4038, yy=10098, xy=2648, u=1090, uu=2720, xu=1691, yu=2715, v=4031, vv=13779, xv=2692,
         yv=9932, uv=3701),
    Sums(1977, 1133, 2121, y=3920, yy=9698, xy=2730, u=1006, uu=2380, xu=1551, yu=2407, v=3941, vv=13579, xv=2721,
         yv=9738, uv=3324),
)  # fmt: skip


@pytest.mark.parametrize(
    ("arms", "kind", "adjust", "difference", "interval", "p"),
    [
        (
            ORDERS,
            "ratio",
            False,
            0.02330500550889003,
            (-0.0024594336679094504, 0.04906944468568951),
            0.07623759978168303,
        ),
        (REVENUE, "mean", False, 0.4890831037404775, (-0.13261881482742033, 1.1107850223083753), 0.12306988554250592),
        (ORDERS, "mean", False, 0.04269014577177832, (-0.010800201598205522, 0.09618049314176216), 0.11773177998716207),
        (REVENUE, "mean", True, 0.731014448269339, (0.20228702469056814, 1.25974187184811), 0.0067439292812049734),
        (ORDERS, "ratio", True, 0.03173426303678084, (0.01134447701776042, 0.05212404905580126), 0.002292943842523407),
    ],
    ids=["ratio", "mean", "count", "mean with CUPED", "ratio with CUPED"],
)
def test_tea_tasting(arms, kind, adjust, difference, interval, p):
    """Computed with tea-tasting 1.14.0 (Mean, RatioOfMeans, with and without covariates)."""
    result = compare(*arms, kind=kind, cuped=adjust)
    assert result.difference == pytest.approx(difference, rel=1e-6)
    assert result.difference_ci == pytest.approx(interval, rel=1e-6)
    assert result.p_value == pytest.approx(p, rel=1e-6)


def test_tea_tastings_readme():
    """README of tea-tasting: the lifts and p-values of its first example, as it rounds them."""
    shown = [(ORDERS, "ratio", 8.8, 0.0762), (ORDERS, "mean", 8.0, 0.118), (REVENUE, "mean", 9.3, 0.123)]
    for arms, kind, lift, p in shown:
        result = compare(*arms, kind=kind)
        assert round(100 * result.lift, 1) == lift
        assert float(f"{result.p_value:.3g}") == p


def test_tea_tastings_sample_ratio():
    """tea-tasting 1.14.0, SampleRatio: p 0.47676672399858 by the normal approximation with continuity correction."""
    n, difference = 4000, abs(2023 - 2000) - 0.5
    assert 2 * scipy_stats.norm.sf(difference / np.sqrt(n / 4)) == pytest.approx(0.47676672399858)
    # without the correction, which costs power with thousands of units, it is ours
    assert srm([2023, 1977], [1, 1]).p_value == pytest.approx(2 * scipy_stats.norm.sf(23 / np.sqrt(n / 4)))


def test_spotify_confidence():
    """Computed with spotify-confidence 4.1.0, StudentsTTest and ZTest (its own test data: 40 and 50 of 100)."""
    means = compare(Sums(3407, 1396.87, 52377.9767), Sums(3461, 2422.7, 134698.29), kind="mean")
    assert means.difference_ci == pytest.approx((0.045377892559, 0.534622107441), abs=1e-9)
    assert means.p_value == pytest.approx(0.020158402644, abs=1e-9)
    rates = compare(Sums.of_counts(100, 40), Sums.of_counts(100, 50), kind="proportion")
    z = rates.difference / rates.std_error
    assert 2 * scipy_stats.norm.sf(z) == pytest.approx(0.15312745102, abs=1e-9)
    reach = scipy_stats.norm.ppf(0.975) * rates.std_error
    assert (rates.difference - reach, rates.difference + reach) == pytest.approx(
        (-0.037197478918, 0.237197478918), abs=1e-9
    )


def test_statsmodels():
    """statsmodels CompareMeans with unequal variances, on SciPy's own example of unequal groups."""
    rng = np.random.default_rng(100)
    a, b = rng.normal(5, 20, 300), rng.normal(8, 40, 100)
    means = CompareMeans(DescrStatsW(b), DescrStatsW(a))
    result = compare(Sums.from_arrays(a), Sums.from_arrays(b), kind="mean")
    statistic, p, _ = means.ttest_ind(usevar="unequal")
    assert result.p_value == pytest.approx(p, rel=1e-6)
    assert result.difference / result.std_error == pytest.approx(statistic, rel=1e-6)
    assert result.difference_ci == pytest.approx(means.tconfint_diff(usevar="unequal"), rel=1e-6)


def test_scipy_srm():
    """scipy.stats.chisquare, documentation example: [16, 18, 16, 14, 12, 12] against equal shares, p 0.849."""
    observed = [16, 18, 16, 14, 12, 12]
    result = srm(observed, [1] * 6)
    assert result.statistic == pytest.approx(2.0)
    assert result.p_value == pytest.approx(0.84914503608460956, rel=1e-6)


def test_scipys_tail_keeps_its_digits():
    """A p-value far out is the tail itself and not 1 minus something."""
    result = compare(Sums.of_moments(10_000, 1.0, 1.0), Sums.of_moments(10_000, 1.2, 1.0), kind="mean")
    expected = scipy_stats.ttest_ind_from_stats(1.2, 1.0, 10_000, 1.0, 1.0, 10_000, equal_var=False).pvalue
    assert 0 < result.p_value < 1e-40
    assert result.p_value == pytest.approx(expected, rel=1e-6)


def test_power_family_bounds():
    """Power family, rho 2, 5 looks: 3.0902, 2.7141, 2.4727, 2.2798, 2.1140, as published cut after four decimals."""
    for sides, alpha in ((2, 0.05), (1, 0.025)):
        bounds = [look.bound for look in looks(FIFTHS, family="power", rho=2, sides=sides, alpha=alpha)]
        assert [floor(1e4 * bound) / 1e4 for bound in bounds] == [3.0902, 2.7141, 2.4727, 2.2798, 2.1140]


def test_obrien_fleming_bounds():
    """Reboussin, DeMets, Kim and Lan 2000 (program ldbounds), two-sided .05, 5 looks; accurate to its integration."""
    bounds = [look.bound for look in looks(FIFTHS)]
    assert bounds == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4)


def test_sequential_srm():
    """Computed with ssrm-test 0.1.5 (Lindon and Malek), sequential_p_values, its default concentration of 10,000."""
    increments = [[10, 45, 55], [80, 335, 445], [160, 420, 500], [250, 700, 1100]]
    days = np.cumsum(increments, axis=0).tolist()
    p = [sequential_srm(days[: day + 1], [0.1, 0.4, 0.5]).p_value for day in range(4)]
    assert p == pytest.approx([1.0, 1.0, 0.48539328924439573, 0.01256788034900136], rel=1e-6)


def test_cupeds_theta_is_the_regressions():
    """theta from sums equals the slope by scipy.stats.linregress over all units of both arms."""
    rng = np.random.default_rng(17)
    u = rng.gamma(2.0, 3.0, 600)
    x = 1.5 * u + rng.normal(size=600)
    halves = [Sums.from_arrays(x[i::2], u=u[i::2]) for i in (0, 1)]
    assert cuped(*halves).theta == pytest.approx(scipy_stats.linregress(u, x).slope, rel=1e-6)
