"""Sample ratio mismatch: did the arms get the shares of units that they were promised?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
from scipy import special

from reclift.stats.result import NO_REASONS, Code, Reason, check_probability

THRESHOLD = 0.001
"""Below this p-value the split is called broken: rare enough that daily looks seldom cry wolf."""

_FEW = 5.0
"""Expected units below which chi-square is not trusted (Cochran 1954)."""


@dataclass(frozen=True, slots=True)
class SrmResult:
    """Observed and expected units by arm, in the same order.

    Attributes:
        p_value: of the split being as planned; `None` where `reasons` says why.
        ok: the split may be trusted; `None` where it cannot be told yet.
        method: `chi-square`, or `exact binomial` for two arms of few units.
    """

    observed: tuple[int, ...]
    expected: tuple[float, ...]
    p_value: float | None
    ok: bool | None
    threshold: float = THRESHOLD
    method: str = "chi-square"
    statistic: float | None = None
    reasons: Mapping[str, Reason] = field(default_factory=lambda: NO_REASONS)

    def to_dict(self) -> dict[str, Any]:
        """API.md's `srm`."""
        return {
            "observed": list(self.observed),
            "expected": list(self.expected),
            "p_value": self.p_value,
            "ok": self.ok,
            "threshold": self.threshold,
            "method": self.method,
            "reasons": {name: reason.to_dict() for name, reason in self.reasons.items()},
        }


def expected_counts(observed: Sequence[int], weights: Sequence[float]) -> tuple[float, ...]:
    """Units that each arm would have if the total split exactly by `weights` (which need not sum to 1).

    Raises:
        ValueError: lengths differ, fewer than two arms, a negative count, a negative weight, or no weight at all.
    """
    if len(observed) != len(weights):
        raise ValueError(f"observed has {len(observed)} arms and weights {len(weights)}; each arm needs both")
    if len(observed) < 2:
        raise ValueError(f"observed has {len(observed)} arm; a split needs at least two")
    for index, (count, weight) in enumerate(zip(observed, weights, strict=True)):
        if count < 0:
            raise ValueError(f"observed[{index}] is {count!r}; a count cannot be negative")
        if weight < 0 or not isfinite(weight):
            raise ValueError(f"weights[{index}] is {weight!r}; a weight must be a finite number from 0")
    total_weight = float(sum(weights))
    if total_weight <= 0:
        raise ValueError(f"weights sum to {total_weight!r}; at least one arm needs traffic")
    total = float(sum(observed))
    return tuple(total * weight / total_weight for weight in weights)


def srm(observed: Sequence[int], weights: Sequence[float], *, threshold: float = THRESHOLD) -> SrmResult:
    """Pearson's chi-square test of the split; exact binomial for two arms that expect fewer than five units.

    A unit in an arm of weight 0 is a mismatch whatever the rest. No units at all: nothing can be said (`ok` is `None`).
    Source: Fabijan et al. 2019, "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", KDD.

    Args:
        observed: exposed units by arm.
        weights: the planned shares, in the same order; any positive scale.
        threshold: the p-value below which the split is not ok.

    Raises:
        ValueError: see `expected_counts`; also a threshold that is not between 0 and 1.
    """
    check_probability("threshold", threshold)
    expected = expected_counts(observed, weights)
    counts = tuple(int(count) for count in observed)
    total = sum(counts)
    if total == 0:
        reason = Reason(Code.NO_UNITS, "No unit has been exposed yet, so the split cannot be checked.")
        return SrmResult(counts, expected, None, None, threshold, reasons={"p_value": reason, "ok": reason})
    if any(e == 0 < o for o, e in zip(counts, expected, strict=True)):
        return SrmResult(counts, expected, 0.0, ok=False, threshold=threshold)
    live = [(o, e) for o, e in zip(counts, expected, strict=True) if e > 0]
    statistic = float(sum((o - e) ** 2 / e for o, e in live))
    if len(live) == 2 and min(e for _, e in live) < _FEW:
        p, method = _exact_binomial(live[0][0], total, live[0][1] / total), "exact binomial"
    else:
        p, method = (float(special.chdtrc(len(live) - 1, statistic)) if len(live) > 1 else 1.0), "chi-square"
    return SrmResult(counts, expected, p, p >= threshold, threshold, method, statistic)


def _exact_binomial(k: int, n: int, p: float) -> float:
    """Two-sided: the probability of all counts that are no likelier than `k`."""
    i = np.arange(n + 1, dtype=np.float64)
    log_choose = special.gammaln(n + 1) - special.gammaln(i + 1) - special.gammaln(n - i + 1)
    mass = np.exp(log_choose + i * np.log(p) + (n - i) * np.log1p(-p))
    return float(min(1.0, mass[mass <= mass[k] * (1 + 1e-7)].sum()))
