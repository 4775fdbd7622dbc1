"""Reads an experiment's metrics: each arm's sums, compared as the experiment chose before its start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.orm import Session

from reclift.domain.analysis import Analysis
from reclift.domain.events import parse_time
from reclift.domain.metric import Metric
from reclift.flows import metrics as metric_flow
from reclift.flows.clock import now, to_datetime
from reclift.flows.report_compare import bootstraps, compare_arms, compare_quantile, design_of, repeated
from reclift.flows.report_coverage import CoverageRead, read_coverage
from reclift.stats.comparison import arm_summary
from reclift.stats.decision import MetricReading
from reclift.stats.families import adjust_families
from reclift.stats.group_sequential import latest_look
from reclift.stats.multiple import Method
from reclift.stats.plan import Plan
from reclift.stats.quantile import quantile_summary
from reclift.stats.result import ArmSummary, Comparison
from reclift.stats.sums import Sums
from reclift.storage.aggregates import ArmCount, Segment, cap_value, units_between
from reclift.storage.aggregates_many import Asked, many_arm_sums
from reclift.storage.aggregates_units import samples
from reclift.storage.tables import ExperimentRow

Role = Literal["primary", "secondary", "guardrail"]


@dataclass(frozen=True, slots=True)
class Read:
    """One metric with its arms' sums and its comparisons.

    Attributes:
        bootstraps: arm -> the cross-check, where it was asked for.
        levels: of a quantile or coverage metric, arm -> its level.
        values: of a quantile metric, arm -> how many values it was read from.
        coverage: of a coverage metric, all of its reading.
    """

    metric: Metric
    role: Role
    cap: float | None
    sums: Mapping[str, Sums]
    comparisons: Sequence[Comparison]
    bootstraps: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    levels: Mapping[str, ArmSummary] = field(default_factory=dict)
    values: Mapping[str, int] = field(default_factory=dict)
    coverage: CoverageRead | None = None


def roles(row: ExperimentRow, known: Mapping[str, Metric]) -> list[tuple[Metric, Role]]:
    """The experiment's metrics in the report's order; one that stands in several roles keeps the first."""
    wanted: list[tuple[str, Role]] = [(row.metrics.get("primary") or "", "primary")]
    wanted += [(key, "secondary") for key in row.metrics.get("secondary", ())]
    wanted += [(key, "guardrail") for key in row.metrics.get("guardrails", ())]
    result: dict[str, tuple[Metric, Role]] = {}
    for key, role in wanted:
        if key in known and key not in result:
            result[key] = (known[key], role)
    return list(result.values())


def read_metrics(
    session: Session,
    row: ExperimentRow,
    counts: dict[str, ArmCount],
    *,
    segment: Segment | None = None,
    only: Role | None = None,
) -> list[Read]:
    """Sums and comparisons of every metric; p-values are adjusted within their role (`stats.families`).

    Within a `segment` they are not: `stats.segments` corrects for the segments that are looked at.
    """
    known = metric_flow.all_metrics(session)
    reads = []
    units = sum(count.units for count in counts.values())
    wanted = [(metric, role) for metric, role in roles(row, known) if only is None or role == only]
    caps = {metric.key: cap_value(session, row.key, row.phase, metric, units) for metric, _ in wanted}
    asked = [Asked(metric, caps[metric.key]) for metric, _ in wanted]
    found_sums = many_arm_sums(session, row.key, row.phase, asked, counts, segment=segment)
    for metric, role in wanted:
        cap, sums = caps[metric.key], found_sums[metric.key]
        if metric.is_quantile:
            found = samples(session, row.key, row.phase, metric.key, [arm.key for arm in row.arms], segment)
            levels = {arm: quantile_summary(sample, metric.quantile) for arm, sample in found.items()}
            values = {arm: sample.values.size for arm, sample in found.items()}
            reads.append(Read(metric, role, None, sums, compare_quantile(row, metric, found), {}, levels, values))
            continue
        if metric.is_coverage:
            read = read_coverage(session, row, metric, counts)
            reads.append(Read(metric, role, None, sums, read.comparisons, levels=read.levels, coverage=read))
            continue
        comparisons = compare_arms(session, row, metric, sums, cap=cap, within=segment is not None)
        resampled = bootstraps(session, row, metric, sums, cap) if segment is None else {}
        reads.append(Read(metric, role, cap, sums, comparisons, resampled))
    return reads if segment is not None else _adjusted(reads, Analysis.from_dict(row.data.get("analysis")))


def metric_view(row: ExperimentRow, read: Read, share: float | None = None) -> dict[str, Any]:
    """A metric as the report shows it. `share` of the planned length that is over; None: none was planned."""
    metric = read.metric
    chosen = Analysis.from_dict(row.data.get("analysis"))
    return {
        "metric": metric.key,
        "name": metric.name,
        "description": metric.description,
        "role": read.role,
        "kind": metric.statistic if metric.by_sums else metric.kind.value,
        "quantile": metric.quantile if metric.is_quantile else None,
        "coverage": read.coverage.to_dict() if read.coverage else None,
        "format": metric.format,
        "direction": metric.direction,
        "window_hours": metric.window_hours,
        "arms": [
            {
                "arm": arm.key,
                "control": arm.control,
                "total": float(read.coverage.shown[arm.key]) if read.coverage else read.sums[arm.key].x,
                "denominator": _denominator(read, arm.key),
                **(read.levels.get(arm.key) or arm_summary(read.sums[arm.key], metric.statistic)).to_dict(),
            }
            for arm in row.arms
        ],
        "comparisons": [
            comparison.to_dict()
            | {
                "group_sequential": repeated(chosen, share, comparison),
                "bootstrap": read.bootstraps.get(comparison.arm),
            }
            for comparison in read.comparisons
        ],
    }


def _denominator(read: Read, arm: str) -> float:
    """What the arm's total is over: a ratio's denominator, a quantile's values, the catalogue's items, or units."""
    if read.coverage:
        return float(read.coverage.catalogue)
    if read.metric.is_quantile:
        return float(read.values.get(arm, 0))
    return read.sums[arm].y if read.metric.statistic == "ratio" else read.sums[arm].n


def readings(reads: Sequence[Read]) -> list[MetricReading]:
    """The metrics as the decision reads them."""
    return [
        MetricReading(
            read.metric.name,
            read.role,
            read.comparisons,
            # A margin of 0 tolerates no loss, which no interval could ever prove: then harm must be shown instead.
            (read.metric.margin or None) if read.role == "guardrail" else None,
        )
        for read in reads
    ]


def _adjusted(reads: Sequence[Read], chosen: Analysis) -> list[Read]:
    methods: dict[Role, Method] = {
        "primary": chosen.correction_primary,
        "secondary": chosen.correction_secondary,
        "guardrail": "none",
    }
    adjusted = adjust_families(readings(reads), methods)
    return [replace(read, comparisons=reading.comparisons) for read, reading in zip(reads, adjusted, strict=True)]


def plan_of(row: ExperimentRow, units: int, first: int | None, until: int | None) -> Plan:
    """How far the experiment's plan is. Replayed and imported data have a time of their own."""
    days_planned = planned_days(row)
    phase_at = row.data.get("phase_at")
    start: datetime | None = datetime.fromisoformat(phase_at) if phase_at else row.started_at
    end = row.stopped_at or now()
    if row.source != "live" and first is not None and until is not None:
        start, end = to_datetime(first), to_datetime(until)
    days_run = (end - start).total_seconds() / 86_400 if start is not None else 0.0
    chosen = Analysis.from_dict(row.data.get("analysis"))
    look_alpha = None
    if chosen.regime == "group_sequential" and days_planned:
        reached = latest_look(design_of(chosen), min(1.0, days_run / days_planned))
        look_alpha = reached[1].nominal_alpha if reached else None
    # A length that was changed on the way may have been changed because of what was seen: then nothing that rests on a
    # planned end can be read.
    as_planned = bool(days_planned) and not length_changed(row)
    return Plan(
        regime=chosen.regime if as_planned or (chosen.regime == "group_sequential" and days_planned) else "sequential",
        days_planned=days_planned,
        days_run=days_run,
        units=units,
        minimum_effect=chosen.minimum_effect,
        look_alpha=look_alpha,
        correction=chosen.correction_primary,
        finished=row.status in {"stopped", "archived"},
    )


def planned_days(row: ExperimentRow) -> int | None:
    """The length that was chosen before the start; of rows older than that record, the present one."""
    days: int | None = (row.data.get("chosen") or row.data).get("planned_days")
    return days


def length_changed(row: ExperimentRow) -> bool:
    """Whether the planned length is another one than before the start."""
    return planned_days(row) != row.data.get("planned_days")


def planned_shares(session: Session, row: ExperimentRow, counts: Mapping[str, ArmCount]) -> list[float]:
    """What each arm's size should be in proportion to: its weight, or, where weights changed on the way, the mixture
    of weights that held when the units came in.
    """
    now_planned = {arm.key: arm.weight for arm in row.arms}
    changes = row.data.get("weight_changes") or []
    if not changes or not any(count.units for count in counts.values()):
        return list(now_planned.values())
    edges = [parse_time(change["until"]) for change in changes]
    came = units_between(session, row.key, row.phase, edges)
    planned = [change["weights"] for change in changes] + [now_planned]
    return [
        sum(units * weights[arm.key] / sum(weights.values()) for units, weights in zip(came, planned, strict=True))
        for arm in row.arms
    ]
