"""What can be chosen of an analysis, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from reclift.domain.analysis import Analysis, check_analysis


def test_nothing_sent_is_the_default_whole() -> None:
    assert check_analysis({}, "analysis") == (Analysis().to_dict(), [])
    assert Analysis.from_dict(None) == Analysis.from_dict({}) == Analysis()


def test_what_was_sent_stands_beside_the_defaults_and_comes_back_whole() -> None:
    sent = {"regime": "group_sequential", "looks": 4, "family": "power", "rho": 3, "level": 0.9, "stratify": "country"}
    sent |= {"prior_mean": 0.0, "prior_sd": 0.05, "rate_prior_alpha": 2, "rate_prior_beta": 38, "bootstrap": 2000}
    sent |= {"cuped_days": 28, "correction_primary": "none", "correction_secondary": "holm"}
    chosen, problems = check_analysis(sent, "analysis")
    assert problems == []
    assert chosen == {**Analysis().to_dict(), **sent}
    assert Analysis.from_dict(chosen).to_dict() == chosen
    assert check_analysis(chosen, "analysis") == (chosen, [])


def test_an_effect_that_nobody_stated_is_none() -> None:
    assert check_analysis({"minimum_effect": None}, "analysis")[0]["minimum_effect"] is None
    assert check_analysis({"cuped_days": None}, "analysis") == (Analysis().to_dict(), [])


def test_rows_of_another_version_stay_readable() -> None:
    assert Analysis.from_dict({"regime": "sequential", "of_another_time": 1}) == Analysis(regime="sequential")


@pytest.mark.parametrize(
    ("sent", "field", "rule"),
    [
        ("fixed", "analysis", "must be an object"),
        ({"regime": "bayes"}, "analysis.regime", "must be one of fixed, sequential, group_sequential"),
        ({"regime": ["fixed"]}, "analysis.regime", "must be one of fixed, sequential, group_sequential"),
        ({"family": None}, "analysis.family", "must be one of obrien_fleming, power"),
        ({"looks": 1}, "analysis.looks", "must be from 2 to 50"),
        ({"looks": 2.5}, "analysis.looks", "must be a whole number"),
        ({"looks": True}, "analysis.looks", "must be a whole number"),
        ({"rho": "2"}, "analysis.rho", "must be a number"),
        ({"rho": float("nan")}, "analysis.rho", "must be a number"),
        ({"level": 1}, "analysis.level", "must be from 0.5 to 0.999"),
        ({"level": None}, "analysis.level", "must be a number"),
        ({"cuped": 1}, "analysis.cuped", "must be true or false"),
        ({"cuped_days": 0}, "analysis.cuped_days", "must be from 1 to 90"),
        ({"cuped_days": 7.5}, "analysis.cuped_days", "must be a whole number"),
        (
            {"correction_primary": "bonferroni"},
            "analysis.correction_primary",
            "must be one of holm, benjamini_hochberg, none",
        ),
        (
            {"correction_secondary": None},
            "analysis.correction_secondary",
            "must be one of holm, benjamini_hochberg, none",
        ),
        ({"minimum_effect": 0}, "analysis.minimum_effect", "must be from 0.0001 to 10"),
        ({"tuning": 9}, "analysis.tuning", "must be from 10 to 1e+09"),
        (
            {"stratify": ""},
            "analysis.stratify",
            "must be an attribute's name of 1 to 64 printable characters without quotes, or null",
        ),
        (
            {"stratify": "x", "cuped": True},
            "analysis.stratify",
            "cannot be used together with cuped: choose one of them",
        ),
        ({"prior_mean": None}, "analysis.prior_mean", "must be a number"),
        ({"prior_sd": 0}, "analysis.prior_sd", "must be from 0.0001 to 10"),
        ({"rate_prior_alpha": 0}, "analysis.rate_prior_alpha", "must be from 0.001 to 1e+06"),
        ({"bootstrap": 199}, "analysis.bootstrap", "must be 0 or at least 200"),
        ({"bootstrap": 1e9}, "analysis.bootstrap", "must be a whole number"),
        ({"bootstrap_seed": -1}, "analysis.bootstrap_seed", "must be from 0 to 2.14748e+09"),
    ],
)
def test_what_is_wrong_is_named_with_its_rule(sent: Any, field: str, rule: str) -> None:
    chosen, (problem,) = check_analysis(sent, "analysis")
    assert (problem.field, problem.rule) == (field, rule)
    assert chosen == Analysis().to_dict()


def test_all_that_is_wrong_is_named_at_once() -> None:
    sent = {"regime": "x", "looks": 0, "peeks": 3}
    assert {problem.field for problem in check_analysis(sent, "a")[1]} == {"a.peeks", "a.regime", "a.looks"}
