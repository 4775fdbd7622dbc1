"""Named queries that add up units: what statistics eat. Units that met several arms are left out everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, case, func, select, true
from sqlalchemy.orm import Session

from reclift.domain.metric import Metric
from reclift.stats.sums import Sums
from reclift.storage.tables import ExperimentUnit, ImpressionRow, PositionTotal, UnitTotal


class ArmCount(NamedTuple):
    """How many units and lists an arm has. `several` counts units that met it first but met others too."""

    units: int
    impressions: int
    several: int


class Segment(NamedTuple):
    """Units whose attribute has this value."""

    attribute: str
    value: str


def here(experiment: str, phase: int) -> tuple[ColumnElement[bool], ...]:
    """Units of this experiment's phase."""
    return ExperimentUnit.experiment == experiment, ExperimentUnit.phase == phase


def of_segment(segment: Segment | None) -> tuple[ColumnElement[bool], ...]:
    """Units of a segment; None: all."""
    if segment is None:
        return ()
    return (ExperimentUnit.attributes[segment.attribute].as_string() == segment.value,)


def arm_counts(session: Session, experiment: str, phase: int, segment: Segment | None = None) -> dict[str, ArmCount]:
    """Units and lists by arm."""
    alone = ExperimentUnit.arms_seen == 1
    rows = session.execute(
        select(
            ExperimentUnit.arm,
            func.sum(case((alone, 1), else_=0)),
            func.sum(case((alone, ExperimentUnit.impressions), else_=0)),
            func.sum(case((alone, 0), else_=1)),
        )
        .where(*here(experiment, phase), *of_segment(segment))
        .group_by(ExperimentUnit.arm)
    )
    return {arm: ArmCount(int(units), int(impressions), int(several)) for arm, units, impressions, several in rows}


def segment_values(session: Session, experiment: str, phase: int, attribute: str, limit: int) -> list[tuple[str, int]]:
    """The most frequent values of an attribute, with their units."""
    value = ExperimentUnit.attributes[attribute].as_string()
    rows = session.execute(
        select(value, func.count())
        .where(*here(experiment, phase), ExperimentUnit.arms_seen == 1, value.is_not(None))
        .group_by(value)
        .order_by(func.count().desc(), value)
        .limit(limit)
    )
    return [(str(name), int(count)) for name, count in rows]


def segment_count(session: Session, experiment: str, phase: int, attribute: str) -> int:
    """How many values an attribute has among the units."""
    value = ExperimentUnit.attributes[attribute].as_string()
    alone = (*here(experiment, phase), ExperimentUnit.arms_seen == 1)
    return session.scalar(select(func.count(value.distinct())).where(*alone)) or 0


def cap_value(session: Session, experiment: str, phase: int, metric: Metric, units: int) -> float | None:
    """What a unit's number may be at most: the metric's cap, or its percentile over all units; None: no cap."""
    if metric.cap_percentile is None:
        return metric.cap
    known = (*of_metric(experiment, phase, metric.key), UnitTotal.arm != "")
    value = UnitTotal.numerator
    rows, negative = session.execute(
        select(func.count(), func.coalesce(func.sum(case((value < 0, 1), else_=0)), 0)).where(*known)
    ).one()
    if not units:
        return metric.cap
    everyone = max(units, rows)
    zeros = everyone - rows

    def ranked(place: int) -> float:
        """The number at a place in ascending order; those without a row are zeros between the others."""
        if negative <= place < negative + zeros:
            return 0.0
        below = place < negative
        order, offset = (value, place) if below else (value.desc(), everyone - 1 - place)
        return float(session.scalars(select(value).where(*known).order_by(order).offset(offset).limit(1)).one())

    place = (everyone - 1) * metric.cap_percentile
    low, high = floor(place), ceil(place)
    cap = ranked(low)
    if high > low:
        cap += (ranked(high) - cap) * (place - low)
    return cap if metric.cap is None else min(cap, metric.cap)


def of_metric(experiment: str, phase: int, metric: str) -> tuple[ColumnElement[bool], ...]:
    """Totals of one metric, those of units that met several arms among them (their arm is empty)."""
    return UnitTotal.experiment == experiment, UnitTotal.phase == phase, UnitTotal.metric == metric


def with_unit() -> ColumnElement[bool]:
    """The unit of a total."""
    return (
        (ExperimentUnit.experiment == UnitTotal.experiment)
        & (ExperimentUnit.phase == UnitTotal.phase)
        & (ExperimentUnit.unit_id == UnitTotal.unit_id)
    )


def products_of(metric: Metric, cap: float | None) -> dict[str, Any]:
    """Field of `Sums` -> what is added up for it; a metric without a denominator has none of `y` and `v`."""

    def capped(column: Any) -> ColumnElement[float]:
        value: ColumnElement[float] = column
        return value if cap is None else case((value > cap, cap), else_=value)

    x, y, u, v = (
        capped(UnitTotal.numerator), UnitTotal.denominator, capped(UnitTotal.pre_numerator), UnitTotal.pre_denominator
    )  # fmt: skip
    products: dict[str, Any] = {"x": x, "xx": x * x, "u": u, "uu": u * u, "xu": x * u}
    if metric.denominator is not None:
        products |= {
            "y": y, "yy": y * y, "xy": x * y, "yu": y * u, "v": v, "vv": v * v, "xv": x * v, "yv": y * v, "uv": u * v,
        }  # fmt: skip
    return products


def arm_sums(
    session: Session | Connection,
    experiment: str,
    phase: int,
    metric: Metric,
    units: Mapping[str, ArmCount],
    *,
    cap: float | None = None,
    segment: Segment | None = None,
    without: Sequence[str] = (),
) -> dict[str, Sums]:
    """Each arm's sums of one metric. Units without a row have zeros and only count in `n`; `without` are left out.

    One scan of the totals' key, which is in the order of arms; only a segment has to look its units up.
    """
    products = products_of(metric, cap)
    query = (
        select(UnitTotal.arm, *(func.sum(column) for column in products.values()))
        .where(*of_metric(experiment, phase, metric.key), *([UnitTotal.unit_id.not_in(without)] if without else []))
        .group_by(UnitTotal.arm)
    )
    if segment is not None:
        query = query.join(ExperimentUnit, with_unit()).where(*of_segment(segment))
    found = {row[0]: dict(zip(products, map(float, row[1:]), strict=True)) for row in session.execute(query)}
    return sums_by_arm(units, found)


def sums_by_arm(units: Mapping[str, ArmCount], found: Mapping[str, Mapping[str, float]]) -> dict[str, Sums]:
    """Sums of each arm, from what its units with a row add up to (field of `Sums` -> sum)."""
    return {arm: Sums(n=count.units, **{"x": 0.0, "xx": 0.0, **found.get(arm, {})}) for arm, count in units.items()}


def positions(session: Session, experiment: str, phase: int) -> list[dict[str, Any]]:
    """Impressions and clicks by arm and position."""
    rows = session.execute(
        select(
            ExperimentUnit.arm,
            PositionTotal.position,
            func.sum(PositionTotal.impressions),
            func.sum(PositionTotal.clicks),
        )
        .join(
            ExperimentUnit,
            (PositionTotal.experiment == ExperimentUnit.experiment)
            & (PositionTotal.phase == ExperimentUnit.phase)
            & (PositionTotal.unit_id == ExperimentUnit.unit_id),
        )
        .where(*here(experiment, phase), ExperimentUnit.arms_seen == 1)
        .group_by(ExperimentUnit.arm, PositionTotal.position)
        .order_by(ExperimentUnit.arm, PositionTotal.position)
    )
    return [
        {"arm": arm, "position": position, "impressions": int(shown), "clicks": int(clicks), "ctr": clicks / shown}
        for arm, position, shown, clicks in rows
        if shown
    ]


def largest_units(session: Session, experiment: str, phase: int, metric: str) -> dict[str, str]:
    """Arm -> the unit with the largest number of one metric (of equal ones, the first by id)."""
    rank = func.row_number().over(partition_by=UnitTotal.arm, order_by=(UnitTotal.numerator.desc(), UnitTotal.unit_id))
    ranked = (
        select(UnitTotal.arm, UnitTotal.unit_id, rank.label("place"))
        .where(*of_metric(experiment, phase, metric), UnitTotal.arm != "")
        .subquery()
    )
    rows = session.execute(select(ranked.c.arm, ranked.c.unit_id).where(ranked.c.place == 1))
    return {str(arm): str(unit) for arm, unit in rows}


MOST_VALUES = 30
"""An attribute with more values than this is one of units rather than of segments."""


def attribute_counts(
    session: Session, experiment: str, phase: int, arms: Sequence[str]
) -> dict[str, dict[str, list[int]]]:
    """Attribute -> value -> units by arm, in the order of `arms`; of attributes with 2 to `MOST_VALUES` values.

    Units without the attribute are not in it.
    """
    rows = session.execute(
        select(ExperimentUnit.attributes, ExperimentUnit.arm, func.count())
        .where(*here(experiment, phase), ExperimentUnit.arms_seen == 1, ExperimentUnit.arm.in_(arms))
        .group_by(ExperimentUnit.attributes, ExperimentUnit.arm)
    )
    found: dict[str, dict[str, list[int]]] = {}
    for attributes, arm, count in rows:
        for name, value in attributes.items():
            values = found.setdefault(name, {})
            if isinstance(value, str | int | bool) and (len(values) <= MOST_VALUES or str(value) in values):
                values.setdefault(str(value), [0] * len(arms))[arms.index(arm)] += count
    return {name: values for name, values in found.items() if 2 <= len(values) <= MOST_VALUES}


def latest_lists(session: Session, experiment: str, phase: int, limit: int) -> Sequence[Any]:
    """The newest lists shown: rows of arm, items, fallback, latency_ms, novelty, diversity, unit_id."""
    columns = ("arm", "items", "fallback", "latency_ms", "novelty", "diversity", "unit_id")
    return session.execute(
        select(*(getattr(ImpressionRow, name) for name in columns))
        .where(ImpressionRow.experiment == experiment, ImpressionRow.phase == phase)
        .order_by(ImpressionRow.at.desc())
        .limit(limit)
    ).all()


def data_until(session: Session, experiment: str, phase: int) -> int | None:
    """The newest fact that reports of this experiment can rest on, microseconds."""
    shown = session.scalar(
        select(func.max(ImpressionRow.at)).where(ImpressionRow.experiment == experiment, ImpressionRow.phase == phase)
    )
    exposed = session.scalar(select(func.max(ExperimentUnit.exposed_at)).where(*here(experiment, phase)))
    return max((at for at in (shown, exposed) if at is not None), default=None)


def units_between(session: Session, experiment: str, phase: int, edges: Sequence[int]) -> list[int]:
    """How many units were exposed before the first edge, between it and the next, …, after the last (microseconds)."""
    at = ExperimentUnit.exposed_at
    bounds: list[ColumnElement[bool]] = []
    for place in range(len(edges) + 1):
        low = at >= edges[place - 1] if place else true()
        high = at < edges[place] if place < len(edges) else true()
        bounds.append(low & high)
    row = session.execute(
        select(*(func.sum(case((bound, 1), else_=0)) for bound in bounds)).where(
            *here(experiment, phase), ExperimentUnit.arms_seen == 1
        )
    ).one()
    return [int(count or 0) for count in row]


def first_exposure(session: Session, experiment: str, phase: int) -> int | None:
    """When the first unit was exposed, microseconds."""
    return session.scalar(select(func.min(ExperimentUnit.exposed_at)).where(*here(experiment, phase)))
