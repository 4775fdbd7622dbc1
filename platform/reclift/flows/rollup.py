"""Keeps units' totals right: recomputes, from the raw facts, just those units that have new ones.

Idempotent, and exact with late, repeated and out-of-order facts, because a unit is always computed whole, from all
facts that its totals can depend on (see storage/unit_facts.py). Safe with several workers without a lock: a worker
writes only if the marks it claimed are all still there when it deletes them; if not, another worker was faster, and it
starts over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from reclift.domain.analysis import Analysis
from reclift.domain.totals import Day, Measured, Unit, UnitFacts, compute
from reclift.flows import metrics as metric_flow
from reclift.flows.holdouts import KIND
from reclift.flows.identity import merge_late
from reclift.flows.retention import settled
from reclift.storage import unit_facts
from reclift.storage.database import Database
from reclift.storage.tables import (
    DirtyUnit,
    ExperimentRow,
    ExperimentUnit,
    ExposureRow,
    PositionTotal,
    UnitDay,
    UnitTotal,
)

log = structlog.get_logger(__name__)

BATCH = 500
_MOST_PARAMETERS = 10_000
# Facts of settled experiments may be gone (see flows/retention.py).
_RECOMPUTED = ExperimentRow.started_at.is_not(None), ExperimentRow.settled_at.is_(None)
_RESULTS: tuple[Any, ...] = (ExperimentUnit, UnitTotal, UnitDay, PositionTotal)


class _Overtaken(Exception):  # noqa: N818 (a state, not a mistake)
    """Another worker has done this batch."""


@dataclass(slots=True)
class _Rows:
    units: list[dict[str, Any]] = field(default_factory=list)
    totals: list[dict[str, Any]] = field(default_factory=list)
    days: list[dict[str, Any]] = field(default_factory=list)
    positions: list[dict[str, Any]] = field(default_factory=list)


def measured(session: Session) -> dict[tuple[str, int], Measured]:
    """(experiment, phase) -> what its reports show."""
    known = metric_flow.all_metrics(session)
    result: dict[tuple[str, int], Measured] = {}
    for row in session.scalars(select(ExperimentRow).where(*_RECOMPUTED)):
        keys = [row.metrics.get("primary"), *row.metrics.get("secondary", ()), *row.metrics.get("guardrails", ())]
        chosen = [known[key] for key in dict.fromkeys(keys) if key in known]
        past_days = Analysis.from_dict(row.data.get("analysis")).cuped_days
        one = Measured(chosen, everything=row.kind == KIND, placement=row.placement, past_days=past_days)
        result |= {(row.key, phase): one for phase in range(1, row.phase + 1)}
    return result


def roll_up(database: Database, *, batch: int = BATCH, most: int | None = None) -> int:
    """Recompute units that are marked, all or about `most`; returns how many units that were."""
    merge_late(database)
    done = 0
    while most is None or done < most:
        try:
            units = _one_batch(database, batch)
        except _Overtaken:
            continue
        if not units:
            break
        done += units
    return done


def mark_all(session: Session, experiment: str) -> None:
    """Let the rollup compute all units of an experiment anew, as after a change of its metrics or past."""
    units = select(ExposureRow.unit_id).where(ExposureRow.experiment == experiment).distinct()
    session.execute(insert(DirtyUnit).from_select(["unit_id"], units))


def waiting(session: Session) -> int:
    """How many marks wait."""
    return session.scalar(select(func.count()).select_from(DirtyUnit)) or 0


def _one_batch(database: Database, batch: int) -> int:
    with database.read() as session:
        units = session.scalars(select(DirtyUnit.unit_id).order_by(DirtyUnit.id).limit(batch)).all()
        units = list(dict.fromkeys(units))
        if not units:
            return 0
        marks = session.scalars(select(DirtyUnit.id).where(DirtyUnit.unit_id.in_(units)).order_by(DirtyUnit.id)).all()
        rows = _compute(session, units)
        final = settled(session)
    with database.write() as session:
        for part in _portions(marks):
            # Locked in their order, so that two workers never hold each other up; not there: another was faster.
            mine = select(DirtyUnit.id).where(DirtyUnit.id.in_(part)).order_by(DirtyUnit.id).with_for_update()
            if len(session.scalars(mine).all()) != len(part):
                session.rollback()
                raise _Overtaken
        for part in _portions(marks):
            session.execute(delete(DirtyUnit).where(DirtyUnit.id.in_(part)))
        for table in _RESULTS:
            session.execute(delete(table).where(table.unit_id.in_(units), table.experiment.not_in(final)))
        for table, new in zip(_RESULTS, (rows.units, rows.totals, rows.days, rows.positions), strict=True):
            if new:
                session.execute(insert(table), new)
    return len(units)


def _portions(marks: Sequence[int]) -> Iterator[Sequence[int]]:
    """A busy unit may have more marks than a statement may have parameters."""
    for start in range(0, len(marks), _MOST_PARAMETERS):
        yield marks[start : start + _MOST_PARAMETERS]


def _compute(session: Session, units: Sequence[str]) -> _Rows:
    chosen = measured(session)
    met = unit_facts.exposures(session, units)
    since: dict[str, int] = {}
    for unit, exposures in met.items():
        known = [
            (row.at, chosen[row.experiment, row.phase]) for row in exposures if (row.experiment, row.phase) in chosen
        ]
        if known:
            since[unit] = min(at - one.past for at, one in known)
    found = unit_facts.facts(session, since)
    result = _Rows()
    for unit, (impressions, events) in found.items():
        for (experiment, phase), computed in compute(UnitFacts(met[unit], impressions, events), chosen).items():
            _add(result, unit, experiment, phase, computed)
    return result


def _add(rows: _Rows, unit: str, experiment: str, phase: int, computed: Unit) -> None:
    key = {"experiment": experiment, "phase": phase, "unit_id": unit}
    rows.units.append(
        {
            **key,
            "arm": computed.arm,
            "exposed_at": computed.exposed_at,
            "day": computed.day,
            "arms_seen": computed.arms_seen,
            "impressions": computed.impressions,
            "attributes": computed.attributes,
        }
    )
    for metric, total in computed.totals.items():
        rows.totals.append(
            {
                **key,
                "metric": metric,
                "arm": computed.arm if computed.arms_seen == 1 else "",
                "numerator": total.numerator,
                "denominator": total.denominator,
                "pre_numerator": total.pre_numerator,
                "pre_denominator": total.pre_denominator,
                "sample": None if total.sample is None else list(total.sample),
            }
        )
        rows.days += [_day(key, metric, day) for day in total.days]
    rows.positions += [
        {**key, "position": position, "impressions": shown, "clicks": clicks}
        for position, (shown, clicks) in computed.positions.items()
    ]


def _day(key: Mapping[str, Any], metric: str, day: Day) -> dict[str, Any]:
    return {**key, "metric": metric, "day": day.day, "numerator": day.numerator, "denominator": day.denominator}
