"""Named queries for what the rollup needs of single units: as little as totals can depend on, however long they live.

Of a unit, what lies before the pre-period of its first exposure is not read. One thing from before it matters all the
same: an event whose client's clock was far behind counts at its list's time (see domain/totals.py). Such events are
few, and have an index of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from reclift.domain.totals import HOUR_MICROS
from reclift.storage.tables import ExposureRow
from reclift.storage.tables.base import Json
from reclift.storage.tables.facts import BEHIND

MARGIN = 24 * HOUR_MICROS
"""Events so much earlier than needed are read as well. One that is earlier still and belongs to a list that is needed
arrived later than EARLY before that list, so more than MARGIN - EARLY after its own time: it is one of `BEHIND`."""

_EVENT = "e.unit_id, e.type, e.at, e.received_at, e.value, e.item_id, e.recommendation_id, e.properties"
_LIST = (
    "e.unit_id, e.recommendation_id, e.at, e.placement, e.experiment, e.phase, e.arm, e.latency_ms, e.fallback, "
    "e.items, e.novelty, e.diversity"
)
_BEHIND = " AND ".join(f"e.{part}" for part in BEHIND.replace("< received", "< e.received").split(" AND "))
# The order of the join is spelled out for SQLite: unit by unit, by the index (unit_id, at).
_GIVEN = {
    "sqlite": "(SELECT json_extract(value, '$[0]') AS unit, json_extract(value, '$[1]') AS since FROM "
    "json_each(:given)) AS w CROSS JOIN",
    "postgresql": "unnest(CAST(:units AS text[]), CAST(:since AS bigint[])) AS w(unit, since) CROSS JOIN",
}


class Facts(NamedTuple):
    """Of one unit."""

    impressions: list[Any]
    events: list[Any]


def exposures(session: Session, units: Sequence[str]) -> dict[str, list[Any]]:
    """All exposures of these units, by unit."""
    found: dict[str, list[Any]] = defaultdict(list)
    query = select(
        ExposureRow.unit_id,
        ExposureRow.experiment,
        ExposureRow.phase,
        ExposureRow.arm,
        ExposureRow.at,
        ExposureRow.attributes,
    )
    for row in session.execute(query.where(ExposureRow.unit_id.in_(units))):
        found[row.unit_id].append(row)
    return found


def facts(session: Session, since: Mapping[str, int]) -> dict[str, Facts]:
    """What can matter of units: nothing before `since`, but for what the module's text names.

    Args:
        session: at one moment.
        since: unit -> microseconds; the beginning of its earliest pre-period.
    """
    result = {unit: Facts([], []) for unit in since}
    if not since:
        return result
    for row in _since(session, "impressions", _LIST, since, 0):
        result[row.unit_id].impressions.append(row)
    for row in _since(session, "events", _EVENT, since, MARGIN):
        result[row.unit_id].events.append(row)
    for row in _behind(session, since):
        result[row.unit_id].events.append(row)
    return result


def _since(session: Session, table: str, columns: str, since: Mapping[str, int], margin: int) -> Iterable[Any]:
    dialect = session.connection().dialect.name
    query = (
        f"SELECT {columns} FROM {_GIVEN[dialect]} {table} AS e "  # noqa: S608 (our own tables and columns)
        "WHERE e.unit_id = w.unit AND e.at >= w.since AND e.at >= :lowest"
    )
    start = {unit: at - margin for unit, at in since.items()}
    return session.execute(_typed(query, columns), {**_given(dialect, start), "lowest": min(start.values())})


def _behind(session: Session, since: Mapping[str, int]) -> Iterable[Any]:
    dialect = session.connection().dialect.name
    query = (
        f"SELECT {_EVENT} FROM {_GIVEN[dialect]} events AS e "  # noqa: S608 (likewise)
        f"WHERE e.unit_id = w.unit AND e.at < w.since AND {_BEHIND}"
    )
    return session.execute(_typed(query, _EVENT), _given(dialect, {unit: at - MARGIN for unit, at in since.items()}))


def _given(dialect: str, since: Mapping[str, int]) -> dict[str, Any]:
    if dialect == "sqlite":
        return {"given": orjson.dumps(list(since.items())).decode()}
    return {"units": list(since), "since": list(since.values())}


def _typed(query: str, columns: str) -> Any:
    """Columns by their place, those with JSON decoded."""
    names = [name.strip().removeprefix("e.") for name in columns.split(",")]
    json = {"properties", "fallback", "items"}
    return text(query).columns(**{name: Json if name in json else NullType for name in names})
