"""A retry with its request id: the list that was given first, whatever changed since, wherever it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reclift import wiring
from reclift.domain.events import Facts
from reclift.flows import catalogue, experiments
from reclift.flows.erase import erase
from reclift.flows.preview import Preview
from reclift.storage.facts import Receipt
from reclift.strategy import Query, Registry, Scored
from reclift.wiring import Runtime
from tests.unit.flows.conftest import MemoryQueue, _settings
from tests.unit.flows.test_recommend import ITEMS, ask, ids, impressions, scripted, unit_in
from tests.unit.flows.toys import Other, Toy


class Turning:
    """Another list each time it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, query: Query) -> list[Scored]:
        self.asked += 1
        return [Scored(ITEMS[(self.asked + place) % 10], 1.0 - place / 10) for place in range(5)]


@pytest.fixture
def other(shop: Runtime, tmp_path: Path) -> Iterator[Runtime]:
    """Another process over the same tables."""
    registry = Registry({"toy": Toy, "other": Other})
    here = wiring.build(_settings(tmp_path / "shop"), registry=registry, queue=MemoryQueue())
    here.live.refresh()
    yield here
    here.close()


def change_all(here: Runtime, unit: str) -> None:
    """Click, buy, and stop the experiment."""
    for number, kind in enumerate(("click", "purchase")):
        here.ingest.ingest(here.live.current, [{"type": kind, "user_id": unit, "item_id": f"i{number}"}])
    with here.database.write() as session:
        experiments.act(session, here.registry, here.queue, "exp", "stop", "me")
    here.live.refresh()


def test_whatever_changes_the_first_list_stays(shop: Runtime) -> None:
    turning = Turning()
    first = ask(shop, "u1", serving=scripted(shop, turning), request_id="r")
    change_all(shop, "u1")
    for more in ({}, {"k": 1}, {"exclude": frozenset(ITEMS)}):
        assert ask(shop, "u1", request_id="r", **more) == first
    assert turning.asked == 1
    assert len(impressions(shop)) == 1
    assert ask(shop, "u1", request_id="s") != first


@pytest.mark.parametrize("counted", [True, False])
def test_another_process_gives_the_same_list(shop: Runtime, other: Runtime, counted: bool) -> None:
    unit = unit_in(shop, "new")
    if not counted:
        with shop.database.write() as session:
            experiments.change(session, shop.registry, "exp", {"overrides": {unit: "new"}}, "me")
        for here in (shop, other):
            here.live.refresh()
    turning = Turning()
    first = ask(shop, unit, serving=scripted(shop, turning), request_id="r")
    assert (first["experiment"], first["arm"]) == ("exp", "new")
    again = ask(other, unit, serving=scripted(other, turning), request_id="r")
    assert turning.asked == 2
    assert again == first
    assert ask(other, unit, serving=scripted(other, turning), request_id="r") == first
    assert turning.asked == 2  # now it is in its memory, too
    change_all(other, unit)
    assert ask(other, unit, request_id="r") == first
    assert len(impressions(shop)) == 1


def test_a_first_call_reads_nothing_more(shop: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.repeats, "_as_stored", lambda answer: pytest.fail(f"{answer} was looked up"))
    for number in range(3):
        ask(shop, f"u{number}", request_id="r")
        ask(shop, f"u{number}")


class Waiting:
    """A sink from which facts come into the tables later."""

    name = "waiting"

    def __init__(self) -> None:
        self.facts = Facts()

    def append(self, facts: Facts) -> Receipt:
        self.facts.extend(facts)
        return Receipt(len(facts))


def test_what_waits_in_a_stream_is_known_where_it_was_taken_and_elsewhere_when_it_is_drained(
    shop: Runtime, other: Runtime
) -> None:
    stream, turning = Waiting(), Turning()
    for here in (shop, other):
        here.event_log._sinks = (stream,)
    first = ask(shop, serving=scripted(shop, turning), request_id="r")
    assert ask(shop, serving=scripted(shop, turning), request_id="r") == first
    assert turning.asked == 1
    ask(other, serving=scripted(other, turning), request_id="early")  # nothing there: it is asked anew, and answers
    shop.direct.append(stream.facts)
    assert ask(other, serving=scripted(other, turning), request_id="r") == first
    assert turning.asked == 3
    shop.direct.append(stream.facts)
    assert len(impressions(shop)) == 2


def test_what_may_not_be_shown_any_more_is_left_out(shop: Runtime, other: Runtime) -> None:
    first = ask(shop, request_id="r")
    gone = ids(first)[1]
    with shop.database.write() as session:
        catalogue.put_items(session, [catalogue.parse_item({"item_id": gone, "available": False})])
    left = [row for row in first["items"] if row["item_id"] != gone]
    assert len(left) == 4
    for here in (shop, other):
        here.live.refresh()
        assert ask(here, request_id="r") == {**first, "items": left}


def test_a_preview_is_neither_remembered_nor_repeated(shop: Runtime) -> None:
    unit = unit_in(shop, "control")
    counted = ask(shop, unit, request_id="r")
    shown = ask(shop, unit, request_id="r", preview=Preview("exp", "new"))
    assert (counted["arm"], shown["arm"]) == ("control", "new")
    assert ask(shop, unit, request_id="r") == counted
    assert ask(shop, unit, request_id="s", preview=Preview("exp", "new"))["arm"] == "new"
    assert ask(shop, unit, request_id="s")["arm"] == "control"


def test_of_an_erased_person_nothing_is_repeated(shop: Runtime, other: Runtime) -> None:
    turning = Turning()
    for here in (shop, other):
        ask(here, serving=scripted(here, turning), request_id="r")

    def forget(one: str) -> None:
        shop.repeats.forget(one)

    erase(shop.database, shop.spool, "u1", forget=forget)
    other.live.refresh()
    before = turning.asked
    for here in (shop, other):
        assert here.repeats._given == {}
    ask(other, serving=scripted(other, turning), request_id="r")
    assert turning.asked == before + 1
    assert len(impressions(shop)) == 1


def test_the_same_question_at_once_gets_one_answer(shop: Runtime) -> None:
    turning, both = Turning(), threading.Barrier(2, timeout=30)

    def answer(query: Query) -> list[Scored]:
        both.wait()  # both have found nothing
        return turning(query)

    serving, found = scripted(shop, answer), list[dict[str, Any]]()

    def one() -> None:
        found.append(ask(shop, serving=serving, request_id="r"))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert turning.asked == 2
    assert found[0] == found[1]
    (row,) = impressions(shop)
    assert [place["item_id"] for place in row.items] == ids(found[0])
