"""How an experiment's numbers are to be read: chosen before its start, so that nobody can choose after seeing them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from reclift.domain.problem import Problem

REGIMES = ("fixed", "sequential", "group_sequential")
FAMILIES = ("obrien_fleming", "power")
CORRECTIONS = ("holm", "benjamini_hochberg", "none")
FEWEST_RESAMPLES, MOST_RESAMPLES = 200, 10_000
MOST_CUPED_DAYS = 90


@dataclass(frozen=True, slots=True)
class Analysis:
    """The choices that a report is made by.

    Attributes:
        regime: `fixed` is read once, when the plan is over; `sequential` at any time (always-valid); `group_sequential`
            at `looks` equally spaced looks until the planned end.
        looks: of a group-sequential design.
        family: how it spends its false positives over the looks.
        rho: of the power family.
        level: of intervals; 1 - level is the false positive rate.
        cuped: whether values before exposure take variance out.
        cuped_days: how many days before its exposure a unit's past is; None: as long as the metric's window, 7 days
            where it has none. The report's check of the time before the exposure looks at the same days.
        correction_primary: how the comparisons of the primary metric are corrected for being several: `holm` (no false
            alarm at all), `benjamini_hochberg` (few false ones among those called) or `none`, which is warned of.
        correction_secondary: likewise, of the secondary metrics. Guardrails never are: missing harm is worse.
        minimum_effect: the smallest relative lift worth having, 0.05 = 5 %; None: not stated.
        tuning: units at which the always-valid interval is tightest.
        stratify: an attribute, known at the exposure, by whose values units are compared like with like
            (post-stratification); None: all together. Not together with `cuped`.
        prior_mean: what is believed of the relative lift before the data (normal), for the Bayesian reading.
        prior_sd: its standard deviation; None: every lift is equally likely.
        rate_prior_alpha: of the beta prior of each arm's rate, for proportions.
        rate_prior_beta: likewise; 1 and 1: every rate is equally likely.
        bootstrap: resamples of the bootstrap that stands beside the formulas' intervals; 0: none.
        bootstrap_seed: of its random numbers: the same data give the same intervals.
    """

    regime: Literal["fixed", "sequential", "group_sequential"] = "fixed"
    looks: int = 5
    family: Literal["obrien_fleming", "power"] = "obrien_fleming"
    rho: float = 2.0
    level: float = 0.95
    cuped: bool = False
    cuped_days: int | None = None
    correction_primary: Literal["holm", "benjamini_hochberg", "none"] = "holm"
    correction_secondary: Literal["holm", "benjamini_hochberg", "none"] = "benjamini_hochberg"
    minimum_effect: float | None = None
    tuning: int = 5_000
    stratify: str | None = None
    prior_mean: float = 0.0
    prior_sd: float | None = None
    rate_prior_alpha: float = 1.0
    rate_prior_beta: float = 1.0
    bootstrap: int = 0
    bootstrap_seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | None) -> Self:
        """What `check_analysis` found right; unknown names are left out, so that older rows stay readable."""
        return cls(**{name: value for name, value in (data or {}).items() if name in cls.__dataclass_fields__})


_CHOICES = (
    ("regime", REGIMES),
    ("family", FAMILIES),
    ("correction_primary", CORRECTIONS),
    ("correction_secondary", CORRECTIONS),
)
_NUMBERS: Mapping[str, tuple[float, float]] = {
    "looks": (2, 50),
    "rho": (0.5, 10),
    "level": (0.5, 0.999),
    "cuped_days": (1, MOST_CUPED_DAYS),
    "minimum_effect": (0.0001, 10),
    "tuning": (10, 1_000_000_000),
    "prior_mean": (-1, 10),
    "prior_sd": (0.0001, 10),
    "rate_prior_alpha": (0.001, 1_000_000),
    "rate_prior_beta": (0.001, 1_000_000),
    "bootstrap": (0, MOST_RESAMPLES),
    "bootstrap_seed": (0, 2**31 - 1),
}
_WHOLE = frozenset({"looks", "cuped_days", "tuning", "bootstrap", "bootstrap_seed"})
_OPTIONAL = frozenset({"cuped_days", "minimum_effect", "prior_sd"})


def check_analysis(value: Any, place: str) -> tuple[dict[str, Any], list[Problem]]:
    """The whole set of choices, with defaults where nothing was sent, and everything that is wrong with it."""
    if not isinstance(value, Mapping):
        return Analysis().to_dict(), [Problem(place, value, "must be an object")]
    known = Analysis.__dataclass_fields__
    problems = [
        Problem(f"{place}.{name}", value[name], f"is no choice of the analysis; there are {', '.join(known)}")
        for name in value
        if name not in known
    ]
    for name, allowed in _CHOICES:
        if name in value and value[name] not in allowed:
            problems.append(Problem(f"{place}.{name}", value[name], f"must be one of {', '.join(allowed)}"))
    if not isinstance(value.get("cuped", False), bool):
        problems.append(Problem(f"{place}.cuped", value["cuped"], "must be true or false"))
    for name, (low, high) in _NUMBERS.items():
        if name not in value or (name in _OPTIONAL and value[name] is None):
            continue
        number, whole = value[name], name in _WHOLE
        kind = int if whole else int | float
        if isinstance(number, bool) or not isinstance(number, kind) or not math.isfinite(number):
            problems.append(Problem(f"{place}.{name}", number, f"must be a {'whole ' if whole else ''}number"))
        elif not low <= number <= high:
            problems.append(Problem(f"{place}.{name}", number, f"must be from {low:g} to {high:g}"))
    problems += _strata_problems(value, place)
    resamples = value.get("bootstrap", 0)
    if isinstance(resamples, int) and not isinstance(resamples, bool) and 0 < resamples < FEWEST_RESAMPLES:
        problems.append(Problem(f"{place}.bootstrap", resamples, f"must be 0 or at least {FEWEST_RESAMPLES}"))
    if problems:
        return Analysis().to_dict(), problems
    return {**Analysis().to_dict(), **value}, []


def _strata_problems(value: Mapping[str, Any], place: str) -> list[Problem]:
    attribute = value.get("stratify")
    if attribute is None:
        return []
    # SQLite's JSON paths cannot quote a quote.
    fine = isinstance(attribute, str) and 1 <= len(attribute) <= 64 and '"' not in attribute and attribute.isprintable()
    if not fine:
        rule = "must be an attribute's name of 1 to 64 printable characters without quotes, or null"
        return [Problem(f"{place}.stratify", attribute, rule)]
    if value.get("cuped") is True:
        return [Problem(f"{place}.stratify", attribute, "cannot be used together with cuped: choose one of them")]
    return []
