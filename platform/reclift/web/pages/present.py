"""What a report says, put so that a template only has to print it: headlines, progress, colours, verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from reclift.web import format as fmt
from reclift.web.charts_base import shown_interval

JSON = dict[str, Any]

CALLS = {
    "ship": ("Ship it", "better"),
    "keep_control": ("Keep the control", "undecided"),
    "keep_running": ("Keep running", "undecided"),
    "invalid": ("Do not read this", "alarm"),
}
"""A decision's call -> words, tone."""

ICONS = {
    "ship": "check-circle-fill",
    "keep_control": "arrow-counterclockwise",
    "keep_running": "hourglass-split",
    "invalid": "exclamation-octagon-fill",
}


def verdict(decision: Mapping[str, Any]) -> JSON:
    """A decision in words: `title`, `tone` and `icon`."""
    title, tone_of_call = CALLS[decision["call"]]
    if decision["call"] == "ship" and decision.get("arm"):
        title = f"Ship {decision['arm']}"
    return {"title": title, "tone": tone_of_call, "icon": ICONS[decision["call"]]}


SOURCES = {
    "imported": "Imported log: this experiment ran elsewhere and its log was brought in.",
    "replay": "Replay of real histories: visits and reactions come from people's recorded histories, not live traffic.",
}

FALLBACKS = {"no_model": "no model", "error": "its strategy failed", "timeout": "its strategy was late",
             "too_few": "too few items"}  # fmt: skip
"""Why a fallback filled places, in words."""

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


def tone(comparison: Mapping[str, Any], direction: str | None = "up") -> str:
    """`better`, `worse` or `undecided`: whether the difference's interval excludes zero (as p does), and on which side.

    The difference's goes before the lift's: they can disagree near zero, and p-values are about the difference.
    """
    bounds = comparison.get("difference_ci") or comparison.get("lift_ci")
    if not bounds or bounds[0] is None or bounds[1] is None:
        return "undecided"
    if bounds[0] <= 0 <= bounds[1]:
        return "undecided"
    return "worse" if (bounds[0] > 0) == is_down(direction) else "better"


def interval_title(comparison: Mapping[str, Any]) -> str:
    """What an interval is, for those who point at it: level and method."""
    level = fmt.percent(comparison.get("ci_level") or 0.95, 0)
    method = "Fieller's method" if comparison.get("lift_ci_fieller") else comparison.get("method") or "delta method"
    return f"{level} interval of the relative lift, {method}"


def said(thing: Any) -> str:
    """A warning or reason in words, whether it came as a sentence or as `{"code", "text"}`."""
    return str(thing.get("text") or thing.get("code")) if isinstance(thing, Mapping) else str(thing)


def reason(numbers: Mapping[str, Any] | None, field: str) -> str:
    """Why a field of a comparison, an arm or another part of a report could not be computed, as it states itself."""
    numbers = numbers or {}
    reasons = numbers.get("reasons") or {}
    if isinstance(reasons, Mapping):
        found = reasons.get(field) or next(iter(reasons.values()), None)
    else:
        found = next(iter(reasons), None)
    found = found or next(iter(numbers.get("warnings") or []), None)
    return said(found) if found else "not part of this report"


def is_down(direction: str | None) -> bool:
    """Whether lower is better: a metric's direction is `up` or `increase`, `down` or `decrease`."""
    return direction in {"down", "decrease"}


def methods(method: Any) -> list[str]:
    """A report's method as lines, whether it came as lines or as name and text."""
    if isinstance(method, Mapping):
        return [f"{str(name).replace('_', ' ').capitalize()}: {text}" for name, text in method.items()]
    return [str(line) for line in method or ()]


def metric_of(report: Mapping[str, Any], role: str = "primary") -> JSON | None:
    """The first metric of a role."""
    return next((m for m in report.get("metrics", []) if m.get("role") == role), None)


def leading(metric: Mapping[str, Any]) -> JSON | None:
    """The comparison that is furthest in the metric's good direction, of those with a lift."""
    usable = [c for c in metric.get("comparisons", []) if c.get("lift") is not None]
    if not usable:
        return None
    sign = -1 if is_down(metric.get("direction")) else 1
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
    if srm["ok"] is False:
        detail = f": {fmt.p_equals(srm['p_value'])}" if srm.get("p_value") is not None else ""
        return out | {"state": "alarm", "text": f"Sample ratio is off{detail}. Do not read."}
    if report["decision"]["call"] == "invalid":
        return out | {"state": "alarm", "text": "Not valid. Do not read."}
    metric = metric_of(report)
    if metric is None:
        return out | {"text": "No primary metric"}
    out["metric"] = metric.get("name") or metric["metric"]
    out["guardrails"] = guardrails(report)
    best = leading(metric)
    if best is None:
        first = metric["comparisons"][0] if metric["comparisons"] else {}
        return out | {"state": "unknown", "text": reason(first, "lift")}
    out.update(
        state=tone(best, metric.get("direction")),
        text="",
        arm=best["arm"],
        arms=len(metric["comparisons"]),
        lift=best["lift"],
        lift_ci=shown_interval(best),
        comparison=best,
        trend=[
            row["lift"] for row in (report.get("series") or {}).get(metric["metric"], []) if row["arm"] == best["arm"]
        ],
    )
    return out


def guardrails(report: Mapping[str, Any]) -> str | None:
    """`ok`, or the names of the guardrails that got significantly worse; `None` when there are none."""
    found = [m for m in report.get("metrics", []) if m.get("role") == "guardrail"]
    if not found:
        return None
    hurt = [
        m.get("name") or m["metric"]
        for m in found
        if any(tone(c, m.get("direction")) == "worse" for c in m["comparisons"])
    ]
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
    days = (end - start).total_seconds() / 86400
    day = max(1, round(days) if stopped else math.floor(days) + 1)
    share = min(1.0, max(0.0, days / planned)) if planned else None
    return {"day": day, "planned": planned, "share": share}


def age(experiment: Mapping[str, Any]) -> str:
    """Where it is in its life, in words: `day 6 of 14`, `ran 7 days`, `not started`."""
    along = progress(experiment)
    if along is None:
        return "not started"
    if experiment["status"] in {"stopped", "archived"}:
        return f"ran {along['day']} day{'s' if along['day'] != 1 else ''}"
    if along["planned"] and along["day"] > along["planned"]:
        return f"{along['planned']}-day plan is over"
    return f"day {along['day']} of {along['planned']}" if along["planned"] else f"day {along['day']}"


def has_problem_under(problems: Sequence[Mapping[str, Any]], path: str) -> bool:
    """Whether a problem lies in a part of the form that might be folded away."""
    return any(str(problem["field"]).startswith(path) for problem in problems)


def weight_shares(arms: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Arm -> its share of the users who take part; weights need not add up to 1."""
    return shares_of({str(arm["key"]): arm["weight"] for arm in arms})


def shares_of(weights: Mapping[str, float]) -> dict[str, float]:
    """The same from weights by arm."""
    total = sum(weights.values()) or 1.0
    return {arm: weight / total for arm, weight in weights.items()}


def chosen_params(params: Mapping[str, Any] | None, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parameters that differ from the strategy's defaults."""
    described = (schema or {}).get("properties", {})
    return {
        name: value
        for name, value in (params or {}).items()
        if "default" not in described.get(name, {}) or described[name]["default"] != value
    }


_COMPARED = {"$eq": "is", "$ne": "is not", "$in": "is one of", "$nin": "is none of", "$gt": "is over",
             "$gte": "is at least", "$lt": "is under", "$lte": "is at most", "$regex": "matches",
             "$inGroup": "is in the group", "$notInGroup": "is not in the group"}  # fmt: skip


def audience_text(audience: Mapping[str, Any]) -> list[str]:
    """A condition in words, a line per attribute; what is not simple stands as it is."""
    lines: list[str] = []
    for attribute, condition in audience.items():
        joined = _joined_text(attribute, condition)
        if joined is not None:
            lines.append(joined)
            continue
        tests = condition if isinstance(condition, Mapping) else {"$eq": condition}
        for operator, value in tests.items():
            shown = ", ".join(str(v) for v in value) if isinstance(value, list) else str(value)
            if attribute.startswith("$") or (operator not in _COMPARED and operator != "$exists"):
                lines.append(f"{attribute}: {condition}")
                break
            if operator == "$exists":
                lines.append(f"{attribute} {'is known' if value else 'is not known'}")
            elif value is True or value is False:
                lines.append(f"{attribute} {_COMPARED[operator]} {'true' if value else 'false'}")
            else:
                lines.append(f"{attribute} {_COMPARED[operator]} {shown}")
    return lines


def _joined_text(operator: str, given: Any) -> str | None:
    """A saved group, or several conditions joined, in words; `None` for anything else."""
    if operator == "$savedGroup":
        return f"in the group {given.get('id') if isinstance(given, Mapping) else given}"
    if operator == "$not" and isinstance(given, Mapping) and set(given) == {"$savedGroup"}:
        return f"not {_joined_text('$savedGroup', given['$savedGroup'])}"
    if operator in {"$or", "$and"} and isinstance(given, list) and all(isinstance(part, Mapping) for part in given):
        parts = [" and ".join(audience_text(part)) for part in given]
        return (" or " if operator == "$or" else " and ").join(parts)
    return None
