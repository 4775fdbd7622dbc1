"""Few successes: score intervals and the exact test, against statsmodels and SciPy."""

from __future__ import annotations

import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from reclift.stats.binary import METHOD, fisher_exact, lift_interval, newcombe, wilson
from reclift.stats.comparison import compare
from reclift.stats.result import Code
from reclift.stats.sums import Sums


@pytest.mark.parametrize(("n", "k"), [(50, 3), (50, 0), (50, 50), (10_000, 7)])
def test_wilson_is_statsmodels(n, k):
    assert wilson(n, k) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-12)


@pytest.mark.parametrize(("a", "b"), [((4, 100), (9, 120)), ((0, 50), (3, 50)), ((30, 30), (25, 30))])
def test_newcombe_is_statsmodels(a, b):
    expected = confint_proportions_2indep(b[0], b[1], a[0], a[1], compare="diff", method="newcomb")
    assert newcombe(Sums.of_counts(a[1], a[0]), Sums.of_counts(b[1], b[0])) == pytest.approx(expected, abs=1e-12)


def test_newcombe_is_the_papers_example():
    """Newcombe 1998, table II (a): 56/70 against 48/80, method 10: 0.0524 to 0.3339."""
    low, high = newcombe(Sums.of_counts(80, 48), Sums.of_counts(70, 56))
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


@pytest.mark.parametrize(
    ("a", "b"), [((4, 100), (9, 120)), ((0, 50), (6, 50)), ((3, 20_000), (9, 10_000)), ((5, 5), (0, 7))]
)
def test_fisher_is_scipys(a, b):
    expected = scipy_stats.fisher_exact([[a[0], a[1] - a[0]], [b[0], b[1] - b[0]]]).pvalue
    assert fisher_exact(Sums.of_counts(a[1], a[0]), Sums.of_counts(b[1], b[0])) == pytest.approx(expected, rel=1e-7)


def test_the_lifts_interval_contains_the_lift_and_turns_around_with_the_arms():
    a, b = Sums.of_counts(200, 5), Sums.of_counts(150, 8)
    low, high = lift_interval(a, b)
    assert low < b.x / b.n / (a.x / a.n) - 1 < high
    back = lift_interval(b, a)
    assert (1 + low) * (1 + back.high) == pytest.approx(1)
    assert (1 + high) * (1 + back.low) == pytest.approx(1)


def test_a_lift_from_nothing_to_nothing_has_bounds():
    assert lift_interval(Sums.of_counts(200, 5), Sums.of_counts(200, 0)).low == -1.0


def test_compare_falls_to_them_and_says_so():
    result = compare(Sums.of_counts(10_000, 4), Sums.of_counts(10_000, 15), kind="proportion")
    assert result.method == METHOD
    assert result.warnings[0].code is Code.SMALL_COUNTS
    assert result.p_value == pytest.approx(scipy_stats.fisher_exact([[4, 9996], [15, 9985]]).pvalue, rel=1e-7)
    assert result.sequential.reasons["p_value"].code is Code.SMALL_COUNTS
    enough = compare(Sums.of_counts(10_000, 14), Sums.of_counts(10_000, 15), kind="proportion")
    assert enough.method != METHOD


def test_none_of_either_is_a_difference_of_0_with_an_interval():
    result = compare(Sums.of_counts(500, 0), Sums.of_counts(500, 0), kind="proportion")
    assert result.p_value == 1.0
    assert result.difference_ci.low < 0 < result.difference_ci.high
    assert result.reasons["lift_ci"].code is Code.ZERO_DENOMINATOR
