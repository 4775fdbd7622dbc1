"""Answers by request id: the first counts, in memory and in the tables; nobody waits for a database that is away."""

from __future__ import annotations

from typing import Any

import pytest

from reclift.domain.events import Facts
from reclift.storage import repeats as repeats_module
from reclift.storage.database import Database
from reclift.storage.facts import write_facts
from reclift.storage.repeats import NoMarks, RedisMarks, Repeats
from reclift.storage.sinks.redis_stream import quick_client
from tests.services import free_port
from tests.unit.storage.rows import impression


def answer(recommendation_id: str = "r1", item: str = "a", **more: Any) -> dict[str, Any]:
    return {
        "recommendation_id": recommendation_id,
        "placement": "home",
        "experiment": "exp",
        "arm": "new",
        "strategy": "other",
        "model": "other@2",
        "fallback": None,
        "items": [{"item_id": item, "position": 1, "score": 0.5, "source": "other", "arm": "new"}],
        **more,
    }


def keep(database: Database, **more: Any) -> None:
    with database.connection() as connection:
        write_facts(connection, Facts(impressions=[impression(**more)]))


def asked(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Times at which the database was asked."""
    times: list[float] = []
    within = database.within
    monkeypatch.setattr(database, "within", lambda: times.append(repeats_module.time.monotonic()) or within())
    return times


def test_the_first_answer_counts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = asked(database, monkeypatch)
    repeats = Repeats(database, NoMarks())
    assert repeats.get("r1") is None
    first = answer(item="a")
    assert repeats.first("u1", first, was_there=False) == first
    assert repeats.get("r1") == first
    assert repeats.first("u1", answer(item="b"), was_there=False) == first  # two threads at once
    first["items"].clear()  # whoever got it may do with it what they like
    assert repeats.get("r1") == answer(item="a")
    assert questions == []


@pytest.mark.parametrize("was_there", [True, None])
def test_what_the_tables_have_came_before(database: Database, was_there: bool | None) -> None:
    places = [{"item_id": "z", "position": 1, "score": 1.0, "source": "toy", "arm": "control"}]
    filled = {"reason": "too_few", "strategy": "popularity"}
    given = {"arm": "control", "strategy": "toy", "model": "toy@1", "items": places, "fallback": filled}
    keep(database, recommendation_id="r1", experiment="exp", **given)
    repeats = Repeats(database, NoMarks())
    found = repeats.first("u1", answer(), was_there=was_there)
    assert found == answer(**given)
    assert repeats.get("r1") == found
    assert repeats.first("u1", answer("r2"), was_there=was_there) == answer("r2")  # nothing there: still in a stream


@pytest.mark.parametrize(
    ("places", "says"),
    [
        pytest.param([{"item_id": "z", "position": 1}], (None, None), id="of no experiment"),
        pytest.param([{"item_id": "z", "position": 1, "arm": "control"}], ("exp", "control"), id="of one, uncounted"),
        pytest.param([], (None, None), id="empty"),
    ],
)
def test_whose_list_it_was(database: Database, places: list[Any], says: tuple[str | None, str | None]) -> None:
    keep(database, recommendation_id="r1", experiment=None, arm=None, items=places)
    found = Repeats(database, NoMarks()).first("u1", answer(), was_there=True)
    assert (found["experiment"], found["arm"]) == says


def test_a_database_that_is_away_is_not_asked_each_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.connection() as connection:
        connection.exec_driver_sql("ALTER TABLE impressions RENAME TO away")
    questions = asked(database, monkeypatch)
    repeats = Repeats(database, NoMarks())
    for number in range(5):
        assert repeats.first("u1", answer(f"r{number}"), was_there=None) == answer(f"r{number}")
    assert len(questions) == 1
    assert repeats.get("r4") == answer("r4")
    with database.connection() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO impressions")
    keep(database, recommendation_id="r9", items=[{"item_id": "z", "position": 1}])
    repeats._rest_until = 0.0  # a second later
    assert repeats.first("u1", answer("r9"), was_there=None)["items"][0]["item_id"] == "z"


def test_memory_is_bounded_and_forgets(database: Database) -> None:
    repeats = Repeats(database, NoMarks(), capacity=3)
    for number in range(5):
        repeats.first(f"u{number % 2}", answer(f"r{number}"), was_there=False)
    assert [repeats.get(f"r{number}") is not None for number in range(5)] == [False, False, True, True, True]
    repeats.forget("u0")
    assert [repeats.get(f"r{number}") is not None for number in range(5)] == [False, False, False, True, False]
    repeats.forget_all()
    assert repeats.get("r3") is None


class Marked:
    """Marks that say what they are told to say."""

    def __init__(self, says: bool | None) -> None:
        self.says = says
        self.asked: list[str] = []

    def seen(self, recommendation_id: str) -> bool | None:
        self.asked.append(recommendation_id)
        return self.says


@pytest.mark.parametrize(
    ("was_there", "marked", "found"),
    [(None, False, "new"), (None, True, "old"), (None, None, "old"), (False, True, "new"), (True, False, "old")],
)
def test_marks_tell_where_the_sink_cannot(
    database: Database, monkeypatch: pytest.MonkeyPatch, was_there: bool | None, marked: bool | None, found: str
) -> None:
    keep(database, recommendation_id="r1", items=[{"item_id": "old", "position": 1}])
    questions, marks = asked(database, monkeypatch), Marked(marked)
    answered = Repeats(database, marks).first("u1", answer(item="new"), was_there=was_there)
    assert answered["items"][0]["item_id"] == found
    assert len(questions) == (found == "old")
    assert marks.asked == (["r1"] if was_there is None else [])


def test_marks_in_redis_are_shared_and_go(redis_url: str) -> None:
    client = quick_client(redis_url, text=True)
    here, elsewhere = RedisMarks(client), RedisMarks(quick_client(redis_url, text=True))
    assert [one.seen("r1") for one in (here, elsewhere, here)] == [False, True, True]
    assert elsewhere.seen("r2") is False
    [key, _] = sorted(client.keys("*"))
    assert 0 < client.ttl(key) <= repeats_module.MARKED_SECONDS
    client.config_set("maxmemory", "1")
    try:
        assert here.seen("r3") is None  # full: nobody knows, and nobody asks again at once
        assert here.seen("r2") is None
        assert elsewhere.seen("r2") is None
    finally:
        client.config_set("maxmemory", "0")
    here._rest_until = 0.0
    assert here.seen("r3") is False


def test_without_redis_nobody_knows() -> None:
    marks = RedisMarks(quick_client(f"redis://127.0.0.1:{free_port()}/0", text=True))
    assert [marks.seen("r1") for _ in range(3)] == [None, None, None]
    assert marks._rest_until > 0
