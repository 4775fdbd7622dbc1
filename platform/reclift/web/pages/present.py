"""What a report says, put so that a template only has to print it: headlines, progress, colours, verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from reclift.web import format as fmt

JSON = dict[str, Any]

CALLS = {
    "ship": ("Ship it", "better"),
    "keep_control": ("Keep the control", "worse"),
    "keep_running": ("Keep running", "undecided"),
    "invalid": ("Do not read this", "alarm"),
}
"""A decision's call -> words, tone."""

SOURCES = {
    "imported": "Imported log: this experiment ran elsewhere and its log was brought in.",
    "replay": "Replay of real histories: visits and reactions come from people's recorded histories, not live traffic.",
}

_ARM_COLOURS = 7


def arm_colours(arms: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Arm key -> name of its colour token; the control is always slate, others take a fixed order by position."""
    colours: dict[str, str] = {}
    position = 0
    for arm in arms:
        key = str(arm.get("key", arm.get("arm")))
        if arm.get("control"):
            colours[key] = "control"
        else:
            colours[key] = str(position % _ARM_COLOURS + 1)
            position += 1
    return colours


def tone(comparison: Mapping[str, Any], direction: str = "up") -> str:
    """`better`, `worse` or `undecided`: whether the interval of the lift excludes zero, and on which side."""
    bounds = comparison.get("lift_ci") or comparison.get("difference_ci")
    if not bounds or bounds[0] is None or bounds[1] is None:
        return "undecided"
    if bounds[0] <= 0 <= bounds[1]:
        return "undecided"
    return "better" if (bounds[0] > 0) == (direction == "up") else "worse"


def reason(comparison: Mapping[str, Any], field: str) -> str:
    """Why a field of a comparison (or of an arm's numbers) could not be computed, as the report states it."""
    reasons = comparison.get("reasons") or {}
    if isinstance(reasons, Mapping):
        found = reasons.get(field) or next(iter(reasons.values()), None)
    else:
        found = next(iter(reasons), None)
    if found:
        return str(found)
    warnings = comparison.get("warnings") or []
    return str(warnings[0]) if warnings else "not part of this report"


def metric_of(report: Mapping[str, Any], role: str = "primary") -> JSON | None:
    """The first metric of a role."""
    return next((m for m in report.get("metrics", []) if m.get("role") == role), None)


def leading(metric: Mapping[str, Any]) -> JSON | None:
    """The comparison that is furthest in the metric's good direction, of those with a lift."""
    usable = [c for c in metric.get("comparisons", []) if c.get("lift") is not None]
    if not usable:
        return None
    sign = -1 if metric.get("direction") == "down" else 1
    best: JSON = max(usable, key=lambda c: sign * c["lift"])
    return best


def headline(entry: Mapping[str, Any]) -> JSON:
    """One experiment in a line: its primary metric's best lift, whether it can be read, users, guardrails, trend."""
    report = entry.get("report")
    out: JSON = {"users": None, "state": "none", "text": "No report yet"}
    out |= {"metric": None, "trend": [], "guardrails": None}
    if not report:
        return out
    out["users"] = sum(arm["units"] for arm in report["arms"])
    srm = report["srm"]
    if not srm["ok"]:
        detail = f": {fmt.p_equals(srm['p_value'])}" if srm.get("p_value") is not None else ""
        return out | {"state": "alarm", "text": f"Sample ratio is off{detail}. Do not read."}
    if report["decision"]["call"] == "invalid":
        return out | {"state": "alarm", "text": "Not valid. Do not read."}
    metric = metric_of(report)
    if metric is None:
        return out | {"text": "No primary metric"}
    out["metric"] = metric["name"]
    out["guardrails"] = guardrails(report)
    best = leading(metric)
    if best is None:
        first = metric["comparisons"][0] if metric["comparisons"] else {}
        return out | {"state": "unknown", "text": reason(first, "lift")}
    out.update(
        state=tone(best, metric.get("direction", "up")),
        text="",
        arm=best["arm"],
        arms=len(metric["comparisons"]),
        lift=best["lift"],
        lift_ci=best.get("lift_ci"),
        comparison=best,
        trend=[row["lift"] for row in report.get("series", {}).get(metric["metric"], []) if row["arm"] == best["arm"]],
    )
    return out


def guardrails(report: Mapping[str, Any]) -> str | None:
    """`ok`, or the names of the guardrails that got significantly worse; `None` when there are none."""
    found = [m for m in report.get("metrics", []) if m.get("role") == "guardrail"]
    if not found:
        return None
    hurt = [m["name"] for m in found if any(tone(c, m.get("direction", "up")) == "worse" for c in m["comparisons"])]
    return "worse: " + ", ".join(hurt) if hurt else "ok"


def sparkline(values: Sequence[float | None], width: int = 96, height: int = 28) -> JSON | None:
    """Points of a small line and the height of its zero; `None` with fewer than two values."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    if len(known) < 2:
        return None
    low, high = min([0.0, *known]), max([0.0, *known])
    span = (high - low) or 1.0
    step = width / (len(known) - 1)

    def at(value: float) -> float:
        return round(2 + (height - 4) * (high - value) / span, 1)

    points = " ".join(f"{round(i * step, 1)},{at(v)}" for i, v in enumerate(known))
    return {"points": points, "zero": at(0.0), "width": width, "height": height, "last": at(known[-1])}


def progress(experiment: Mapping[str, Any], now: datetime | None = None) -> JSON | None:
    """How far along the plan: `day` (from 1), `planned` days or `None`, `share` done; `None` before the start."""
    if not experiment.get("started_at"):
        return None
    start = fmt.moment(experiment["started_at"])
    stopped = experiment.get("stopped_at")
    end = fmt.moment(stopped) if stopped else (now or datetime.now(UTC))
    planned = experiment.get("planned_days")
    day = max(1, (end - start).days + (0 if stopped else 1))
    share = min(1.0, max(0.0, (end - start).total_seconds() / (planned * 86400))) if planned else None
    return {"day": day, "planned": planned, "share": share}


def age(experiment: Mapping[str, Any]) -> str:
    """Where it is in its life, in words: `day 6 of 14`, `ran 7 days`, `not started`."""
    along = progress(experiment)
    if along is None:
        return "not started"
    if experiment["status"] in {"stopped", "archived"}:
        return f"ran {along['day']} day{'s' if along['day'] != 1 else ''}"
    return f"day {along['day']} of {along['planned']}" if along["planned"] else f"day {along['day']}"


def has_problem_under(problems: Sequence[Mapping[str, Any]], path: str) -> bool:
    """Whether a problem lies in a part of the form that might be folded away."""
    return any(str(problem["field"]).startswith(path) for problem in problems)


def audience_text(audience: Mapping[str, Any]) -> list[str]:
    """An audience in words, a line per attribute; what is not simple stands as its condition."""
    words = {"$eq": "is", "$ne": "is not", "$in": "is one of", "$nin": "is none of", "$gt": "is over",
             "$gte": "is at least", "$lt": "is under", "$lte": "is at most", "$regex": "matches"}  # fmt: skip
    lines: list[str] = []
    for attribute, condition in audience.items():
        tests = condition if isinstance(condition, Mapping) else {"$eq": condition}
        for operator, value in tests.items():
            shown = ", ".join(str(v) for v in value) if isinstance(value, list) else str(value)
            if attribute.startswith("$") or (operator not in words and operator != "$exists"):
                lines.append(f"{attribute}: {condition}")
                break
            if operator == "$exists":
                lines.append(f"{attribute} {'is known' if value else 'is not known'}")
            else:
                lines.append(f"{attribute} {words[operator]} {shown}")
    return lines
