"""compare: agreement with SciPy, stated reasons in every edge case, JSON without NaN."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats as scipy_stats

from reclift.stats.bayes import NormalPrior
from reclift.stats.comparison import arm_summary, compare
from reclift.stats.result import Code
from reclift.stats.sums import Sums


@pytest.fixture
def arms():
    rng = np.random.default_rng(11)
    return rng.gamma(2.0, 3.0, 500), rng.gamma(2.2, 3.0, 450)


def test_welch_is_scipys(arms):
    a, b = arms
    result = compare(Sums.from_arrays(a), Sums.from_arrays(b), kind="mean")
    test = scipy_stats.ttest_ind(b, a, equal_var=False)
    interval = test.confidence_interval(0.95)
    assert result.p_value == pytest.approx(test.pvalue, rel=1e-9)
    assert result.difference_ci == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert result.lift == pytest.approx(b.mean() / a.mean() - 1)
    assert result.p_value_adjusted == result.p_value
    assert result.reasons == {}


def test_json_has_the_contracts_fields(arms):
    shown = compare(*(Sums.from_arrays(x) for x in arms), kind="mean", arm="item-cf").to_dict()
    wanted = {
        *("arm", "control", "lift", "lift_ci", "difference", "difference_ci", "p_value", "p_value_adjusted"),
        *("ci_level", "sequential", "bayesian", "variance_reduction", "warnings"),
    }
    assert wanted <= set(shown)
    assert shown["arm"] == "item-cf"
    assert {"p_value", "lift_ci", "difference_ci"} <= set(shown["sequential"])
    assert {"chance_to_win", "expected_loss"} <= set(shown["bayesian"])
    json.dumps(shown, allow_nan=False)


def test_sequential_is_wider_and_never_below_the_fixed_p(arms):
    result = compare(*(Sums.from_arrays(x) for x in arms), kind="mean")
    low, high = result.sequential.difference_ci
    assert low < result.difference_ci.low < result.difference_ci.high < high
    assert result.sequential.p_value >= result.p_value


def test_direction_turns_the_chance_around(arms):
    up = compare(*(Sums.from_arrays(x) for x in arms), kind="mean").bayesian
    down = compare(*(Sums.from_arrays(x) for x in arms), kind="mean", higher_is_better=False).bayesian
    assert up.chance_to_win == pytest.approx(1 - down.chance_to_win)
    assert up.expected_loss == down.expected_loss_control


def test_a_prior_pulls_towards_itself_and_is_stated(arms):
    flat = compare(*(Sums.from_arrays(x) for x in arms), kind="mean").bayesian
    tight = compare(*(Sums.from_arrays(x) for x in arms), kind="mean", prior=NormalPrior(0.0, 0.02)).bayesian
    assert abs(tight.chance_to_win - 0.5) < abs(flat.chance_to_win - 0.5)
    assert "sd 0.02" in tight.prior
    assert tight.lift_ci.high < flat.lift_ci.high


EMPTY, ONE = Sums.empty(), Sums.from_arrays([1.0])
FINE = Sums.from_arrays([1.0, 2.0, 4.0, 3.0])


@pytest.mark.parametrize(
    ("control", "treatment", "kind", "code", "fields"),
    [
        (EMPTY, FINE, "mean", Code.NO_UNITS, ["lift", "difference", "p_value", "lift_ci"]),
        (FINE, EMPTY, "mean", Code.NO_UNITS, ["lift", "difference", "p_value", "lift_ci"]),
        (FINE, ONE, "mean", Code.TOO_FEW_UNITS, ["difference", "p_value"]),
        (FINE, FINE, "proportion", Code.NOT_BINARY, ["difference", "p_value"]),
        (FINE, FINE, "ratio", Code.ZERO_DENOMINATOR, ["difference", "p_value"]),
        (Sums.from_arrays([2.0] * 5), Sums.from_arrays([3.0] * 5), "mean", Code.ZERO_VARIANCE, ["p_value", "lift_ci"]),
        (Sums.from_arrays([-1.0, 1.0]), FINE, "mean", Code.ZERO_DENOMINATOR, ["lift", "lift_ci"]),
        (Sums.from_arrays([-1.0, -2.0, -3.0]), FINE, "mean", Code.NEGATIVE_DENOMINATOR, ["lift", "lift_ci"]),
        (Sums.from_arrays([-5.0, 7.0, 0.0, 1.0]), FINE, "mean", Code.UNBOUNDED, ["lift_ci"]),
    ],
)
def test_what_cannot_be_computed_is_a_stated_reason(control, treatment, kind, code, fields):
    result = compare(control, treatment, kind=kind)
    for name in fields:
        assert getattr(result, name) is None
        assert result.reasons[name].code is code
    json.dumps(result.to_dict(), allow_nan=False)


def test_reasons_name_the_arm():
    result = compare(FINE, EMPTY, kind="mean", arm="item-cf")
    assert result.reasons["p_value"].text == "item-cf: The arm has no units."


def test_without_variance_the_difference_still_stands():
    result = compare(Sums.from_arrays([2.0] * 5), Sums.from_arrays([3.0] * 5), kind="mean")
    assert (result.difference, result.lift, result.p_value) == (1.0, 0.5, None)
    assert result.sequential.reasons["p_value"].code is Code.ZERO_VARIANCE
    assert result.bayesian.reasons["chance_to_win"].code is Code.ZERO_VARIANCE


def test_nothing_bought_anywhere_still_has_a_bayesian_reading():
    result = compare(Sums.of_counts(500, 0), Sums.of_counts(500, 0), kind="proportion")
    assert result.bayesian.chance_to_win == pytest.approx(0.5)
    assert result.reasons["lift"].code is Code.ZERO_DENOMINATOR


def test_misuse_is_an_error():
    with pytest.raises(ValueError, match="kind is 'median'"):
        compare(FINE, FINE, kind="median")
    with pytest.raises(ValueError, match="level is 95"):
        compare(FINE, FINE, kind="mean", level=95)
    with pytest.raises(ValueError, match="tuning is 0"):
        compare(FINE, FINE, kind="mean", sequential_tuning=0)


def test_arm_summary_gives_level_and_error():
    summary = arm_summary(FINE, "mean")
    assert summary.mean == 2.5
    assert summary.std_error == pytest.approx(np.std([1, 2, 4, 3], ddof=1) / 2)
    assert arm_summary(ONE, "mean").mean == 1.0
    assert arm_summary(ONE, "mean").reasons["std_error"].code is Code.TOO_FEW_UNITS
    assert arm_summary(EMPTY, "ratio").to_dict()["reasons"]["mean"]["code"] == "no_units"


def test_warnings_speak_of_weak_bases_and_wonders():
    result = compare(Sums.of_counts(10_000, 46), Sums.of_counts(10_000, 79), kind="proportion")
    assert [w.code for w in result.warnings] == [Code.WEAK_DENOMINATOR, Code.TWYMAN]
    assert result.lift_ci.low < 0.1 < result.lift_ci_fieller.low
    small = compare(FINE, FINE, kind="mean")
    assert Code.SMALL_SAMPLE in [w.code for w in small.warnings]
