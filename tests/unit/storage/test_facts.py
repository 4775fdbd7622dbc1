"""Facts go into the tables once by key, with their units marked dirty in the same transaction."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import func, select

from reclift.domain.events import Facts
from reclift.storage.database import Database
from reclift.storage.facts import Receipt, write_facts
from reclift.storage.tables import DirtyUnit, EventRow, ExposureRow, ImpressionRow
from tests.unit.storage.rows import event, exposure, impression


def write(database: Database, facts: Facts) -> Receipt:
    with database.connection() as connection:
        return write_facts(connection, facts)


def marked(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.scalars(select(DirtyUnit.unit_id)))


def test_writing_twice_changes_nothing_and_says_so(database: Database) -> None:
    facts = Facts([event("e1"), event("e2", "u2")], [impression("r1", "u3")], [exposure("u4")])
    assert write(database, facts) == Receipt(4, 0)
    assert write(database, facts) == Receipt(1, 3)  # an exposure is no new row, but not a duplicate to complain of
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(EventRow)) == 2
        assert session.scalar(select(func.count()).select_from(ImpressionRow)) == 1
        assert session.scalar(select(func.count()).select_from(ExposureRow)) == 1


def test_the_first_content_of_a_key_stays(database: Database) -> None:
    write(database, Facts([event("e1", value=1.0)]))
    receipt = write(database, Facts([event("e1", value=2.0), event("e3")]))
    assert receipt == Receipt(1, 1)
    with database.read() as session:
        assert session.get_one(EventRow, "e1").value == 1.0


@pytest.mark.parametrize("order", list(itertools.permutations([300, 100, 200])))
@pytest.mark.parametrize("together", [True, False])
def test_the_earliest_exposure_wins_in_any_order(database: Database, order: list[int], *, together: bool) -> None:
    rows = [exposure(at=at, source=f"s{at}", attributes={"at": at}) for at in order]
    for batch in [rows] if together else [[row] for row in rows]:
        write(database, Facts(exposures=batch))
    with database.read() as session:
        (row,) = session.scalars(select(ExposureRow))
        assert (row.at, row.source, row.attributes) == (100, "s100", {"at": 100})


def test_each_arm_that_a_unit_met_is_kept(database: Database) -> None:
    write(database, Facts(exposures=[exposure(arm="a"), exposure(arm="b"), exposure(arm="a", phase=2)]))
    with database.read() as session:
        met = {(row.phase, row.arm) for row in session.scalars(select(ExposureRow))}
    assert met == {(1, "a"), (1, "b"), (2, "a")}


def test_every_unit_of_the_batch_is_marked_once(database: Database) -> None:
    write(database, Facts([event("e1"), event("e2"), event("e3", "u2")], [impression("r", "u3")], [exposure("u4")]))
    assert marked(database) == ["u1", "u2", "u3", "u4"]


def test_marks_come_and_go_with_their_facts(database: Database) -> None:
    with pytest.raises(RuntimeError, match="crash"), database.connection() as connection:
        write_facts(connection, Facts([event()]))
        raise RuntimeError("crash before the commit")
    assert marked(database) == []
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(EventRow)) == 0


def test_an_empty_batch_is_no_work(database: Database) -> None:
    assert write(database, Facts()) == Receipt(0, 0)
    assert marked(database) == []
