"""Pages that split traffic: who may, what reaches the platform, what is said when it is wrong."""

from __future__ import annotations

import re

import pytest

from tests.fake_backend import MANAGER
from tests.unit.web.test_pages import check

HOLDOUT = {"name": "Nothing new", "key": "", "placement": "home", "share": "5", "primary": "conversion", "note": "2027"}
GROUP = {"name": "Night shift", "key": "", "kind": "values", "values": "u1\n u2 \n\nu1\n007", "attribute": ""}
PHASE = {"weights-control": "50", "weights-item-cf": "30", "weights-als": "20", "traffic": "40", "note": "als is slow"}
WEIGHTS = {"weights-control": "20", "weights-content": "80"}
RAMP = {"ramp-0-traffic": "5", "ramp-0-hours": "0", "ramp-1-traffic": "50", "ramp-1-hours": "48",
        "ramp-2-traffic": "", "ramp-2-hours": ""}  # fmt: skip


def plain(answer):
    """The page's text with spaces where numbers have narrow ones."""
    return answer.text.replace("\xa0", " ")


CHANGES = [
    ("/app/traffic/holdouts", HOLDOUT), ("/app/traffic/groups/new", GROUP), ("/app/traffic/groups/staff", GROUP),
    ("/app/traffic/groups/staff/delete", {}), ("/app/experiments/home-recs/phase", PHASE),
    ("/app/experiments/pdp-similar/weights", WEIGHTS), ("/app/experiments/home-recs/ramp", RAMP),
    ("/app/experiments/no-experiments/do/stop", {}),
    ("/app/experiments/home-recs/testers", {"unit": "u9", "arm": "als"}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "data"), CHANGES)
def test_a_manager_may_a_viewer_may_not_and_nobody_without_a_token(manager, viewer, anonymous, platform, path, data):
    assert viewer.send(path, data).status_code == 403
    assert manager.post(path, data=data).status_code == 400
    assert anonymous.post(path, data=data).location.startswith("/app/sign-in")
    assert platform.calls == []
    assert manager.send(path, data).status_code == 200
    assert len(platform.calls) == 1
    assert platform.calls[0][-1] == MANAGER.email


def test_layers_show_who_holds_what_and_what_is_free(manager):
    page = plain(manager.get("/app/traffic"))
    assert "40 % free" in page
    assert re.search(r'style="left: 0.0%; width: 60.0%" title="home-recs: 0 % to 60 %"', page)
    assert "Drafts that want a part" in page
    assert page.count("no room now") == 0


def test_a_draft_for_which_a_layer_has_no_room_is_marked(manager, platform):
    platform.store["home-ease"][0]["traffic"] = 0.41
    assert manager.get("/app/traffic").text.count("no room now") == 1


def test_a_holdout_is_made_started_and_reported_on(manager, platform):
    page = plain(manager.send("/app/traffic/holdouts", HOLDOUT))
    check(page)
    assert "Nobody is held out before it starts" in page
    assert "5 % of the users are in no experiment" in page
    stored = platform.experiment("nothing-new")
    assert (stored["placement"], stored["arms"][0]["weight"]) == ("home", 0.05)
    assert stored["metrics"] == {"primary": "conversion", "secondary": ["revenue_per_user"], "guardrails": []}
    manager.send("/app/experiments/nothing-new/do/start")
    assert platform.experiment("nothing-new")["status"] == "running"
    assert manager.get("/app/experiments/nothing-new/edit").status_code == 409


def test_a_holdouts_page_is_a_report_without_strategies_or_ways_to_split(manager):
    page = manager.get("/app/experiments/no-experiments").text
    for words in ("default strategies only", "experiments, as for everybody", "Verdict", "held-out"):
        assert words in page
    for words in ("New phase", "Preview links", "Copy</a>", "Change traffic", "Split of the users"):
        assert words not in page
    stop = manager.get("/app/experiments/no-experiments/do/stop").text
    assert "Users who were held out can be in experiments again" in stop
    for path in ("phase", "weights", "ramp"):
        assert manager.get(f"/app/experiments/no-experiments/{path}").status_code == 409


@pytest.mark.parametrize(("change", "words"), [
    ({"name": ""}, "what people will call this holdout"), ({"share": "60"}, "at most 50 percent"),
    ({"share": "0"}, "above 0"), ({"key": "A B"}, "must be 1 to 64 of"), ({"primary": ""}, "the one metric"),
    ({"key": "home-recs"}, "already an experiment or holdout"),
])  # fmt: skip
def test_a_holdout_is_checked_and_what_was_typed_stays(manager, platform, change, words):
    answer = manager.send("/app/traffic/holdouts", {**HOLDOUT, **change})
    assert answer.status_code == 422
    check(answer.text)
    assert words in answer.text
    assert 'value="2027"' in answer.text
    assert platform.calls == []


def test_a_group_of_users_keeps_ids_as_text_and_each_once(manager, platform):
    manager.send("/app/traffic/groups/new", GROUP)
    assert platform.saved["night-shift"]["values"] == ["u1", "u2", "007"]
    assert platform.saved["night-shift"]["attribute"] is None
    assert "u1\nu2\n007</textarea>" in manager.get("/app/traffic/groups/night-shift").text


def test_a_group_of_an_attributes_values_has_numbers(manager, platform):
    data = {**GROUP, "attribute": "age", "values": '18\n19.5\n"20"\nold'}
    manager.send("/app/traffic/groups/new", data)
    assert platform.saved["night-shift"]["values"] == [18, 19.5, "20", "old"]
    assert "18\n19.5\n&#34;20&#34;\nold</textarea>" in manager.get("/app/traffic/groups/night-shift").text


def test_a_group_that_is_a_condition(manager, platform):
    data = {**GROUP, "kind": "condition", "condition": '{"country": "CN"}'}
    manager.send("/app/traffic/groups/new", data)
    assert platform.saved["night-shift"]["condition"] == {"country": "CN"}
    assert platform.saved["night-shift"]["values"] is None


@pytest.mark.parametrize(("change", "words"), [
    ({"values": " "}, "must have one at least"), ({"name": "", "key": ""}, "must be 1 to 64 of"),
    ({"key": "bots"}, "is taken by another group"), ({"kind": "condition", "condition": ""}, "is needed"),
    ({"kind": "condition", "condition": "[1]"}, "must be an object"), ({"kind": "condition", "condition": "{"}, "JSON"),
    ({"kind": "condition", "condition": '{"$xor": []}'}, "operator is unknown here"),
])  # fmt: skip
def test_a_group_is_checked(manager, platform, change, words):
    answer = manager.send("/app/traffic/groups/new", {**GROUP, **change})
    assert answer.status_code == 422
    check(answer.text)
    assert words in answer.text
    assert set(platform.saved) == {"bots", "staff"}


def test_a_group_that_is_used_is_not_deleted_and_its_users_are_named(manager, platform):
    answer = manager.send("/app/traffic/groups/bots/delete")
    assert "was not deleted" in answer.text
    assert "is used by home-recs" in answer.text
    assert "bots" in platform.saved
    assert "is deleted" in manager.send("/app/traffic/groups/staff/delete").text
    assert manager.get("/app/traffic/groups/staff").status_code == 404


def test_a_new_phase_says_that_users_are_hashed_anew_and_data_never_mix(manager, platform):
    form = manager.get("/app/experiments/home-recs/phase").text
    for words in ("All users are hashed anew", "never mix", "Begin phase 3", "phase 1 until", 'value="34"'):
        assert words in form
    answer = manager.send("/app/experiments/home-recs/phase", PHASE)
    assert "Phase 3 of Home: personal lists has begun" in answer.text
    assert "Earlier phases" in answer.text
    assert platform.calls[-1][2] == {
        "weights": {"control": 0.5, "item-cf": 0.3, "als": 0.2}, "traffic": 0.4, "note": "als is slow",
    }  # fmt: skip


@pytest.mark.parametrize(("change", "words"), [
    ({"weights-als": "30"}, "must add up to 100"), ({"weights-als": "0"}, "above 0 and up to 100"),
    ({"traffic": "200"}, "up to 100 percent"), ({"traffic": ""}, "up to 100 percent"),
])  # fmt: skip
def test_a_phase_is_checked_and_what_was_typed_stays(manager, platform, change, words):
    answer = manager.send("/app/experiments/home-recs/phase", {**PHASE, **change})
    assert answer.status_code == 422
    assert words in answer.text
    assert 'value="als is slow"' in answer.text
    assert platform.calls == []


def test_weights_change_only_where_assignment_is_sticky(manager, platform):
    assert "Change weights" in manager.get("/app/experiments/pdp-similar").text
    assert "Change weights" not in manager.get("/app/experiments/home-recs").text
    refused = manager.get("/app/experiments/home-recs/weights")
    assert refused.status_code == 409
    assert "Begin a new phase instead" in refused.text
    assert manager.send("/app/experiments/pdp-similar/weights", {**WEIGHTS, "weights-content": "1"}).status_code == 422
    page = manager.send("/app/experiments/pdp-similar/weights", WEIGHTS).text
    assert "hold for users who come from now on" in page
    assert "Weights before" in page
    assert [arm["weight"] for arm in platform.experiment("pdp-similar")["arms"]] == [0.2, 0.8]


@pytest.mark.parametrize("path", ["phase", "weights"])
def test_what_has_ended_or_not_begun_is_not_split_anew(manager, path):
    for key in ("home-ease", "zozotown-men"):
        assert manager.get(f"/app/experiments/{key}/{path}").status_code == 409


def test_a_ramp_is_planned_and_taken_away(manager, platform):
    manager.send("/app/experiments/home-recs/ramp", RAMP)
    steps = [{"traffic": 0.05, "after_hours": 0.0}, {"traffic": 0.5, "after_hours": 48.0}]
    assert platform.experiment("home-recs")["ramp"] == steps
    wrong = manager.send("/app/experiments/home-recs/ramp", {**RAMP, "ramp-1-traffic": "3"})
    assert wrong.status_code == 422
    assert "must be more than the step before (5 %)" in wrong.text
    assert "has no ramp any more" in manager.send("/app/experiments/home-recs/ramp", {"ramp-0-traffic": ""}).text
    assert platform.experiment("home-recs")["ramp"] == []
    assert manager.get("/app/experiments/zozotown-men/ramp").status_code == 409


def test_a_ramp_shows_its_progress_and_why_it_stopped(viewer):
    assert "in 16 h" in viewer.get("/app/experiments/pdp-similar").text
    page = viewer.get("/app/experiments/cart-addons").text
    assert page.count("the sample ratio is not as planned (p = 2.7e-05)") == 2
    assert "stopped here" in page


def test_a_preview_link_is_for_everybody_who_may_look_and_changes_nothing(viewer, platform):
    page = viewer.get("/app/experiments/home-recs?preview=als").text
    assert "preview.home-recs.als.signed" in page
    assert "Nothing of it enters the data" in page
    assert "must be one of control, item-cf, als" in viewer.get("/app/experiments/home-recs?preview=bls").text
    assert platform.calls == []


def test_the_split_names_layer_people_who_test_and_who_is_left_out(viewer):
    page = plain(viewer.get("/app/experiments/home-recs"))
    for words in ("holds 0 % to 60 % of the users", "u42", "in the group bots or is_staff is true", "Phase 1"):
        assert words in page
    assert "the largest free piece is 40 %" in plain(viewer.get("/app/experiments/home-ease"))


def test_people_who_test_come_and_go_while_it_runs(manager, platform):
    path = "/app/experiments/home-recs/testers"
    assert "u9 sees item-cf from now on" in manager.send(path, {"unit": " u9 ", "arm": "item-cf"}).text
    assert platform.experiment("home-recs")["overrides"] == {"u42": "als", "u9": "item-cf"}
    assert "u42 is treated like everybody" in manager.send(path, {"unit": "u42", "arm": ""}).text
    assert platform.experiment("home-recs")["overrides"] == {"u9": "item-cf"}
    assert "is not on the list" in manager.send(path, {"unit": "u42", "arm": ""}).text
    assert "needs a user id" in manager.send(path, {"unit": "", "arm": "als"}).text
    assert manager.send("/app/experiments/home-ease/testers", {"unit": "u1", "arm": "als"}).status_code == 409


def test_computing_a_report_is_waited_for(manager):
    answer = manager.send("/app/experiments/home-recs/refresh", follow=False)
    assert answer.location.endswith("/app/experiments/home-recs?computing=")
    page = manager.get(answer.location).text
    state = manager.get(re.search(r'data-report-state="([^"]+)"', page)[1])
    assert state.json["computed_at"] == re.search(r'data-before="([^"]+)"', page)[1].replace("&#43;", "+")
    assert state.headers["Cache-Control"] == "no-store"
    assert "report_wait.js" in page
    assert manager.get("/app/experiments/nope/report-state").status_code == 404


def test_jobs_leave_quiet_rollups_out_until_asked(manager):
    assert ">rollup</a>" not in manager.get("/app/jobs").text
    page = manager.get("/app/jobs?task=rollup").text
    assert page.count(">rollup</a>") == 2
    assert ">train</a>" not in page


def test_a_rollup_that_failed_is_shown(manager, platform):
    job = next(job for job in platform.shop["jobs"] if job["task"] == "rollup")
    job.update(status="failed", error="the disk is full")
    assert "the disk is full" in manager.get("/app/jobs").text


def test_events_of_one_type(manager):
    page = manager.get("/app/events?type=purchase").text
    assert page.count(">purchase</span>") == 9
    assert ">click</span>" not in page


FORM = {
    "name": "Cart: add-ons", "key": "", "placement": "cart", "traffic": "30", "planned_days": "14", "primary": "ctr",
    "arms-0-key": "control", "arms-0-strategy": "popularity", "arms-0-weight": "50", "arms-1-key": "cf",
    "arms-1-strategy": "item_cf", "arms-1-weight": "50", "control": "0", "then": "draft", "layer": "cart",
    "sticky": "on", "overrides-0-unit": "u9", "overrides-0-arm": "cf", "exclude-0-attribute": "is_bot",
    "exclude-0-op": "$eq", "exclude-0-value": "true", "exclude-4-attribute": "", "exclude-4-op": "$inGroup",
    "exclude-4-value": "staff", "audience-0-attribute": "", "audience-0-op": "$notInGroup", "audience-0-value": "bots",
    "ramp-0-traffic": "1", "ramp-0-hours": "0", "ramp-1-traffic": "30", "ramp-1-hours": "24",
}  # fmt: skip


def test_an_experiment_is_made_with_all_that_splits_its_users(manager, platform):
    manager.send("/app/experiments/new", FORM)
    stored = platform.experiment("cart-add-ons")
    assert stored["layer"] == "cart"
    assert stored["sticky"] is True
    assert stored["overrides"] == {"u9": "cf"}
    assert stored["exclude"] == {"$or": [{"is_bot": {"$eq": True}}, {"$savedGroup": {"id": "staff"}}]}
    assert stored["audience"] == {"$not": {"$savedGroup": {"id": "bots"}}}
    assert [step["traffic"] for step in stored["ramp"]] == [0.01, 0.3]
    assert stored["traffic"] == 0.01
    edit = manager.get("/app/experiments/cart-add-ons/edit").text
    check(edit)
    for words in ('value="u9"', 'value="staff"', 'name="sticky" value="on" checked', 'value="24"'):
        assert words in edit


@pytest.mark.parametrize(("change", "words"), [
    ({"layer": "Big Layer"}, "must be 1 to 64 of"), ({"overrides-0-arm": "als"}, "one of the arms: control, cf"),
    ({"overrides-0-unit": ""}, "who sees this arm"), ({"ramp-1-traffic": "0.5"}, "more than the step before"),
    ({"exclude-0-value": ""}, "is needed for this comparison"), ({"exclude_json": "{"}, "must be JSON"),
])  # fmt: skip
def test_what_is_wrong_with_the_split_stands_beside_its_field(manager, platform, change, words):
    answer = manager.send("/app/experiments/new", {**FORM, **change})
    assert answer.status_code == 422
    check(answer.text)
    assert words in answer.text
    assert answer.text.count('class="error"') == 2  # one is the script's, still empty
    assert platform.calls == []
