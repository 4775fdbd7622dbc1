"""Tombstones of erased people: what was recorded before and turns up afterwards does not bring them back.

A spool of another host, a batch that a process holds in its hands, a copy of a spool that is replayed: none of them can
be searched when a person is erased. So a hash of each of the person's ids is kept with the time, and whatever is
written into the tables is held against it. Where a person comes back as the same id, what is recorded from then on is
kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from reclift.domain.events import MICROS, Facts
from reclift.storage.database import rows_changed
from reclift.storage.tables import Erasure

log = structlog.get_logger(__name__)

_MOST_PARAMETERS = 10_000
KEPT_DAYS = 400
"""Nothing older is drained any more; then the tombstone goes as well."""


def digest(unit: str) -> str:
    """What is kept of an id (BLAKE2b, 128 bits). With RECLIFT_PSEUDONYM_KEY the id is a keyed hash already."""
    return hashlib.blake2b(unit.encode(errors="surrogatepass"), digest_size=16, person=b"reclift-erased").hexdigest()


def note(session: Session, ids: Iterable[str], at: int) -> None:
    """These ids were erased at this time, microseconds; in the caller's transaction."""
    dialect = postgresql if session.connection().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(Erasure)
    later = statement.on_conflict_do_update(
        index_elements=["digest"],
        set_={"at": statement.excluded.at},
        where=Erasure.at < statement.excluded.at,
    )
    session.execute(later, [{"digest": one, "at": at} for one in sorted({digest(unit) for unit in ids})])


def erased(connection: Connection, units: Iterable[str]) -> dict[str, int]:
    """Those of these ids that were erased, and when."""
    names = {digest(unit): unit for unit in units}
    found: dict[str, int] = {}
    every = list(names)
    for start in range(0, len(every), _MOST_PARAMETERS):
        part = every[start : start + _MOST_PARAMETERS]
        for row in connection.execute(select(Erasure.digest, Erasure.at).where(Erasure.digest.in_(part))):
            found[names[row.digest]] = row.at
    return found


def is_of_before(row: Mapping[str, Any], at: int) -> bool:
    """Whether it was recorded by then. An exposure keeps no time of its arrival: it is held to when it happened."""
    recorded = row.get("received_at", row.get("at"))
    return isinstance(recorded, int) and recorded <= at


def refuse(batches: Sequence[Facts], gone: Mapping[str, int]) -> int:
    """Take out what was recorded of erased people before they were; how many rows that were."""
    refused = 0
    if not gone:
        return refused
    for facts in batches:
        for rows in (facts.events, facts.impressions, facts.exposures):
            kept = [row for row in rows if not _is_of_before(row, gone)]
            refused += len(rows) - len(kept)
            rows[:] = kept
    if refused:
        log.info("facts_of_erased_people_refused", facts=refused)
    return refused


def _is_of_before(row: Mapping[str, Any], gone: Mapping[str, int]) -> bool:
    unit: Any = row.get("unit_id")
    until = gone.get(unit) if isinstance(unit, str) else None
    return until is not None and is_of_before(row, until)


def forget(session: Session, now: int) -> int:
    """Remove tombstones that nothing can come up against any more; how many."""
    old = Erasure.at < now - KEPT_DAYS * 86_400 * MICROS
    return rows_changed(session.execute(delete(Erasure).where(old)))
