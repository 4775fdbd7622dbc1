"""Sample ratio mismatch under daily looks: a multinomial test that stays valid however often one looks."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log

from scipy import special

from reclift.stats.result import Code, Reason, check_probability
from reclift.stats.srm import THRESHOLD, SrmResult, expected_counts

CONCENTRATION = 10_000.0
"""How close to the planned shares the alternatives are: larger finds small deviations sooner once units are many."""


def sequential_srm(
    looks: Sequence[Sequence[int]],
    weights: Sequence[float],
    *,
    threshold: float = THRESHOLD,
    concentration: float = CONCENTRATION,
) -> SrmResult:
    """Dirichlet-multinomial test of the split over all looks so far.

    The Bayes factor of "other shares, Dirichlet(concentration * planned)" against the planned shares is a
    non-negative martingale of mean 1 when the split is as planned, so the smallest of its inverses is a p-value that
    stays valid under optional stopping (Ville's inequality). With fewer looks than days it is only less powerful.
    Source: Lindon and Malek 2022, "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 35.

    Args:
        looks: cumulative units by arm, one row a look (day), oldest first.
        weights: the planned shares, the same at all looks; any positive scale.
        threshold: the p-value below which the split is not ok, over all looks together.
        concentration: of the alternatives; fixed before the start.

    Raises:
        ValueError: see `expected_counts`; also counts that shrink, no looks, or a concentration that is not positive.
    """
    check_probability("threshold", threshold)
    if not concentration > 0:
        raise ValueError(f"concentration is {concentration!r}; it must be positive")
    if not looks:
        raise ValueError("looks is empty; give at least one row of units by arm")
    smallest = 0.0
    impossible = False
    previous: Sequence[int] = [0] * len(weights)
    for index, observed in enumerate(looks):
        expected = expected_counts(observed, weights)
        if any(now < before for now, before in zip(observed, previous, strict=True)):
            raise ValueError(f"looks[{index}] is {list(observed)}; cumulative units cannot fall below {list(previous)}")
        impossible = impossible or any(e == 0 < o for o, e in zip(observed, expected, strict=True))
        smallest = min(smallest, -log_bayes_factor(observed, weights, concentration))
        previous = observed
    counts = tuple(int(count) for count in previous)
    method = "sequential multinomial test"
    if sum(counts) == 0:
        reason = Reason(Code.NO_UNITS, "No unit has been exposed yet, so the split cannot be checked.")
        return SrmResult(counts, expected, None, None, threshold, method, reasons={"p_value": reason, "ok": reason})
    p = 0.0 if impossible else exp(smallest)
    return SrmResult(counts, expected, p, p >= threshold, threshold, method)


def log_bayes_factor(observed: Sequence[int], weights: Sequence[float], concentration: float) -> float:
    """Log of the evidence against the planned shares; arms of weight 0 are left out."""
    total_weight = float(sum(weights))
    result = 0.0
    n = 0
    for count, weight in zip(observed, weights, strict=True):
        if weight == 0:
            continue
        share = weight / total_weight
        alpha = concentration * share
        result += float(special.gammaln(alpha + count) - special.gammaln(alpha)) - count * log(share)
        n += count
    return result + float(special.gammaln(concentration) - special.gammaln(concentration + n))
