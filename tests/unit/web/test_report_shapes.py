"""A report page from what API.md promises alone, and from reports in which things could not be computed."""

from __future__ import annotations

import pytest

from tests.unit.web.test_pages import check

MINIMAL = {
    "experiment": "home-recs", "computed_at": "2026-11-25T07:00:00Z", "data_until": "2026-11-25T06:59:00Z",
    "srm": {"observed": [100, 120], "expected": [110.0, 110.0], "p_value": 0.17, "ok": True},
    "arms": [{"arm": "control", "control": True, "units": 100, "impressions": 900},
             {"arm": "item-cf", "control": False, "units": 120, "impressions": 1000}],
    "metrics": [{"metric": "ctr", "role": "primary", "kind": "ratio",
                 "arms": [{"arm": "control", "units": 100, "mean": 0.031, "std_error": 0.002},
                          {"arm": "item-cf", "units": 120, "mean": 0.035, "std_error": 0.002}],
                 "comparisons": [{"arm": "item-cf", "control": "control", "lift": 0.12, "lift_ci": [0.01, 0.23],
                                  "difference": 0.004, "difference_ci": [0.0003, 0.007], "p_value": 0.03,
                                  "p_value_adjusted": 0.05, "ci_level": 0.95,
                                  "sequential": {"p_value": 0.08, "lift_ci": [-0.02, 0.26]},
                                  "bayesian": {"chance_to_win": 0.98, "expected_loss": 0.0002},
                                  "variance_reduction": None, "warnings": []}]}],
    "decision": {"call": "keep_running", "because": ["Not over."]},
}  # fmt: skip


@pytest.fixture
def stored(platform):
    import copy

    report = copy.deepcopy(MINIMAL)
    platform.store["home-recs"] = (platform.store["home-recs"][0], report)
    return report


def text_of(client) -> str:
    answer = client.get("/app/experiments/home-recs")
    assert answer.status_code == 200
    check(answer.text)
    return answer.text.replace("\u00a0", " ")


def test_the_contract_alone_is_enough(manager, stored):
    page = text_of(manager)
    for words in ("Keep running", "+12.0 %", "[+1.0, +23.0]", ".030", ".050", "98.0 %", "p = .170", "split as planned"):
        assert words in page
    assert "95 % interval of the relative lift, delta method" in page
    for path in ("/app/", "/app/experiments"):
        assert "+12.0 %" in manager.get(path).text.replace("\u00a0", " ")


@pytest.mark.parametrize("call", ["ship", "keep_control", "keep_running", "invalid"])
def test_every_call_has_its_words(manager, stored, call):
    stored["decision"]["call"] = call
    words = {"ship": "Ship it", "keep_control": "Keep the control", "keep_running": "Keep running",
             "invalid": "Do not read this"}[call]  # fmt: skip
    assert words in text_of(manager)


def test_a_failed_sample_ratio_is_said_even_without_trust_checks(manager, stored):
    stored["srm"].update(ok=False, p_value=0.0000001)
    stored["decision"]["call"] = "invalid"
    page = text_of(manager)
    assert "not split as planned" in page
    assert "p &lt; .001" in page
    assert "say nothing about the arms" in page


def test_every_missing_number_shows_its_reason(manager, stored):
    comparison = stored["metrics"][0]["comparisons"][0]
    for field in (
        "lift",
        "lift_ci",
        "difference",
        "difference_ci",
        "p_value",
        "p_value_adjusted",
        "sequential",
        "bayesian",
    ):
        comparison[field] = None
    comparison["reasons"] = {"lift": "the control's mean is 0"}
    stored["metrics"][0]["arms"][1].update(mean=None, std_error=None, reasons={"mean": "no user met this arm"})
    page = text_of(manager)
    assert "the control&#39;s mean is 0" in page
    assert "no user met this arm" in page
    assert "No lift could be computed yet" in page


def test_a_lift_without_p_says_why_beside_it(manager, stored):
    comparison = stored["metrics"][0]["comparisons"][0]
    comparison.update(p_value=None, p_value_adjusted=None, bayesian=None, sequential=None)
    comparison["reasons"] = {"p_value": "fewer than 2 users", "bayesian": "the prior needs a mean"}
    page = text_of(manager)
    assert "fewer than 2 users" in page
    assert "the prior needs a mean" in page
    assert "Always valid</button>" not in page


def test_an_open_interval_shows_its_open_side(manager, stored):
    stored["metrics"][0]["comparisons"][0]["lift_ci"] = [None, 0.3]
    assert "[\u2212∞, +30.0]" in text_of(manager)


def test_warnings_stand_under_their_arm(manager, stored):
    stored["metrics"][0]["comparisons"][0]["warnings"] = ["5 users make half of the clicks"]
    assert "5 users make half of the clicks" in text_of(manager)


def test_nothing_at_all(manager, stored):
    stored["metrics"], stored["arms"] = [], []
    stored["srm"] = {"observed": [], "expected": [], "p_value": None, "ok": True}
    text_of(manager)
    assert "No primary metric" in manager.get("/app/experiments").text


def test_segments_are_shown_when_asked_for(manager):
    page = manager.get("/app/experiments/home-recs?segment=country")
    check(page.text)
    for words in ('data-figure="segments"', ">CN<", ">US<", "7,240", "a question for the next experiment"):
        assert words in page.text
    nothing = manager.get("/app/experiments/home-recs?segment=planet").text
    assert "No exposed user has the attribute" in nothing
    refused = manager.get("/app/experiments/home-recs", query_string={"segment": 'a"b'}).text
    assert "must be an attribute&#39;s name" in refused
    assert 'data-figure="segments"' not in manager.get("/app/experiments/home-recs").text
