"""What forms do: who may, what reaches the platform, what is said when it is wrong."""

from __future__ import annotations

import pytest

from tests.fake_backend import MANAGER, PASSWORD

EXPERIMENT = {
    "name": "Cart: add-ons by content", "key": "", "placement": "cart", "traffic": "100", "planned_days": "14",
    "primary": "ctr",
    "secondary": "conversion", "arms-0-key": "control", "arms-0-strategy": "popularity", "arms-0-weight": "50",
    "arms-1-key": "", "arms-1-strategy": "item_cf", "arms-1-weight": "50", "arms-1-params-k": "200", "control": "0",
    "audience-0-attribute": "country", "audience-0-op": "$in", "audience-0-value": "CN, US", "then": "draft",
}  # fmt: skip

CHANGES = [
    ("/app/experiments/new", EXPERIMENT), ("/app/experiments/home-ease/edit", {**EXPERIMENT, "key": "home-ease"}),
    ("/app/experiments/home-recs/do/pause", {}), ("/app/experiments/home-recs/do/stop", {}),
    ("/app/experiments/home-ease/do/start", {}), ("/app/experiments/home-recs/refresh", {}),
    ("/app/experiments/home-recs/change", {"note": "x"}), ("/app/strategies/item_cf/train", {"params-k": "50"}),
    ("/app/models/item_cf@6/activate", {}), ("/app/placements/new", {"name": "Search", "strategy": "popularity",
    "seen": "none"}),
    ("/app/placements/home", {"name": "Home", "strategy": "popularity", "seen": "none"}),
    ("/app/metrics/new", {"name": "Wishes", "kind": "count", "numerator_event": "wish", "direction": "increase",
    "format": "number"}),
    ("/app/jobs/1/again", {}), ("/app/events/dead-letters/3/replay", {}), ("/app/events/dead-letters/replay", {}),
    ("/app/events/dead-letters/1/discard", {}),
    ("/app/settings/keys", {"name": "x", "scopes": "read"}), ("/app/settings/keys/1/revoke", {}),
    ("/app/settings/people", {"email": "n@shop.example", "password": "a long pass phrase", "role": "viewer"}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "data"), CHANGES)
def test_a_manager_may_a_viewer_may_not_and_nobody_without_a_token(manager, viewer, anonymous, platform, path, data):
    before = (len(platform.calls), len(platform.shop["keys"]))
    refused = viewer.send(path, data)
    assert refused.status_code == 403
    assert manager.post(path, data=data).status_code == 400
    assert anonymous.post(path, data=data).location.startswith("/app/sign-in")
    assert (len(platform.calls), len(platform.shop["keys"])) == before
    assert manager.send(path, data).status_code == 200
    assert (len(platform.calls), len(platform.shop["keys"])) != before


def test_signing_in_out_and_wrongly(anonymous):
    wrong = anonymous.send("/app/sign-in", {"email": MANAGER.email, "password": "wrong", "next": "/app/jobs"})
    assert wrong.status_code == 401
    assert "do not belong together" in wrong.text
    assert f'value="{MANAGER.email}"' in wrong.text
    right = anonymous.send(
        "/app/sign-in", {"email": MANAGER.email, "password": PASSWORD, "next": "/app/jobs"}, follow=False
    )
    assert right.location == "/app/jobs"
    assert anonymous.get("/app/").status_code == 200
    anonymous.send("/app/sign-out")
    assert anonymous.get("/app/").status_code == 302


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "\n/x"]
)
def test_signing_in_never_leads_elsewhere(anonymous, target):
    answer = anonymous.send(
        "/app/sign-in", {"email": MANAGER.email, "password": PASSWORD, "next": target}, follow=False
    )
    assert answer.location == "/app/"


def test_a_forged_form_is_refused_also_before_signing_in(anonymous):
    answer = anonymous.post("/app/sign-in", data={"email": MANAGER.email, "password": PASSWORD})
    assert answer.status_code == 400
    assert "could not be taken" in answer.text


def test_an_experiment_is_created_as_it_was_typed(manager, platform):
    answer = manager.send("/app/experiments/new", EXPERIMENT)
    assert "The draft of Cart: add-ons by content is kept" in answer.text
    stored = platform.experiment("cart-add-ons-by-content")
    assert stored["status"] == "draft"
    assert stored["arms"][1] == {
        "key": "item-cf",
        "strategy": "item_cf",
        "params": {"k": 200},
        "weight": 0.5,
        "control": False,
        "model": None,
        "rerank": None,
    }
    assert stored["audience"] == {"country": {"$in": ["CN", "US"]}}


def test_an_experiment_can_be_created_and_started_at_once(manager, platform):
    answer = manager.send("/app/experiments/new", {**EXPERIMENT, "then": "start"})
    assert "is running" in answer.text
    assert platform.experiment("cart-add-ons-by-content")["status"] == "running"


@pytest.mark.parametrize(("change", "words"), [
    ({"name": "", "key": "abc"}, "is needed: what people will call"), ({"traffic": "140"},
    "must be above 0 and up to 100"),
    ({"placement": "attic"}, "is not a placement"), ({"key": "home-recs"}, "is taken by another experiment"),
    ({"arms-1-params-k": "many"}, "must be a whole number"), ({"arms-1-weight": "20"}, "add up to 100"),
])  # fmt: skip
def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(manager, platform, change, words):
    answer = manager.send("/app/experiments/new", {**EXPERIMENT, "hypothesis": "Kept as typed", **change})
    assert answer.status_code == 422
    assert words in answer.text
    assert answer.text.count('class="error"') >= 1
    assert "Kept as typed" in answer.text
    assert 'value="CN, US"' in answer.text
    assert not [c for c in platform.calls if c[0] == "create_experiment"]


def test_a_draft_is_changed_but_not_over_somebody_else(manager, platform):
    platform.store["home-ease"][0]["version"] = 7
    stale = manager.send("/app/experiments/home-ease/edit", {**EXPERIMENT, "version": "1"})
    assert stale.status_code == 409
    assert "Somebody else changed" in stale.text
    manager.send("/app/experiments/home-ease/edit", {**EXPERIMENT, "version": "7"})
    stored = platform.experiment("home-ease")
    assert (stored["name"], stored["key"]) == ("Cart: add-ons by content", "home-ease")


def test_only_a_draft_is_edited(manager):
    assert manager.get("/app/experiments/home-recs/edit").status_code == 409


def test_stopping_asks_by_name_and_says_what_happens(manager, platform):
    page = manager.get("/app/experiments/home-recs/do/stop").text
    for words in ("Home: personal lists", "Stop home-recs", "cannot be started again", "Its data and its report stay"):
        assert words in page
    assert "has ended" in manager.send("/app/experiments/home-recs/do/stop").text
    assert platform.experiment("home-recs")["status"] == "stopped"


def test_what_a_state_does_not_allow_is_said(manager, platform):
    answer = manager.send("/app/experiments/zozotown-men/do/start")
    assert "cannot start an experiment that is stopped" in answer.text
    assert platform.experiment("zozotown-men")["status"] == "stopped"
    assert manager.get("/app/experiments/zozotown-men/do/stop").status_code == 409


@pytest.mark.parametrize(("text", "words"), [("half", "is not a number"), ("0", "not above 0"), ("101", "up to 100")])
def test_traffic_is_checked(manager, platform, text, words):
    assert words in manager.send("/app/experiments/home-recs/change", {"traffic": text}).text
    assert platform.experiment("home-recs")["traffic"] == 0.6


def test_traffic_and_note_change(manager, platform):
    manager.send("/app/experiments/pdp-similar/change", {"traffic": "35"})
    manager.send("/app/experiments/pdp-similar/change", {"note": " Newsletter. "})
    stored = platform.experiment("pdp-similar")
    assert (stored["traffic"], stored["note"]) == (0.35, "Newsletter.")


def test_reports_can_be_taken_away(manager, platform):
    as_json = manager.get("/app/experiments/home-recs/report.json")
    assert as_json.json["srm"] == platform.report("home-recs")["srm"]
    assert 'filename="home-recs-report.json"' in as_json.headers["Content-Disposition"]
    as_csv = manager.get("/app/experiments/home-recs/report.csv")
    assert as_csv.mimetype == "text/csv"
    assert as_csv.text.splitlines()[0].startswith("metric,arm")


def test_a_secret_is_shown_once(manager):
    made = manager.send("/app/settings/keys", {"name": "mobile", "scopes": ["serve", "read"]})
    assert "rk_3ab_0123456789abcdef" in made.text
    assert made.headers["Cache-Control"] == "no-store"
    assert "rk_3ab_0123456789abcdef" not in manager.get("/app/settings").text


@pytest.mark.parametrize("data", [{"name": "", "scopes": "read"}, {"name": "x"}])
def test_a_key_needs_a_name_and_a_scope(manager, platform, data):
    assert manager.send("/app/settings/keys", data).status_code == 422
    assert len(platform.shop["keys"]) == 2


def test_a_key_is_revoked_by_name(manager, platform):
    assert "Revoke web shop" in manager.get("/app/settings/keys/1/revoke").text
    manager.send("/app/settings/keys/1/revoke")
    assert platform.shop["keys"][0]["revoked_at"]
    assert manager.get("/app/settings/keys/99/revoke").status_code == 404


@pytest.mark.parametrize("change", [{"email": "nobody"}, {"password": "kurz&bad"}, {"role": "owner"}])
def test_people_are_checked_and_passwords_never_shown(manager, platform, change):
    data = {"email": "n@shop.example", "password": "a long pass phrase", "role": "viewer", **change}
    answer = manager.send("/app/settings/people", data)
    assert answer.status_code == 422
    assert data["password"] not in answer.text.replace("&amp;", "&")
    assert len(platform.people()) == 2


def test_training_takes_typed_parameters_and_refuses_wrong_ones(manager, platform):
    wrong = manager.send("/app/strategies/item_cf/train", {"params-k": "0"})
    assert wrong.status_code == 422
    assert "must be at least 1" in wrong.text
    manager.send(
        "/app/strategies/item_cf/train",
        {"params-k": "50", "params-similarity": "jaccard", "params-exclude_popular-there": "1"},
    )
    assert platform.calls[-1][:3] == ("train", "item_cf", {"similarity": "jaccard", "k": 50, "exclude_popular": False})
    assert manager.send("/app/strategies/nope/train").status_code == 404


def test_offline_results_stand_beside_online_lifts_and_are_asked_for(manager, viewer, platform):
    page = manager.get("/app/strategies").text
    assert "offline said +25.0" in page
    assert "/app/experiments/home-recs" in page
    assert "being evaluated" in manager.send("/app/strategies/evaluate").text
    assert platform.calls[-1] == ("evaluate", {"strategies": [], "split": None}, "mia@shop.example")
    chosen = {"strategies": ["popularity", "item_cf"], "split": "leave-last-out", "fallback": "none", "then": "offline"}
    assert "Metrics" in manager.send("/app/strategies/evaluate", chosen).text
    assert platform.calls[-1][1] == {"strategies": ["popularity", "item_cf"], "split": "leave-last-out",
                                     "fallback": None}  # fmt: skip
    platform.shop["offline"] = []
    page = viewer.get("/app/strategies").text
    assert "Nothing has been evaluated yet" in page
    assert "Evaluate now" not in page
    assert viewer.send("/app/strategies/evaluate").status_code == 403


def test_a_placement_says_what_shapes_its_lists(viewer, platform):
    page = viewer.get("/app/placements").text
    assert "new items" not in page
    assert "lists are varied" not in page
    shaped = {"seen": "shown", "explore": 0.2, "rerank": {"balance": 0.3, "category_cap": 3}}
    platform.shop["placements"][0].update(shaped)
    page = viewer.get("/app/placements").text
    assert "bought or shown lately" in page
    assert "20 % of the slots for new items" in page
    assert "lists are varied, 3 of a category at most" in page


def test_a_model_is_rolled_back(manager, platform):
    assert "Roll back to this" in manager.get("/app/strategies").text
    assert "item_cf@6 is active" in manager.send("/app/models/item_cf@6/activate").text
    assert [m["id"] for m in platform.models() if m["active"] and m["strategy"] == "item_cf"] == ["item_cf@6"]


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"strategy": ""},
        {"seen": "all"},
        {"seen": ""},
        {"key": "home"},
        {"key": "A B"},
        {"params-window_days": "0"},
        {"explore": "51"},
        {"explore": "half"},
        {"balance": "1.5"},
        {"category_cap": "0"},
        {"fallback-0-strategy": "random", "fallback-1-strategy": "random"},
        {"fallback-0-strategy": "random", "fallback-0-params": "{"},
    ],
)
def test_placements_are_checked(manager, platform, change):
    data = {"name": "Search", "key": "", "strategy": "popularity", "seen": "none", **change}
    answer = manager.send("/app/placements/new", data)
    assert answer.status_code == 422
    assert len(platform.placements()) == 3
    for name, text in change.items():
        assert name == "seen" or not text or f'value="{text}"' in answer.text or f">{text}</textarea>" in answer.text
    assert answer.text.count('<div class="error"') == (2 if change == {"name": ""} else 1)  # no key without a name


def test_a_placement_is_made_from_its_name(manager, platform):
    manager.send(
        "/app/placements/new",
        {
            "name": "Search results",
            "params-k": "50",
            "strategy": "item_cf",
            "seen": "none",
            "fallback-0-strategy": "popularity",
            "fallback-0-params": "",
            "fallback-1-strategy": "random",
            "fallback-1-params": '{"seed": 3}',
            "explore": "12.5",
            "balance": "0.3",
            "category_cap": "",
        },
    )
    assert platform.placements()[-1] == {
        "params": {"k": 50}, "key": "search-results", "name": "Search results", "strategy": "item_cf", "seen": "none",
        "fallback": ["popularity", {"strategy": "random", "params": {"seed": 3}}], "explore": 0.125,
        "rerank": {"balance": 0.3, "category_cap": None},
        "model": None, "experiments": [],
    }  # fmt: skip


def test_a_placement_that_changes_its_strategy_drops_the_other_ones_parameters(manager, platform):
    data = {"name": "Home page", "strategy": "item_cf", "seen": "bought"}
    manager.send("/app/placements/home", data)
    assert "params" not in platform.calls[-1][2]
    manager.send("/app/placements/home", {**data, "strategy": "popularity"})
    assert platform.calls[-1][2]["params"] == {}
