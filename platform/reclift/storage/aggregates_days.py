"""Named queries by day: what units added, since when they are in, and what they did before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Float, case, cast, func, select
from sqlalchemy.orm import Session

from reclift.domain.metric import Metric
from reclift.stats.sums import Sums
from reclift.storage.aggregates import here
from reclift.storage.tables import ExperimentUnit, UnitDay, UnitTotal


class DayTable(NamedTuple):
    """What units added by day, as arrays: `unit` and `arm` are positions; `joined` is each unit's day of exposure."""

    days: NDArray[np.int64]
    unit: NDArray[np.int64]
    numerator: NDArray[np.float64]
    denominator: NDArray[np.float64]
    arm_of_unit: NDArray[np.int64]
    joined: NDArray[np.int64]


def unit_index(session: Session, experiment: str, phase: int, arms: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Unit -> (position, arm's position, day of exposure)."""
    rows = session.execute(
        select(ExperimentUnit.unit_id, ExperimentUnit.arm, ExperimentUnit.day).where(
            *here(experiment, phase), ExperimentUnit.arms_seen == 1, ExperimentUnit.arm.in_(arms)
        )
    )
    places = {arm: place for place, arm in enumerate(arms)}
    return {unit: (number, places[arm], day) for number, (unit, arm, day) in enumerate(rows)}


def day_table(
    session: Session, experiment: str, phase: int, metric: str, index: dict[str, tuple[int, int, int]]
) -> DayTable:
    """The metric's daily additions, in order of days."""
    rows = session.execute(
        select(UnitDay.day, UnitDay.unit_id, UnitDay.numerator, UnitDay.denominator)
        .where(UnitDay.experiment == experiment, UnitDay.phase == phase, UnitDay.metric == metric)
        .order_by(UnitDay.day)
    )
    kept = [(day, index[unit][0], num, den) for day, unit, num, den in rows if unit in index]
    table = np.array(kept, dtype=np.float64).reshape(len(kept), 4)
    people = np.array([(arm, day) for _, arm, day in index.values()], dtype=np.int64).reshape(len(index), 2)
    return DayTable(
        table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2], table[:, 3], people[:, 0], people[:, 1]
    )


def daily_counts(session: Session, experiment: str, phase: int, arms: Sequence[str]) -> dict[int, list[int]]:
    """Day (since 1970, UTC) -> how many units each arm got on it, in the order of `arms`."""
    rows = session.execute(
        select(ExperimentUnit.day, ExperimentUnit.arm, func.count())
        .where(*here(experiment, phase), ExperimentUnit.arms_seen == 1)
        .group_by(ExperimentUnit.day, ExperimentUnit.arm)
    )
    result: dict[int, list[int]] = {}
    for day, arm, count in rows:
        if arm in arms:
            result.setdefault(day, [0] * len(arms))[arms.index(arm)] = count
    return result


def sums_since_exposure(
    session: Session,
    experiment: str,
    phase: int,
    metric: Metric,
    arms: Sequence[str],
    last: int,
    length: int,
    cap: float | None,
) -> list[list[Sums]]:
    """What units did on the 0th, 1st, … day since their exposure: for each such day the arms' sums, at most `length`.

    On each day only units count for which it is not after `last` (a day since 1970).
    """
    joined = daily_counts(session, experiment, phase, arms)
    since = UnitDay.day - ExperimentUnit.day
    x: Any = cast(UnitDay.numerator, Float)
    x = x if cap is None else case((x > cap, cap), else_=x)
    y = cast(UnitDay.denominator, Float)
    rows = session.execute(
        select(since, ExperimentUnit.arm, *(func.sum(one) for one in (x, x * x, y, y * y, x * y)))
        .join(
            UnitDay,
            (UnitDay.experiment == ExperimentUnit.experiment)
            & (UnitDay.phase == ExperimentUnit.phase)
            & (UnitDay.unit_id == ExperimentUnit.unit_id),
        )
        .where(
            *here(experiment, phase),
            ExperimentUnit.arms_seen == 1,
            ExperimentUnit.arm.in_(arms),
            UnitDay.metric == metric.key,
            UnitDay.day <= last,
            since.between(0, length - 1),
        )
        .group_by(since, ExperimentUnit.arm)
    )
    found = {(int(day), str(arm)): [float(value) for value in sums] for day, arm, *sums in rows}
    result = []
    for day in range(length):
        units = [sum(count[place] for at, count in joined.items() if at + day <= last) for place in range(len(arms))]
        if not any(units):
            break
        result.append([Sums(n, *found.get((day, arm), [0.0] * 5)) for n, arm in zip(units, arms, strict=True)])
    return result


class Past(NamedTuple):
    """A metric of each unit before its exposure, by the unit's position."""

    numerator: NDArray[np.float64]
    denominator: NDArray[np.float64]


def past_values(
    session: Session,
    experiment: str,
    phase: int,
    metric: str,
    index: dict[str, tuple[int, int, int]],
    cap: float | None,
) -> Past:
    """The metric's values before exposure, capped like those after it."""
    past = Past(np.zeros(len(index)), np.zeros(len(index)))
    rows = session.execute(
        select(UnitTotal.unit_id, UnitTotal.pre_numerator, UnitTotal.pre_denominator).where(
            UnitTotal.experiment == experiment, UnitTotal.phase == phase, UnitTotal.metric == metric
        )
    )
    for unit, numerator, denominator in rows:
        if unit in index:
            place = index[unit][0]
            past.numerator[place] = numerator if cap is None else min(numerator, cap)
            past.denominator[place] = denominator
    return past
