"""Named queries over the items that units were shown: how they spread, added up in the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import CTE, ColumnElement, Float, Integer, column, func, literal, select, values
from sqlalchemy.orm import Session

from reclift.stats.rarefaction import Losses, Spread
from reclift.storage.aggregates import here, of_metric
from reclift.storage.tables import ExperimentUnit, ItemRow, UnitTotal

MOST_UNITS = 20_000
"""Units of an arm whose items are read; of more, a random part (always the same one)."""

_DIGITS = 8


def catalogue_size(session: Session) -> int:
    """How many items are available now."""
    return session.scalar(select(func.count()).select_from(ItemRow).where(ItemRow.available)) or 0


class ShownItems:
    """One arm's units with the available items that they were shown, by one metric's rules."""

    def __init__(
        self, session: Session, experiment: str, phase: int, metric: str, arm: str, units: int, most: int = MOST_UNITS
    ) -> None:
        """`units`: how many the arm has. Nothing is read yet."""
        self._session = session
        self._phase = here(experiment, phase)
        self._of_metric = of_metric(experiment, phase, metric)
        self._arm = arm
        self._units = units
        self._share = min(1.0, most / units) if units else 1.0

    def spread(self) -> Spread:
        """The arm's units, their lists, and how many items so many of them were shown."""
        met = self._met(self._shown())
        rows = self._session.execute(select(met.c.met, func.count()).group_by(met.c.met))
        return Spread(self._counted(), self._lists(), {int(many): int(count) for many, count in rows})

    def losses(self, weights: Mapping[int, float]) -> Losses:
        """The sum over units of the weights of their items, and of its square; a weight by how many units met the item.

        Items whose weight is next to nothing (many units met them) are left out before units are looked at.
        """
        most = max(weights.values(), default=0.0)
        told = [(met, weight) for met, weight in weights.items() if weight > most * 1e-9]
        if not told:
            return Losses(0.0, 0.0)
        shown = self._shown()
        given = values(column("met", Integer), column("weight", Float), name="given").data(told).cte("weights")
        met = self._met(shown)
        rare = select(met.c.item_id, given.c.weight).join(given, given.c.met == met.c.met).cte("rare")
        # An outer join: SQLite would else go through all units for each item.
        weighed = (
            select(func.sum(rare.c.weight).label("loss"))
            .select_from(shown)
            .outerjoin(rare, rare.c.item_id == shown.c.item_id)
            .group_by(shown.c.unit_id)
            .subquery()
        )
        total, squares = self._session.execute(
            select(func.sum(weighed.c.loss), func.sum(weighed.c.loss * weighed.c.loss))
        ).one()
        return Losses(float(total or 0.0), float(squares or 0.0))

    def _shown(self) -> CTE:
        """Unit and item, each pair once; also items that are not available."""
        if self._session.get_bind().dialect.name == "sqlite":
            each = func.json_each(UnitTotal.sample).table_valued("value", name="each")
        else:
            each = func.jsonb_array_elements_text(UnitTotal.sample).table_valued("value", name="each").render_derived()
        return (
            select(UnitTotal.unit_id, each.c.value.label("item_id"))
            .select_from(UnitTotal)
            .join(each, literal(value=True))
            .where(*self._of_metric, UnitTotal.arm == self._arm, *self._drawn(UnitTotal.unit_id))
            .cte("shown")
        )

    def _met(self, shown: CTE) -> CTE:
        """Available items with how many units were shown them. Asked of each item once, not of each unit's."""
        counted = (
            select(shown.c.item_id, func.count().label("met"))
            .select_from(shown)
            .group_by(shown.c.item_id)
            .cte("counted")
        )
        there = select(ItemRow.item_id).where(ItemRow.item_id == counted.c.item_id, ItemRow.available).exists()
        return select(counted.c.item_id, counted.c.met).where(there).cte("met")

    def _lists(self) -> int:
        query = select(func.sum(UnitTotal.denominator)).where(
            *self._of_metric, UnitTotal.arm == self._arm, *self._drawn(UnitTotal.unit_id)
        )
        return round(self._session.scalar(query) or 0)

    def _counted(self) -> int:
        if self._share >= 1.0:
            return self._units
        query = select(func.count()).where(
            *self._phase, ExperimentUnit.arm == self._arm, ExperimentUnit.arms_seen == 1,
            *self._drawn(ExperimentUnit.unit_id),
        )  # fmt: skip
        return self._session.scalar(query) or 0

    def _drawn(self, unit: Any) -> tuple[ColumnElement[bool], ...]:
        """Units whose hash is in the lowest part: as many as may be read, whoever they are and whenever they came."""
        if self._share >= 1.0:
            return ()
        below = int(self._share * 256**_DIGITS).to_bytes(_DIGITS)
        name = unit if self._session.get_bind().dialect.name == "sqlite" else func.convert_to(unit, "UTF8")
        return (func.sha256(name) < below,)
