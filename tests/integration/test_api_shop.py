"""What the shop calls, over a real database: assign, recommend, events, items, users."""

from __future__ import annotations

from urllib.parse import quote

import orjson
import pytest
from sqlalchemy import func, select

from reclift.storage.tables import Alias, EventRow, ExposureRow, ImpressionRow, ItemRow, Profile
from reclift.wiring import Runtime
from tests.platform_fixtures import Caller, experiment, history, item, make_key, run_jobs, stock


@pytest.fixture
def running(runtime: Runtime, shop: Caller, manage: Caller) -> str:
    """A stocked shop with a running experiment whose models are trained."""
    stock(runtime, shop)
    manage.ok("POST", "/api/v1/experiments", experiment(), 201)
    manage.ok("POST", "/api/v1/experiments/home-recs/start")
    assert run_jobs(runtime) == ["train"]
    return "home-recs"


def count(runtime: Runtime, table: type, *where: object) -> int:
    with runtime.database.read() as session:
        return session.scalar(select(func.count()).select_from(table).where(*where)) or 0


def test_assign_answers_as_the_contract_says(running: str, shop: Caller) -> None:
    answer = shop.ok("POST", "/assign", {"user_id": "u1", "experiment": running, "attributes": {"country": "CN"}})
    assert answer["user_id"] == "u1"
    (one,) = answer["assignments"]
    assert one.keys() == {"experiment", "arm", "in_experiment", "reason", "strategy", "params"}
    assert (one["experiment"], one["in_experiment"], one["reason"]) == ("home-recs", True, "bucketed")
    expected = {"control": ("popularity", {}), "item-cf": ("item_cf", {"k": 20})}
    assert (one["strategy"], one["params"]) == expected[one["arm"]]


def test_assign_by_query_string_is_the_same(running: str, shop: Caller) -> None:
    for number in range(20):
        posted = shop.ok("POST", "/assign", {"user_id": f"u{number}", "attributes": {"a": 1}})
        path = f"/assign?user_id=u{number}&experiment={running}&attributes=%7B%22a%22%3A1%7D"
        assert shop.ok("GET", path) == posted
        assert shop.ok("GET", f"/assign?user_id=u{number}") == posted


def test_assign_splits_users_and_logs_only_when_told(running: str, runtime: Runtime, shop: Caller) -> None:
    arms = [shop.ok("GET", f"/assign?user_id=u{n}")["assignments"][0]["arm"] for n in range(200)]
    assert 60 <= arms.count("control") <= 140
    assert count(runtime, ExposureRow) == 0
    shop.ok("POST", "/assign", {"user_id": "u1", "expose": True})
    shop.ok("GET", "/assign?user_id=u1&expose=true")
    assert count(runtime, ExposureRow) == 1


def test_assign_of_an_experiment_that_does_not_run(shop: Caller, manage: Caller) -> None:
    manage.ok("POST", "/api/v1/experiments", experiment(), 201)
    assert shop.ok("GET", "/assign?user_id=u1") == {"user_id": "u1", "assignments": []}
    (one,) = shop.ok("GET", "/assign?user_id=u1&experiment=home-recs")["assignments"]
    assert (one["arm"], one["in_experiment"], one["reason"]) == ("control", False, "not_running")


def test_assign_respects_the_audience(runtime: Runtime, shop: Caller, manage: Caller) -> None:
    manage.ok("POST", "/api/v1/experiments", experiment(audience={"country": {"$in": ["CN"]}}), 201)
    manage.ok("POST", "/api/v1/experiments/home-recs/start")
    (out,) = shop.ok("POST", "/assign", {"user_id": "u1", "attributes": {"country": "US"}})["assignments"]
    assert (out["arm"], out["in_experiment"], out["reason"]) == ("control", False, "not_targeted")
    (inside,) = shop.ok("POST", "/assign", {"user_id": "u1", "attributes": {"country": "CN"}})["assignments"]
    assert inside["reason"] == "bucketed"


def test_recommend_answers_as_the_contract_says(running: str, runtime: Runtime, shop: Caller) -> None:
    body = {"user_id": "past3", "placement": "home", "k": 10, "context": {"item_id": "i9"}, "exclude": ["i3"]}
    answer = shop.ok("POST", "/recommend", {**body, "attributes": {"country": "CN"}, "candidates": None})
    assert answer.keys() == {
        "recommendation_id", "user_id", "session_id", "placement", "experiment", "arm", "strategy", "model",
        "fallback", "items",
    }  # fmt: skip
    assert answer["user_id"] == "past3"
    assert answer["experiment"] == running
    assert answer["model"] == f"{answer['strategy']}@1"
    assert [shown["position"] for shown in answer["items"]] == list(range(1, 11))
    assert not {"i3", "i9"} & {shown["item_id"] for shown in answer["items"]}
    assert all(shown.keys() >= {"item_id", "position", "score", "source"} for shown in answer["items"])
    with runtime.database.read() as session:
        (row,) = session.scalars(select(ImpressionRow))
    assert row.recommendation_id == answer["recommendation_id"]
    assert [kept["item_id"] for kept in row.items] == [shown["item_id"] for shown in answer["items"]]
    assert count(runtime, ExposureRow) == 1


def test_every_arm_answers_with_its_own_strategy(running: str, shop: Caller) -> None:
    met = {}
    for number in range(12):
        answer = shop.ok("POST", "/recommend", {"user_id": f"past{number}", "placement": "home", "k": 3})
        met[answer["arm"]] = answer["strategy"], answer["fallback"]
    assert met == {"control": ("popularity", None), "item-cf": ("item_cf", None)}


def test_recommend_only_candidates_for_a_guest(running: str, shop: Caller) -> None:
    answer = shop.ok(
        "POST", "/recommend", {"session_id": "s1", "placement": "cart", "candidates": ["i1", "i2", "unknown"]}
    )
    assert (answer["user_id"], answer["session_id"], answer["experiment"]) == (None, "s1", None)
    assert {shown["item_id"] for shown in answer["items"]} == {"i1", "i2"}


def test_a_retry_with_a_request_id_is_one_impression(running: str, runtime: Runtime, shop: Caller) -> None:
    body = {"user_id": "u1", "placement": "home", "request_id": "r-1"}
    assert shop.ok("POST", "/recommend", body) == shop.ok("POST", "/recommend", body)
    assert count(runtime, ImpressionRow) == 1


def test_without_a_model_the_fallback_fills_in_and_says_so(runtime: Runtime, shop: Caller, manage: Caller) -> None:
    stock(runtime, shop)
    arms = [
        {"key": "a", "strategy": "item_cf", "control": True},
        {"key": "b", "strategy": "item_cf", "params": {"k": 5}},
    ]
    manage.ok("POST", "/api/v1/experiments", experiment(arms=arms), 201)
    manage.ok("POST", "/api/v1/experiments/home-recs/start")
    answer = shop.ok("POST", "/recommend", {"user_id": "u1", "placement": "home", "k": 4})
    assert answer["fallback"] == {"reason": "no_model", "strategy": "popularity"}
    assert [shown["source"] for shown in answer["items"]] == ["popularity"] * 4


def test_an_empty_shop_answers_with_an_empty_list(shop: Caller) -> None:
    answer = shop.ok("POST", "/recommend", {"user_id": "u1", "placement": "home"})
    assert answer["items"] == []
    assert answer["fallback"] == {"reason": "no_model", "strategy": None}


def test_only_replay_keys_date_impressions(runtime: Runtime, shop: Caller) -> None:
    body = {"user_id": "u1", "placement": "home", "timestamp": "2026-01-02T03:04:05Z"}
    assert "replay" in shop.refused("POST", "/recommend", body, status=403)["detail"]
    replay = Caller(shop.client, make_key(runtime, "shop", "replay"))
    replay.ok("POST", "/recommend", body)
    with runtime.database.read() as session:
        assert session.scalar(select(ImpressionRow.at)) == 1_767_323_045_000_000
    for wrong in ("yesterday", "2026-01-02T03:04:05", "1900-01-01T00:00:00Z", 5):
        assert replay.refused("POST", "/recommend", {**body, "timestamp": wrong}, status=422)


def test_the_same_batch_twice_changes_nothing(runtime: Runtime, shop: Caller) -> None:
    batch = {"events": history(users=3)}
    assert shop.ok("POST", "/events", batch, 202) == {"accepted": 18, "duplicates": 0, "rejected": []}
    with runtime.database.read() as session:
        before = session.execute(select(EventRow.__table__).order_by(EventRow.event_id)).all()
    assert shop.ok("POST", "/events", batch, 202) == {"accepted": 0, "duplicates": 18, "rejected": []}
    with runtime.database.read() as session:
        assert session.execute(select(EventRow.__table__).order_by(EventRow.event_id)).all() == before


def test_good_events_are_taken_and_bad_ones_named(runtime: Runtime, shop: Caller) -> None:
    good = [{"event_id": f"g{n}", "type": "click", "user_id": "u1", "item_id": "i1"} for n in range(4)]
    batch = [
        good[0],
        {"type": "click"},
        good[1],
        {"type": "purchase", "user_id": "u1", "value": "12 €"},
        good[2],
        {"type": "exposure", "user_id": "u1", "properties": {"experiment": "unknown", "arm": "a"}},
        good[3],
    ]
    answer = shop.ok("POST", "/events", {"events": batch}, 202)
    assert answer["accepted"] == 4
    assert [(one["index"], one["error"].split("=")[0].split(":")[0]) for one in answer["rejected"]] == [
        (1, "user_id"),
        (3, "value"),
        (5, "properties.experiment"),
    ]
    assert all(len(one["error"]) > 20 for one in answer["rejected"])
    assert count(runtime, EventRow) == 4


BAD_EVENTS = [
    "click",
    None,
    {},
    {"type": "", "user_id": "u"},
    {"type": "x" * 65, "user_id": "u"},
    {"type": "a\x00b", "user_id": "u"},
    {"type": "click", "user_id": "u\x00"},
    {"type": "click", "user_id": ""},
    {"type": "click", "user_id": "u" * 201},
    {"type": "click", "user_id": 5},
    {"type": "click", "user_id": "u", "item_id": []},
    {"type": "click", "user_id": "u", "value": True},
    {"type": "click", "user_id": "u", "timestamp": 1_700_000_000},
    {"type": "click", "user_id": "u", "timestamp": "2026-01-01"},
    {"type": "click", "user_id": "u", "timestamp": "1969-01-01T00:00:00Z"},
    {"type": "click", "user_id": "u", "properties": []},
    {"type": "click", "user_id": "u", "properties": {"a": {"b": ["\x00"]}}},
    {"type": "click", "user_id": "u", "properties": {f"p{n}": n for n in range(51)}},
    {"type": "click", "user_id": "u", "event_id": ["x"]},
    {"type": "click", "user_id": "u", "recommendation_id": {"x": 1}},
]


def test_each_bad_event_is_refused_by_itself(runtime: Runtime, shop: Caller) -> None:
    good = {"event_id": "good", "type": "click", "user_id": "u"}
    answer = shop.ok("POST", "/events", {"events": [*BAD_EVENTS, good]}, 202)
    assert answer["accepted"] == 1
    assert [one["index"] for one in answer["rejected"]] == list(range(len(BAD_EVENTS)))
    assert count(runtime, EventRow) == 1


def test_a_misspelt_field_of_an_event_does_not_go_unnoticed(shop: Caller) -> None:
    event = {"type": "click", "user_id": "u", "recomendation_id": "r"}
    answer = shop.ok("POST", "/events", {"events": [event]}, 202)
    assert answer["accepted"] == 1
    assert answer["warnings"] == [
        {"index": 0, "warning": "recomendation_id: no field of an event; put extras under properties"}
    ]


def test_client_side_exposures_count_once_and_the_first_time_wins(running: str, runtime: Runtime, shop: Caller) -> None:
    for stamp in ("2026-02-02T00:00:00Z", "2026-02-01T00:00:00Z", "2026-02-03T00:00:00Z"):
        event = {"type": "exposure", "user_id": "u1", "timestamp": stamp}
        event["properties"] = {"experiment": running, "arm": "item-cf"}
        shop.ok("POST", "/events", {"events": [event]}, 202)
    with runtime.database.read() as session:
        (row,) = session.scalars(select(ExposureRow))
    assert (row.arm, row.source, row.at) == ("item-cf", "client", 1_769_904_000_000_000)


def test_items_are_added_replaced_and_removed(runtime: Runtime, shop: Caller) -> None:
    assert shop.ok("PUT", "/items", {"items": [item(1), item(2), {**item(1), "title": "Newer"}]}) == {"items": 2}
    with runtime.database.read() as session:
        assert session.get_one(ItemRow, "i1").title == "Newer"
    shop.ok("DELETE", "/items/i1", status=204)
    assert "i1" in shop.refused("DELETE", "/items/i1", status=404)["detail"]
    assert count(runtime, ItemRow) == 1
    shop.ok("PUT", "/items", {"items": [{"item_id": "a/b c?d"}]})
    shop.ok("DELETE", "/items/a%2Fb%20c%3Fd", status=204)


@pytest.mark.parametrize("odd", ["/x", "a//b", "x/", "x/aliases", "a\nb", " ", "é😀", "a?b#c", "%2F", "..", "a;b=c"])
def test_any_id_can_stand_in_an_address(runtime: Runtime, shop: Caller, odd: str) -> None:
    # "/x" must not be taken for "x": another person would be erased.
    others = ["x", "a/b", "a"]
    events = [{"type": "click", "user_id": user, "item_id": user} for user in (odd, *others)]
    shop.ok("POST", "/events", {"events": events}, 202)
    path = quote(odd, safe="")
    shop.ok("PUT", f"/users/{path}", {"attributes": {}})
    assert shop.ok("POST", f"/users/{path}/aliases", {"alias": "device"}, 201)["user_id"] == odd
    assert shop.ok("DELETE", f"/users/{path}")["removed"]["events"] == 1
    assert count(runtime, EventRow) == len(others)
    shop.ok("PUT", "/items", {"items": [{"item_id": one} for one in (odd, *others)]})
    shop.ok("DELETE", f"/items/{path}", status=204)
    assert count(runtime, ItemRow) == len(others)


def test_all_problems_of_an_item_are_named(runtime: Runtime, shop: Caller) -> None:
    bad = {"item_id": "x" * 201, "price": -1, "available": "yes", "attributes": [], "colour": "red", "title": 5}
    document = shop.refused("PUT", "/items", {"items": [item(1), bad]}, status=422)
    assert {error["field"] for error in document["errors"]} == {
        f"items.1.{name}" for name in ("item_id", "price", "available", "attributes", "colour", "title")
    }
    assert count(runtime, ItemRow) == 0


def test_profiles_and_aliases(runtime: Runtime, shop: Caller) -> None:
    shop.ok("PUT", "/users/u1", {"attributes": {"country": "CN"}})
    assert shop.ok("POST", "/users/u1/aliases", {"alias": "device-7"}, 201)["added"] is True
    assert shop.ok("POST", "/users/u1/aliases", {"alias": "device-7"}, 200)["added"] is False
    shop.ok("PUT", "/users/device-7", {"attributes": {"country": "US"}})
    with runtime.database.read() as session:
        assert session.get_one(Profile, "u1").attributes == {"country": "US"}
    assert count(runtime, Profile) == 1
    fits = {"note": "é" * ((16_000 - len('{"note":""}')) // 2)}
    shop.ok("PUT", "/users/u1", {"attributes": fits})
    document = shop.refused("PUT", "/users/u1", {"attributes": {**fits, "one": 1}}, status=422)
    assert [error["field"] for error in document["errors"]] == ["attributes"]
    assert "at most 16,000 bytes as JSON; these take 16,00" in document["errors"][0]["rule"]
    with runtime.database.read() as session:
        assert session.get_one(Profile, "u1").attributes == fits
    shop.refused("POST", "/users/u2/aliases", {"alias": "device-7"}, status=409)
    shop.refused("POST", "/users/u1/aliases", {"alias": "u1"}, status=422)
    shop.refused("POST", "/users/u1/aliases", {}, status=422)


def test_an_alias_gets_the_arm_and_the_events_of_its_person(running: str, runtime: Runtime, shop: Caller) -> None:
    for number in range(8):
        shop.ok("POST", f"/users/u{number}/aliases", {"alias": f"device-{number}"}, 201)
        arms = [shop.ok("GET", f"/assign?user_id={name}{number}")["assignments"][0]["arm"] for name in ("u", "device-")]
        assert arms[0] == arms[1]
    shop.ok("POST", "/events", {"events": [{"type": "click", "user_id": "device-3", "item_id": "i1"}]}, 202)
    assert count(runtime, EventRow, EventRow.unit_id == "u3") == 1


def test_erasing_a_person_leaves_nothing(running: str, runtime: Runtime, shop: Caller) -> None:
    shop.ok("POST", "/users/u1/aliases", {"alias": "device-7"}, 201)
    shop.ok("PUT", "/users/u1", {"attributes": {"country": "CN"}})
    shop.ok("POST", "/recommend", {"user_id": "device-7", "placement": "home"})
    shop.ok("POST", "/events", {"events": [{"type": "click", "user_id": "u1", "item_id": "i1"}]}, 202)
    removed = shop.ok("DELETE", "/users/device-7")["removed"]
    assert {name: removed[name] for name in ("events", "impressions", "exposures", "profiles", "aliases")} == {
        "events": 1, "impressions": 1, "exposures": 1, "profiles": 1, "aliases": 1,
    }  # fmt: skip
    for table in (EventRow, ImpressionRow, ExposureRow, Profile):
        assert count(runtime, table, table.unit_id == "u1") == 0
    assert count(runtime, Alias) == 0


def test_what_was_bought_is_not_shown_again(running: str, shop: Caller) -> None:
    first = shop.ok("POST", "/recommend", {"user_id": "u1", "placement": "cart", "k": 1})["items"][0]["item_id"]
    event = {"type": "purchase", "user_id": "u1", "item_id": first, "value": 9.5}
    shop.ok("POST", "/events", {"events": [event]}, 202)
    items = shop.ok("POST", "/recommend", {"user_id": "u1", "placement": "cart", "k": 29})["items"]
    assert len(items) == 29
    assert first not in {shown["item_id"] for shown in items}


def test_a_batch_may_have_a_thousand_events(shop: Caller) -> None:
    event = {"type": "click", "user_id": "u", "timestamp": "2026-01-01T00:00:00Z"}
    events = [{**event, "event_id": f"e{n}"} for n in range(1_000)]
    assert shop.ok("POST", "/events", {"events": events}, 202)["accepted"] == 1_000
    document = shop.refused("POST", "/events", {"events": [*events, event]}, status=413)
    assert "1000" in document["errors"][0]["rule"]


def test_no_events_are_no_error(shop: Caller) -> None:
    assert shop.ok("POST", "/events", {"events": []}, 202) == {"accepted": 0, "duplicates": 0, "rejected": []}


def test_a_large_number_is_no_problem(shop: Caller) -> None:
    body = (
        b'{"events": [{"type": "click", "user_id": "u", "value": 1000000000000000.0, '
        b'"properties": {"n": 18446744073709551615}}]}'
    )
    assert orjson.loads(shop("POST", "/events", body).data)["accepted"] == 1
    too_large = shop("POST", "/events", body.replace(b"1000000000000000.0", b"99999999999999999999")).json
    assert too_large["rejected"][0]["error"].startswith("value=1e+20: ")
