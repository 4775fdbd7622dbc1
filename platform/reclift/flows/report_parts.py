"""The report beside the lifts: can it be trusted, how did it develop, where did clicks fall."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from reclift.domain.analysis import Analysis
from reclift.domain.metric import Metric
from reclift.flows.report_compare import reading
from reclift.stats.comparison import compare
from reclift.stats.sums import Sums
from reclift.storage.aggregates import positions
from reclift.storage.aggregates_days import DayTable, Past, day_table, past_values, unit_index
from reclift.storage.tables import ExperimentRow

MOST_DAYS = 400
_EPOCH = date(1970, 1, 1)


def series(
    session: Session, row: ExperimentRow, metrics: Sequence[tuple[Metric, float | None]]
) -> dict[str, list[dict[str, Any]]]:
    """Cumulative lift by day (UTC), the last `MOST_DAYS`: what the report would have said at the end of each day.

    Each metric comes with the cap of its units' numbers, which is today's on all days: so the last day is the report.
    """
    arms = [arm.key for arm in sorted(row.arms, key=lambda arm: not arm.control)]
    index = unit_index(session, row.key, row.phase, arms)
    if not index:
        return {}
    chosen = Analysis.from_dict(row.data.get("analysis"))
    found = {}
    for metric, cap in metrics:
        table = day_table(session, row.key, row.phase, metric.key, index)
        past = past_values(session, row.key, row.phase, metric.key, index, cap) if chosen.cuped else None
        found[metric.key] = _cumulate(table, past, arms, metric, cap, chosen)
    return found


def _cumulate(
    table: DayTable,
    past: Past | None,
    arms: Sequence[str],
    metric: Metric,
    cap: float | None,
    chosen: Analysis,
) -> list[dict[str, Any]]:
    units = len(table.arm_of_unit)
    x, y = np.zeros(units), np.zeros(units)
    result = []
    first = int(min(table.joined.min(), table.days.min() if len(table.days) else table.joined.min()))
    last = int(max(table.joined.max(), table.days.max() if len(table.days) else table.joined.max()))
    first = max(first, last - MOST_DAYS + 1)
    edges = np.searchsorted(table.days, np.arange(first, last + 2))
    edges[0] = 0  # what lies before the first day shown is in it
    for place, day in enumerate(range(first, last + 1)):
        rows = slice(edges[place], edges[place + 1])
        np.add.at(x, table.unit[rows], table.numerator[rows])
        np.add.at(y, table.unit[rows], table.denominator[rows])
        capped = x if cap is None else np.minimum(x, cap)
        sums = {}
        for number, arm in enumerate(arms):
            mine = (table.arm_of_unit == number) & (table.joined <= day)
            before = {"u": past.numerator[mine], "v": past.denominator[mine]} if past is not None else {}
            sums[arm] = Sums.from_arrays(capped[mine], y[mine], **before) if mine.any() else Sums.empty()
        result += [_point(day, arm, arms[0], sums, metric, chosen) for arm in arms[1:]]
    return result


def _point(
    day: int, arm: str, control: str, sums: Mapping[str, Sums], metric: Metric, chosen: Analysis
) -> dict[str, Any]:
    read = compare(
        sums[control],
        sums[arm],
        kind=metric.statistic,
        cuped=chosen.cuped,
        **reading(chosen, metric, control, arm),
    ).to_dict()
    return {
        "day": (_EPOCH + timedelta(days=day)).isoformat(),
        "arm": arm,
        "units": sums[arm].units,
        "lift": read["lift"],
        "lift_ci": read["lift_ci"],
        "sequential_ci": read["sequential"]["lift_ci"],
    }


def position_view(session: Session, row: ExperimentRow) -> list[dict[str, Any]]:
    """CTR by arm and position."""
    return positions(session, row.key, row.phase)


CSV_COLUMNS = (
    "experiment", "metric", "role", "kind", "arm", "control", "units", "mean", "std_error", "lift", "lift_low",
    "lift_high", "difference", "difference_low", "difference_high", "p_value", "p_value_adjusted", "ci_level",
    "sequential_p_value", "sequential_lift_low", "sequential_lift_high", "chance_to_win", "expected_loss", "reasons",
    "computed_at", "data_until",
)  # fmt: skip


def to_csv(body: Mapping[str, Any]) -> str:
    """The report's numbers as a table: a line for each metric and arm; the control's line has no comparison."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for metric in body["metrics"]:
        compared = {comparison["arm"]: comparison for comparison in metric["comparisons"]}
        for arm in metric["arms"]:
            line = {name: arm.get(name) for name in ("arm", "units", "mean", "std_error")}
            line |= {
                "experiment": body["experiment"],
                "computed_at": body["computed_at"],
                "data_until": body["data_until"],
            }
            line |= {name: metric[name] for name in ("metric", "role", "kind")}
            line |= _comparison_cells(compared.get(arm["arm"]))
            writer.writerow({name: _safe(value) for name, value in line.items()})
    return out.getvalue()


def _comparison_cells(comparison: Mapping[str, Any] | None) -> dict[str, Any]:
    if comparison is None:
        return {}
    cells = {
        name: comparison[name] for name in ("control", "lift", "difference", "p_value", "p_value_adjusted", "ci_level")
    }
    sequential, bayesian = comparison["sequential"] or {}, comparison["bayesian"] or {}
    pairs = (
        ("lift", comparison["lift_ci"]),
        ("difference", comparison["difference_ci"]),
        ("sequential_lift", sequential.get("lift_ci")),
    )
    for name, pair in pairs:
        cells[f"{name}_low"], cells[f"{name}_high"] = pair or (None, None)
    cells["sequential_p_value"] = sequential.get("p_value")
    cells["chance_to_win"], cells["expected_loss"] = bayesian.get("chance_to_win"), bayesian.get("expected_loss")
    reasons = comparison.get("reasons") or {}
    cells["reasons"] = "; ".join(f"{name}: {reason['text']}" for name, reason in reasons.items()) or None
    return cells


def _safe(value: object) -> object:
    """Spreadsheets run cells that begin like a formula; a leading quote makes them text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
