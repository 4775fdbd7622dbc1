"""What people type about traffic: shares, ramps, weights and who tests; and what it means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .backend import JSON, Problem

MAX_STEPS = 20

Rows = list[dict[str, str]]


def number(text: str) -> float | None:
    """A number as people write it (a comma counts as a point), or `None`."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if abs(value) <= 1e9 else None


def percent(text: str) -> float | None:
    """A share from percent above 0 and up to 100, or `None`."""
    value = number(text)
    return round(value / 100, 6) if value is not None and 0 < value <= 100 else None


def numbers(form: Any, group: str, name: str) -> list[int]:
    """The numbers of the rows that were sent, ascending: `group-N-name`."""
    found = (re.fullmatch(rf"{group}-(\d{{1,4}})-{name}", key) for key in form)
    return sorted(int(match[1]) for match in found if match)


def rows(form: Any, group: str, names: Sequence[str]) -> Rows:
    """Rows as typed; gaps between their numbers are closed."""
    return [
        {name: str(form.get(f"{group}-{n}-{name}", "")).strip() for name in names}
        for n in numbers(form, group, names[0])
    ]


def ramp_rows(steps: Sequence[Mapping[str, Any]]) -> Rows:
    """What the form shows for a ramp."""
    return [{"traffic": f"{step['traffic'] * 100:g}", "hours": f"{step['after_hours']:g}"} for step in steps]


def ramp(typed: Rows) -> tuple[list[JSON], list[Problem]]:
    """The steps that were meant; empty rows say nothing. Each goes beyond the one before, the first is the start."""
    steps: list[JSON] = []
    problems: list[Problem] = []
    share, hours = 0.0, -1.0
    for n, row in enumerate(typed):
        if not row["traffic"] and not row["hours"]:
            continue
        traffic, after = percent(row["traffic"]), number(row["hours"] or "0")
        if traffic is None:
            rule = "must be above 0 and up to 100 percent"
        elif traffic <= share:
            rule = f"must be more than the step before ({share * 100:g} %)"
        else:
            rule = ""
        if rule:
            problems.append({"field": f"ramp.{n}.traffic", "value": row["traffic"], "rule": rule})
        if after is None or not 0 <= after <= 24 * 365:
            rule = "must be hours after the start, 0 to 8760"
        elif not steps and after != 0:
            rule = "must be 0: the first step is the start"
        elif after <= hours:
            rule = f"must be more than the step before ({hours:g} hours)"
        else:
            rule = ""
        if rule:
            problems.append({"field": f"ramp.{n}.hours", "value": row["hours"], "rule": rule})
        share, hours = max(share, traffic or 0.0), max(hours, after if after is not None else -1.0)
        steps.append({"traffic": traffic or 0.0, "after_hours": after or 0.0})
    if len(steps) > MAX_STEPS:
        problems.append({"field": "ramp", "value": len(steps), "rule": f"must have at most {MAX_STEPS} steps"})
    return steps, problems


def override_rows(overrides: Mapping[str, str]) -> Rows:
    """What the form shows for people who test."""
    return [{"unit": unit, "arm": arm} for unit, arm in overrides.items()]


def overrides(typed: Rows, arms: Sequence[str]) -> tuple[dict[str, str], list[Problem]]:
    """User id -> arm; empty rows say nothing."""
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for n, row in enumerate(typed):
        unit, arm = row["unit"], row["arm"]
        if not unit and not arm:
            continue
        if not unit:
            problems.append({"field": f"overrides.{n}.unit", "value": "", "rule": "is needed: who sees this arm"})
        elif unit in found:
            problems.append({"field": f"overrides.{n}.unit", "value": unit, "rule": "stands here twice"})
        if arm not in arms:
            rule = f"must be one of the arms: {', '.join(arms)}" if arm else "is needed: one of the arms"
            problems.append({"field": f"overrides.{n}.arm", "value": arm, "rule": rule})
        found[unit] = arm
    return found, problems


def weights(form: Any, arms: Sequence[str]) -> tuple[dict[str, float], dict[str, str], list[Problem]]:
    """Weights by arm as shares, as typed in percent, and what is wrong. Fields are `weights-ARM`."""
    typed = {arm: str(form.get(f"weights-{arm}", "")).strip() for arm in arms}
    shares: dict[str, float] = {}
    problems: list[Problem] = []
    for arm, text in typed.items():
        share = percent(text)
        if share is None:
            rule = "must be above 0 and up to 100 percent"
            problems.append({"field": f"weights.{arm}", "value": text, "rule": rule})
        shares[arm] = share or 0.0
    total = sum(shares.values()) * 100
    if not problems and abs(total - 100) > 0.05:
        problems.append({"field": "weights", "value": f"{total:g}", "rule": "must add up to 100 percent"})
    return shares, typed, problems
