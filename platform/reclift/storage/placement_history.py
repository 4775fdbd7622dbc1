"""Named queries over a placement's past: what planning an experiment there can rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from reclift.domain.totals import UnitFacts
from reclift.storage.tables import EventRow, ExposureRow, ImpressionRow, Profile

_CHUNK = 500


@dataclass(slots=True)
class Start:
    """A unit's first list in the period, in the shape of an exposure."""

    experiment: str
    phase: int
    arm: str
    at: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


def newest_list(session: Session, placement: str) -> int | None:
    """When the placement last showed a list, microseconds."""
    return session.scalar(select(func.max(ImpressionRow.at)).where(ImpressionRow.placement == placement))


def first_lists(session: Session, placement: str, since: int, until: int) -> list[tuple[str, int]]:
    """Each unit that was shown a list in [since, until), in order of id, and when for the first time."""
    rows = session.execute(
        select(ImpressionRow.unit_id, func.min(ImpressionRow.at))
        .where(ImpressionRow.placement == placement, ImpressionRow.at >= since, ImpressionRow.at < until)
        .group_by(ImpressionRow.unit_id)
        .order_by(ImpressionRow.unit_id)
    )
    return [(unit, int(at)) for unit, at in rows]


def attributes_of(session: Session, units: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Unit -> its attributes, of those of whom any are known: of its newest exposure, else of its profile."""
    found: dict[str, Mapping[str, Any]] = {}
    for begin in range(0, len(units), _CHUNK):
        part = units[begin : begin + _CHUNK]
        profiles = session.execute(select(Profile.unit_id, Profile.attributes).where(Profile.unit_id.in_(part)))
        found |= {unit: attributes for unit, attributes in profiles if attributes}
        met = session.execute(
            select(ExposureRow.unit_id, ExposureRow.attributes)
            .where(ExposureRow.unit_id.in_(part))
            .order_by(ExposureRow.at, ExposureRow.experiment, ExposureRow.arm)
        )
        found |= {unit: attributes for unit, attributes in met if attributes}
    return found


def facts_of(session: Session, starts: Sequence[tuple[str, int]], until: int, label: str) -> Iterator[UnitFacts]:
    """Each unit's facts before `until`, as if an experiment `label` had met it at its start."""
    for begin in range(0, len(starts), _CHUNK):
        part = dict(starts[begin : begin + _CHUNK])
        lists: dict[str, list[Any]] = {unit: [] for unit in part}
        events: dict[str, list[Any]] = {unit: [] for unit in part}
        wanted = ImpressionRow.unit_id.in_(part), ImpressionRow.at < until
        for shown in session.execute(select(*ImpressionRow.__table__.columns).where(*wanted)):
            lists[shown.unit_id].append(shown)
        for done in session.execute(
            select(*EventRow.__table__.columns).where(EventRow.unit_id.in_(part), EventRow.at < until)
        ):
            events[done.unit_id].append(done)
        for unit, at in part.items():
            yield UnitFacts([Start(label, 1, "", at)], lists[unit], events[unit])
