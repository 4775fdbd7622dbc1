"""What the shop told of a user beforehand: strategies see it, and nothing about arms or exposures follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from reclift.flows import catalogue
from reclift.flows.assign import assign
from reclift.storage.tables import ExposureRow
from reclift.strategy import Query, Scored
from reclift.wiring import Runtime
from tests.unit.flows.conftest import start
from tests.unit.flows.test_recommend import ITEMS, ask, scripted
from tests.unit.flows.toys import Toy


def told(here: Runtime, unit: str, **attributes: Any) -> None:
    """As `PUT /users/{unit}` does."""
    with here.database.write() as session:
        person = catalogue.put_profile(session, unit, attributes)
    here.histories.persons_changed([person])


@pytest.fixture
def seen(shop: Runtime) -> tuple[list[dict[str, Any]], Callable[..., Any]]:
    """What strategies saw of the user, and a way to ask."""
    attributes: list[dict[str, Any]] = []

    def answer(query: Query) -> list[Scored]:
        attributes.append(dict(query.attributes))
        return [Scored(item, 1.0) for item in ITEMS]

    serving = scripted(shop, answer)
    return attributes, lambda unit="u1", **more: ask(shop, unit, serving=serving, **more)


def test_strategies_see_what_is_stored_and_what_is_sent_goes_first(
    shop: Runtime, seen: tuple[list[dict[str, Any]], Callable[..., Any]]
) -> None:
    attributes, again = seen
    again()
    told(shop, "u1", country="CN", device="phone", tags=["a"])
    again()
    again(attributes={"device": "desk", "country": None, "new": 1})
    told(shop, "u1", country="US")
    again()
    again("u2", attributes={"country": "FR"})
    assert attributes == [
        {},
        {"country": "CN", "device": "phone", "tags": ["a"]},
        {"country": None, "device": "desk", "tags": ["a"], "new": 1},
        {"country": "US"},
        {"country": "FR"},
    ]


def test_a_strategy_that_changes_what_it_is_given_changes_it_for_nobody_else(shop: Runtime) -> None:
    told(shop, "u1", country="CN")
    found: list[Any] = []

    def answer(query: Query) -> list[Scored]:
        found.append(query.attributes["country"])
        query.attributes["country"] = "changed"  # type: ignore[index]
        return [Scored(item, 1.0) for item in ITEMS]

    for _ in range(2):
        ask(shop, serving=scripted(shop, answer))
    assert found == ["CN", "CN"]
    assert shop.histories.known("u1").attributes == {"country": "CN"}


def test_the_arm_and_the_exposure_follow_from_what_was_sent_alone(shop: Runtime) -> None:
    unit = "u1"
    start(shop, "chinese", placement="cart", audience={"country": "CN"})
    shop.live.refresh()
    told(shop, unit, country="CN")
    not_sent = ask(shop, unit, placement="cart")
    (decided,) = assign(shop.live.current, shop.sticky, unit, "chinese", {})
    assert (decided.reason, decided.in_experiment) == ("not_targeted", False)
    assert not_sent["experiment"] is None
    sent = {"country": "CN", "n": 1}
    (decided,) = assign(shop.live.current, shop.sticky, unit, "chinese", sent)
    shown = ask(shop, unit, placement="cart", attributes=sent)
    assert (shown["experiment"], shown["arm"]) == ("chinese", decided.arm)
    with shop.database.read() as session:
        (met,) = session.scalars(select(ExposureRow))
    assert (met.experiment, met.arm, met.attributes) == ("chinese", decided.arm, sent)


def test_a_remembered_list_is_asked_anew_when_the_profile_changes(shop: Runtime) -> None:
    class Steady(Toy):
        repeatable = True

        def recommend(self, query: Query) -> list[Scored]:
            asked.append(query.attributes.get("country"))
            return [Scored(item, 1.0) for item in ITEMS]

    asked: list[Any] = []
    serving = scripted(shop, lambda query: [])
    served = replace(next(iter(serving.arms.values())), model=Steady([]))
    serving = replace(serving, arms=dict.fromkeys(serving.arms, served))
    for _ in range(3):
        ask(shop, serving=serving)
    told(shop, "u1", country="CN")
    for _ in range(3):
        ask(shop, serving=serving)
    assert asked == [None, "CN"]
