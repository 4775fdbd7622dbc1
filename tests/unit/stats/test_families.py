"""Corrections by role."""

from __future__ import annotations

import pytest

from reclift.stats.comparison import compare
from reclift.stats.decision import MetricReading
from reclift.stats.families import adjust_families
from reclift.stats.multiple import benjamini_hochberg, holm
from reclift.stats.sums import Sums


def metric(name, role, *successes):
    control = Sums.of_counts(5000, 500)
    return MetricReading(
        name,
        role,
        [compare(control, Sums.of_counts(5000, k), kind="proportion", arm=f"arm-{k}") for k in successes],
    )


def test_each_role_is_a_family_of_its_own():
    metrics = [
        metric("ctr", "primary", 560, 545),
        metric("orders", "secondary", 560, 530),
        metric("latency", "guardrail", 450),
        metric("clicks", "primary", 570),
        metric("visits", "secondary", 575),
    ]
    adjusted = adjust_families(metrics)
    assert [m.metric for m in adjusted] == ["ctr", "orders", "latency", "clicks", "visits"]

    def both(role, field, source):
        return [getattr(c, field) for m in source if m.role == role for c in m.comparisons]

    assert both("primary", "p_value_adjusted", adjusted) == pytest.approx(holm(both("primary", "p_value", metrics)))
    secondary = benjamini_hochberg(both("secondary", "p_value", metrics))
    assert both("secondary", "p_value_adjusted", adjusted) == pytest.approx(secondary)
    assert both("guardrail", "p_value_adjusted", adjusted) == both("guardrail", "p_value", metrics)
    assert [c.arm for c in adjusted[0].comparisons] == ["arm-560", "arm-545"]
