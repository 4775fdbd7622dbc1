"""How many units and days an experiment needs, planned from the placement's own past."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Literal

from sqlalchemy.orm import Session

from reclift.flows.power_audience import EVERYBODY, Who
from reclift.flows.power_past import Past, found_in, past, units_after
from reclift.stats import power as sizes
from reclift.stats.result import CannotCompute, Reason
from reclift.stats.sequential import DEFAULT_TUNING

WEEKS = (7, 14, 21, 28)


@dataclass(frozen=True, slots=True)
class Question:
    """What is planned.

    Attributes:
        arms: with the control; equally large, unless `weights` says how large they are, the control's first.
        effect: relative lift to find, 0.05 = 5 %.
        traffic: share of the placement's units that come in.
        tuning: units at which the always-valid interval is tightest (sequential only).
        cuped: whether the experiment will take out what units did before, with the gain that the past tells.
        corrected: whether the arms' comparisons are corrected for being several.
        days: a length for which to say what is found, beside whole weeks.
    """

    arms: int = 2
    effect: float = 0.05
    traffic: float = 1.0
    level: float = 0.95
    power: float = 0.8
    regime: Literal["fixed", "sequential"] = "fixed"
    tuning: int = DEFAULT_TUNING
    corrected: bool = True
    cuped: bool = False
    weights: tuple[float, ...] = ()
    days: int | None = None

    def __post_init__(self) -> None:
        if self.weights and (len(self.weights) != self.arms or not all(0 < w < float("inf") for w in self.weights)):
            raise ValueError(f"weights are {self.weights!r}; there must be {self.arms}, each above 0")

    @property
    def shares(self) -> list[float]:
        """Of all units, by arm, the control first."""
        weights = self.weights or (1.0,) * self.arms
        return [weight / sum(weights) for weight in weights]

    @property
    def pair(self) -> float:
        """The share of the units that the control and the smallest other arm hold: that comparison needs the most."""
        control, *others = self.shares
        return control + min(others)

    @property
    def design(self) -> sizes.Design:
        """Of the smallest arm against the control."""
        return sizes.Design(
            alpha=1 - self.level, power=self.power, control_share=self.shares[0] / self.pair,
            comparisons=self.arms - 1 if self.corrected else 1, regime=self.regime, tuning=self.tuning,
        )  # fmt: skip


def plan(
    session: Session,
    placement: str,
    metric: str,
    question: Question,
    *,
    who: Who = EVERYBODY,
    past_days: int | None = None,
) -> dict[str, Any]:
    """Units, days and what can be found in how many days; `reasons` where the past does not tell.

    `who` is let in; `past_days`: how long CUPED looks back, None: as long as the metric's window. See `past`.
    """
    return answer(past(session, placement, metric, who, past_days), placement, metric, question)


def answer(known: Past, placement: str, metric: str, question: Question) -> dict[str, Any]:
    """The plan for a question from a past; see `plan`."""
    told: dict[str, Any] = {
        "placement": placement, "metric": metric, "arms": question.arms, "effect": question.effect,
        "traffic": question.traffic, "level": question.level, "power": question.power, "regime": question.regime,
        "history": known.history, "units": None, "units_per_arm": None, "units_by_arm": None, "days": None,
        "planned_days": None, "by_days": [], "units_without": None, "reasons": {},
        "audience": None if known.admitted is None else known.admitted.to_dict(),
        "cuped": {**known.gain.to_dict(known.past_days), "used": False},
    }  # fmt: skip
    base = known.base
    if isinstance(base, Reason):
        return told | {"reasons": {"units": base.to_dict(), "days": base.to_dict()}}
    gain = known.gain.share
    if question.cuped and not isinstance(gain, Reason):
        told["cuped"]["used"] = True
        told["units_without"] = sum(_by_arm(base, question))
        base = replace(base, variance=base.variance * (1.0 - gain))
    by_arm = _by_arm(base, question)
    told |= {"units": sum(by_arm), "units_per_arm": min(by_arm), "units_by_arm": by_arm}
    lengths = sorted({*WEEKS, question.days} if question.days else WEEKS)
    found = [
        _in_days(days, units, base, question)
        for days in lengths
        if (units := units_after(days, known.arrivals) * question.traffic) * min(question.shares) >= 4
    ]
    told["by_days"] = [one for one in found if one["effect"] is not None]
    try:
        days = sizes.duration_days(sum(by_arm), known.arrivals, share=question.traffic)
    except CannotCompute as impossible:
        told["reasons"] = {"days": impossible.reason.to_dict()}
        return told
    # Whole weeks, since weekdays differ.
    return told | {"days": days, "planned_days": ceil(days / 7) * 7}


def _by_arm(base: sizes.Baseline, question: Question) -> list[int]:
    """Units needed, the control's first."""
    # The design is of two arms; rounded, since a share of what is shared out must not end a hair above.
    total = sizes.required_units(base, question.effect, question.design) / question.pair
    return [ceil(round(total * share, 6)) for share in question.shares]


def _in_days(days: int, units: float, base: sizes.Baseline, question: Question) -> dict[str, Any]:
    effect = found_in(base, units * question.pair, question.design)
    return {"days": days, "units": round(units), "effect": effect}
