"""The list that is shown: hard filters always, filled up with its sources named, and the impression durable first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select, update

from reclift.domain.events import Facts
from reclift.flows import catalogue, experiments, rollup
from reclift.flows.assign import assign, expose
from reclift.flows.clock import now_micros
from reclift.flows.errors import NotFound
from reclift.flows.serving import Served, Serving
from reclift.flows.wish import Wish
from reclift.storage.eventlog import NullSink, SinkUnavailable
from reclift.storage.tables import ExperimentUnit, ExposureRow, ImpressionRow, Placement
from reclift.strategy import Query, Scored
from reclift.wiring import Runtime
from tests.unit.flows.conftest import start
from tests.unit.flows.toys import Gate, Scripted
from tests.unit.storage.rows import event

ITEMS = [f"i{number}" for number in range(10)]


def ask(here: Runtime, unit: str = "u1", *, serving: Serving | None = None, **more: Any) -> dict[str, Any]:
    wish = Wish(**{"unit": unit, "user_id": unit, "placement": "home", "k": 5, **more})
    return here.recommender.recommend(serving or here.live.current, wish)


def scripted(here: Runtime, answer: Callable[[Query], Any]) -> Serving:
    """The snapshot with both arms answering as told."""
    serving = here.live.current
    served = Served("scripted", "scripted@1", Scripted(answer))
    return replace(serving, arms=dict.fromkeys(serving.arms, served))


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def impressions(here: Runtime) -> list[ImpressionRow]:
    with here.database.read() as session:
        return list(session.scalars(select(ImpressionRow).order_by(ImpressionRow.at)))


def unit_in(here: Runtime, arm: str) -> str:
    plan = here.live.current.plan
    return next(unit for unit in (f"u{number}" for number in range(1_000)) if plan.decide("exp", unit).arm == arm)


def test_the_arms_strategy_answers_and_says_all_about_it(shop: Runtime) -> None:
    unit = unit_in(shop, "new")
    answer = ask(shop, unit)
    assert {name: answer[name] for name in answer if name not in {"items", "recommendation_id"}} == {
        "user_id": unit,
        "session_id": None,
        "placement": "home",
        "experiment": "exp",
        "arm": "new",
        "strategy": "other",
        "model": "other@1",
        "fallback": None,
    }
    assert answer["items"][0] == {"item_id": "i9", "position": 1, "score": 0.5, "source": "other", "arm": "new"}
    assert [item["position"] for item in answer["items"]] == [1, 2, 3, 4, 5]
    (row,) = impressions(shop)
    assert (row.recommendation_id, row.unit_id, row.experiment, row.phase, row.arm, row.model) == (
        answer["recommendation_id"],
        unit,
        "exp",
        1,
        "new",
        "other@1",
    )
    assert row.items == answer["items"]
    assert row.latency_ms is not None
    with shop.database.read() as session:
        (met,) = session.scalars(select(ExposureRow))
    assert (met.experiment, met.phase, met.unit_id, met.arm, met.at) == ("exp", 1, unit, "new", row.at)


def test_unknown_placements_are_refused(shop: Runtime) -> None:
    with pytest.raises(NotFound, match="no placement 'nope'"):
        ask(shop, placement="nope")
    assert impressions(shop) == []


def test_outside_experiments_the_placement_answers(shop: Runtime) -> None:
    answer = ask(shop, placement="cart")
    assert (answer["experiment"], answer["arm"], answer["strategy"], answer["model"]) == (None, None, "toy", "toy@1")
    assert "arm" not in answer["items"][0]
    with shop.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ExposureRow)) == 0


def test_whatever_a_strategy_returns_the_hard_filters_hold(shop: Runtime) -> None:
    with shop.database.write() as session:
        catalogue.put_items(session, [catalogue.parse_item({"item_id": "i0", "available": False})])
    shop.live.refresh()
    at = now_micros()
    shop.direct.append(Facts([event("b", at=at, item_id="i1", type="purchase"), event("c", at=at, item_id="i2")]))
    everything = [*ITEMS, "i5", "i5", "unheard-of", ""]
    answer = ask(
        shop,
        serving=scripted(shop, lambda query: [Scored(item, 1.0) for item in everything]),
        k=10,
        exclude=frozenset({"i3"}),
        context_items=["i4"],
    )
    # unavailable, bought, excluded and the page's own item are never there, and nothing twice
    assert ids(answer) == ["i2", "i5", "i6", "i7", "i8", "i9"]
    wished = frozenset({"i0", "i1", "i5", "i9"})
    assert ids(ask(shop, serving=scripted(shop, lambda query: [Scored(i, 1.0) for i in ITEMS]), candidates=wished)) == [
        "i5",
        "i9",
    ]


@pytest.mark.parametrize(("seen", "hidden"), [("bought", {"i1"}), ("interacted", {"i1", "i2"}), ("none", set())])
def test_what_was_seen_is_the_placements_rule(shop: Runtime, seen: str, hidden: set[str]) -> None:
    with shop.database.write() as session:
        session.execute(update(Placement).values(settings={"seen": seen}))
        experiments.bump(session)
    shop.live.refresh()
    at = now_micros()
    shop.direct.append(Facts([event("b", at=at, item_id="i1", type="purchase"), event("c", at=at, item_id="i2")]))
    assert set(ids(ask(shop, k=10))) == set(ITEMS) - hidden
    assert set(ids(ask(shop, "stranger", k=10))) == set(ITEMS)


def test_a_strategy_is_asked_for_more_when_the_filters_ate_what_came(shop: Runtime) -> None:
    asked: list[int] = []

    def answer(query: Query) -> list[Scored]:
        asked.append(query.k)
        return [Scored(item, 1.0) for item in [*[f"gone{number}" for number in range(40)], *ITEMS]][: query.k]

    found = ask(shop, serving=scripted(shop, answer))
    assert ids(found) == ITEMS[:5]
    assert found["fallback"] is None
    assert asked == [25, 500]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(lambda query: 1 / 0, "error", id="raises"),
        pytest.param(lambda query: [("i1",)], "error", id="rubbish"),
        pytest.param(lambda query: [Scored("i1", float("nan"))], "error", id="no number"),
        pytest.param(lambda query: (Scored(f"x{n}", 1.0) for n in iter(int, 1)), "too_few", id="endless"),
        pytest.param(lambda query: [], "too_few", id="nothing"),
    ],
)
def test_a_strategy_that_fails_never_fails_the_request(shop: Runtime, answer: Any, reason: str) -> None:
    found = ask(shop, serving=scripted(shop, answer))
    assert ids(found) == ITEMS[:5]
    assert found["fallback"] == {"reason": reason, "strategy": "toy"}
    assert {item["source"] for item in found["items"]} == {"toy"}
    assert impressions(shop)[0].fallback == found["fallback"]


def test_a_strategy_that_hangs_never_hangs_the_request(shop: Runtime) -> None:
    gate = Gate()
    shop.guard._timeout = 0.05
    try:
        found = ask(shop, serving=scripted(shop, gate))
        assert found["fallback"] == {"reason": "timeout", "strategy": "toy"}
        assert len(found["items"]) == 5
    finally:
        gate.event.set()


def test_a_short_list_is_filled_up_with_the_sources_named(shop: Runtime) -> None:
    found = ask(shop, serving=scripted(shop, lambda query: [Scored("i7", 3.0), Scored("i0", 2.0)]))
    assert [(item["item_id"], item["source"]) for item in found["items"]] == [
        ("i7", "scripted"),
        ("i0", "scripted"),
        ("i1", "toy"),
        ("i2", "toy"),
        ("i3", "toy"),
    ]
    assert [item["position"] for item in found["items"]] == [1, 2, 3, 4, 5]
    assert found["fallback"] == {"reason": "too_few", "strategy": "toy"}


def test_a_list_as_long_as_the_catalogue_allows_is_no_failure(shop: Runtime) -> None:
    found = ask(shop, k=50)
    assert len(found["items"]) == 10
    assert found["fallback"] is None


def test_without_any_model_the_list_is_empty_and_says_why(here: Runtime) -> None:
    found = ask(here)
    assert (found["items"], found["model"], found["fallback"]) == ([], None, {"reason": "no_model", "strategy": None})
    assert len(impressions(here)) == 1


def test_a_retry_with_its_request_id_is_one_impression_with_one_answer(shop: Runtime) -> None:
    seeds: list[int] = []

    def answer(query: Query) -> list[Scored]:
        seeds.append(query.seed)
        return [Scored(ITEMS[(query.seed + place) % 10], 1.0) for place in range(5)]

    serving = scripted(shop, answer)
    first, again = (ask(shop, serving=serving, request_id="r-1") for _ in range(2))
    assert first == again
    assert len(impressions(shop)) == 1
    others = [
        ask(shop, serving=serving, request_id="r-2"),
        ask(shop, "u2", serving=serving, request_id="r-1"),
        ask(shop, serving=serving, request_id="r-1", placement="cart"),
        ask(shop, serving=serving),
        ask(shop, serving=serving),
    ]
    assert len({answer["recommendation_id"] for answer in [first, *others]}) == 6
    assert len(set(seeds)) == 5  # every request has randomness of its own; the retry had the same
    assert len(impressions(shop)) == 6


def test_people_who_test_see_their_arm_but_do_not_count(shop: Runtime) -> None:
    unit = unit_in(shop, "control")
    with shop.database.write() as session:
        experiments.change(session, shop.registry, "exp", {"overrides": {unit: "new"}}, "me")
    shop.live.refresh()
    serving = shop.live.current
    answer = ask(shop, unit)
    assert (answer["experiment"], answer["arm"], answer["strategy"]) == ("exp", "new", "other")
    expose(serving, shop.sticky, shop.event_log, unit, assign(serving, shop.sticky, unit, "exp", {}), {})
    rollup.roll_up(shop.database)
    with shop.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ExposureRow)) == 0
        assert session.scalar(select(func.count()).select_from(ExperimentUnit)) == 0


def test_guests_are_units_by_their_session(shop: Runtime) -> None:
    answer = ask(shop, "session-1", user_id=None, session_id="session-1")
    assert (answer["user_id"], answer["session_id"]) == (None, "session-1")
    assert impressions(shop)[0].unit_id == "session-1"
    assert answer["arm"] == shop.live.current.plan.decide("exp", "session-1").arm


def test_an_answer_without_a_durable_impression_is_not_given(shop: Runtime) -> None:
    shop.event_log._sinks = (NullSink(),)
    with pytest.raises(SinkUnavailable):
        ask(shop)


def test_the_past_is_dated_and_the_arrival_kept(shop: Runtime) -> None:
    ask(shop, at=1_000_000)
    (row,) = impressions(shop)
    assert row.at == 1_000_000
    assert row.received_at > 1_700_000_000_000_000


def test_what_a_click_teaches_is_in_the_very_next_answer(shop: Runtime) -> None:
    histories: list[list[str]] = []

    def answer(query: Query) -> list[Scored]:
        histories.append([signal.item_id for signal in query.history])
        return []

    serving = scripted(shop, answer)
    ask(shop, serving=serving)
    taken = shop.ingest.ingest(shop.live.current, [{"type": "click", "user_id": "u1", "item_id": "i3"}])
    assert taken == {"accepted": 1, "duplicates": 0, "rejected": []}
    ask(shop, serving=serving)
    assert histories == [[], ["i3"]]


def test_two_experiments_on_a_placement_the_earlier_one_decides(shop: Runtime) -> None:
    start(shop, "later")
    shop.live.refresh()
    assert {ask(shop, f"u{number}")["experiment"] for number in range(20)} == {"exp"}


# assign


def test_assigning_one_or_all(shop: Runtime) -> None:
    start(shop, "second", placement="cart")
    shop.live.refresh()
    serving = shop.live.current
    (one,) = assign(serving, shop.sticky, "u1", "exp", {})
    assert (one.experiment, one.in_experiment, one.reason) == ("exp", True, "bucketed")
    assert [decision.experiment for decision in assign(serving, shop.sticky, "u1", None, {})] == ["exp", "second"]
    with pytest.raises(NotFound, match="no experiment 'nope'"):
        assign(serving, shop.sticky, "u1", "nope", {})


def test_an_assignment_is_an_exposure_only_when_it_is_said(shop: Runtime) -> None:
    serving = shop.live.current
    decisions = assign(serving, shop.sticky, "u1", None, {})
    with shop.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ExposureRow)) == 0
    expose(serving, shop.sticky, shop.event_log, "u1", decisions, {"country": "CN"})
    with shop.database.read() as session:
        (met,) = session.scalars(select(ExposureRow))
    assert (met.arm, met.source, met.attributes) == (decisions[0].arm, "assign", {"country": "CN"})
