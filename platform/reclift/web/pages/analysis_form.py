"""How the numbers will be read, as people choose it before the start, and the `analysis` block that it means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from reclift.domain.analysis import FEWEST_RESAMPLES, MOST_CUPED_DAYS, MOST_RESAMPLES, Analysis

from .backend import JSON, Problem
from .traffic_form import number

PREFIX = "analysis-"
PERCENT = frozenset({"level", "minimum_effect", "prior_mean", "prior_sd"})
"""Shares that people type in percent."""


class Regime(NamedTuple):
    """One way to read a report, in words for people who choose."""

    key: str
    title: str
    text: str


REGIMES = (
    Regime("fixed", "Once, at the planned end", "The narrowest intervals. Nobody decides before the plan is over."),
    Regime("sequential", "Whenever you like",
           "Always-valid intervals: stop at any time, for a good or a bad result. It needs more users."),
    Regime("group_sequential", "At a few planned looks",
           "Stop early at looks that are spaced evenly over the plan. It costs hardly more users than one look."),
)  # fmt: skip
FAMILIES = {
    "obrien_fleming": "cautious at first (O'Brien-Fleming)",
    "power": "by a power of the time (rho)",
}
CORRECTIONS = {
    "holm": "Holm: hardly ever a false alarm",
    "benjamini_hochberg": "Benjamini-Hochberg: few false alarms among those called",
    "none": "none: each comparison stands alone",
}
_CORRECTED = ("correction_primary", "correction_secondary")
_OF_LOOKS = frozenset({"looks", "family", "rho"})
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "cuped_days": (1, MOST_CUPED_DAYS), "looks": (2, 50), "rho": (0.5, 10), "level": (50, 99.9),
    "minimum_effect": (0.01, 1000), "tuning": (10, 1e9), "prior_mean": (-100, 1000), "prior_sd": (0.01, 1000),
    "rate_prior_alpha": (0.001, 1e6), "rate_prior_beta": (0.001, 1e6), "bootstrap": (0, MOST_RESAMPLES),
    "bootstrap_seed": (0, 2**31 - 1),
}  # fmt: skip
_WHOLE = frozenset({"cuped_days", "looks", "tuning", "bootstrap", "bootstrap_seed"})
_FIELDS = frozenset({*_BOUNDS, "regime", "family", "cuped", "stratify", *_CORRECTED})
_LONGEST_NAME = 64

Typed = dict[str, Any]


def shown(analysis: Mapping[str, Any] | None = None) -> Typed:
    """What the form shows for an `analysis` block; what it has no field for is carried along as JSON in `more`."""
    known = Analysis().to_dict()
    given = {**known, **(analysis or {})}
    typed: Typed = {name: _text(name, given[name]) for name in known}
    typed["cuped"] = bool(given["cuped"])
    more = {name: value for name, value in given.items() if name not in _FIELDS}
    typed["more"] = json.dumps(more, ensure_ascii=False) if more else ""
    return typed


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value * 100:.10g}" if name in PERCENT else f"{value:.10g}"
    return str(value)


def sent(form: Any) -> Typed:
    """What was sent, as typed; a field that was not sent has its default."""
    typed = shown()
    if f"{PREFIX}regime" not in form:
        return typed
    for name in [*(_FIELDS - {"cuped"}), "more"]:
        typed[name] = str(form.get(PREFIX + name, typed[name])).strip()
    typed["cuped"] = form.get(PREFIX + "cuped") == "on"
    return typed


def payload(typed: Mapping[str, Any]) -> tuple[JSON, list[Problem]]:
    """The `analysis` block that was meant, and what is wrong with it."""
    problems: list[Problem] = []
    built: JSON = {}
    if typed["more"]:
        try:
            built = dict(json.loads(typed["more"]))
        except (ValueError, TypeError):
            problems.append(_problem("more", typed["more"], "must be the JSON that the page gave"))
    default = Analysis().to_dict()
    regimes = [regime.key for regime in REGIMES]
    built["regime"] = typed["regime"]
    if typed["regime"] not in regimes:
        problems.append(_problem("regime", typed["regime"], f"must be one of {', '.join(regimes)}"))
    looks = typed["regime"] == "group_sequential"
    built["family"] = typed["family"]
    if typed["family"] not in FAMILIES:
        built["family"] = default["family"]
        if looks:
            problems.append(_problem("family", typed["family"], f"must be one of {', '.join(FAMILIES)}"))
    for name in _CORRECTED:
        built[name] = typed[name] if typed[name] in CORRECTIONS else default[name]
        if typed[name] not in CORRECTIONS:
            problems.append(_problem(name, typed[name], f"must be one of {', '.join(CORRECTIONS)}"))
    built["cuped"] = bool(typed["cuped"])
    built["stratify"], rule = _strata(typed)
    if rule:
        problems.append(_problem("stratify", typed["stratify"], rule))
    for name, (low, high) in _BOUNDS.items():
        value, rule = _number(name, typed[name], low, high, default[name])
        built[name] = default[name] if rule else value
        if rule and (looks or name not in _OF_LOOKS):  # what stands in fields of another regime does not matter
            problems.append(_problem(name, typed[name], rule))
    return built, problems


def _strata(typed: Mapping[str, Any]) -> tuple[str | None, str]:
    name = typed["stratify"]
    if not name:
        return None, ""
    if len(name) > _LONGEST_NAME or '"' in name or not name.isprintable():
        return None, f"must be an attribute's name of at most {_LONGEST_NAME} printable characters without quotes"
    if typed["cuped"]:
        return None, "cannot be used together with CUPED: choose one of them"
    return name, ""


def _number(name: str, text: str, low: float, high: float, default: Any) -> tuple[Any, str]:
    if not text:
        return default, ""
    value = number(text)
    unit = " percent" if name in PERCENT else ""
    if value is None:
        return None, "must be a number"
    if name in _WHOLE and value != int(value):
        return None, "must be a whole number"
    if not low <= value <= high:
        return None, f"must be from {low:.10g} to {high:.10g}{unit}"
    if name in PERCENT:
        return round(value / 100, 10), ""
    if name == "bootstrap" and 0 < value < FEWEST_RESAMPLES:
        return None, f"must be 0 for none, or at least {FEWEST_RESAMPLES}"
    return (int(value) if name in _WHOLE else value), ""


def _problem(name: str, value: Any, rule: str) -> Problem:
    return {"field": f"analysis.{name}", "value": value, "rule": rule}


def said(analysis: Mapping[str, Any]) -> list[str]:
    """An `analysis` block in words, what matters first."""
    chosen = Analysis.from_dict(analysis)
    lines = {
        "fixed": ["once, at the planned end"],
        "sequential": [f"whenever you like, by always-valid intervals tuned for {chosen.tuning:,} users"],
        "group_sequential": [f"at {chosen.looks} planned looks, {FAMILIES[chosen.family]}"],
    }[chosen.regime]
    if chosen.regime == "group_sequential" and chosen.family == "power":
        lines[0] = lines[0].replace("(rho)", f"(rho {chosen.rho:g})")
    lines.append(f"{chosen.level * 100:g} % intervals")
    if chosen.stratify:
        lines.append(f"like with like by {chosen.stratify}")
    else:
        lines.append("with what users did before (CUPED)" if chosen.cuped else "without CUPED")
    if chosen.cuped_days is not None:
        lines.append(f"a user's past is {chosen.cuped_days} day{'' if chosen.cuped_days == 1 else 's'}")
    default = Analysis()
    for name, metric in zip(_CORRECTED, ("primary metric", "secondary metrics"), strict=True):
        if getattr(chosen, name) != getattr(default, name):
            method = CORRECTIONS[getattr(chosen, name)].split(":")[0]
            lines.append(f"{metric}: {'not corrected' if method == 'none' else f'corrected by {method}'}")
    if chosen.prior_sd is not None:
        lines.append(f"prior lift {chosen.prior_mean * 100:g} ± {chosen.prior_sd * 100:g} %")
    if (chosen.rate_prior_alpha, chosen.rate_prior_beta) != (1, 1):
        lines.append(f"prior rates beta({chosen.rate_prior_alpha:g}, {chosen.rate_prior_beta:g})")
    if chosen.bootstrap:
        lines.append(f"{chosen.bootstrap:,} bootstrap resamples beside")
    if chosen.minimum_effect is not None:
        lines.append(f"smallest lift worth having {chosen.minimum_effect * 100:g} %")
    return lines
