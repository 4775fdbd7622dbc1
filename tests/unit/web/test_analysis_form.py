from __future__ import annotations

import json

import pytest
from werkzeug.datastructures import MultiDict

from reclift.domain.analysis import Analysis, check_analysis
from reclift.web.pages import analysis_form


def form(**changes):
    fields = {"analysis-regime": "fixed", "analysis-looks": "5", "analysis-family": "obrien_fleming",
              "analysis-rho": "2", "analysis-level": "95", "analysis-minimum_effect": "", "analysis-tuning": "5000",
              "analysis-more": ""}  # fmt: skip
    return MultiDict({**fields, **{f"analysis-{name}": value for name, value in changes.items()}})


def build(**changes):
    return analysis_form.payload(analysis_form.sent(form(**changes)))


def test_what_is_not_chosen_has_its_default():
    assert analysis_form.payload(analysis_form.sent(MultiDict())) == (Analysis().to_dict(), [])
    assert build() == (Analysis().to_dict(), [])


@pytest.mark.parametrize("analysis", [
    Analysis(), Analysis("sequential", cuped=True, tuning=120_000),
    Analysis(stratify="country", prior_mean=-0.01, prior_sd=0.1, rate_prior_alpha=2.5, rate_prior_beta=40.0,
                 bootstrap=1_000, bootstrap_seed=7),
    Analysis(cuped=True, cuped_days=28, correction_primary="none", correction_secondary="holm"),
    Analysis(level=0.999, minimum_effect=0.0001),
    Analysis("group_sequential", looks=50, family="power", rho=0.5, level=0.5, minimum_effect=10.0),
])  # fmt: skip
def test_a_block_shown_and_sent_back_is_the_same(analysis):
    typed = analysis_form.shown(analysis.to_dict())
    fields = {name: value for name, value in typed.items() if name != "cuped"} | (
        {"cuped": "on"} if typed["cuped"] else {}
    )
    payload, problems = build(**fields)
    assert (payload, problems) == (analysis.to_dict(), [])
    assert check_analysis(payload, "analysis") == (analysis.to_dict(), [])


def test_choices_without_a_field_are_carried_along():
    typed = analysis_form.shown({**Analysis().to_dict(), "outliers": {"cap": 0.1}})
    assert json.loads(typed["more"]) == {"outliers": {"cap": 0.1}}
    payload, problems = build(more=typed["more"])
    assert problems == []
    assert payload["outliers"] == {"cap": 0.1}
    for spoilt in ("{", "3", "[1]"):
        assert [p["field"] for p in build(more=spoilt)[1]] == ["analysis.more"]


@pytest.mark.parametrize(("field", "text"), [
    ("regime", "daily"), ("level", "49"), ("level", "100"), ("level", "much"), ("level", "nan"),
    ("minimum_effect", "0"), ("minimum_effect", "-5"), ("minimum_effect", "1001"), ("tuning", "9"), ("tuning", "10.5"),
    ("tuning", "2000000000"), ("prior_mean", "-101"), ("prior_sd", "0"), ("rate_prior_alpha", "0"),
    ("rate_prior_beta", "x"), ("bootstrap", "199"), ("bootstrap", "10001"), ("bootstrap", "300.5"),
    ("bootstrap_seed", "-1"), ("stratify", 'a"b'), ("stratify", "a" * 65),
    ("cuped_days", "0"), ("cuped_days", "91"), ("cuped_days", "1.5"), ("correction_primary", "sidak"),
    ("correction_secondary", ""),
])  # fmt: skip
def test_what_is_wrong_is_named(field, text):
    payload, problems = build(**{field: text})
    assert [(p["field"], p["value"]) for p in problems] == [(f"analysis.{field}", text)]
    assert payload.keys() == Analysis().to_dict().keys()


@pytest.mark.parametrize(("field", "text"), [
    ("looks", "1"), ("looks", "51"), ("looks", "2.5"), ("family", "even"), ("rho", "0.4"), ("rho", "11"),
])  # fmt: skip
def test_fields_of_looks_matter_only_with_looks(field, text):
    payload, problems = build(**{field: text})
    assert (payload, problems) == (Analysis().to_dict(), [])
    _, problems = build(regime="group_sequential", **{field: text})
    assert [p["field"] for p in problems] == [f"analysis.{field}"]


def test_percent_are_shares():
    payload, problems = build(level="99,5", minimum_effect="2.5", cuped="on")
    assert problems == []
    assert (payload["level"], payload["minimum_effect"], payload["cuped"]) == (0.995, 0.025, True)


def test_a_block_in_words():
    assert analysis_form.said(Analysis().to_dict()) == [
        "once, at the planned end", "95 % intervals", "without CUPED"]  # fmt: skip
    chosen = Analysis("group_sequential", looks=4, family="power", rho=1.5, cuped=True, minimum_effect=0.02)
    assert analysis_form.said(chosen.to_dict()) == [
        "at 4 planned looks, by a power of the time (rho 1.5)", "95 % intervals", "with what users did before (CUPED)",
        "smallest lift worth having 2 %"]  # fmt: skip
    assert "tuned for 120,000 users" in analysis_form.said(Analysis("sequential", tuning=120_000).to_dict())[0]


def test_the_past_and_the_corrections_in_words():
    chosen = Analysis(cuped=True, cuped_days=1, correction_primary="benjamini_hochberg", correction_secondary="none")
    assert analysis_form.said(chosen.to_dict())[2:] == [
        "with what users did before (CUPED)", "a user's past is 1 day",
        "primary metric: corrected by Benjamini-Hochberg", "secondary metrics: not corrected"]  # fmt: skip


def test_cuped_and_strata_exclude_each_other():
    _, problems = build(cuped="on", stratify="country")
    rule = "cannot be used together with CUPED: choose one of them"
    assert problems == [{"field": "analysis.stratify", "value": "country", "rule": rule}]


def test_priors_strata_and_bootstrap_in_words():
    chosen = Analysis(stratify="country", prior_mean=0.01, prior_sd=0.1, rate_prior_alpha=2, bootstrap=1_000)
    assert analysis_form.said(chosen.to_dict())[2:] == [
        "like with like by country", "prior lift 1 ± 10 %", "prior rates beta(2, 1)",
        "1,000 bootstrap resamples beside"]  # fmt: skip
