"""Segments: the lift by attribute, corrected for their number, and a test of whether it differs at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import fsum
from typing import Any

from scipy import special

from reclift.stats.bayes import BetaPrior, NormalPrior
from reclift.stats.comparison import compare
from reclift.stats.estimators import Kind
from reclift.stats.multiple import adjust
from reclift.stats.result import NO_REASONS, Code, Comparison, Reason
from reclift.stats.sequential import DEFAULT_TUNING
from reclift.stats.sums import Sums


@dataclass(frozen=True, slots=True)
class SegmentReading:
    """The comparison in each segment, and whether the segments differ.

    Attributes:
        segments: segment -> comparison; `p_value_adjusted` is Benjamini-Hochberg's over the segments.
        interaction_p: p-value of the effect being the same in all segments; `None` where `reasons` says why.
        q: Cochran's statistic, chi-square on `df` degrees of freedom.
        scale: what was compared between segments, `lift` where every segment has one, else `difference`.
    """

    segments: Mapping[str, Comparison]
    interaction_p: float | None
    q: float | None
    df: int
    scale: str
    reasons: Mapping[str, Reason] = field(default_factory=lambda: NO_REASONS)

    def to_dict(self) -> dict[str, Any]:
        """JSON: segments in their order, then the interaction test."""
        return {
            "segments": [{"segment": name} | c.to_dict() for name, c in self.segments.items()],
            "interaction": {"p_value": self.interaction_p, "q": self.q, "df": self.df, "scale": self.scale},
            "reasons": {name: reason.to_dict() for name, reason in self.reasons.items()},
        }


def by_segment(
    segments: Mapping[str, tuple[Sums, Sums]],
    *,
    kind: Kind,
    level: float = 0.95,
    arm: str = "treatment",
    control_arm: str = "control",
    cuped: bool = False,
    sequential_tuning: int = DEFAULT_TUNING,
    prior: NormalPrior | None = None,
    rate_prior: BetaPrior | None = None,
    higher_is_better: bool = True,
) -> SegmentReading:
    """Compares (control, treatment) within each segment and tests the interaction by Cochran's Q.

    Q = sum of w (L - mean L)**2 with w = 1 / variance and the mean weighted by w: chi-square with segments - 1 degrees
    of freedom when the effect is the same everywhere. Read a segment's own lift only when this test says that segments
    differ. Segments must not share units, and must be known before exposure.
    Source: Cochran 1954, "The Combination of Estimates from Different Experiments", Biometrics 10.

    Raises:
        ValueError: as `compare`.
    """
    read = {
        name: compare(
            control,
            treatment,
            kind=kind,
            level=level,
            arm=arm,
            control_arm=control_arm,
            cuped=cuped,
            sequential_tuning=sequential_tuning,
            prior=prior,
            rate_prior=rate_prior,
            higher_is_better=higher_is_better,
        )
        for name, (control, treatment) in segments.items()
    }
    adjusted = adjust(list(read.values()), "benjamini_hochberg")
    comparisons = dict(zip(read, adjusted, strict=True))
    known = [c for c in adjusted if c.p_value is not None and c.std_error]
    if len(known) < 2:
        reason = Reason(Code.TOO_FEW_UNITS, "Fewer than two segments can be read, so they cannot be compared.")
        return SegmentReading(comparisons, None, None, 0, "difference", {"interaction_p": reason})
    lifts = [(c.lift, c.lift_std_error) for c in known]
    points = [(value, error) for value, error in lifts if value is not None and error]
    scale = "lift"
    if len(points) < len(known):
        points = [(c.difference, c.std_error) for c in known if c.difference is not None and c.std_error]
        scale = "difference"
    weights = [1.0 / (error * error) for _, error in points]
    mean = fsum(w * value for w, (value, _) in zip(weights, points, strict=True)) / fsum(weights)
    q = fsum(w * (value - mean) ** 2 for w, (value, _) in zip(weights, points, strict=True))
    df = len(points) - 1
    return SegmentReading(comparisons, float(special.chdtrc(df, q)), q, df, scale)
