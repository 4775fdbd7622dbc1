"""One person, many ids: what was logged under an id that turns out to be somebody's becomes theirs.

A person who was met under two ids may have been in two arms. That is not hidden: both exposures stay, the report counts
such people and, by default, leaves them out, because what they did cannot be put down to either arm.
"""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from reclift.domain.events import Facts
from reclift.flows.configuration import aliases_changed
from reclift.flows.retention import settled
from reclift.storage.database import Database
from reclift.storage.facts import write_facts
from reclift.storage.tables import (
    Alias,
    DirtyUnit,
    EventRow,
    ExperimentUnit,
    ExposureRow,
    ImpressionRow,
    PositionTotal,
    Profile,
    UnitDay,
    UnitTotal,
)


def merge(session: Session, alias: str, unit: str) -> None:
    """Give everything logged under `alias` to `unit`, in the caller's transaction; totals follow with the rollup."""
    moved = [
        {
            "experiment": row.experiment,
            "phase": row.phase,
            "unit_id": unit,
            "arm": row.arm,
            "at": row.at,
            "source": row.source,
            "attributes": row.attributes,
        }
        for row in session.scalars(select(ExposureRow).where(ExposureRow.unit_id == alias))
    ]
    session.execute(delete(ExposureRow).where(ExposureRow.unit_id == alias))
    for facts in (EventRow, ImpressionRow):
        session.execute(update(facts).where(facts.unit_id == alias).values(unit_id=unit))
    final = settled(session)  # nobody could compute those anew
    for results in (ExperimentUnit, UnitTotal, UnitDay, PositionTotal):
        session.execute(delete(results).where(results.unit_id == alias, results.experiment.not_in(final)))
    session.execute(delete(DirtyUnit).where(DirtyUnit.unit_id == alias))
    profile = session.get(Profile, alias)
    if profile is not None:
        if session.get(Profile, unit) is None:
            session.add(Profile(unit_id=unit, attributes=profile.attributes, updated_at=profile.updated_at))
        session.delete(profile)
    write_facts(session.connection(), Facts(exposures=moved))
    session.execute(insert(DirtyUnit), [{"unit_id": unit}])


def merge_late(database: Database) -> int:
    """Merge what was logged under an alias after it was made known; returns for how many aliases.

    A process that has not seen the alias yet, or a spool file of an hour ago, still writes under the old id.
    """
    query = select(Alias.alias, Alias.unit_id).where(Alias.alias.in_(select(DirtyUnit.unit_id))).order_by(Alias.alias)
    with database.read() as session:
        late = session.execute(query).all()
    for alias, unit in late:
        with database.write() as session:
            merge(session, alias, unit)
            aliases_changed(session)
    return len(late)
