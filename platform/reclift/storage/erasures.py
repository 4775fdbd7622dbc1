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
from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from reclift.domain.events import MICROS, Facts
from reclift.storage.database import rows_changed
from reclift.storage.tables import Erasure

log = structlog.get_logger(__name__)

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


def refuse(batches: Sequence[Facts], gone: Mapping[str, int]) -> int:
    """Take out what was recorded of erased people before they were; how many rows that were.

    An exposure keeps no time of its arrival: it is refused by the time when it happened.
    """
    refused = 0
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
    recorded = row.get("received_at", row.get("at"))
    return until is not None and isinstance(recorded, int) and recorded <= until


def forget(session: Session, now: int) -> int:
    """Remove tombstones that nothing can come up against any more; how many."""
    old = Erasure.at < now - KEPT_DAYS * 86_400 * MICROS
    return rows_changed(session.execute(delete(Erasure).where(old)))
