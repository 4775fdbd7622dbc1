"""Every case of the shared lift reference (computed with GrowthBook gbstats), to 1e-6."""

from __future__ import annotations

import json
from functools import cache
from math import sqrt
from pathlib import Path

import pytest

from reclift.stats.bayes import NormalPrior, normal_reading
from reclift.stats.comparison import compare
from reclift.stats.estimate import two_sided_p, welch_df
from reclift.stats.mean import mean
from reclift.stats.quantile import QuantileEstimate, compare_quantiles
from reclift.stats.sequential import always_valid_p
from reclift.stats.srm import srm
from reclift.stats.sums import Sums
from tests.shared_data import shared_path

CLOSE = {"rel": 1e-6, "abs": 1e-6}


@cache
def reference():
    return json.loads(shared_path("reference", "lift_reference.json").read_text())["cases"]


def case(name):
    return reference()[name]["inputs"], reference()[name]["expected"]


def plain(arm):
    return Sums(arm["n"], arm["sum"], arm["sum_squares"])


def assert_lift(result, expected):
    assert result.lift == pytest.approx(expected["expected"], **CLOSE)
    assert result.lift_ci == pytest.approx(expected["ci"], **CLOSE)
    assert result.lift_std_error == pytest.approx(expected["uplift"]["stddev"], **CLOSE)


@pytest.mark.parametrize("name", ["welch_t_relative_mean", "no_cuped_relative_mean"])
def test_relative_mean(name):
    inputs, expected = case(name)
    assert_lift(compare(plain(inputs["control"]), plain(inputs["treatment"]), kind="mean"), expected)


def test_absolute_mean():
    inputs, expected = case("welch_t_absolute_mean")
    result = compare(plain(inputs["control"]), plain(inputs["treatment"]), kind="mean")
    assert result.difference == pytest.approx(expected["expected"], **CLOSE)
    assert result.difference_ci == pytest.approx(expected["ci"], **CLOSE)
    assert result.std_error == pytest.approx(expected["uplift"]["stddev"], **CLOSE)
    assert result.p_value == pytest.approx(expected["pValue"], **CLOSE)


def test_relative_proportion():
    inputs, expected = case("ctr_like_relative_proportion")
    control, treatment = (Sums.of_counts(inputs[arm]["n"], inputs[arm]["sum"]) for arm in ("control", "treatment"))
    assert_lift(compare(control, treatment, kind="proportion"), expected)


def test_sequential():
    inputs, expected = case("sequential_asympCS_Nstar_5000")
    control, treatment = plain(inputs["control"]), plain(inputs["treatment"])
    result = compare(control, treatment, kind="mean", level=1 - inputs["alpha"], sequential_tuning=inputs["N_star"])
    assert result.lift == pytest.approx(expected["expected"], **CLOSE)
    assert result.sequential.lift_ci == pytest.approx(expected["ci"], **CLOSE)
    p = always_valid_p(result.lift, result.lift_std_error**2, control.n + treatment.n, tuning=inputs["N_star"])
    assert p == pytest.approx(expected["pValue"], **CLOSE)


def test_ratio():
    inputs, expected = case("ratio_delta_method_relative")
    arms = []
    for key in ("control", "treatment"):
        m, d = inputs[key]["m"], inputs[key]["d"]
        arms.append(Sums(m["n"], m["sum"], m["sum_squares"], y=d["sum"], yy=d["sum_squares"], xy=inputs[key]["md"]))
    assert_lift(compare(*arms, kind="ratio"), expected)


def test_cuped():
    inputs, expected = case("cuped_relative_mean")
    arms = []
    for key in ("control", "treatment"):
        post, pre = inputs[key]["post"], inputs[key]["pre"]
        arms.append(
            Sums(
                post["n"],
                post["sum"],
                post["sum_squares"],
                u=pre["sum"],
                uu=pre["sum_squares"],
                xu=inputs[key]["post_pre_sum_of_products"],
            )
        )
    result = compare(*arms, kind="mean", cuped=True)
    assert_lift(result, expected)
    assert result.variance_reduction > 0.5


@pytest.mark.parametrize(("name", "kind"), [("welch_t_relative_mean", "mean"), ("no_cuped_relative_mean", "mean")])
def test_relative_p_values_are_those_of_the_delta_method(name, kind):
    """The report's p-value is about the difference; the reference's is about the lift, which our error gives too."""
    inputs, expected = case(name)
    control, treatment = plain(inputs["control"]), plain(inputs["treatment"])
    result = compare(control, treatment, kind=kind)
    df = welch_df(mean(control), mean(treatment))
    assert two_sided_p(result.lift, result.lift_std_error, df) == pytest.approx(expected["pValue"], **CLOSE)


def test_quantile():
    inputs, expected = case("quantile_p90_relative")
    arms = [QuantileEstimate(arm["n"], arm["q"], arm["lo"], arm["hi"]) for arm in (inputs["c"], inputs["t"])]
    result = compare_quantiles(*arms)
    assert_lift(result, expected)
    assert result.lift_std_error == pytest.approx(expected["uplift"]["stddev"], rel=1e-6)
    assert result.p_value == pytest.approx(expected["pValue"], **CLOSE)


def test_bayes_flat():
    inputs, expected = case("bayes_flat_proportion")
    control, treatment = (Sums.of_counts(inputs[arm]["n"], inputs[arm]["sum"]) for arm in ("control", "treatment"))
    result = compare(control, treatment, kind="proportion")
    reading = normal_reading(result.lift, result.lift_std_error**2, NormalPrior())
    assert result.lift == pytest.approx(expected["expected"], **CLOSE)
    assert reading.chance == pytest.approx(expected["chanceToWin"], **CLOSE)
    assert reading.interval == pytest.approx(expected["ci"], **CLOSE)
    assert (reading.loss_control, reading.loss) == pytest.approx(expected["risk"], **CLOSE)
    assert sqrt(result.lift_std_error**2) == pytest.approx(expected["uplift"]["stddev"], **CLOSE)


def test_srm():
    inputs, expected = case("srm_[1000, 1200]")
    result = srm(inputs["observed"], inputs["weights"])
    assert result.p_value == pytest.approx(expected["p"], rel=1e-6)
    assert result.ok is False


def test_no_case_is_left_out():
    source = Path(__file__).read_text()
    assert [name for name in reference() if f'"{name}"' not in source] == []
