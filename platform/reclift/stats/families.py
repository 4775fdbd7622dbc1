"""Which comparisons are corrected together, and how: by the role of their metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reclift.stats.decision import MetricReading, Role
from reclift.stats.multiple import Method, adjust
from reclift.stats.result import Code, Comparison, Reason

METHODS: Mapping[Role, Method] = {"primary": "holm", "secondary": "benjamini_hochberg", "guardrail": "none"}
"""What holds unless an experiment chose otherwise. Primary metrics decide: no false alarm at all (Holm). Secondary ones
hint: few false ones among them (Benjamini-Hochberg). Guardrails protect: missing harm is worse than a false alarm, so
they are not corrected."""


def adjust_families(metrics: Sequence[MetricReading], methods: Mapping[Role, Method] = METHODS) -> list[MetricReading]:
    """The metrics in their order, with `p_value_adjusted` over all arms of all metrics of the same role.

    Where a role that makes findings (primary or secondary) is not corrected although it makes several comparisons, each
    of them carries a warning that says how often chance alone makes one of them look real.

    Raises:
        ValueError: an unknown method.
    """
    result = list(metrics)
    for role, method in methods.items():
        members = [index for index, metric in enumerate(metrics) if metric.role == role]
        adjusted = adjust([c for index in members for c in metrics[index].comparisons], method)
        if method == "none" and role != "guardrail":
            adjusted = _warned(adjusted)
        rest = iter(adjusted)
        for index in members:
            comparisons = tuple(next(rest) for _ in metrics[index].comparisons)
            result[index] = replace(metrics[index], comparisons=comparisons)
    return result


def _warned(family: Sequence[Comparison]) -> list[Comparison]:
    several = sum(c.p_value is not None for c in family)
    if several < 2:
        return list(family)
    # Bonferroni's bound holds whatever the comparisons have to do with each other.
    chance = min(1.0, several * (1.0 - family[0].ci_level))
    text = (
        f"Not corrected, as was chosen: of {several} comparisons, one or more look real by luck alone in up to "
        f"{chance:.0%} of experiments without any effect."
    )
    warning = Reason(Code.UNCORRECTED, text)
    return [replace(c, warnings=(*c.warnings, warning)) for c in family]
