"""Reports as the platform would make them, worked out from a few means and spreads: sample data for the pages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from scipy import stats

NOW = datetime.now(UTC).replace(microsecond=0)

METRICS: dict[str, dict[str, Any]] = {
    "ctr": {
        "key": "ctr",
        "name": "CTR",
        "kind": "ratio",
        "format": "percent",
        "direction": "up",
        "window_days": None,
        "event": "click",
        "description": "Clicks on recommended items per impression of the list.",
    },
    "conversion": {
        "key": "conversion",
        "name": "Conversion",
        "kind": "proportion",
        "format": "percent",
        "direction": "up",
        "window_days": 7,
        "event": "purchase",
        "description": "Share of exposed users with a purchase after exposure.",
    },
    "revenue_per_user": {
        "key": "revenue_per_user",
        "name": "Revenue per user",
        "kind": "sum",
        "format": "money",
        "currency": "GBP",
        "direction": "up",
        "window_days": 7,
        "event": "purchase",
        "description": "Sum of purchases' value after exposure, per exposed user.",
    },
    "latency": {
        "key": "latency",
        "name": "Latency",
        "kind": "mean",
        "format": "ms",
        "direction": "down",
        "window_days": None,
        "event": "impression",
        "description": "Time to answer, per impression.",
    },
}


@dataclass
class ArmData:
    """What an arm's users did: `means` and `spreads` (a unit's standard deviation) by metric."""

    key: str
    units: int
    impressions: int
    means: dict[str, float]
    spreads: dict[str, float]
    control: bool = False


def _z_interval(lift: float, se: float, z: float) -> list[float]:
    return [round(lift - z * se, 5), round(lift + z * se, 5)]


def comparison(arm: ArmData, control: ArmData, metric: str, family: int) -> dict[str, Any]:
    m1, m0 = arm.means[metric], control.means[metric]
    s1, s0 = arm.spreads[metric] / math.sqrt(arm.units), control.spreads[metric] / math.sqrt(control.units)
    lift = m1 / m0 - 1
    se = math.sqrt(s1**2 / m0**2 + m1**2 * s0**2 / m0**4)
    diff_se = math.hypot(s1, s0)
    p = float(2 * stats.norm.sf(abs(lift / se)))
    chance = float(stats.norm.cdf(lift / se))
    if METRICS[metric]["direction"] == "down":
        chance = 1 - chance
    return {
        "arm": arm.key, "control": control.key, "lift": lift, "lift_ci": _z_interval(lift, se, 1.96),
        "difference": m1 - m0, "difference_ci": _z_interval(m1 - m0, diff_se, 1.96),
        "p_value": p, "p_value_adjusted": min(1.0, p * family), "ci_level": 0.95,
        "sequential": {"p_value": min(1.0, p * 3.1), "lift_ci": _z_interval(lift, se, 2.9)},
        "bayesian": {"chance_to_win": chance, "expected_loss": max(0.0, 0.4 * diff_se * (1 - chance))},
        "variance_reduction": None, "detectable_lift": 2.8 * se, "warnings": [], "reasons": {},
    }  # fmt: skip


def series(arms: list[ArmData], control: ArmData, metric: str, days: int, start: datetime) -> list[dict[str, Any]]:
    rows = []
    for arm in arms:
        if arm.control:
            continue
        whole = comparison(arm, control, metric, 1)
        half = (whole["lift_ci"][1] - whole["lift_ci"][0]) / 2
        for n in range(1, days + 1):
            wide = half * math.sqrt(days / n)
            drift = whole["lift"] + wide * 0.45 * math.sin(n * 1.7 + len(arm.key)) * (1 - n / days)
            rows.append({
                "day": (start + timedelta(days=n - 1)).date().isoformat(), "arm": arm.key, "lift": drift,
                "lift_ci": [drift - wide, drift + wide],
                "sequential_ci": [drift - wide * 1.48, drift + wide * 1.48],
            })  # fmt: skip
    return rows


def make_report(
    key: str, arms: list[ArmData], roles: dict[str, str], days: int, decision: dict[str, Any],
    weights: list[float] | None = None, positions: int = 0, notes: list[str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A full report; `roles` maps metric to role; `days` is how long it has run."""
    control = next(arm for arm in arms if arm.control)
    total = sum(arm.units for arm in arms)
    weights = weights or [1 / len(arms)] * len(arms)
    expected = [total * w for w in weights]
    p_srm = float(stats.chisquare([a.units for a in arms], expected).pvalue)
    start = NOW - timedelta(days=days)
    metrics = []
    for name, role in roles.items():
        about = METRICS[name]
        metrics.append({
            "metric": name, "name": about["name"], "role": role, "kind": about["kind"], "format": about["format"],
            "direction": about["direction"], "currency": about.get("currency"),
            "arms": [{"arm": a.key, "units": a.units, "mean": a.means[name],
                      "std_error": a.spreads[name] / math.sqrt(a.units)} for a in arms],
            "comparisons": [comparison(a, control, name, 2 * (len(arms) - 1)) for a in arms if not a.control],
        })  # fmt: skip
    srm_ok = p_srm >= 0.001
    return {
        "experiment": key, "computed_at": (NOW - timedelta(minutes=4)).isoformat(),
        "data_until": (NOW - timedelta(minutes=6)).isoformat(),
        "srm": {"observed": [a.units for a in arms], "expected": expected, "p_value": p_srm, "ok": srm_ok},
        "arms": [{"arm": a.key, "control": a.control, "units": a.units, "impressions": a.impressions} for a in arms],
        "metrics": metrics, "decision": decision, "multi_arm_units": 3,
        "trust": [
            {"check": "sample_ratio", "ok": srm_ok, "text": (
                "Users are split as planned" if srm_ok else "Users are not split as planned: 50 : 50 was asked for")},
            {"check": "one_arm", "ok": True, "text": f"Users met one arm only (3 of {total:,} met several, left out)"},
            {"check": "freshness", "ok": True, "text": "Data is fresh: until 6 minutes ago"},
            {"check": "outliers", "ok": True, "text": "No outlier drives the result"},
        ],
        "series": {name: series(arms, control, name, days, start) for name in roles if name != "latency"},
        "positions": [
            {"arm": a.key, "position": n, "impressions": a.impressions, "clicks": round(a.impressions * rate),
             "ctr": rate}
            for a in arms for n in range(1, positions + 1)
            for rate in [a.means["ctr"] * 1.9 / (n + 0.6)]
        ],
        "lists": [
            {"arm": a.key, "coverage": 0.08 + 0.17 * i, "fallback_rate": 0.004 * (i + 1),
             "fallback_reasons": {"too_few": 0.003 * (i + 1), "timeout": 0.001 * (i + 1)}, "latency": 3.2 + 2.7 * i,
             "coverage_ci": [0.07 + 0.17 * i, 0.09 + 0.17 * i], "coverage_lists": 4000, "novelty": 7.1 + i,
             "diversity": None if i else 0.62}
            for i, a in enumerate(arms)
        ],
        "power": {
            "metric": "ctr", "effect": 0.05, "stated": True, "power": 0.8, "level": 0.95, "cuped": True,
            "planned_days": 14, "arms": [
                {"arm": a.key, "units": round((a.units + control.units) * 1.6), "days": 17, "effect_now": 0.071,
                 "effect_at_end": 0.055, "reasons": {}} if n else
                {"arm": a.key, "units": None, "days": None, "effect_now": None, "effect_at_end": None,
                 "reasons": {"units": {"code": "zero_variance", "text": "No unit differs from another."}}}
                for n, a in enumerate(reversed([a for a in arms if not a.control]))]},
        "novelty": {"metric": "ctr", "arms": [
            {"arm": a.key, "days": [
                {"day": day, "units": a.units // (day + 1), "lift": 0.2 / (day + 1) if day < 5 else None,
                 "lift_ci": [0.2 / (day + 1) - 0.1 - day / 20, 0.2 / (day + 1) + 0.1 + day / 20] if day < 4 else None}
                for day in range(min(6, days))],
             "trend": {"shape": "novelty", "p_value": 0.01, "sentence": "The lift fades with the days since exposure."}}
            for a in arms if not a.control]},
        "method": notes or [
            "Relative lifts and their intervals by the delta method, 95 %; the unit is the user.",
            "Means and proportions: Welch's t; ratios: variance of the ratio over users.",
            "p adjusted by Holm over the metrics of one role and all arms.",
            "Always-valid intervals: asymptotic confidence sequences, tuned for 10,000 users.",
        ],
    }  # fmt: skip
