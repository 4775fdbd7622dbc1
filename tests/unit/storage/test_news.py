"""Who has new events, as SQLite's rows tell it; and the thread that hands it on."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError

from reclift.domain.events import Facts
from reclift.flows.clock import now
from reclift.storage import news as news_module
from reclift.storage import profiles
from reclift.storage.database import Database
from reclift.storage.facts import write_facts
from reclift.storage.histories import Histories
from reclift.storage.news import Follower, SqliteNews, _payloads
from tests.unit.storage.rows import event, impression


def write(database: Database, *rows: dict[str, object], impressions: list[dict[str, object]] | None = None) -> None:
    with database.connection() as connection:
        write_facts(connection, Facts(list(rows), impressions or []))


def remove(database: Database, *event_ids: str) -> None:
    with database.connection() as connection:
        for one in event_ids:
            connection.exec_driver_sql("DELETE FROM events WHERE event_id = ?", (one,))


@pytest.mark.parametrize("before", [0, 3])
def test_each_new_event_is_told_once(database: Database, before: int) -> None:
    write(database, *(event(f"old{number}") for number in range(before)))
    news = SqliteNews(database)
    assert news.read() is None  # what was before, nobody knows
    assert news.read() == set()
    write(database, event("a", "u1"), event("b", "u2"), impressions=[impression("r", "seen only")])
    write(database, event("c", "u2"), event("a", "somebody else: the key is known"))
    assert news.read() == {"u1", "u2"}
    assert news.read() == set()


def test_an_old_time_is_news_all_the_same(database: Database) -> None:
    write(database, event("a", at=10**15))
    news = SqliteNews(database)
    news.read()
    write(database, event("late", "u9", at=1))
    assert news.read() == {"u9"}


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        pytest.param(["b"], None, id="the last row: its number may come again"),
        pytest.param(["a", "b"], None, id="all"),
        pytest.param(["a"], {"u3", "u4"}, id="another"),
    ],
)
def test_numbers_that_are_used_again_hide_nobody(database: Database, gone: list[str], told: set[str] | None) -> None:
    write(database, event("a", "u1"))
    write(database, event("b", "u2"))
    news = SqliteNews(database)
    news.read()
    remove(database, *gone)
    write(database, event("c", "u3"))
    write(database, event("d", "u4"))
    assert news.read() == told
    write(database, event("e", "u5"))
    assert news.read() == {"u5"}


def put(database: Database, unit: str, **attributes: object) -> None:
    with database.connection() as connection:
        profiles.put(connection, unit, attributes, now())


def test_a_profile_is_news_whenever_it_changes(database: Database) -> None:
    put(database, "old", n=1)
    news = SqliteNews(database)
    assert news.read() is None
    put(database, "u1", n=1)
    write(database, event("a", "u2"))
    assert news.read() == {"u1", "u2"}
    for number in range(3):  # the last one of the table, again and again
        put(database, "u1", n=number)
        assert news.read() == {"u1"}
    put(database, "old", n=2)
    put(database, "u1", n=9)
    assert news.read() == {"old", "u1"}
    assert news.read() == set()


def test_a_profile_that_comes_back_under_its_old_number_is_not_missed(database: Database) -> None:
    put(database, "u1", n=1)
    news = SqliteNews(database)
    news.read()
    with database.connection() as connection:
        connection.exec_driver_sql("DELETE FROM profiles")
    put(database, "u1", n=2)
    assert news.read() == {"u1"}
    put(database, "u2", n=1)
    with database.connection() as connection:
        connection.exec_driver_sql("DELETE FROM profiles WHERE unit_id = 'u2'")
    assert news.read() == set()  # gone before it was ever seen
    put(database, "u1", n=3)
    with database.connection() as connection:
        connection.exec_driver_sql("DELETE FROM profiles WHERE unit_id = 'u1'")
    assert news.read() is None
    assert news.read() == set()


def test_profiles_whose_numbers_are_made_anew_are_read_anew(database: Database) -> None:
    for unit in ("u1", "u2", "u3"):
        put(database, unit, n=1)
    news = SqliteNews(database)
    news.read()
    with database.connection_outside_transaction() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("VACUUM")
        connection.exec_driver_sql("BEGIN")
    put(database, "u1", n=2)
    assert news.read() in (None, {"u1"})
    assert news.read() == set()


def test_a_flood_is_anybody(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news_module, "_MOST_UNITS", 3)
    news = SqliteNews(database)
    news.read()
    write(database, *(event(f"e{number}", f"u{number}") for number in range(4)))
    assert news.read() is None
    write(database, *(event(f"f{number}", f"u{number}") for number in range(3)))
    assert news.read() == {"u0", "u1", "u2"}


def test_payloads_are_small_enough_and_complete() -> None:
    import orjson

    units = [f"é-{number}-" + "x" * 150 for number in range(500)]
    payloads = _payloads(units)
    assert max(len(one.encode()) for one in payloads) < 8_000
    assert [unit for one in payloads for unit in orjson.loads(one)] == units
    assert _payloads([str(number) for number in range(3_000)]) == ["*"]


def test_another_process_is_heard_by_a_memory_that_does_not_ask(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    histories = Histories(database, {"click": 1.0}, length=9, ttl=0.2)
    follower = Follower(SqliteNews(database), histories.changed, histories.distrust, seconds=0.05)
    follower.follow()
    write(database, event("a", "u1", item_id="x"))
    assert [signal.item_id for signal in histories.get("u1")] == ["x"]
    loads: list[str] = []
    load = histories._load
    monkeypatch.setattr(histories, "_load", lambda unit: loads.append(unit) or load(unit))
    follower.follow()  # names u1: written after the last reading
    follower.follow()
    histories.get("u1")
    histories.get("u2")
    assert loads == ["u1", "u2"]
    for _ in range(3):
        follower.follow()
        assert [signal.item_id for signal in histories.get("u1")] == ["x"]
    assert loads == ["u1", "u2"]
    write(database, event("b", "u1", item_id="y", at=2_000))
    follower.follow()
    assert [signal.item_id for signal in histories.get("u1")] == ["x", "y"]
    assert histories.get("u2") == ()
    assert loads == ["u1", "u2", "u1"]


class Away:
    """News that fail until they are told not to."""

    def __init__(self) -> None:
        self.fails = True
        self.closed = False

    def read(self) -> set[str] | None:
        if self.fails:
            raise OperationalError("SELECT", None, Exception("gone"))
        return None

    def close(self) -> None:
        self.closed = True


def test_while_the_database_is_away_nothing_is_handed_on() -> None:
    told: list[object] = []
    away = Away()
    follower = Follower(away, lambda units, until: told.append(set(units)), lambda: told.append("all"), seconds=0.001)
    follower.follow()
    assert told == []
    away.fails = False
    follower.follow()
    assert told == ["all", set()]
    follower.start()
    follower.stop()
    assert away.closed
