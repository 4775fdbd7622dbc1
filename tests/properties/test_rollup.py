"""Totals equal a full recomputation, always: any facts, any order, repeated, late, with workers that overlap or die."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text
from sqlalchemy.orm import Session

from reclift.domain.events import Facts
from reclift.flows import rollup
from reclift.storage.database import Database
from reclift.storage.facts import write_facts
from reclift.storage.migrate import migrate
from reclift.storage.tables import DirtyUnit
from tests.properties.rollup_reference import DAY, HOUR, check
from tests.properties.rollup_world import EXPERIMENTS, T0, facts, set_up
from tests.unit.storage.rows import event, exposure, impression

TABLES = (
    "events",
    "impressions",
    "exposures",
    "dirty_units",
    "experiment_units",
    "unit_totals",
    "unit_days",
    "unit_positions",
)


ITEMS = [{"item_id": "i1", "position": 1}, {"item_id": "i2", "position": 2}]


class Crash(Exception):  # noqa: N818 (what happens, not what is wrong)
    """A worker died."""


class Worker(Database):
    """A worker's view of the database, in which something happens between its reading and its writing."""

    def __init__(self, database: Database, before_write: Callable[[], None], *, dies_in_write: bool = False) -> None:
        self._real = database
        self._before_write = before_write
        self._dies_in_write = dies_in_write

    @contextmanager
    def read(self) -> Iterator[Session]:
        with self._real.read() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        self._before_write()
        with self._real.write() as session:
            yield session
            session.flush()
            if self._dies_in_write:
                raise Crash


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('rollup') / 'test.db'}")
    # Many small transactions, and nothing to keep.
    sqlalchemy_event.listen(database.engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA synchronous=OFF"))
    migrate(database)
    set_up(database)
    yield database
    database.dispose()


def clear(database: Database) -> None:
    with database.connection() as connection:
        for table in TABLES:
            connection.execute(text(f"DELETE FROM {table}"))


def send(database: Database, batch: list[Facts]) -> None:
    together = Facts()
    for one in batch:
        together.extend(one)
    with database.connection() as connection:
        write_facts(connection, together)


def verify(database: Database) -> None:
    rollup.roll_up(database)
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM dirty_units")).scalar_one() == 0
        check(connection, EXPERIMENTS)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, list[Facts]]]:
    """Batches in which facts arrive, each once or more often, and what the worker does after each."""
    rows = draw(facts())
    repeated = draw(st.lists(st.sampled_from(rows), max_size=6))
    arriving = draw(st.permutations(rows + repeated))
    steps = []
    while arriving:
        size = draw(st.integers(1, 12))
        what = draw(
            st.sampled_from(
                ["nothing", "roll up", "roll up", "die early", "die late", "be overtaken", "be outdated", "be late"]
            )
            | st.integers(0, 30).map("die at {}".format)
        )
        steps.append((what, arriving[:size]))
        arriving = arriving[size:]
    return steps


LATE = [
    ("nothing", [Facts(exposures=[exposure("u1", "a", T0, experiment="one")])]),
    ("be overtaken", [Facts([event("e0", "u1", T0 + 5, type="purchase", value=1.0)])]),
    ("be late", [Facts([event("e1", "u1", T0 + 6, type="purchase", value=3.0)])]),
    ("die late", [Facts([event("e2", "u1", T0 + 7, type="purchase", value=3.0)])]),
    ("be outdated", [Facts([event("e3", "u1", T0 + 8, type="purchase", value=5.0)])]),
    ("nothing", [Facts([event("e4", "u1", T0 + 9, type="purchase", value=7.0)])]),
]


BEHIND = [
    ("nothing", [Facts(exposures=[exposure("u1", "a", T0, experiment="one")])]),
    (
        "roll up",
        [
            Facts(impressions=[impression("r0", "u1", T0 + 5, experiment="one", phase=1, arm="a", items=ITEMS)]),
            Facts([event("e0", "u1", T0 - 30 * DAY, recommendation_id="r0", received_at=T0 + 6)]),
            Facts([event("e1", "u1", T0 - 30 * DAY, recommendation_id="r0", item_id="i2", received_at=T0 - 13 * HOUR)]),
        ],
    ),
]
"""A click whose clock was a month behind counts at its list's time; one that arrived long before its list does not."""
EARLIER = [
    ("nothing", [Facts(exposures=[exposure("u1", "a", T0, experiment="one")])]),
    (
        "roll up",
        [
            Facts(impressions=[impression("r0", "u1", T0 - 9 * DAY, items=ITEMS)]),
            Facts([event("e0", "u1", T0 - 5 * DAY, recommendation_id="r0")]),
        ],
    ),
]
"""A click in the pre-period on a list from before it does not count there."""
DYING = [(f"die at {number}", step) for number, (_, step) in enumerate([*BEHIND, *EARLIER, *LATE] * 3)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.integers(1, 4))
@example(LATE, 1)
@example(BEHIND, 1)
@example(EARLIER, 1)
@example(DYING, 3)
def test_totals_equal_a_full_recomputation(database: Database, steps: list[tuple[str, list[Facts]]], size: int) -> None:
    clear(database)

    def roll_up_elsewhere() -> None:
        rollup.roll_up(database, batch=size)

    early: set[int] = set()
    for number, (what, batch) in enumerate(steps):
        following = steps[number + 1][1] if number + 1 < len(steps) else []
        if number not in early:
            send(database, batch)
        if what.startswith("be ") and _dirty(database):
            early.add(number + 1)  # it arrives in the middle, and only then: what comes twice is marked twice

        def more_arrives(following: list[Facts] = following) -> None:
            send(database, following)

        def both(following: list[Facts] = following) -> None:
            # Another worker does it all, then more arrives: marks' numbers must not come back.
            roll_up_elsewhere()
            send(database, following)

        def all_of_it(following: list[Facts] = following) -> None:
            # More arrives, and another worker does it all: what this one has read is old.
            send(database, following)
            rollup.roll_up(database)

        if what == "roll up":
            rollup.roll_up(database, batch=size)
        elif what.startswith("die at"):
            with _dies_at(database, int(what.split()[-1])):
                rollup.roll_up(database, batch=size)
        elif what in {"die early", "die late"}:
            with pytest.raises(Crash) if _dirty(database) else _as_is():
                rollup.roll_up(
                    Worker(database, _nothing, dies_in_write=True) if what == "die late" else _dead(database)
                )
        elif what == "be overtaken":
            rollup.roll_up(Worker(database, _once(both)), batch=size)
        elif what == "be outdated":
            rollup.roll_up(Worker(database, _once(all_of_it)), batch=size)
        elif what == "be late":
            rollup.roll_up(Worker(database, _once(more_arrives)), batch=size)
    verify(database)
    before = _contents(database)
    send(database, [one for _, batch in steps for one in batch])
    verify(database)
    assert _contents(database) == before  # all of it once more: nothing changes


def _nothing() -> None:
    """Nothing happens."""


@contextmanager
def _as_is() -> Iterator[None]:
    yield


@contextmanager
def _dies_at(database: Database, number: int) -> Iterator[None]:
    """The worker dies in the block, before its statement of this number, if it comes to so many."""
    left = [number]

    def count(*_: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Crash

    sqlalchemy_event.listen(database.engine, "before_cursor_execute", count)
    try:
        yield
    except Crash:
        pass  # its transaction is rolled back, as the database does when a connection is lost
    finally:
        sqlalchemy_event.remove(database.engine, "before_cursor_execute", count)


def _dead(database: Database) -> Worker:
    def die() -> None:
        raise Crash

    return Worker(database, die)


def _once(action: Callable[[], None]) -> Callable[[], None]:
    done: list[bool] = []

    def act() -> None:
        if not done:
            done.append(True)
            action()

    return act


def _dirty(database: Database) -> bool:
    with database.read() as session:
        return session.query(DirtyUnit).first() is not None


def _contents(database: Database) -> dict[str, list[Any]]:
    with database.engine.connect() as connection:
        return {
            table: sorted(map(tuple, connection.execute(text(f"SELECT * FROM {table}"))), key=repr)
            for table in TABLES
            if table != "dirty_units"
        }


def test_a_worker_that_was_overtaken_does_not_delete_newer_marks(database: Database) -> None:
    """The one history that an ordinary INTEGER PRIMARY KEY gets wrong: SQLite would use the numbers again."""
    clear(database)
    send(database, [Facts(exposures=[exposure("u1", "a", T0, experiment="one")])])

    def overtake() -> None:
        rollup.roll_up(database)
        send(database, [Facts([event("e1", "u1", T0 + 1, type="purchase", value=7.0)])])

    rollup.roll_up(Worker(database, _once(overtake)))
    verify(database)
    with database.engine.connect() as connection:
        revenue = text("SELECT numerator FROM unit_totals WHERE experiment = 'one' AND metric = 'revenue'")
        assert connection.execute(revenue).scalar_one() == 7.0


def test_a_worker_that_is_behind_does_not_overwrite_what_is_newer(database: Database) -> None:
    clear(database)
    send(database, [Facts(exposures=[exposure("u1", "a", T0, experiment="one")])])

    def overtake() -> None:
        send(database, [Facts([event("e1", "u1", T0 + 1, type="purchase", value=7.0)])])
        rollup.roll_up(database)

    rollup.roll_up(Worker(database, _once(overtake)))
    verify(database)
    with database.engine.connect() as connection:
        revenue = text("SELECT numerator FROM unit_totals WHERE experiment = 'one' AND metric = 'revenue'")
        assert connection.execute(revenue).scalar_one() == 7.0


def test_a_unit_with_more_marks_than_a_statement_may_have_parameters(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear(database)
    send(database, [Facts([event("e", "u1", T0 + 1)], exposures=[exposure("u1", "a", T0, experiment="one")])])
    with database.connection() as connection:
        connection.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 70000) "
                "INSERT INTO dirty_units (unit_id) SELECT 'u1' FROM n"
            )
        )
    assert rollup.roll_up(database) == 1
    verify(database)


def test_the_amount_of_work_can_be_bounded(database: Database) -> None:
    clear(database)
    send(database, [Facts([event(f"e{number}", f"u{number}", T0)]) for number in range(10)])
    assert rollup.roll_up(database, batch=2, most=4) == 4
    with database.read() as session:
        assert rollup.waiting(session) == 6
    assert rollup.roll_up(database, batch=4) == 6
