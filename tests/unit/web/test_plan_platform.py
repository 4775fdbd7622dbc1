"""Planning over the real platform: sizes from its past, and lists that are looked at without a trace."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import func, select

from reclift.flows import accounts
from reclift.storage.tables import ExperimentRow, ExposureRow, ImpressionRow
from reclift.web.backing import PlatformPages
from reclift.web.pages.backend import Invalid, NotFound
from reclift.wiring import Runtime
from tests.platform_fixtures import Caller, experiment, item, run_jobs, stock
from tests.unit.web.conftest import Browser
from tests.unit.web.test_pages import check

PASSWORD = "a-long-password"


@pytest.fixture
def pages(runtime: Runtime, shop: Caller) -> PlatformPages:
    """Its two most popular items are of one category."""
    stock(runtime, shop)
    shop.ok("PUT", "/items", {"items": [{**item(22), "category": item(12)["category"]}]})
    runtime.live.refresh()
    return PlatformPages(runtime)


def viewer(**more: Any) -> dict[str, Any]:
    return {"user_id": "past1", "session_id": None, "attributes": {}, "item_id": None, **more}


def arms(*more: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": "control", "strategy": "popularity", "control": True}, *more]


def ids(found: dict[str, Any], arm: str) -> list[str]:
    return [row["item_id"] for one in found["arms"] if one["arm"] == arm for row in one["items"]]


def traces(runtime: Runtime) -> list[int | None]:
    with runtime.database.read() as session:
        return [session.scalar(select(func.count()).select_from(table)) for table in (ImpressionRow, ExposureRow)]


def test_a_draft_that_is_stored_nowhere_shows_its_lists(runtime: Runtime, shop: Caller, pages: PlatformPages):
    varied = {"key": "varied", "strategy": "popularity", "rerank": {"balance": 0.0, "category_cap": 1}}
    before = traces(runtime)
    found = pages.look_as(experiment("fresh", name="Fresh", arms=arms(varied)), viewer())
    assert traces(runtime) == before
    with runtime.database.read() as session:
        assert session.scalar(select(ExperimentRow).where(ExperimentRow.key == "fresh")) is None
    assert found["signals"] > 0
    assert found["shown"] is None
    control, other = found["arms"]
    assert control["model"] == other["model"] == "popularity@1"
    assert control["items"][0]["title"].startswith("Item ")
    assert ids(found, "control") != ids(found, "varied")
    assert [row["category"] for row in control["items"][:2]] == ["c0", "c0"]
    assert len({row["category"] for row in other["items"][:4]}) == 4  # one of each, as long as there are others
    # what the shop gets is the same list
    answer = shop.ok("POST", "/recommend", {"user_id": "past1", "placement": "home", "k": 10})
    assert ids(found, "control") == [row["item_id"] for row in answer["items"]]


def test_variety_by_features_works_though_nothing_else_asks_for_them(runtime: Runtime, pages: PlatformPages):
    assert runtime.live.current.items.features is None
    varied = {"key": "varied", "strategy": "popularity", "rerank": {"balance": 0.9, "category_cap": None}}
    found = pages.look_as(experiment("fresh", name="Fresh", arms=arms(varied)), viewer())
    assert ids(found, "control") != ids(found, "varied")


def test_an_arm_without_a_model_says_so_and_is_filled(pages: PlatformPages):
    new = {"key": "new", "strategy": "item_cf", "params": {"k": 7}}
    found = pages.look_as(experiment("fresh", name="Fresh", arms=arms(new)), viewer())
    control, other = found["arms"]
    assert control["problem"] is None
    assert "no model with these parameters yet" in other["problem"]
    assert other["fallback"] == {"reason": "no_model", "strategy": "popularity"}
    assert ids(found, "new") == ids(found, "control")


def test_a_draft_may_pin_an_older_model(runtime: Runtime, manage: Caller, pages: PlatformPages):
    manage.ok("POST", "/api/v1/models", {"strategy": "popularity"}, 202)
    run_jobs(runtime)
    old = {"key": "old", "strategy": "popularity", "model": 1}
    found = pages.look_as(experiment("fresh", name="Fresh", arms=arms(old)), viewer())
    assert [one["model"] for one in found["arms"]] == ["popularity@2", "popularity@1"]
    with pytest.raises(Invalid, match="must be a ready version"):
        pages.look_as(experiment("fresh", name="Fresh", arms=arms({**old, "model": 9})), viewer())


def test_the_arm_is_the_one_that_assign_gives(runtime: Runtime, shop: Caller, manage: Caller, pages: PlatformPages):
    other = {"key": "other", "strategy": "popularity"}
    plan = experiment(name="H", arms=arms(other), traffic=0.5, overrides={"tester": "other"}, placement="home")
    users = [f"u{n}" for n in range(30)]
    before = [pages.look_as(plan, viewer(user_id=user))["decision"] for user in users]
    assert not any(one["now"] for one in before)
    manage.ok("POST", "/api/v1/experiments", plan, 201)
    manage.ok("POST", "/api/v1/experiments/home-recs/start")
    runtime.live.refresh()
    stored = manage.ok("GET", "/api/v1/experiments/home-recs")
    reasons = set()
    for user, expected in zip(users, before, strict=True):
        found = pages.look_as(stored, viewer(user_id=user))
        (said,) = shop.ok("GET", f"/assign?user_id={user}&experiment=home-recs")["assignments"]
        decision = found["decision"]
        assert decision == {**expected, "now": True}
        assert (decision["arm"], decision["in_experiment"], decision["reason"]) == (
            said["arm"], said["in_experiment"], said["reason"])  # fmt: skip
        shown = {"experiment": "home-recs", "arm": said["arm"]} if said["in_experiment"] else None
        assert found["shown"] == shown
        reasons.add(decision["reason"])
    assert reasons == {"bucketed", "not_in_traffic"}
    assert pages.look_as(stored, viewer(user_id="tester"))["decision"]["reason"] == "override"


@pytest.mark.parametrize("actions", [[], ["start", "pause"], ["start", "stop"]])
def test_lists_of_stored_experiments_in_any_state(manage: Caller, pages: PlatformPages, actions: list[str]):
    manage.ok("POST", "/api/v1/experiments", experiment(arms=arms({"key": "b", "strategy": "popularity"})), 201)
    for action in actions:
        manage.ok("POST", f"/api/v1/experiments/home-recs/{action}")
    found = pages.look_as(pages.experiment("home-recs"), viewer())
    assert [len(one["items"]) for one in found["arms"]] == [10, 10]
    assert found["decision"]["now"] is False
    assert found["shown"] is None


def test_audience_and_layer_are_looked_at_as_if_it_ran(pages: PlatformPages):
    plan = experiment("fresh", name="Fresh", arms=arms({"key": "b", "strategy": "popularity"}), layer="shop",
                      traffic=0.1, audience={"country": "CN"})  # fmt: skip
    decisions = [
        pages.look_as(plan, viewer(attributes={"country": country}))["decision"]["reason"] for country in ("CN", "US")
    ]
    assert decisions == ["bucketed", "not_targeted"]


@pytest.mark.parametrize("who", [
    {"user_id": None, "session_id": "guest-1"}, {"item_id": "i3"}, {"user_id": "nobody-knows"},
])  # fmt: skip
def test_guests_and_pages_of_items(pages: PlatformPages, who: dict[str, Any]):
    found = pages.look_as(
        experiment("fresh", name="Fresh", arms=arms({"key": "b", "strategy": "popularity"})), viewer(**who)
    )
    assert len(ids(found, "control")) == 10
    assert (who.get("item_id") in ids(found, "control")) is False


def test_sizes_are_those_of_the_api(runtime: Runtime, shop: Caller, manage: Caller, pages: PlatformPages):
    for user in range(40):
        for visit in range(1 + user % 3):
            shown = shop.ok("POST", "/recommend", {"user_id": f"u{user}", "placement": "home", "k": 3})
            if (user + visit) % 4 == 0:
                click = {"event_id": f"c{user}-{visit}", "type": "click", "user_id": f"u{user}",
                         "item_id": shown["items"][0]["item_id"],
                         "recommendation_id": shown["recommendation_id"]}  # fmt: skip
                shop.ok("POST", "/events", {"events": [click]}, 202)
    question = {"placement": "home", "metric": "ctr", "arms": 3, "effect": 0.2, "traffic": 0.5, "level": 0.9,
                "regime": "sequential", "days": 10}  # fmt: skip
    answer = pages.power(question)
    query = "&".join(f"{name}={value}" for name, value in question.items())
    assert answer == manage.ok("GET", f"/api/v1/power?{query}")
    assert answer["units"] > 0
    assert 10 in [row["days"] for row in answer["by_days"]]
    again = pages.power({**question, "effect": 0.4})
    assert again["units"] < answer["units"]
    assert again["history"] == answer["history"]
    manage.refused("GET", "/api/v1/power?placement=home&metric=ctr&days=0", status=422)
    with pytest.raises(NotFound):
        pages.power({**question, "placement": "nowhere"})
    thin = pages.power({**question, "metric": "latency_p95"})  # its 80 lists are too few for one in twenty
    assert thin["reasons"]["units"]["code"] == "too_few_units"
    asked = {**question, "audience": {"country": "CN"}, "cuped": True, "cuped_days": 3}
    known = pages.power(asked)
    query += f"&audience={quote(json.dumps(asked['audience']))}&cuped=true&cuped_days=3"
    assert known == manage.ok("GET", f"/api/v1/power?{query}")
    assert (known["cuped"]["days"], answer["cuped"]["days"], answer["audience"]) == (3, None, None)
    assert known["audience"] is not None


def test_the_form_creates_what_the_api_shows(runtime: Runtime, shop: Caller, manage: Caller):
    stock(runtime, shop)
    with runtime.database.write() as session:
        accounts.create_account(session, "mia@shop.example", "manager", PASSWORD, "Mia", "tests")
    app = shop.client.application
    app.test_client_class = Browser
    people = app.test_client()
    people.send("/app/sign-in", {"email": "mia@shop.example", "password": PASSWORD})
    form = {
        "name": "Varied", "placement": "home", "traffic": "100", "planned_days": "14", "primary": "ctr",
        "arms-0-key": "control", "arms-0-strategy": "popularity", "arms-0-weight": "50", "arms-0-model": "1",
        "arms-1-key": "varied", "arms-1-strategy": "popularity", "arms-1-weight": "50", "arms-1-balance": "0.4",
        "control": "0", "analysis-regime": "group_sequential", "analysis-looks": "3", "analysis-family": "power",
        "analysis-rho": "2", "analysis-level": "90", "analysis-cuped": "on", "analysis-tuning": "5000",
        "analysis-minimum_effect": "5", "analysis-more": "",
    }  # fmt: skip
    for path in ("plan", "look"):
        page = people.send(f"/app/experiments/new/{path}", {**form, "viewer-user_id": "past1"})
        assert page.status_code == 200
    check(page.text)
    assert "popularity@1" in page.text
    check(people.send("/app/experiments/new", form).text)
    made = manage.ok("GET", "/api/v1/experiments/varied")
    assert made["analysis"] | {"regime": "group_sequential", "looks": 3, "family": "power", "level": 0.9,
                               "cuped": True, "minimum_effect": 0.05} == made["analysis"]  # fmt: skip
    assert [one["model"] for one in made["arms"]] == [1, None]
    assert made["arms"][1]["rerank"] == {"balance": 0.4, "category_cap": None}
    copied = people.get("/app/experiments/new?copy=varied").text
    check(copied)
    assert 'value="group_sequential" checked' in copied
    check(people.get("/app/experiments/varied/look?viewer-user_id=past1").text)
    placement = {"name": "Home", "strategy": "popularity", "seen": "shown", "explore": "20", "balance": "0.3",
                 "category_cap": "2", "fallback-0-strategy": "random", "fallback-0-params": ""}  # fmt: skip
    check(people.send("/app/placements/home", placement).text)
    stored = manage.ok("GET", "/api/v1/placements/home")
    assert (stored["explore"], stored["rerank"], stored["fallback"]) == (
        0.2, {"balance": 0.3, "category_cap": 2}, ["random"])  # fmt: skip
    page = people.send("/app/placements/home", {**placement, "params-window_days": "7"}).text
    assert "is saved" in page
    assert manage.ok("GET", "/api/v1/placements/home")["params"]["window_days"] == 7
    assert 'name="params-window_days" value="7' in people.get("/app/placements/home").text
    wrong = people.send("/app/placements/home", {**placement, "fallback-0-params": '{"magic": 1}'})
    assert wrong.status_code == 422
    assert "magic" in wrong.text
