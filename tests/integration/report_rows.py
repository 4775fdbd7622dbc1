"""Units and their totals written straight into the tables of results: experiments whose truth is known by design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sqlalchemy import insert

from reclift.flows.clock import now_micros
from reclift.storage.database import Database
from reclift.storage.tables import ExperimentRow, ExperimentUnit, UnitDay, UnitTotal

DAY = 86_400_000_000


def differ(database: Database, key: str = "sim") -> None:
    """Give each arm another strategy: an experiment whose arms all do the same is an A/A test."""
    with database.write() as session:
        row = session.query(ExperimentRow).filter_by(key=key).one()
        for place, arm in enumerate(row.arms):
            arm.strategy = f"none-{place}"


def write_units(
    database: Database,
    arms: Sequence[str],
    *,
    key: str = "sim",
    metrics: Mapping[str, Mapping[str, ArrayLike]],
    days_ago: Sequence[int] | None = None,
    attributes: Sequence[Mapping[str, Any]] | None = None,
    by_day: Mapping[str, Sequence[tuple[int, int, float, float]]] | None = None,
) -> None:
    """One unit for each entry of `arms`.

    `metrics`: key -> columns x, y, u, v. `by_day`: metric -> (unit, day, x, y).
    """
    start = now_micros() - 300_000_000
    when = [start - days * DAY for days in (days_ago if days_ago is not None else [0] * len(arms))]
    here = {"experiment": key, "phase": 1}
    names = [f"{key}-{number}" for number in range(len(arms))]
    with database.write() as session:
        session.execute(
            insert(ExperimentUnit),
            [
                {**here, "unit_id": names[place], "arm": arm, "exposed_at": when[place], "day": when[place] // DAY,
                 "arms_seen": 1, "impressions": 1, "attributes": dict(attributes[place]) if attributes else {}}
                for place, arm in enumerate(arms)
            ],
        )  # fmt: skip
        for metric, columns in metrics.items():
            zero = np.zeros(len(arms))
            x, y, u, v = (np.asarray(columns.get(name, zero), dtype=float) for name in "xyuv")
            session.execute(
                insert(UnitTotal),
                [
                    {**here, "metric": metric, "arm": arms[place], "unit_id": names[place], "numerator": x[place],
                     "denominator": y[place], "pre_numerator": u[place], "pre_denominator": v[place]}
                    for place in range(len(arms))
                ],
            )  # fmt: skip
        for metric, rows in (by_day or {}).items():
            session.execute(
                insert(UnitDay),
                [
                    {**here, "metric": metric, "unit_id": names[place], "day": day, "numerator": x, "denominator": y}
                    for place, day, x, y in rows
                ],
            )
