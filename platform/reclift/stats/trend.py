"""Novelty: does the lift fade, or grow, with the days since a unit's exposure?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, sqrt
from typing import Any, Literal

from scipy import special

from reclift.stats.result import NO_REASONS, Code, Comparison, Reason
from reclift.stats.words import p_words, percent

Shape = Literal["novelty", "primacy", "steady", "unknown"]


@dataclass(frozen=True, slots=True)
class Trend:
    """The line through the lifts by days since exposure.

    Attributes:
        slope: change of the relative lift a day; `None` where `reasons` says why.
        std_error: of the slope.
        p_value: two-sided, of no slope.
        shape: `novelty` (the lift shrinks towards 0 or past it), `primacy` (it grows away from 0), or `steady`.
        sentence: for the report.
    """

    slope: float | None
    std_error: float | None
    p_value: float | None
    shape: Shape
    sentence: str
    reasons: Mapping[str, Reason] = field(default_factory=lambda: NO_REASONS)

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        return {
            "slope": self.slope,
            "std_error": self.std_error,
            "p_value": self.p_value,
            "shape": self.shape,
            "sentence": self.sentence,
            "reasons": {name: reason.to_dict() for name, reason in self.reasons.items()},
        }


def lift_trend(days: Sequence[tuple[float, Comparison]], *, alpha: float = 0.05) -> Trend:
    """Fits lift = a + b day by weighted least squares, weights 1 / variance of each day's lift.

    Each day's comparison must be of that day's behaviour alone (not cumulative), of units that far from their own
    exposure. Days are treated as independent; the same units appear in several, which makes the slope's error, if
    anything, too large.
    Source: Kohavi, Tang and Xu 2020, "Trustworthy Online Controlled Experiments", chapter 23; weighted least squares
    with known variances.
    """
    points = [(day, c.lift, c.lift_std_error) for day, c in days if c.lift is not None and c.lift_std_error]
    if len({day for day, _, _ in points}) < 3:
        reason = Reason(Code.TOO_FEW_UNITS, "A trend needs the lift on at least three days since exposure.")
        fields = ("slope", "std_error", "p_value")
        return Trend(None, None, None, "unknown", reason.text, dict.fromkeys(fields, reason))
    weights = [1.0 / (error * error) for _, _, error in points]
    total = fsum(weights)
    centre = fsum(w * day for w, (day, _, _) in zip(weights, points, strict=True)) / total
    level = fsum(w * value for w, (_, value, _) in zip(weights, points, strict=True)) / total
    spread = fsum(w * (day - centre) ** 2 for w, (day, _, _) in zip(weights, points, strict=True))
    slope = fsum(w * (day - centre) * value for w, (day, value, _) in zip(weights, points, strict=True)) / spread
    error = 1.0 / sqrt(spread)
    p = float(2.0 * special.ndtr(-abs(slope) / error))
    first, last = (level + slope * (pick(day for day, _, _ in points) - centre) for pick in (min, max))
    line = f"from {percent(first)} on the first day to {percent(last)} on the last (p {p_words(p)})"
    if p >= alpha:
        return Trend(slope, error, p, "steady", "The lift does not clearly change with the days since exposure.")
    if abs(last) < abs(first) or first * last < 0:
        return Trend(
            slope, error, p, "novelty", f"The lift fades with the days since exposure, {line}: a novelty effect."
        )
    return Trend(slope, error, p, "primacy", f"The lift grows with the days since exposure, {line}: users learn.")
