"""What the experiment form computes, over the fake: sizes, check-list and lists for one person; whole copies."""

from __future__ import annotations

import pytest

from reclift.domain.analysis import Analysis
from tests.unit.web.test_pages import check

FORM = {
    "name": "Home: lists", "key": "", "placement": "home", "traffic": "50", "planned_days": "14", "primary": "ctr",
    "arms-0-key": "control", "arms-0-strategy": "popularity", "arms-0-weight": "50",
    "arms-1-key": "", "arms-1-strategy": "item_cf", "arms-1-weight": "50", "control": "0",
}  # fmt: skip


def text_of(answer):
    return answer.text.replace("\xa0", " ")


def test_a_copy_keeps_its_analysis_models_and_variety(manager, platform):
    source = platform.store["home-ease"][0]
    source["arms"][0].update(model=7, rerank={"balance": 0.4, "category_cap": 2})
    page = manager.get("/app/experiments/new?copy=home-ease").text
    check(page)
    fields = {**FORM, "analysis-regime": "group_sequential", "analysis-looks": "4", "analysis-family": "power",
              "analysis-rho": "1.5", "analysis-level": "90", "analysis-minimum_effect": "2", "analysis-cuped": "on",
              "analysis-tuning": "20000"}  # fmt: skip
    for name in ("looks", "rho", "level", "minimum_effect", "tuning"):
        assert f'name="analysis-{name}"' in page
        assert f'value="{fields[f"analysis-{name}"]}"' in page
    assert 'value="group_sequential" checked' in page
    assert 'name="analysis-cuped" value="on" checked' in page
    assert '<option value="power" selected>' in page
    assert '<option value="7" selected>' in page
    assert 'name="arms-0-balance" type="number" min="0" max="1" step="any" value="0.4"' in page
    manager.send("/app/experiments/new", {**fields, "name": "Copied", "arms-0-strategy": "item_cf",
                                          "arms-0-model": "7", "arms-0-balance": "0.4",
                                          "arms-0-category_cap": "2"})  # fmt: skip
    made = platform.experiment("copied")
    assert made["analysis"] == source["analysis"] != Analysis().to_dict()
    assert (made["arms"][0]["model"], made["arms"][0]["rerank"]) == (7, source["arms"][0]["rerank"])


def test_what_is_wrong_stands_beside_its_field_and_is_kept(manager, platform):
    wrong = {"analysis-regime": "group_sequential", "analysis-looks": "1", "analysis-level": "200",
             "arms-1-balance": "7", "arms-1-model": "99"}  # fmt: skip
    answer = manager.send("/app/experiments/new", {**FORM, **wrong})
    assert answer.status_code == 422
    check(answer.text)
    for field in ("analysis-looks", "analysis-level", "arms-1-rerank-balance", "arms-1-model"):
        assert f'id="error-{field}"' in answer.text
    assert 'value="200"' in answer.text
    assert "item_cf@99, not there" in answer.text


def test_sizes_follow_the_form(manager, platform):
    page = text_of(manager.send("/app/experiments/new/plan", {**FORM, "analysis-regime": "sequential",
                                                              "analysis-minimum_effect": "5"}))  # fmt: skip
    question = platform.calls[-1][1]
    assert question == {"placement": "home", "metric": "ctr", "arms": 2, "effect": 0.05, "traffic": 0.5,
                        "level": 0.95, "regime": "sequential", "days": 14,
                        "weights": [0.5, 0.5], "tuning": 5000, "corrected": True, "audience": {},
                        "exclude": {}, "cuped": False, "cuped_days": None}  # fmt: skip
    assert "200,960 users" in page
    assert "find a lift of +5.0 %" in page
    assert "data-use-days=" in page
    assert "always-valid" in page
    assert "needs about" in page
    ramped = {"ramp-0-traffic": "1", "ramp-0-hours": "0", "ramp-1-traffic": "80", "ramp-1-hours": "24"}
    page = text_of(manager.send("/app/experiments/new/plan", {**FORM, **ramped}))
    assert platform.calls[-1][1]["traffic"] == 0.8  # where the ramp ends
    assert platform.calls[-1][1]["regime"] == "fixed"
    assert "at the end of the ramp" in page
    of_china = {"audience_json": '{"country": "CN"}', "analysis-regime": "fixed", "analysis-cuped": "on",
                "analysis-correction_primary": "none"}  # fmt: skip
    page = text_of(manager.send("/app/experiments/new/plan", {**FORM, **of_china}))
    question = platform.calls[-1][1]
    assert (question["audience"], question["cuped"], question["corrected"]) == ({"country": "CN"}, True, False)
    assert "lets in 25 % of the 8,000 users here whose attributes are known" in page
    assert "CUPED takes 36 % of the variance" in page
    manager.send("/app/experiments/new/plan", {**FORM, "planned_days": "", "arms-0-weight": "20", "arms-1-weight": "80",
                                               "control": "1"})  # fmt: skip
    asked = platform.calls[-1][1]
    assert asked["regime"] == "sequential"  # without an end there is nothing to wait for
    assert asked["weights"] == [0.8, 0.2]  # the control first
    assert asked["effect"] == 0.1  # unless one says what is worth having


@pytest.mark.parametrize(("change", "reason"), [
    ({"placement": "cart"}, "No list was shown here yet"), ({"placement": ""}, "Choose a placement"),
    ({"primary": "nothing"}, "There is no metric"), ({"traffic": "0"}, "some traffic"),
    ({"arms-1-key": None}, "two arms"),
])  # fmt: skip
def test_what_cannot_be_computed_says_why(manager, change, reason):
    fields = {name: value for name, value in {**FORM, **change}.items() if value is not None}
    page = manager.send("/app/experiments/new/plan", fields).text
    assert "Sizes cannot be computed" in page
    assert reason in page
    assert "Check-list" in page


def test_lists_of_a_form_are_shown_before_it_is_kept(manager, platform):
    before = len(platform.store)
    page = text_of(manager.send("/app/experiments/new/look", {**FORM, "viewer-user_id": "u7", "planned_days": "wrong"}))
    assert platform.calls[-1] == ("look_as", "home-lists", {"user_id": "u7", "session_id": None, "item_id": None,
                                                            "attributes": {}})  # fmt: skip
    assert "They would be in" in page
    assert "home-recs</a> decides for them now" in page
    assert page.count('aria-label="List of ') == 2
    assert "mark-new" in page
    assert "because they bought a Wool scarf" in page
    assert len(platform.store) == before
    assert "once the experiment has a name" in manager.send(
        "/app/experiments/new/look", {**FORM, "name": "", "viewer-user_id": "u7"}).text  # fmt: skip


def test_a_part_is_no_whole_page(manager):
    part = manager.send("/app/experiments/new/look", {**FORM, "viewer-user_id": "u7"}, headers={"X-Part": "1"}).text
    assert "<html" not in part
    assert "Nothing was logged" in part


@pytest.mark.parametrize(("change", "field"), [
    ({"viewer-user_id": ""}, "f-viewer-user_id"), ({"viewer-attributes": "nonsense"}, "f-viewer-attributes"),
    ({"arms-1-strategy": ""}, "f-arms-1-strategy"), ({"arms-1-balance": "3"}, "f-arms-1-rerank-balance"),
])  # fmt: skip
def test_lists_need_a_person_and_arms(manager, platform, change, field):
    answer = manager.send("/app/experiments/new/look", {**FORM, "viewer-user_id": "u7", **change})
    assert answer.status_code == 422
    assert f'href="#{field}"' in answer.text
    assert "look_as" not in [call[0] for call in platform.calls]


def test_lists_of_a_stored_experiment_are_for_viewers_too(viewer, platform):
    assert "As a user" in viewer.get("/app/experiments/home-recs").text
    empty = viewer.get("/app/experiments/home-recs/look")
    assert empty.status_code == 200
    check(empty.text)
    page = viewer.get("/app/experiments/home-recs/look?viewer-user_id=u7&viewer-item_id=i3")
    check(page.text)
    assert "They are in" in page.text
    assert platform.calls[-1][2]["item_id"] == "i3"
    assert viewer.get("/app/experiments/home-recs/look?viewer-user_id=").status_code == 422
    assert viewer.get("/app/experiments/no-experiments/look").status_code == 409
    assert viewer.get("/app/experiments/zozotown-men/look").status_code == 409
    assert viewer.send("/app/experiments/new/look", FORM).status_code == 403
    assert viewer.send("/app/experiments/new/plan", FORM).status_code == 403


def test_the_set_up_says_how_it_is_read(viewer, platform):
    platform.store["home-ease"][0]["arms"][0].update(model=7, rerank={"balance": 0.4, "category_cap": 2})
    page = viewer.get("/app/experiments/home-ease").text
    assert "at 4 planned looks" in page
    assert "variety 0.4, 2 of a category at most" in page


def test_somebody_seen_lately_can_be_looked_as_by_a_click(manager, platform):
    page = manager.get("/app/experiments/home-recs/look").text
    assert 'href="/app/experiments/home-recs/look?viewer-user_id=u1"' in page
    platform.shop["events"] = []
    assert "Seen lately" not in manager.get("/app/experiments/home-recs/look").text
