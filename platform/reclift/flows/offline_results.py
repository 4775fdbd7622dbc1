"""What an offline evaluation found, as frozen objects that print as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """A mean over users with its interval; what could not be computed is `None`, and `reason` says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    users: int = 0
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "value": self.value,
            "interval": None if self.low is None or self.high is None else [self.low, self.high],
            "users": self.users,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Band:
    """The primary metric for users whose history has `first` to `last` signals; `last` is `None` for no end."""

    first: int
    last: int | None
    estimate: Estimate

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"history": [self.first, self.last], **self.estimate.to_dict()}


@dataclass(frozen=True)
class StrategyResult:
    """One strategy's row of the table.

    Attributes:
        name: as the candidate was called.
        params: as they were given.
        metrics: length of list -> metric -> estimate. Accuracy (`precision`, `recall`, `ndcg`, `map`, `hit_rate`,
            `mrr`), `novelty` in bits, `diversity`, and over all lists `coverage` and `gini`.
        by_history: the primary metric by how much was known of the user.
        fit_seconds: time to fit.
        answer_ms: mean time of one answer, in milliseconds.
        own_share: share of the slots that the strategy filled itself; the rest came from the fallback or stayed empty.
    """

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[int, Mapping[str, Estimate]]
    by_history: tuple[Band, ...]
    fit_seconds: float
    answer_ms: float
    own_share: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "params": dict(self.params),
            "metrics": {
                str(k): {metric: estimate.to_dict() for metric, estimate in found.items()}
                for k, found in self.metrics.items()
            },
            "by_history": [band.to_dict() for band in self.by_history],
            "fit_seconds": self.fit_seconds,
            "answer_ms": self.answer_ms,
            "own_share": self.own_share,
        }


@dataclass(frozen=True)
class Comparison:
    """Two strategies on the same users, by the primary metric: `second` minus `first`.

    Attributes:
        first: a candidate's name.
        second: another's.
        difference: mean difference with its interval.
        p_value: two-sided, by paired randomization.
        p_value_adjusted: by Holm, for all pairs of the evaluation.
    """

    first: str
    second: str
    difference: Estimate
    p_value: float
    p_value_adjusted: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "difference": self.difference.to_dict(),
            "p_value": self.p_value,
            "p_value_adjusted": self.p_value_adjusted,
        }


@dataclass(frozen=True)
class Evaluation:
    """The whole table.

    Attributes:
        split: what was learned from and what was to be found, with what was left out and why.
        primary: the metric that is compared.
        primary_k: at this length of list.
        level: of all intervals.
        fallback: what filled short lists, if anything did.
        results: in the order of the candidates.
        comparisons: every pair.
    """

    split: Mapping[str, Any]
    primary: str
    primary_k: int
    level: float
    fallback: str | None
    results: tuple[StrategyResult, ...]
    comparisons: tuple[Comparison, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "split": dict(self.split),
            "primary": self.primary,
            "primary_k": self.primary_k,
            "level": self.level,
            "methods": {
                "interval": "percentile bootstrap over users",
                "p_value": "paired randomization, two-sided; adjusted by Holm",
            },
            "fallback": self.fallback,
            "results": [result.to_dict() for result in self.results],
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
        }
