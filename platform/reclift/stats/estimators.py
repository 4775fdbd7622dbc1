"""An arm's level by its kind of metric: the one place where a kind finds its estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from reclift.stats.estimate import Estimate
from reclift.stats.mean import mean, proportion
from reclift.stats.ratio import ratio
from reclift.stats.sums import Sums

Kind = Literal["proportion", "mean", "ratio"]

_ESTIMATORS: dict[str, Callable[[Sums], Estimate]] = {"proportion": proportion, "mean": mean, "ratio": ratio}


def estimate(sums: Sums, kind: Kind) -> Estimate:
    """An arm's level by the estimator of its kind.

    Raises:
        CannotCompute: see `mean`, `proportion` and `ratio`.
        ValueError: unknown kind.
    """
    if kind not in _ESTIMATORS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(get_args(Kind))}")
    return _ESTIMATORS[kind](sums)
