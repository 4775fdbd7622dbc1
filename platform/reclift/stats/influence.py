"""Outliers' influence: does the result rest on a handful of units?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reclift.stats.comparison import compare
from reclift.stats.estimators import Kind
from reclift.stats.result import Comparison
from reclift.stats.sums import Sums
from reclift.stats.words import percent


@dataclass(frozen=True, slots=True)
class Influence:
    """The comparison with and without the largest units.

    Attributes:
        removed: how many units were left out, both arms together.
        share: of the metric's total (both arms) that they held; `None` where the total is not positive.
        driven: leaving them out turns significance on or off, or turns the sign.
        sentence: for the report.
    """

    removed: int
    share: float | None
    whole: Comparison
    without: Comparison
    driven: bool
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        return {
            "removed": self.removed,
            "share": self.share,
            "without": self.without.to_dict(),
            "driven": self.driven,
            "sentence": self.sentence,
        }


def influence(
    control: Sums, treatment: Sums, rest_control: Sums, rest_treatment: Sums, *, kind: Kind, level: float = 0.95
) -> Influence:
    """Compares again without the largest units of each arm.

    The same number or share of units should be taken from both arms, by the size of `x` alone. It is a check of
    robustness and no estimate: leaving out what is inconvenient biases.

    Args:
        control: all the control's units.
        treatment: all the arm's units.
        rest_control: the control without its largest units, added up from the units themselves (subtracting sums would
            leave the rounding of the large ones).
        rest_treatment: the same of the arm.
        kind: as in `compare`.
        level: of the intervals.

    Raises:
        ValueError: a rest with more units than the whole, or as `compare`.
    """
    removed = control.units + treatment.units - rest_control.units - rest_treatment.units
    if rest_control.n > control.n or rest_treatment.n > treatment.n:
        raise ValueError(f"the rest has {-removed} units more than the whole; it must be part of it")
    whole = compare(control, treatment, kind=kind, level=level)
    without = compare(rest_control, rest_treatment, kind=kind, level=level)
    total = control.x + treatment.x
    share = 1.0 - (rest_control.x + rest_treatment.x) / total if total > 0 else None
    driven = _verdict(whole, level) != _verdict(without, level)
    held = f", which hold {percent(share, sign=False)} of the total," if share is not None else ""
    effect = "changes the result: it rests on them" if driven else "does not change the result"
    return Influence(removed, share, whole, without, driven, f"Leaving out the {removed} largest units{held} {effect}.")


def _verdict(comparison: Comparison, level: float) -> int:
    """-1 significantly lower, 0 not clear, 1 significantly higher."""
    if comparison.p_value is None or comparison.difference is None or comparison.p_value >= 1.0 - level:
        return 0
    return 1 if comparison.difference > 0 else -1
