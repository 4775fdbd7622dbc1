"""Replaying histories: visits are cut, reactions follow real tastes, and the server knows what it would have known."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from reclift.flows.replay import facts_of, play, reactions, request_of, view_id
from reclift.flows.replay_visits import Person, Rating, Visit, people_of, plan_visits

ANA = Person("ana", [Rating("a", 5, 10), Rating("b", 4, 20), Rating("c", 2, 30), Rating("d", 4, 9_000)], {"age": 30})


class Shop:
    """A server that shows the same list to everybody and remembers the order of calls."""

    def __init__(self, items: Sequence[str], fail_at: int | None = None) -> None:
        self.items = items
        self.fail_at = fail_at
        self.log: list[tuple[str, Any]] = []
        self.lock = threading.Lock()

    def recommend(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        with self.lock:
            self.log.append(("recommend", body))
            if self.fail_at is not None and len(self.log) >= self.fail_at:
                raise ConnectionError("gone")
        items = [{"item_id": item, "position": i + 1} for i, item in enumerate(self.items)]
        return {"recommendation_id": f"r-{body['request_id']}", "items": items}

    def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        with self.lock:
            self.log.append(("events", list(events)))

    @property
    def events(self) -> list[Mapping[str, Any]]:
        return [event for call, events in self.log if call == "events" for event in events]


def answer(*items: str) -> dict[str, Any]:
    return {"recommendation_id": "r1", "items": [{"item_id": item} for item in items]}


def visit(start: int) -> Visit:
    return Visit("ana-0000-home", ANA, 10.0, "home", start, ANA.ratings[start : start + 1])


def crowd(people: int, ratings: int) -> list[Person]:
    return [
        Person(f"u{n}", [Rating(f"i{r}", 1 + (r + n) % 5, 100.0 * r + n) for r in range(ratings)])
        for n in range(people)
    ]


class TestPlan:
    def test_a_visit_ends_after_so_many_ratings_or_a_pause(self) -> None:
        visits = plan_visits([ANA], size=2, gap_seconds=3_600)
        assert [(v.start, [r.item_id for r in v.ratings]) for v in visits] == [(0, ["a", "b"]), (2, ["c"]), (3, ["d"])]
        assert [v.visit_id for v in visits] == ["ana-0000-home", "ana-0001-home", "ana-0002-home"]

    def test_every_rating_is_reported_once(self) -> None:
        people = crowd(7, 23)
        visits = plan_visits(people, size=5, item_placement="item")
        reported = [(v.person.user_id, rating) for v in visits for rating in v.ratings]
        assert sorted(reported) == sorted((p.user_id, rating) for p in people for rating in p.ratings)

    def test_visits_come_in_the_order_of_time(self) -> None:
        visits = plan_visits(crowd(5, 17), size=4, item_placement="item")
        assert [v.at for v in visits] == sorted(v.at for v in visits)

    def test_the_page_of_the_best_liked_film_follows_its_visit(self) -> None:
        visits = plan_visits([ANA], size=3, item_placement="item")
        assert [(v.placement, v.context_item, v.start) for v in visits] == [
            ("home", None, 0),
            ("item", "a", 3),
            ("home", None, 3),
            ("item", "d", 4),
        ]
        unhappy = Person("bo", [Rating("a", 3, 1)])
        assert [v.placement for v in plan_visits([unhappy], item_placement="item")] == ["home"]

    def test_columns_become_people(self) -> None:
        people = people_of(["x", "y", "x"], ["a", "a", "b"], [1, 2, 3], [1, 2, 3], {"y": {"age": 9}})
        assert [(p.user_id, [r.item_id for r in p.ratings]) for p in people] == [("x", ["a", "b"]), ("y", ["a"])]
        assert [p.attributes for p in people] == [{}, {"age": 9}]

    def test_a_visit_needs_room(self) -> None:
        with pytest.raises(ValueError, match="size=0"):
            plan_visits([ANA], size=0)


class TestReactions:
    def test_what_was_later_rated_four_is_clicked_and_five_is_bought(self) -> None:
        events = reactions(visit(0), answer("c", "b", "x", "a"), set())
        assert [(e["type"], e["item_id"]) for e in events] == [("click", "b"), ("click", "a"), ("purchase", "a")]
        assert {e["recommendation_id"] for e in events} == {"r1"}

    def test_the_past_is_not_clicked_again(self) -> None:
        assert [e["item_id"] for e in reactions(visit(1), answer("a", "b"), set())] == ["b"]

    def test_nothing_is_clicked_twice(self) -> None:
        had: set[str] = set()
        assert reactions(visit(0), answer("b"), had)
        assert had == {"b"}
        assert not reactions(visit(1), answer("b"), had)

    def test_ratings_are_reported_as_they_were(self) -> None:
        view, event = facts_of(visit(3))
        assert (view["type"], view["event_id"], view["user_id"]) == ("page_view", view_id(visit(3)), "ana")
        assert (event["type"], event["item_id"], event["value"]) == ("rating", "d", 4)
        assert event["timestamp"] == "1970-01-01T02:30:00Z"
        assert "recommendation_id" not in event

    def test_the_request_can_be_repeated(self) -> None:
        body = request_of(visit(0), 5)
        assert body == {
            "user_id": "ana",
            "placement": "home",
            "k": 5,
            "attributes": {"age": 30},
            "request_id": "ana-0000-home",
            "timestamp": "1970-01-01T00:00:10Z",
        }
        about = Visit("v", ANA, 0, "item", 4, context_item="d")
        assert request_of(about, 5)["context"] == {"item_id": "d"}


class TestPlay:
    @pytest.mark.parametrize("threads", [1, 3])
    def test_a_persons_events_are_in_before_their_next_visit(self, threads: int) -> None:
        shop = Shop(["i3", "i9", "zzz"])
        visits = plan_visits(crowd(20, 12), size=3, item_placement="item")
        tally = play(visits, lambda: shop, threads=threads)
        assert tally.visits == len(visits)
        waiting: dict[str, set[str]] = {}
        for call, what in shop.log:
            if call == "recommend":
                assert not waiting.get(what["user_id"])
                own = next(v for v in visits if v.visit_id == what["request_id"])
                waiting[what["user_id"]] = {event["event_id"] for event in facts_of(own)}
            else:
                for event in what:
                    waiting[event["user_id"]].discard(event["event_id"])
        assert not any(waiting.values())

    def test_the_outcome_does_not_depend_on_the_threads(self) -> None:
        visits = plan_visits(crowd(30, 10), size=3)
        outcomes = []
        for threads in (1, 4):
            shop = Shop(["i3", "i9", "i4"])
            tally = play(visits, lambda shop=shop: shop, threads=threads)
            outcomes.append((tally, sorted(event["event_id"] for event in shop.events)))
        assert outcomes[0] == outcomes[1]
        tally = outcomes[0][0]
        assert tally.clicks == sum(event.split("-")[-2] == "click" for event in outcomes[0][1]) > tally.purchases > 0
        assert tally.shown == 3 * len(visits)

    def test_event_ids_are_unique(self) -> None:
        shop = Shop(["i3", "i9", "i4"])
        play(plan_visits(crowd(10, 20), size=4, item_placement="item"), lambda: shop)
        ids = [event["event_id"] for event in shop.events]
        assert len(ids) == len(set(ids))

    def test_after_a_restart_nothing_is_clicked_twice(self) -> None:
        visits = plan_visits([ANA], size=1)
        whole, first, second = Shop(["b", "d"]), Shop(["b", "d"]), Shop(["b", "d"])
        play(visits, lambda: whole)
        play(visits[:1], lambda: first)
        clicked = [event["item_id"] for event in first.events if event["type"] == "click"]
        play(visits[1:], lambda: second, had={"ana": clicked})
        assert [*first.events, *second.events] == whole.events

    def test_progress_adds_up(self) -> None:
        visits = plan_visits(crowd(9, 9), size=2)
        done: list[int] = []
        play(visits, lambda: Shop([]), advance=done.append)
        assert sum(done) == len(visits)

    def test_a_failure_stops_all_threads(self) -> None:
        shop = Shop(["i3"], fail_at=10)
        visits = plan_visits(crowd(50, 20), size=1)
        with pytest.raises(ConnectionError, match="gone"):
            play(visits, lambda: shop, threads=4)
        assert len(shop.log) < len(visits) / 2

    def test_every_visit_is_on_record_with_all_its_events(self) -> None:
        shop = Shop(["i3", "i9", "i4"])
        visits = plan_visits(crowd(10, 20), size=4, item_placement="item")
        play(visits, lambda: shop)
        for call, events in shop.log:
            if call == "events":
                on_record = {event["event_id"] for event in events}
                for event in events:
                    assert f"{event['properties']['replay']}-page_view" in on_record
        assert sum(event["type"] == "page_view" for event in shop.events) == len(visits)

    def test_calls_are_not_too_large(self) -> None:
        shop = Shop(["i3"])
        play(plan_visits(crowd(200, 8), size=8), lambda: shop, threads=1)
        sizes = [len(events) for call, events in shop.log if call == "events"]
        assert max(sizes) <= 500
        assert max(sizes) > 50
