"""Many comparisons: Holm and Benjamini-Hochberg."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

from reclift.stats.result import Comparison, check_p_values

Method = Literal["holm", "benjamini_hochberg", "none"]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the chance of any false positive in the family, under any dependence.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure", Scand. J. Statistics 6.

    Raises:
        ValueError: a p-value is not in [0, 1].
    """
    check_p_values(p_values)
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the expected share of false positives among those called significant.

    Source: Benjamini and Hochberg 1995, "Controlling the False Discovery Rate", JRSS B 57; for independent or
    positively dependent tests.

    Raises:
        ValueError: a p-value is not in [0, 1].
    """
    check_p_values(p_values)
    adjusted = [0.0] * len(p_values)
    running = 1.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)
    for from_last, index in enumerate(order):
        running = min(running, p_values[index] * (len(p_values) / (len(p_values) - from_last)))
        adjusted[index] = running
    return adjusted


def corrected(p_values: Sequence[float], method: Method = "holm") -> list[float]:
    """The p-values of one family, adjusted by `method`; `none` leaves them as they are.

    Raises:
        ValueError: unknown method, or a p-value that is not in [0, 1].
    """
    if method not in get_args(Method):
        raise ValueError(f"method is {method!r}; it must be one of {', '.join(get_args(Method))}")
    if method == "none":
        check_p_values(p_values)
        return list(p_values)
    return holm(p_values) if method == "holm" else benjamini_hochberg(p_values)


def adjust(comparisons: Sequence[Comparison], method: Method = "holm") -> list[Comparison]:
    """The comparisons of one family with `p_value_adjusted` set; those without a p-value are not counted.

    A family is what could be called a finding together: all arms of all metrics of one role (`reclift.stats.families`).

    Raises:
        ValueError: unknown method.
    """
    known = [(index, c.p_value) for index, c in enumerate(comparisons) if c.p_value is not None]
    p_values = corrected([p for _, p in known], method)
    result = list(comparisons)
    for (index, _), p in zip(known, p_values, strict=True):
        result[index] = replace(comparisons[index], p_value_adjusted=p)
    return result
