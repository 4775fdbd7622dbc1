"""Checks that come before any lift: can these numbers be believed at all?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from sqlalchemy.orm import Session

from reclift.domain.analysis import Analysis
from reclift.flows.clock import now, to_datetime
from reclift.flows.report_read import Read, length_changed, planned_days
from reclift.stats.comparison import IMBALANCE_P, compare
from reclift.stats.influence import influence
from reclift.stats.multiple import holm
from reclift.stats.srm import THRESHOLD, SrmResult, srm
from reclift.stats.srm_breakdown import SrmBreakdown, srm_breakdown
from reclift.stats.srm_sequential import sequential_srm
from reclift.stats.words import continued, p_words
from reclift.storage.aggregates import ArmCount, arm_sums, attribute_counts, largest_units
from reclift.storage.aggregates_days import daily_counts
from reclift.storage.tables import ExperimentRow

MULTI_ARM_LIMIT = 0.01
STALE_HOURS = 24
_EPOCH = date(1970, 1, 1)

Check = dict[str, Any]
"""`{check, ok, text}`; `ok` None where it cannot be said. `breakdown`: the parts of a split where one is broken."""


def trust(
    session: Session,
    row: ExperimentRow,
    counts: dict[str, ArmCount],
    ratio: SrmResult,
    shares: Sequence[float],
    reads: Sequence[Read],
    until: int | None,
    waiting: int,
) -> list[Check]:
    """All checks, the most fatal first. `shares`: what arms' sizes should be in proportion to."""
    days = daily_counts(session, row.key, row.phase, [arm.key for arm in row.arms])
    checks = [_sample_ratio(ratio), *_sample_ratio_by_day(row, ratio, shares, days)]
    checks += _sample_ratio_by_attribute(session, row, ratio, shares)
    checks += [_one_arm(counts), _freshness(row, until, waiting), *_as_planned(row), *_before(row, reads)]
    primary = next((read for read in reads if read.role == "primary"), None)
    if primary is not None:
        checks += _outliers(session, row, counts, primary)
    return checks


def _sample_ratio(ratio: SrmResult) -> Check:
    if ratio.ok is None or ratio.p_value is None:
        return {"check": "sample_ratio", "ok": None, "text": "no unit has been exposed yet"}
    if ratio.ok:
        return {"check": "sample_ratio", "ok": True, "text": f"arms are as large as planned (p = {ratio.p_value:.2g})"}
    return {
        "check": "sample_ratio",
        "ok": False,
        "text": f"arms are not as large as planned (p = {ratio.p_value:.2g}): something loses or adds units in one arm",
    }


def _sample_ratio_by_day(
    row: ExperimentRow, ratio: SrmResult, shares: Sequence[float], days: Mapping[int, Sequence[int]]
) -> list[Check]:
    """The test that stays valid under daily looks; and, when the ratio is off, which days it comes from."""
    if len(days) < 2 or row.data.get("weight_changes"):
        return []
    looks: list[list[int]] = []
    for day in sorted(days):
        before = looks[-1] if looks else [0] * len(shares)
        looks.append([old + new for old, new in zip(before, days[day], strict=True)])
    daily = sequential_srm(looks, shares)
    checks: list[Check] = []
    if daily.ok is not None and daily.p_value is not None:
        text = f"at no day's end were arms' sizes off (p = {min(1.0, daily.p_value):.2g}, valid for daily looks)"
        if not daily.ok:
            text = f"looked at daily, arms' sizes are off (p = {daily.p_value:.2g}, valid for daily looks)"
        checks.append({"check": "sample_ratio_daily", "ok": daily.ok, "text": text})
    parts = {(_EPOCH + timedelta(days=day)).isoformat(): counted for day, counted in sorted(days.items())}
    where = srm_breakdown(parts, shares, what="day")
    if ratio.ok is False or where.suspects:
        # While the whole is as planned, a broken part is a fault that nothing else tells.
        ok = None if ratio.ok is False else False
        checks.append(
            {"check": "sample_ratio_where", "ok": ok, "text": where.sentence, "breakdown": _parts("day", where)}
        )
    return checks


def _sample_ratio_by_attribute(
    session: Session, row: ExperimentRow, ratio: SrmResult, shares: Sequence[float]
) -> list[Check]:
    """The split within each value of each attribute, as the attribute that explains most tells it.

    That is the one without whose broken values the rest is split most nearly as planned. Held against as many
    attributes as are looked at; how many those are is told.
    """
    if ratio.ok is None or row.data.get("weight_changes"):
        return []
    attributes = attribute_counts(session, row.key, row.phase, [arm.key for arm in row.arms])
    if not attributes:
        return []
    found: list[tuple[float, str, SrmBreakdown]] = []
    for name, values in sorted(attributes.items()):
        read = srm_breakdown(values, shares, what=name, threshold=THRESHOLD / len(attributes))
        if read.suspects:
            rest = [part.result.observed for part in read.parts if not part.suspect]
            left = srm([sum(counts) for counts in zip(*rest, strict=True)], shares).p_value if rest else None
            found.append((left or 0.0, name, read))
    looked = f"{len(attributes)} attribute{'s' if len(attributes) > 1 else ''} looked at"
    check = "sample_ratio_segments"
    if not found:
        ok = True if ratio.ok else None
        return [{"check": check, "ok": ok, "text": f"No value of an attribute stands out. ({looked})"}]
    _, name, most = max(found, key=lambda one: one[:2])
    ok = None if ratio.ok is False else False
    text = f"{most.sentence} ({looked})"
    return [{"check": check, "ok": ok, "text": text, "breakdown": _parts(name, most)}]


def _parts(by: str, read: SrmBreakdown) -> dict[str, Any]:
    """What a day's or a value's split was: `by`, and its parts in their order."""
    return {"by": by, "parts": read.to_dict()["parts"]}


def _as_planned(row: ExperimentRow) -> list[Check]:
    """Whether it is still read as was chosen before its start."""
    checks: list[Check] = []
    if length_changed(row):
        before, after = (f"{days} days" if days else "no length" for days in (planned_days(row), _length_now(row)))
        text = f"the planned length was changed after the start ({before}, now {after})"
        if Analysis.from_dict(row.data.get("analysis")).regime == "fixed":
            text += ": only the always-valid reading decides"
        checks.append({"check": "plan", "ok": False, "text": text})
    primary = (row.data.get("chosen") or {}).get("primary", row.metrics.get("primary"))
    if primary != row.metrics.get("primary"):
        text = f"the primary metric was changed after the start (it was {primary}): who picks after looking finds more"
        checks.append({"check": "primary", "ok": False, "text": text})
    return checks


def _length_now(row: ExperimentRow) -> int | None:
    days: int | None = row.data.get("planned_days")
    return days


def _before(row: ExperimentRow, reads: Sequence[Read]) -> list[Check]:
    """An A/A test on the time before exposure: arms that differed already tell of a carry-over or a broken split."""
    control = next(arm.key for arm in row.arms if arm.control)
    compared = [
        (read.metric.name, compare(read.sums[control].past, read.sums[arm.key].past, kind=read.metric.statistic,
                                   arm=arm.key, control_arm=control))
        for read in reads
        if read.metric.by_sums
        for arm in row.arms
        if not arm.control and read.sums[control].has_covariate and read.sums[arm.key].has_covariate
    ]  # fmt: skip
    known = [(name, read.arm, read.p_value) for name, read in compared if read.p_value is not None]
    if not known:
        return []
    adjusted = holm([p for _, _, p in known])
    place = min(range(len(known)), key=lambda one: adjusted[one])
    name, arm, _ = known[place]
    looked = f"smallest corrected p {p_words(adjusted[place])} of {len(known)} comparisons"
    if adjusted[place] < IMBALANCE_P:
        text = f"before the exposure {arm} differed already, on {name} ({looked}): a carry-over, or a broken split"
        return [{"check": "before", "ok": False, "text": text}]
    return [{"check": "before", "ok": True, "text": f"before the exposure arms were alike ({looked})"}]


def _one_arm(counts: Mapping[str, ArmCount]) -> Check:
    units = sum(count.units for count in counts.values())
    several = sum(count.several for count in counts.values())
    share = several / (units + several) if units + several else 0.0
    text = "every unit met one arm only"
    if several:
        text = f"{several:,} units ({share:.1%}) met several arms and are left out"
    return {"check": "one_arm", "ok": share <= MULTI_ARM_LIMIT, "text": text}


def _freshness(row: ExperimentRow, until: int | None, waiting: int) -> Check:
    if until is None:
        return {"check": "freshness", "ok": None, "text": "no data yet"}
    at = to_datetime(until)
    age = now() - at
    text = f"data until {at:%Y-%m-%d %H:%M} UTC"
    if waiting:
        text += f"; {waiting:,} changes wait for the worker"
    stale = row.status == "running" and row.source == "live" and age > timedelta(hours=STALE_HOURS)
    if stale:
        text += f"; nothing new for {age.days} days"
    return {"check": "freshness", "ok": not stale, "text": text}


def _outliers(session: Session, row: ExperimentRow, counts: dict[str, ArmCount], primary: Read) -> list[Check]:
    """Whether the lift would be another one without each arm's largest unit."""
    control = next(arm.key for arm in row.arms if arm.control)
    metric = primary.metric
    largest = largest_units(session, row.key, row.phase, metric.key)
    if control not in largest or any(count.units < 2 for count in counts.values()):
        return []
    rest_counts = {
        arm: ArmCount(count.units - (arm in largest), count.impressions, count.several) for arm, count in counts.items()
    }
    rest = arm_sums(session, row.key, row.phase, metric, rest_counts, cap=primary.cap, without=tuple(largest.values()))
    level = Analysis.from_dict(row.data.get("analysis")).level
    checks: list[Check] = []
    for arm in row.arms:
        if arm.control or arm.key not in largest:
            continue
        found = influence(
            primary.sums[control],
            primary.sums[arm.key],
            rest[control],
            rest[arm.key],
            kind=metric.statistic,
            level=level,
        )
        checks.append(
            {"check": "outliers", "ok": not found.driven, "text": f"in {arm.key}: {continued(found.sentence)}"}
        )
    return checks
