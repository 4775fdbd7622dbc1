"""Arms' sums of many metrics at once: in as few scans as there can be, or side by side."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session

from reclift.domain.metric import Metric
from reclift.stats.sums import Sums
from reclift.storage.aggregates import ArmCount, Segment, arm_sums, of_segment, products_of, sums_by_arm, with_unit
from reclift.storage.database import abreast
from reclift.storage.tables import ExperimentUnit, UnitTotal

BySums = dict[str, dict[str, Sums]]
"""Metric's key -> arm -> sums."""


class Asked(NamedTuple):
    """A metric whose sums are wanted, and what a unit's number may be at most (None: no cap)."""

    metric: Metric
    cap: float | None = None


def many_arm_sums(
    session: Session,
    experiment: str,
    phase: int,
    asked: Sequence[Asked],
    units: Mapping[str, ArmCount],
    *,
    segment: Segment | None = None,
) -> BySums:
    """Metric's key -> what `arm_sums` gives for it; whatever the number of units, a row for each metric and arm.

    PostgreSQL adds up all metrics without a cap in one query, which its workers share among them (with a query for each
    they would be started again for each); a cap has a query of its own. On SQLite one query for all takes as long as
    one for each, so these are shared among the session's connections (`Database.read_abreast`).
    """
    if session.get_bind().dialect.name == "sqlite":
        return _each(session, experiment, phase, asked, units, segment)
    found: BySums = {}
    for ratios in (False, True):
        alike = [one.metric for one in asked if one.cap is None and (one.metric.denominator is not None) is ratios]
        if alike:
            found |= _together(session, experiment, phase, alike, units, segment)
    return found | _each(session, experiment, phase, [one for one in asked if one.cap is not None], units, segment)


def _together(
    session: Session,
    experiment: str,
    phase: int,
    metrics: Sequence[Metric],
    units: Mapping[str, ArmCount],
    segment: Segment | None,
) -> BySums:
    """In one query. All metrics have a denominator, or none has."""
    products = products_of(metrics[0], None)
    query = (
        select(UnitTotal.metric, UnitTotal.arm, *(func.sum(column) for column in products.values()))
        .where(
            UnitTotal.experiment == experiment,
            UnitTotal.phase == phase,
            UnitTotal.metric.in_([metric.key for metric in metrics]),
        )
        .group_by(UnitTotal.metric, UnitTotal.arm)
    )
    if segment is not None:
        query = query.join(ExperimentUnit, with_unit()).where(*of_segment(segment))
    found: dict[str, dict[str, dict[str, float]]] = {metric.key: {} for metric in metrics}
    for key, arm, *sums in session.execute(query):
        found[key][arm] = dict(zip(products, map(float, sums), strict=True))
    return {key: sums_by_arm(units, by_arm) for key, by_arm in found.items()}


def _each(
    session: Session,
    experiment: str,
    phase: int,
    asked: Sequence[Asked],
    units: Mapping[str, ArmCount],
    segment: Segment | None,
) -> BySums:
    """In a query for each, on as many connections as the session has; the calling thread uses its own."""
    own, *others = abreast(session)
    waiting = iter(asked)
    lock = threading.Lock()

    def work(connection: Connection) -> BySums:
        found: BySums = {}
        while True:
            with lock:
                one = next(waiting, None)
            if one is None:
                return found
            found[one.metric.key] = arm_sums(
                connection, experiment, phase, one.metric, units, cap=one.cap, segment=segment
            )

    if not others or len(asked) < 2:
        return work(own)
    with ThreadPoolExecutor(len(others), thread_name_prefix="sums") as pool:
        begun = [pool.submit(work, other) for other in others]
        found = work(own)
        for one in begun:
            found |= one.result()
    return found
