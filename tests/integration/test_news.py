"""Several processes and one user: what one takes, the others' next answers know, though nobody asks for each user."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy.exc import DBAPIError

from reclift.domain.events import Facts
from reclift.flows import catalogue
from reclift.flows.erase import erase
from reclift.flows.rollup import roll_up
from reclift.storage import news as news_module
from reclift.storage.database import Database
from reclift.storage.facts import add_events, write_facts
from reclift.storage.migrate import migrate
from reclift.storage.news import PostgresNews
from reclift.wiring import Runtime
from tests.platform_fixtures import build_runtime
from tests.unit.storage.rows import event, impression


@pytest.fixture(scope="module")
def database(postgres_database: str) -> Iterator[Database]:
    database = Database(postgres_database)
    migrate(database)
    yield database
    database.dispose()


@pytest.fixture
def news(database: Database) -> Iterator[PostgresNews]:
    news = PostgresNews(database)
    assert news.read() is None  # what was before, nobody knows
    yield news
    news.close()


def write(database: Database, *rows: dict[str, object]) -> None:
    with database.connection() as connection:
        write_facts(connection, Facts(list(rows), [impression(f"r {rows[0]['event_id']}", "only shown something")]))


def test_postgres_tells_who_has_new_events(database: Database, news: PostgresNews) -> None:
    assert news.read() == set()
    write(database, event("a1", "u1"), event("a2", "ü 2"))
    write(database, event("a3", "u3"), event("a1", "somebody else: the key is known"))
    with database.connection() as connection:
        add_events(connection, [event("a4", "imported")])
    assert news.read() == {"u1", "ü 2", "u3", "imported"}
    assert news.read() == set()


def test_who_commits_last_is_told_last_and_who_does_not_never(database: Database, news: PostgresNews) -> None:
    """A number drawn early may appear late; a notification does not."""
    with database.connection() as slow:
        write_facts(slow, Facts([event("b1", "slow")]))
        write(database, event("b2", "quick"))
        assert news.read() == {"quick"}
    assert news.read() == {"slow"}
    with pytest.raises(RuntimeError), database.connection() as lost:
        write_facts(lost, Facts([event("b3", "lost")]))
        raise RuntimeError
    assert news.read() == set()


def test_a_flood_is_anybody(database: Database, news: PostgresNews) -> None:
    write(database, *(event(f"c{number}", f"user {number} {'x' * 100}") for number in range(500)))
    assert news.read() == {f"user {number} {'x' * 100}" for number in range(500)}
    write(database, *(event(f"d{number}", f"user {number}") for number in range(2_500)))
    assert news.read() is None
    assert news.read() == set()


def test_a_connection_that_breaks_is_made_anew_and_may_have_missed_something(
    database: Database, news: PostgresNews
) -> None:
    with database.connection() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%%pg_notify%%' "
            "AND pid <> pg_backend_pid()"
        )
    write(database, event("e1", "meanwhile"))
    with pytest.raises(DBAPIError):
        news.read()
    assert news.read() is None
    write(database, event("e2", "u1"))
    assert news.read() == {"u1"}


def test_who_does_not_hear_itself_says_so(
    database: Database, news: PostgresNews, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a pooler that gives each transaction another connection."""
    monkeypatch.setattr(news_module, "_ANSWER_SECONDS", 0.1)
    news._connection.execute("UNLISTEN *")
    with pytest.raises(DBAPIError, match="pooler"):
        news.read()


def until(wanted: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def two(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runtime, Runtime]]:
    """Two processes, as far as they can tell, over the same tables; each follows the news in its thread."""
    settings = {"plan_poll_seconds": 0.2}
    if request.param == "postgresql":
        settings["database_url"] = request.getfixturevalue("postgres_database")
    folder = tmp_path_factory.mktemp(request.param)
    one, other = build_runtime(folder, **settings), build_runtime(folder, **settings)
    one.set_up()
    for runtime in (one, other):
        runtime.start()
    yield one, other
    for runtime in (one, other):
        runtime.close()


def known(runtime: Runtime, user: str) -> list[str]:
    return [signal.item_id for signal in runtime.histories.get(user)]


def click(runtime: Runtime, user: str, item: str) -> None:
    sent = [{"type": "click", "user_id": user, "item_id": item}]
    assert runtime.ingest.ingest(runtime.live.current, sent)["accepted"] == 1


def test_a_click_is_known_here_at_once_and_there_within_a_poll(two: tuple[Runtime, Runtime]) -> None:
    one, other = two
    for number in range(5):
        assert len(known(other, "anna")) == number
        click(one, "anna", f"i{number}")
        assert known(one, "anna")[-1] == f"i{number}"
        until(lambda number=number: len(known(other, "anna")) == number + 1)


def test_nobody_is_read_again_without_need(two: tuple[Runtime, Runtime], monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = two
    click(one, "ben", "a")
    until(lambda: known(other, "ben") == ["a"])
    until(lambda: other.histories._entries["ben"].loaded > 0)
    time.sleep(0.5)  # whatever was still to be told of it
    known(other, "ben")
    monkeypatch.setattr(other.histories, "_load", lambda unit: pytest.fail(f"{unit} was read again"))
    for _ in range(30):
        assert known(other, "ben") == ["a"]
        time.sleep(0.02)


def test_merged_and_erased_people_are_known_there_too(two: tuple[Runtime, Runtime]) -> None:
    one, other = two
    click(one, "cleo", "mine")
    click(one, "device", "of the device")
    until(lambda: known(other, "cleo") == ["mine"])
    with one.database.write() as session:
        assert catalogue.add_alias(session, "cleo", "device")
    until(lambda: sorted(known(other, "cleo")) == ["mine", "of the device"])
    with one.database.connection() as connection:  # who had not heard of the alias yet
        write_facts(connection, Facts([event("late", "device", item_id="late", at=1)]))
    roll_up(one.database)
    until(lambda: "late" in known(other, "cleo"))
    erase(one.database, one.spool, "cleo")
    until(lambda: known(other, "cleo") == [])
