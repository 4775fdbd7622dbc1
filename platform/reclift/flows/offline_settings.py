"""What is asked of an offline evaluation: which strategies, measured how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclift.domain import ranking
from reclift.strategy import Strategy


@dataclass(frozen=True)
class Candidate:
    """A strategy with its parameters under a name for the table."""

    name: str
    strategy: type[Strategy]
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How to evaluate.

    Attributes:
        ks: lengths of lists.
        primary: the metric that is compared and shown by length of history.
        primary_k: its length of list; the first of `ks` by default.
        level: of the intervals.
        draws: of the bootstrap; ten times as many sign patterns are tried in comparisons.
        max_users: where more users have something to find, so many are drawn at random.
        seed: of everything random, the strategies' queries included.
    """

    ks: tuple[int, ...] = (10,)
    primary: str = "ndcg"
    primary_k: int | None = None
    level: float = 0.95
    draws: int = 1000
    max_users: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        if not self.ks or min(self.ks) < 1:
            raise ValueError(f"ks={self.ks}: needs at least one length, each at least 1")
        if self.primary not in ranking.ACCURACY:
            raise ValueError(f"primary={self.primary!r}: must be one of {', '.join(ranking.ACCURACY)}")
        if self.primary_k is not None and self.primary_k not in self.ks:
            raise ValueError(f"primary_k={self.primary_k}: must be one of ks={self.ks}")

    @property
    def headline_k(self) -> int:
        """The length of list of the primary metric."""
        return self.ks[0] if self.primary_k is None else self.primary_k


@dataclass(frozen=True)
class Asked:
    """One strategy's lists: item indices (U, K) with -1 at the end of short ones, and how they came about."""

    lists: NDArray[np.int64]
    fit_seconds: float
    answer_ms: float
    own_share: float
