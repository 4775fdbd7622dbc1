"""Reads coverage metrics: each arm's share of the available catalogue, all arms at the same number of units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from reclift.domain.analysis import Analysis
from reclift.domain.metric import Metric
from reclift.flows.report_compare import control_of, reading
from reclift.stats.estimate import Estimate
from reclift.stats.rarefaction import compare_coverage, depth, estimate, summary
from reclift.stats.result import ArmSummary, CannotCompute, Comparison, Reason
from reclift.storage.aggregates import ArmCount
from reclift.storage.aggregates_items import MOST_UNITS, ShownItems, catalogue_size
from reclift.storage.tables import ExperimentRow


@dataclass(frozen=True, slots=True)
class CoverageRead:
    """One coverage metric.

    Attributes:
        units: at how many units of each arm it is read; None: no arm can be.
        catalogue: available items.
        levels: arm -> its coverage.
        shown: arm -> different available items that any of its units (of those read) was shown.
    """

    units: int | None
    catalogue: int
    levels: Mapping[str, ArmSummary]
    shown: Mapping[str, int]
    comparisons: list[Comparison]

    def to_dict(self) -> dict[str, Any]:
        """The rule by which it was read, as the report keeps it."""
        return {"units": self.units, "catalogue": self.catalogue}


def read_coverage(
    session: Session, row: ExperimentRow, metric: Metric, counts: Mapping[str, ArmCount], *, most: int = MOST_UNITS
) -> CoverageRead:
    """Each arm's coverage, and each arm's against the control's; what cannot be read is a reason.

    Imported experiments showed another shop's items, so they have no catalogue. `most`: units of an arm that are read.
    """
    catalogue = 0 if row.source == "imported" else catalogue_size(session)
    shown = {
        arm.key: ShownItems(session, row.key, row.phase, metric.key, arm.key, counts[arm.key].units, most)
        for arm in row.arms
    }
    spreads = {arm: items.spread() for arm, items in shown.items()}
    drawn = depth(spreads.values())
    found: dict[str, Estimate | Reason] = {}
    for arm, spread in spreads.items():
        try:
            found[arm] = estimate(spread, drawn, catalogue, shown[arm].losses)
        except CannotCompute as impossible:
            found[arm] = impossible.reason
    return CoverageRead(
        drawn or None,
        catalogue,
        {arm: summary(found[arm], spread.units) for arm, spread in spreads.items()},
        {arm: spread.shown for arm, spread in spreads.items()},
        _compare(row, metric, found),
    )


def _compare(row: ExperimentRow, metric: Metric, found: Mapping[str, Estimate | Reason]) -> list[Comparison]:
    chosen = Analysis.from_dict(row.data.get("analysis"))
    control = control_of(row)
    return [
        compare_coverage(
            found[control],
            found[arm.key],
            **reading(chosen, metric, control, arm.key),
        )
        for arm in row.arms
        if not arm.control
    ]
