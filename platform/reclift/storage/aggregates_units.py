"""Named queries that keep units apart: by an attribute's value (strata), or one by one (quantiles, the bootstrap)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from reclift.domain.metric import Metric
from reclift.stats.bootstrap import UnitValues
from reclift.stats.quantile import Sample
from reclift.stats.sums import Sums
from reclift.storage.aggregates import Segment, here, of_metric, of_segment, products_of, with_unit
from reclift.storage.tables import ExperimentUnit, UnitTotal


def strata_sums(
    session: Session, experiment: str, phase: int, metric: Metric, attribute: str, cap: float | None
) -> list[dict[str, Sums]]:
    """Arm -> sums, for each value of an attribute (as it was at the exposure), those without it among them."""
    value = ExperimentUnit.attributes[attribute].as_string()
    counts = session.execute(
        select(value, ExperimentUnit.arm, func.count())
        .where(*here(experiment, phase), ExperimentUnit.arms_seen == 1)
        .group_by(value, ExperimentUnit.arm)
    )
    units = {(name, arm): count for name, arm, count in counts}
    products = products_of(metric, cap)
    rows = session.execute(
        select(value, UnitTotal.arm, *(func.sum(column) for column in products.values()))
        .join(ExperimentUnit, with_unit())
        .where(*of_metric(experiment, phase, metric.key), UnitTotal.arm != "")
        .group_by(value, UnitTotal.arm)
    )
    found = {(row[0], row[1]): dict(zip(products, map(float, row[2:]), strict=True)) for row in rows}
    strata: dict[str | None, dict[str, Sums]] = {}
    for (name, arm), count in sorted(units.items(), key=lambda one: (one[0][0] or "", one[0][0] is None, one[0][1])):
        sums = {"x": 0.0, "xx": 0.0} | found.get((name, arm), {})
        strata.setdefault(name, {})[arm] = Sums(n=count, **sums)
    return list(strata.values())


def samples(
    session: Session, experiment: str, phase: int, metric: str, arms: Sequence[str], segment: Segment | None = None
) -> dict[str, Sample]:
    """Arm -> the single values of a quantile metric and whose each is; units are numbered within the arm."""
    found = {}
    for arm in arms:
        query = (
            select(UnitTotal.sample)
            .where(*of_metric(experiment, phase, metric), UnitTotal.arm == arm, UnitTotal.sample.is_not(None))
            .order_by(UnitTotal.unit_id)
        )
        if segment is not None:
            query = query.join(ExperimentUnit, with_unit()).where(*of_segment(segment))
        rows = session.scalars(query).all()
        lengths = [len(row or ()) for row in rows]
        values = np.array([value for row in rows for value in row or ()], dtype=np.float64)
        found[arm] = Sample(values, np.repeat(np.arange(len(rows), dtype=np.int64), lengths))
    return found


def unit_values(
    session: Session, experiment: str, phase: int, metric: str, arms: Sequence[str], cap: float | None
) -> dict[str, UnitValues]:
    """Arm -> the values of its units that have any, in the order of their ids."""
    found = {}
    for arm in arms:
        rows = session.execute(
            select(UnitTotal.numerator, UnitTotal.denominator, UnitTotal.pre_numerator, UnitTotal.pre_denominator)
            .where(*of_metric(experiment, phase, metric), UnitTotal.arm == arm)
            .order_by(UnitTotal.unit_id)
        ).all()
        table = np.array([tuple(row) for row in rows], dtype=np.float64).reshape(len(rows), 4)
        x, y, u, v = table.T
        if cap is not None:
            x, u = np.minimum(x, cap), np.minimum(u, cap)
        found[arm] = UnitValues(x, y, u, v)
    return found
