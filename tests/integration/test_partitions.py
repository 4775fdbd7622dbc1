"""Events by month on PostgreSQL: each counts once whatever its time, months come ahead, and old ones go whole."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from reclift.domain.events import MICROS, Facts
from reclift.flows.importing_interactions import import_interactions
from reclift.storage import partitions
from reclift.storage.database import Database
from reclift.storage.eventlog import Poison
from reclift.storage.facts import Receipt
from reclift.storage.migrate import migrate
from reclift.storage.partitions import MONTHS_AHEAD, Month
from reclift.storage.sinks.database import DatabaseSink
from tests.services import PostgresServer
from tests.unit.storage.rows import event

NOW = round(datetime(2026, 3, 17, 12, tzinfo=UTC).timestamp()) * MICROS
DAY = 86_400 * MICROS
THIS = Month.of(NOW)


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """Migrated, with the partitions that are made on the 17th of March 2026, and nothing else."""
    database = Database(postgres_server.create_database("test_partitions"))
    migrate(database)
    with database.connection() as connection:
        for table in months(database):
            connection.execute(text(f"DROP TABLE {table}"))
    partitions.ensure(database, NOW)
    yield database
    database.dispose()
    postgres_server.drop_database("test_partitions")


def months(database: Database) -> list[str]:
    with database.engine.connect() as connection:
        return [name for _, name in partitions._attached(connection)]


def where(database: Database) -> dict[str, str]:
    """Event -> the partition that it lies in."""
    with database.engine.connect() as connection:
        rows = connection.execute(text("SELECT event_id, tableoid::regclass::text FROM events"))
        found = [(name, table) for name, table in rows]
        ids = connection.scalars(text("SELECT event_id FROM event_ids")).all()
    assert sorted(name for name, _ in found) == sorted(ids)
    return dict(found)


def fill(database: Database, mark: str, start: int, count: int) -> None:
    """So many events, a second apart."""
    sql = (
        "WITH new AS (INSERT INTO event_ids SELECT :mark || n, :start + n * CAST(1000000 AS bigint) "
        "FROM generate_series(1, :count) n "
        "RETURNING event_id, at) INSERT INTO events (event_id, type, unit_id, at, received_at, properties) "
        "SELECT event_id, 'click', 'u' || at % 50, at, at, '{}' FROM new"
    )
    with database.connection() as connection:
        connection.execute(text(sql), {"mark": mark, "start": start, "count": count})


@pytest.mark.parametrize("others", [0, 150])  # few at once, and by COPY
def test_an_event_counts_once_whatever_its_time(database: Database, others: int) -> None:
    sink = DatabaseSink(database)
    times = [NOW, NOW - 40 * DAY, 5, NOW + 60 * DAY, NOW + 400 * DAY, 2**62]
    for number, at in enumerate(times):
        more = [event(f"{number}-{n}", at=at + n) for n in range(others)]
        # The same id twice in one batch as well, at another time.
        batch = [event("same", at=at), *more, event("same", at=NOW)]
        taken = sink.append(Facts(batch))
        assert taken == Receipt(others + (number == 0), 2 - (number == 0))
    found = where(database)
    assert len(found) == 1 + others * len(times)
    assert found["same"] == THIS.table
    if others:
        assert {found[f"{number}-0"] for number in (1, 2, 4, 5)} == {"events_default"}
        assert found["3-0"] == Month(THIS.number + 2).table


def test_writers_of_the_same_events_at_other_times(database: Database) -> None:
    failures: list[BaseException] = []
    accepted: list[int] = []

    def write(shift: int) -> None:
        sink = DatabaseSink(database)
        try:
            for first in range(0, 600, 150):
                rows = [event(f"e{n}", at=NOW + shift * 31 * DAY) for n in range(first, first + 150)]
                accepted.append(sink.append(Facts(rows if shift % 2 else rows[:90])).accepted)
                accepted.append(sink.append(Facts(rows[60:])).accepted)
        except BaseException as error:  # noqa: BLE001 (shown by the test)
            failures.append(error)

    threads = [threading.Thread(target=write, args=(shift,)) for shift in range(-2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(where(database)) == sum(accepted) == 600


@pytest.mark.parametrize("others", [0, 150])
@pytest.mark.parametrize(
    "bad", [{"at": 2**63}, {"unit_id": None}, {"event_id": "x" * 201}, {"properties": {"a": "\x00"}}]
)
def test_what_it_cannot_hold_leaves_no_id_behind(database: Database, others: int, bad: dict[str, Any]) -> None:
    sink = DatabaseSink(database)
    rows = [event(f"e{n}", at=NOW) for n in range(others)]
    with pytest.raises(Poison):
        sink.append(Facts([*rows, {**event("bad", at=NOW), **bad}]))
    assert where(database) == {}
    assert sink.append(Facts([*rows, event("bad", at=NOW)])) == Receipt(others + 1, 0)


def test_months_are_made_ahead_and_once(database: Database) -> None:
    assert months(database) == [Month(THIS.number + ahead).table for ahead in range(MONTHS_AHEAD + 1)]
    assert months(database)[0] == "events_202603"
    assert partitions.ensure(database, NOW) == []
    assert partitions.ensure(database, NOW + 31 * DAY) == ["events_202607"]
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.extend(partitions.ensure(database, NOW + 62 * DAY))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["events_202608"]


def test_a_month_that_came_before_its_partition_moves_into_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "WORTH", 500)
    late = Month.of(NOW + 140 * DAY)  # nobody made partitions for months
    fill(database, "late", late.start - 10 * MICROS, 30)
    fill(database, "import", Month.of(NOW - 1_000 * DAY).start, 600)
    fill(database, "few", Month.of(NOW - 2_000 * DAY).start, 499)
    made = partitions.ensure(database, NOW + 140 * DAY)
    assert late.table in made
    assert Month.of(NOW - 1_000 * DAY).table in made
    found = where(database)
    assert found["import600"] == Month.of(NOW - 1_000 * DAY).table
    assert {found["few1"], found["late9"]} == {"events_default"}
    assert found["late10"] == found["late30"] == late.table
    assert DatabaseSink(database).append(Facts([event("late10", at=NOW), event("import1", at=NOW)])) == Receipt(0, 2)


def test_an_import_makes_the_partitions_that_it_needs(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "WORTH_AHEAD", 50)
    old, few = (datetime(2019, month, 10, tzinfo=UTC).timestamp() for month in (5, 8))
    lines = [f"u{n},i1,{old + n}" for n in range(60)] + [f"u{n},i1,{few + n}" for n in range(49)]
    file = tmp_path / "past.csv"
    file.write_text("\n".join(["user_id,item_id,timestamp", *lines]))
    for taken in (109, 0):
        assert import_interactions(database, file, {}).taken == taken
    assert sorted(Counter(where(database).values()).items()) == [("events_201905", 60), ("events_default", 49)]


def test_who_reads_for_long_is_not_disturbed_and_holds_nobody_up(database: Database) -> None:
    with database.read() as session:
        assert session.execute(text("SELECT count(*) FROM events")).scalar_one() == 0
        assert partitions.ensure(database, NOW + 31 * DAY) == []
        assert partitions.drop_before(database, NOW + 31 * DAY) == 0
        assert DatabaseSink(database).append(Facts([event(at=NOW + 130 * DAY)])) == Receipt(1, 0)
    assert partitions.ensure(database, NOW + 31 * DAY) == ["events_202607"]
    assert where(database) == {"e1": "events_202607"}


def test_old_months_go_whole_with_their_ids(database: Database) -> None:
    sink = DatabaseSink(database)
    fill(database, "old", THIS.start, 300)
    fill(database, "stays", THIS.end, 10)
    fill(database, "ancient", 0, 20)
    assert partitions.drop_before(database, THIS.end - 1) == 0
    assert partitions.drop_before(database, THIS.end) == 300
    assert partitions.drop_rest(database, THIS.end, portion=7) == 20
    assert len(where(database)) == 10
    assert "events_202603" not in months(database)
    # Sent once more: new again, once.
    assert sink.append(Facts([event("old1", at=THIS.start), event("stays1", at=THIS.end)])) == Receipt(1, 1)
    assert sink.append(Facts([event("old1", at=THIS.start)])) == Receipt(0, 1)
    assert where(database)["old1"] == "events_default"
    assert partitions.drop_rest(database, THIS.end, portion=7) == 1


def test_clicks_of_a_clock_far_behind_stay_when_their_month_goes(database: Database) -> None:
    sink = DatabaseSink(database)
    rows = [
        event("stays", at=THIS.start, recommendation_id="r", received_at=THIS.end + DAY),
        event("goes", at=THIS.start, recommendation_id="r", received_at=THIS.end - DAY),
        event("goes too", at=THIS.start, received_at=THIS.end + DAY),
        event("ancient", at=5, recommendation_id="r", received_at=THIS.end + DAY),
        event("ancient too", at=5, received_at=THIS.end + DAY),
    ]
    sink.append(Facts(rows))
    assert partitions.drop_before(database, THIS.end) == 2
    assert partitions.drop_rest(database, THIS.end, portion=7) == 1
    assert where(database) == {"stays": "events_default", "ancient": "events_default"}
    assert sink.append(Facts(rows)) == Receipt(3, 2)
    assert partitions.drop_rest(database, THIS.end + 2 * DAY, portion=7) == 5


def test_dropping_may_die_anywhere_and_goes_on(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = DatabaseSink(database)
    fill(database, "old", THIS.start, 1_000)
    monkeypatch.setattr(partitions, "_BLOCKS", 2)
    with database.connection() as connection:
        connection.execute(text("ALTER TABLE events DETACH PARTITION events_202603"))
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM events")).scalar_one() == 0
    # An id that is still known: the event is as good as dropped, and not new.
    assert sink.append(Facts([event("old1000", at=THIS.start)])) == Receipt(0, 1)
    real, left = Database.connection, [3]

    def dies(self: Database) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise ConnectionError("killed")
        return real(self)

    monkeypatch.setattr(Database, "connection", dies)
    with pytest.raises(ConnectionError):
        partitions.drop_before(database, THIS.end)
    monkeypatch.setattr(Database, "connection", real)
    # One whose id went already comes again: it is new, and finishing the drop leaves it alone.
    assert sink.append(Facts([event("old1", at=THIS.start)])) == Receipt(1, 0)
    gone = partitions.drop_before(database, THIS.end)
    assert 0 < gone < 1_000
    assert where(database) == {"old1": "events_default"}
    assert sink.append(Facts([event("old1", at=THIS.start)])) == Receipt(0, 1)
    assert partitions.drop_before(database, THIS.end) == 0


def test_a_table_of_somebody_else_is_left_alone(database: Database) -> None:
    with database.connection() as connection:
        connection.execute(text("CREATE TABLE events_archive (LIKE events)"))
        connection.execute(text("CREATE TABLE events_2020 (LIKE events)"))
    assert partitions.drop_before(database, NOW + 1_000 * DAY) == 0
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM events_archive, events_2020")).scalar_one() == 0


def test_an_event_without_an_id_of_its_own_is_impossible_by_hand_too(database: Database) -> None:
    with pytest.raises(DBAPIError, match="null value"), database.connection() as connection:
        connection.execute(
            text("INSERT INTO events (type, unit_id, at, received_at, properties) VALUES ('c', 'u', 1, 1, '{}')")
        )
