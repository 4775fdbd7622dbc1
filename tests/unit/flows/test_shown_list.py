"""What shapes a list after its strategy: categories, what was shown lately, variety, and slots for new items."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select, update

from reclift.domain.events import MICROS, Facts
from reclift.flows import catalogue, experiments, new_items, placements
from reclift.flows.clock import now_micros
from reclift.flows.errors import Invalid
from reclift.storage.tables import Configuration, ItemRow, NewItem, Placement
from reclift.strategy import Query, Scored
from reclift.wiring import Runtime
from tests.unit.flows.conftest import start
from tests.unit.flows.test_recommend import ITEMS, ask, ids, impressions, scripted, unit_in
from tests.unit.storage.rows import event


def setting(here: Runtime, **fields: Any) -> None:
    with here.database.write() as session:
        for key in ("home", "cart"):
            placements.put(session, here.registry, key, fields, "me")
    here.live.refresh()


def categorised(here: Runtime, categories: Mapping[str, str]) -> None:
    with here.database.write() as session:
        rows = [{"item_id": item, "category": category} for item, category in categories.items()]
        catalogue.put_items(session, [catalogue.parse_item(row) for row in rows])
    here.live.refresh()


def everything(query: Query) -> list[Scored]:
    return [Scored(item, 10.0 - place, 0.1) for place, item in enumerate(ITEMS) if query.allows(item)][: query.k]


# categories


def test_only_items_of_the_wanted_categories_fallback_included(shop: Runtime) -> None:
    categorised(shop, {"i0": "a", "i1": "a", "i2": "b", "i3": "c"})
    told: list[Query] = []

    def answer(query: Query) -> list[Scored]:
        told.append(query)
        return [Scored("i2", 1.0), Scored("i9", 1.0)]  # i9 is of no category: the filter holds, whatever comes

    found = ask(shop, serving=scripted(shop, answer), categories=frozenset({"a", "b", "none such"}))
    assert ids(found) == ["i2", "i0", "i1"]
    assert found["fallback"] == {"reason": "too_few", "strategy": "toy"}
    assert told[0].candidates == frozenset({"i0", "i1", "i2"})
    both = ask(shop, categories=frozenset({"a"}), candidates=frozenset({"i1", "i2"}))
    assert ids(both) == ["i1"]
    assert ids(ask(shop, categories=frozenset({"none such"}))) == []


def test_a_category_that_changes_is_known_with_the_next_snapshot(shop: Runtime) -> None:
    categorised(shop, {"i0": "a"})
    categorised(shop, {"i0": "b", "i1": "a"})
    assert ids(ask(shop, categories=frozenset({"a"}))) == ["i1"]


# shown lately


def test_what_was_shown_lately_is_not_shown_again_until_nothing_else_is_left(shop: Runtime) -> None:
    setting(shop, seen="shown")
    serving = scripted(shop, everything)
    lists = [ids(ask(shop, serving=serving, k=4)) for _ in range(4)]
    assert lists[:2] == [ITEMS[:4], ITEMS[4:8]]
    assert lists[2] == ["i8", "i9", "i0", "i1"]  # an item that repeats is better than an empty place
    assert lists[3] == ITEMS[:4]
    assert ids(ask(shop, "another", serving=serving, k=4)) == ITEMS[:4]
    assert ids(ask(shop, serving=serving, k=4, placement="cart")) == ITEMS[:4]  # each placement has its own


def test_lists_of_other_processes_count_and_old_ones_do_not(shop: Runtime) -> None:
    setting(shop, seen="shown")
    serving = scripted(shop, everything)
    at = now_micros()
    ask(shop, serving=serving, k=3, at=at - 86_401 * MICROS)
    ask(shop, serving=serving, k=2, at=at - 3600 * MICROS)
    shop.shown.forget("u1")  # as in a process that has shown nothing
    # i3 and i4 are of an hour ago, i0 to i2 of the day before
    assert ids(ask(shop, serving=serving, k=4, at=at)) == ["i0", "i1", "i2", "i5"]


def test_a_retry_is_the_same_list(shop: Runtime) -> None:
    setting(shop, seen="shown")
    serving = scripted(shop, everything)
    ask(shop, serving=serving, k=2)
    first = ask(shop, serving=serving, k=2, request_id="r")
    ask(shop, serving=serving, k=2)
    assert ask(shop, serving=serving, k=2, request_id="r") == first
    assert len(impressions(shop)) == 3


def test_what_was_bought_stays_away_under_this_rule_too(shop: Runtime) -> None:
    setting(shop, seen="shown")
    shop.direct.append(Facts([event("b", at=now_micros(), item_id="i1", type="purchase")]))
    for _ in range(3):
        assert "i1" not in ids(ask(shop, k=10))


# variety

CATEGORIES = {item: "c" if place < 5 else f"d{place}" for place, item in enumerate(ITEMS)}


def test_a_category_cap_of_an_arm(shop: Runtime) -> None:
    categorised(shop, CATEGORIES)
    arms = [
        {"key": "plain", "strategy": "toy", "control": True},
        {"key": "varied", "strategy": "toy", "rerank": {"category_cap": 2}},
    ]
    start(shop, "varied", placement="cart", arms=arms)
    shop.live.refresh()
    plan = shop.live.current.plan
    for arm, items in (("plain", ITEMS[:5]), ("varied", ["i0", "i1", "i5", "i6", "i7"])):
        unit = next(unit for unit in (f"u{n}" for n in range(1_000)) if plan.decide("varied", unit).arm == arm)
        found = ask(shop, unit, placement="cart")
        assert (found["arm"], ids(found), found["fallback"]) == (arm, items, None)
    with shop.database.read() as session:
        shown = experiments.view(experiments.find(session, "varied"))["arms"]
    assert [arm["rerank"] for arm in shown] == [None, {"balance": 0.0, "category_cap": 2}]


def test_a_balance_of_the_placement_reads_what_items_are_like(shop: Runtime) -> None:
    categorised(shop, dict.fromkeys(ITEMS[:9], "c") | {"i9": "d"})
    described = [shop.live.current.items.features]
    setting(shop, rerank={"balance": 1.0})
    described.append(shop.live.current.items.features)
    assert described == [None, {item: frozenset({f"category: {'d' if item == 'i9' else 'c'}"}) for item in ITEMS}]
    assert ids(ask(shop, placement="cart", k=2)) == ["i0", "i9"]
    setting(shop, rerank=None)
    assert ids(ask(shop, placement="cart", k=2)) == ["i0", "i1"]


def test_propensities_go_when_the_order_changes_and_stay_when_it_does_not(shop: Runtime) -> None:
    from dataclasses import replace

    from reclift.domain.rerank import Diversity

    categorised(shop, CATEGORIES)
    serving = scripted(shop, everything)
    for cap, has in ((2, False), (5, True)):
        arms = {key: replace(served, diversity=Diversity(category_cap=cap)) for key, served in serving.arms.items()}
        found = ask(shop, serving=replace(serving, arms=arms))
        assert all(("propensity" in item) is has for item in found["items"])


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ({"balance": 2}, r"rerank\.balance: must be a number from 0"),
        ({"balance": True}, r"rerank\.balance"),
        ({"category_cap": 0}, r"rerank\.category_cap: must be a whole number from 1"),
        ({"cap": 3}, r"rerank\.cap: is no field"),
        (3, "rerank: must be an object"),
    ],
)
def test_what_is_no_rerank_is_refused_by_name(shop: Runtime, value: Any, rule: str) -> None:
    with pytest.raises(Invalid, match=rule):
        setting(shop, rerank=value)
    arms = [{"key": "a", "strategy": "toy", "control": True}, {"key": "b", "strategy": "toy", "rerank": value}]
    with pytest.raises(Invalid, match=r"arms\.1\." + rule), shop.database.write() as session:
        experiments.create(session, shop.registry, {"key": "x", "placement": "home", "arms": arms}, "me")


# new items


def with_new(here: Runtime, explore: float) -> None:
    """i0 to i5 are known to many, i6 to i9 are new."""
    at = now_micros()
    here.direct.append(
        Facts([event(f"{n}-{item}", f"p{n}", at, item_id=item) for n in range(new_items.FEW) for item in ITEMS[:6]])
    )
    setting(here, explore=explore)
    assert new_items.find(here.database) == 4
    here.live.refresh()


def test_nothing_is_explored_unless_it_is_asked_for(shop: Runtime) -> None:
    with_new(shop, 0.0)
    assert shop.live.current.items.new == ()
    assert {item["source"] for item in ask(shop, "u7", placement="cart")["items"]} == {"toy"}
    with pytest.raises(Invalid, match=r"explore: must be a share of the slots from 0 to 0\.5"):
        setting(shop, explore=0.6)


def test_a_share_of_the_slots_goes_to_new_items_with_their_chances_on_record(shop: Runtime) -> None:
    with_new(shop, 0.3)
    assert set(shop.live.current.items.new) == set(ITEMS[6:])
    requests = 600
    explored = 0
    for n in range(requests):
        found = ask(shop, f"u{n}", placement="cart", k=5, request_id=f"r{n}")
        assert len(set(ids(found))) == 5
        for item in found["items"]:
            if item["source"] == "explore":
                explored += 1
                assert item["item_id"] in ITEMS[6:]
                assert item["propensity"] == pytest.approx(0.3 / 5)
            else:
                assert item["item_id"] == ITEMS[item["position"] - 1]
                assert item["propensity"] == pytest.approx(1 - 0.3 * 4 / 5)
    expected = 5 * requests * 0.3 * 4 / 5
    assert abs(explored - expected) < 4 * math.sqrt(5 * requests * 0.24 * 0.76)
    assert impressions(shop)[-1].items[0].keys() >= {"propensity", "source"}
    assert ask(shop, "u3", placement="cart", request_id="r3") == ask(shop, "u3", placement="cart", request_id="r3")


def test_the_hard_filters_hold_for_new_items_and_drawn_lists_have_no_chances(shop: Runtime) -> None:
    with_new(shop, 0.5)
    serving = scripted(shop, lambda query: [scored for scored in everything(query) if scored.item_id < "i6"])
    unit = unit_in(shop, "new")
    sources = set()
    for n in range(60):
        found = ask(shop, unit, serving=serving, exclude=frozenset({"i6"}), context_items=["i7"], request_id=f"{n}")
        assert {"i6", "i7"}.isdisjoint(ids(found))
        for item in found["items"]:
            sources.add(item["source"])
        if any(item["source"] == "explore" for item in found["items"]):
            assert not any("propensity" in item for item in found["items"])
    assert sources == {"scripted", "explore"}


def test_items_that_were_met_often_are_new_no_more(shop: Runtime) -> None:
    with_new(shop, 0.2)
    with shop.database.read() as session:
        version = session.scalar(select(Configuration.catalogue_version))
    assert new_items.find(shop.database) == 4
    with shop.database.write() as session:
        assert session.scalar(select(Configuration.catalogue_version)) == version  # nothing to tell the processes
        session.execute(update(ItemRow).where(ItemRow.item_id == "i9").values(available=False))
    for n in range(new_items.FEW):
        ask(shop, f"v{n}", placement="cart", candidates=frozenset({"i8"}))
    assert new_items.find(shop.database) == 2
    with shop.database.read() as session:
        assert set(session.scalars(select(NewItem.item_id))) == {"i6", "i7"}
        assert session.scalar(select(Configuration.catalogue_version)) != version
        assert new_items.explores(session)
        session.execute(update(Placement).values(settings={}))
        assert not new_items.explores(session)
