"""What users did lately, from memory: fresh, bounded, and there when the database is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event as sqlalchemy_event

from reclift.domain.events import Facts
from reclift.flows.clock import now
from reclift.storage import histories as histories_module
from reclift.storage import profiles
from reclift.storage.database import Database
from reclift.storage.facts import write_facts
from reclift.storage.histories import Histories, Known
from reclift.storage.read_sqlite import OneRow
from reclift.strategy import Signal
from tests.unit.storage.rows import event

WEIGHTS = {"click": 1.0, "purchase": 5.0, "ignored": 0.0}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(histories_module, "time", clock)
    return clock


@pytest.fixture
def write(database: Database) -> Callable[..., None]:
    def write(*rows: dict[str, Any]) -> None:
        with database.connection() as connection:
            write_facts(connection, Facts(list(rows)))

    return write


def make(database: Database, **more: Any) -> Histories:
    return Histories(database, WEIGHTS, **{"length": 3, "ttl": 10.0, **more})


def items(signals: tuple[Signal, ...]) -> list[str]:
    return [signal.item_id for signal in signals]


def test_the_latest_signals_come_oldest_first(database: Database, write: Callable[..., None]) -> None:
    write(
        event("1", at=5_000_000, item_id="e"),
        event("2", at=1_000_000, item_id="a"),
        event("3", at=2_500_000, item_id="b", type="purchase", value=9.5),
        event("4", at=3_000_000, item_id="c", type="ignored"),
        event("5", at=3_000_000, item_id="c", type="unheard-of"),
        event("6", at=4_000_000, item_id=None),
        event("7", at=4_500_000, item_id="d"),
        event("8", "u2", at=9_000_000, item_id="other"),
    )
    assert make(database).get("u1") == (
        Signal("b", 5.0, 2.5, "purchase", 9.5),
        Signal("d", 1.0, 4.5, "click", None),
        Signal("e", 1.0, 5.0, "click", None),
    )


def test_an_entry_is_trusted_for_a_while_only(database: Database, write: Callable[..., None], clock: Clock) -> None:
    histories = make(database)
    assert histories.get("u1") == ()
    write(event("1"))
    clock.now += 9.9
    assert histories.get("u1") == ()
    clock.now += 0.2
    assert items(histories.get("u1")) == ["i1"]


def test_what_this_process_takes_is_known_at_once(database: Database, clock: Clock) -> None:
    histories = make(database)
    histories.get("u1")
    histories.note(
        [
            event("1", at=2_000_000, item_id="b"),
            event("2", at=1_000_000, item_id="a"),
            event("1", at=2_000_000, item_id="b"),
            event("3", item_id=None),
            event("4", type="ignored"),
            event("5", "somebody else"),
        ]
    )
    assert items(histories.get("u1")) == ["a", "b"]
    histories.note([event(f"n{at}", at=at * 1_000_000, item_id=f"n{at}") for at in (3, 4)])
    assert items(histories.get("u1")) == ["b", "n3", "n4"]  # no longer than asked for
    clock.now += 11  # read anew: the database does not have them yet
    assert items(histories.get("u1")) == ["b", "n3", "n4"]
    clock.now += histories_module.UNSETTLED_SECONDS
    assert histories.get("u1") == ()  # it never had them


def test_noted_signals_equal_those_from_the_database(database: Database, write: Callable[..., None]) -> None:
    row = event("1", at=1_700_000_000_123_456, item_id="a", type="purchase", value=3.25)
    noted, loaded = make(database), make(database)
    noted.get("u1")
    noted.note([row])
    write(row)
    assert noted.get("u1") == loaded.get("u1") != ()


def test_without_a_database_old_entries_are_better_than_none(
    database: Database, write: Callable[..., None], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(event("1"))
    histories = make(database)
    known = histories.get("u1")
    with database.connection() as connection:
        connection.exec_driver_sql("ALTER TABLE events RENAME TO away")
    clock.now += 11
    assert histories.get("u1") == known
    assert histories.get("stranger") == ()
    with database.connection() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO events")
    write(event("2", "stranger"))
    asked: list[str] = []
    load = histories._load
    monkeypatch.setattr(histories, "_load", lambda unit: asked.append(unit) or load(unit))
    assert histories.get("stranger") == ()  # it does not ask again at once
    assert asked == []
    clock.now += 1.1
    assert items(histories.get("stranger")) == ["i1"]


def test_memory_is_bounded_and_the_longest_unread_go(database: Database, clock: Clock) -> None:
    histories = make(database, capacity=3)
    for unit in ("a", "b", "c", "d"):
        histories.get(unit)
    assert list(histories._entries) == ["b", "c", "d"]


def test_forgetting(database: Database, write: Callable[..., None], clock: Clock) -> None:
    write(event("1"))
    histories = make(database)
    histories.get("u1")
    with database.connection() as connection:
        connection.exec_driver_sql("DELETE FROM events")
    histories.forget("u1")
    histories.forget("never seen")
    assert histories.get("u1") == ()


def test_what_was_taken_of_a_user_nobody_asked_for_yet_counts_too(database: Database, clock: Clock) -> None:
    histories = make(database)
    histories.note([event("1", "stranger", at=2_000_000, item_id="x")])
    assert items(histories.get("stranger")) == ["x"]


def told(histories: Histories, clock: Clock, seconds: float) -> None:
    """News without a word, every second."""
    for _ in range(int(seconds)):
        clock.now += 1
        histories.changed((), clock.now)


def test_with_news_a_known_user_is_not_asked_for_until_named(
    database: Database, write: Callable[..., None], clock: Clock
) -> None:
    histories = make(database, ttl=2.0)
    histories.changed((), clock.now)
    assert histories.get("u1") == ()
    write(event("1"))
    told(histories, clock, 60)
    assert histories.get("u1") == ()  # nobody said so: a test writes behind everybody's back
    histories.changed(["u1", "never seen"], clock.now)
    assert items(histories.get("u1")) == ["i1"]


def test_news_that_stay_away_are_not_trusted(database: Database, write: Callable[..., None], clock: Clock) -> None:
    histories = make(database, ttl=2.0)
    histories.get("u1")
    told(histories, clock, 10)
    write(event("1"))
    clock.now += 1.9
    assert histories.get("u1") == ()
    clock.now += 0.2
    assert items(histories.get("u1")) == ["i1"]


def test_nothing_is_trusted_for_ever(database: Database, write: Callable[..., None], clock: Clock) -> None:
    histories = make(database, ttl=2.0)
    histories.get("u1")
    write(event("1"))
    told(histories, clock, histories_module.KEPT_SECONDS - 1)
    assert histories.get("u1") == ()
    told(histories, clock, 2)
    assert items(histories.get("u1")) == ["i1"]


def test_distrust_is_of_everybody(database: Database, write: Callable[..., None], clock: Clock) -> None:
    histories = make(database, ttl=50.0)
    for unit in ("u1", "u2"):
        histories.get(unit)
    write(event("1"), event("2", "u2"))
    clock.now += 1
    histories.distrust()
    clock.now += 1
    assert items(histories.get("u1")) == items(histories.get("u2")) == ["i1"]


@pytest.mark.parametrize("how", ["changed", "note", "distrust"])
def test_what_changes_while_it_is_read_is_read_again(
    database: Database, write: Callable[..., None], clock: Clock, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    histories = make(database, ttl=50.0)
    load = histories._load

    def slow(unit: str) -> Known:
        found = load(unit)
        clock.now += 1
        row = event("1", at=1_000_000, item_id="new")
        write(row)
        {"changed": lambda: histories.changed([unit], clock.now), "note": lambda: histories.note([row]),
         "distrust": histories.distrust}[how]()  # fmt: skip
        monkeypatch.setattr(histories, "_load", load)
        return found

    monkeypatch.setattr(histories, "_load", slow)
    histories.get("u1")
    clock.now += 1
    assert items(histories.get("u1")) == ["new"]


def test_what_is_remembered_of_changes_is_bounded(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(histories_module, "_MOST_CHANGED", 5)
    histories = make(database, capacity=5)
    for number in range(100):
        clock.now += 1
        histories.changed([f"u{number}"], clock.now)
        histories.note([event(f"e{number}", f"v{number}")])
    assert len(histories._changed) == len(histories._entries) == 5
    assert histories._distrusted_at >= 195


@pytest.fixture
def put(database: Database) -> Callable[..., None]:
    def put(unit: str, **attributes: Any) -> None:
        with database.connection() as connection:
            profiles.put(connection, unit, attributes, now())

    return put


def test_stored_attributes_come_with_the_history(
    database: Database, write: Callable[..., None], put: Callable[..., None]
) -> None:
    write(event("1"), event("2", "only an event"))
    put("u1", country="CN", tags=[1, {"a": None}], n=1.5)
    put("only a profile", country="US")
    histories = make(database)
    known = histories.known("u1")
    assert (items(known.signals), known.attributes) == (["i1"], {"country": "CN", "tags": [1, {"a": None}], "n": 1.5})
    assert histories.known("only a profile") == Known((), {"country": "US"})
    assert histories.known("only an event").attributes == {}
    assert histories.known("nobody") == Known()


@pytest.mark.parametrize("road", ["one row", "session"])
def test_one_question_is_enough_for_both(
    database: Database, write: Callable[..., None], put: Callable[..., None], road: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(event("1"))
    put("u1", country="CN")
    histories = make(database)
    asked: list[str] = []
    if road == "session":
        histories._one_row = None
    else:
        ask = OneRow.ask
        monkeypatch.setattr(OneRow, "ask", lambda *given: asked.append(given[1]) or ask(*given))
    sqlalchemy_event.listen(
        database.engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: asked.append(statement)
    )
    for _ in range(5):
        assert histories.known("u1").attributes == {"country": "CN"}
        assert histories.known("nobody").attributes == {}
    assert len([one for one in asked if one.startswith("SELECT")]) == 2


def test_a_changed_profile_is_known_as_news_are(
    database: Database, put: Callable[..., None], write: Callable[..., None], clock: Clock
) -> None:
    histories = make(database, ttl=2.0)
    histories.changed((), clock.now)
    assert histories.known("u1").attributes == {}
    put("u1", country="CN")
    assert histories.known("u1").attributes == {}  # nobody said so
    histories.persons_changed(["u1"])  # as the process that was told does
    assert histories.known("u1").attributes == {"country": "CN"}
    histories.note([event("own")])  # a click does not lose it
    assert histories.known("u1").attributes == {"country": "CN"}
    put("u1", country="US")
    clock.now += 2.1  # no news: trusted no longer
    assert histories.known("u1").attributes == {"country": "US"}
    assert items(histories.known("u1").signals) == ["i1"]


def test_without_a_database_the_old_profile_is_better_than_none(
    database: Database, put: Callable[..., None], clock: Clock
) -> None:
    put("u1", country="CN")
    histories = make(database)
    histories.known("u1")
    with database.connection() as connection:
        connection.exec_driver_sql("ALTER TABLE profiles RENAME TO away")
    clock.now += 11
    assert histories.known("u1").attributes == {"country": "CN"}
    assert histories.known("stranger") == Known()


def test_an_erased_persons_profile_is_gone(database: Database, put: Callable[..., None]) -> None:
    here, elsewhere = make(database), make(database)
    put("u1", country="CN")
    for histories in (here, elsewhere):
        assert histories.known("u1").attributes == {"country": "CN"}
    with database.connection() as connection:
        connection.exec_driver_sql("DELETE FROM profiles")
    here.forget("u1")
    elsewhere.persons_changed(None)
    assert here.known("u1") == elsewhere.known("u1") == Known()


VALUE = st.floats(-1e12, 1e12).filter(lambda value: value == 0 or abs(value) > 1e-12)
ODD_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    told=st.lists(
        st.tuples(
            ODD_TEXT | st.sampled_from(["a", '"', "\\", "','", "[]"]),
            st.sampled_from(list(WEIGHTS)),
            st.none() | VALUE | VALUE.map(lambda value: round(value, 2)) | st.integers(-9, 9).map(float),
            st.integers(0, 5) | st.integers(10**15, 10**15 + 5),
        ),
        max_size=8,
    ),
    attributes=st.none() | st.dictionaries(ODD_TEXT, st.none() | st.booleans() | ODD_TEXT | st.floats(-9, 9)),
)
def test_one_row_tells_what_a_session_tells(
    database: Database,
    write: Callable[..., None],
    put: Callable[..., None],
    told: list[tuple[str, str, float | None, int]],
    attributes: dict[str, Any] | None,
) -> None:
    unit = str(uuid4())
    write(
        *(
            event(f"{unit}-{n}", unit, at, item_id=item, type=kind, value=value)
            for n, (item, kind, value, at) in enumerate(told)
        ),
        event(f"{unit}-without an item", unit, 3, item_id=None),
    )
    if attributes is not None:
        put(unit, **attributes)
    one_row, session = make(database, length=5), make(database, length=5)
    session._one_row = None
    assert one_row.known(unit) == session.known(unit)
    assert len(one_row.known(unit).signals) == min(5, sum(kind != "ignored" for _, kind, _, _ in told))
