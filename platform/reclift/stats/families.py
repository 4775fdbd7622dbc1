"""Which comparisons are corrected together: by the role of their metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reclift.stats.decision import MetricReading, Role
from reclift.stats.multiple import Method, adjust

METHODS: dict[Role, Method] = {"primary": "holm", "secondary": "benjamini-hochberg", "guardrail": "none"}
"""Primary metrics decide: no false alarm at all (Holm). Secondary ones hint: few false ones among them
(Benjamini-Hochberg). Guardrails protect: missing harm is worse than a false alarm, so they are not corrected."""


def adjust_families(metrics: Sequence[MetricReading]) -> list[MetricReading]:
    """The metrics in their order, with `p_value_adjusted` over all arms of all metrics of the same role."""
    result = list(metrics)
    for role, method in METHODS.items():
        members = [index for index, metric in enumerate(metrics) if metric.role == role]
        adjusted = iter(adjust([c for index in members for c in metrics[index].comparisons], method))
        for index in members:
            comparisons = tuple(next(adjusted) for _ in metrics[index].comparisons)
            result[index] = replace(metrics[index], comparisons=comparisons)
    return result
