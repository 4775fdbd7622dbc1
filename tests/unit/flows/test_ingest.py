"""`/events`: the good ones are durable before they are acknowledged, the bad ones are named, nothing counts twice."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from reclift.domain.events import Facts
from reclift.storage.eventlog import NullSink, Poison, SinkUnavailable
from reclift.storage.facts import Receipt
from reclift.storage.tables import DirtyUnit, EventRow, ExposureRow
from reclift.wiring import Runtime


def send(here: Runtime, *events: Any) -> dict[str, Any]:
    return here.ingest.ingest(here.live.current, list(events))


def click(event_id: str | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "click", "user_id": "u1", **({"event_id": event_id} if event_id else {}), **more}


def stored(here: Runtime) -> list[str]:
    with here.database.read() as session:
        return sorted(session.scalars(select(EventRow.event_id)))


def test_the_same_batch_twice_changes_nothing(shop: Runtime) -> None:
    batch = [
        click("a"),
        click(timestamp="2026-05-01T12:00:00Z", item_id="i1"),
        {"type": "exposure", "user_id": "u1", "properties": {"experiment": "exp", "arm": "new"}},
    ]
    assert send(shop, *batch) == {"accepted": 3, "duplicates": 0, "rejected": []}
    before = stored(shop)
    assert send(shop, *batch) == {"accepted": 1, "duplicates": 2, "rejected": []}
    assert stored(shop) == before
    with shop.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ExposureRow)) == 1


def test_good_events_are_taken_whatever_the_bad_ones_are(shop: Runtime) -> None:
    answer = send(shop, click("a"), {"type": "click"}, click("b"), "nonsense", click("c", value="much"), click("d"))
    assert (answer["accepted"], answer["duplicates"]) == (3, 0)
    assert [entry["index"] for entry in answer["rejected"]] == [1, 3, 4]
    assert "user_id=None" in answer["rejected"][0]["error"]
    assert "must be an object" in answer["rejected"][1]["error"]
    assert "value='much'" in answer["rejected"][2]["error"]
    assert stored(shop) == ["a", "b", "d"]


def test_an_id_that_comes_twice_in_a_batch_counts_once(shop: Runtime) -> None:
    assert send(shop, click("a", value=1), click("a", value=2), click("b")) == {
        "accepted": 2,
        "duplicates": 1,
        "rejected": [],
    }
    with shop.database.read() as session:
        assert session.get_one(EventRow, "a").value == 1.0


def test_an_empty_batch_and_one_of_bad_events_only(shop: Runtime) -> None:
    assert send(shop) == {"accepted": 0, "duplicates": 0, "rejected": []}
    assert len(send(shop, {})["rejected"]) == 1
    with shop.database.read() as session:
        assert session.scalar(select(func.count()).select_from(DirtyUnit)) == 0


def test_when_nothing_keeps_it_nothing_is_acknowledged_or_remembered(shop: Runtime) -> None:
    shop.histories.get("u1")
    shop.event_log._sinks = (NullSink(),)
    with pytest.raises(SinkUnavailable):
        send(shop, click("a", item_id="i1"))
    assert shop.histories.get("u1") == ()


def test_what_the_database_refuses_for_good_is_narrowed_down(shop: Runtime) -> None:
    class Picky:
        """A database with a rule that the checks do not know."""

        name = "database"

        def append(self, facts: Facts) -> Receipt:
            if any(row["event_id"].startswith("bad") for row in facts.events):
                raise Poison("I do not like it")
            return shop.direct.append(facts)

    shop.event_log._sinks = (Picky(),)
    answer = send(shop, *(click(f"bad{n}" if n in {3, 77} else f"e{n:02}") for n in range(100)), "nonsense")
    assert (answer["accepted"], answer["duplicates"]) == (98, 0)
    assert [entry["index"] for entry in answer["rejected"]] == [3, 77, 100]
    assert "I do not like it" in answer["rejected"][0]["error"]
    assert len(stored(shop)) == 98


def test_exposures_of_clients_must_name_a_started_experiment(shop: Runtime) -> None:
    def exposure(**properties: Any) -> dict[str, Any]:
        return {"type": "exposure", "user_id": "u1", "properties": properties}

    answer = send(
        shop, exposure(experiment="exp", arm="control"), exposure(experiment="no", arm="a"), exposure(experiment="exp")
    )
    assert (answer["accepted"], [entry["index"] for entry in answer["rejected"]]) == (1, [1, 2])
    assert "must be one of control, new" in answer["rejected"][1]["error"]


def test_events_of_a_device_are_the_persons(shop: Runtime) -> None:
    from reclift.flows import catalogue

    with shop.database.write() as session:
        catalogue.add_alias(session, "u1", "device-7")
    shop.live.refresh()
    send(shop, click("a", user_id="device-7"))
    with shop.database.read() as session:
        assert session.get_one(EventRow, "a").unit_id == "u1"
