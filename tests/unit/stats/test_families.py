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


@pytest.mark.parametrize("method", ["holm", "benjamini_hochberg"])
def test_a_role_is_corrected_as_it_is_told(method):
    metrics = [metric("ctr", "primary", 560, 545, 530)]
    (found,) = adjust_families(metrics, {"primary": method})
    raw = [c.p_value for c in metrics[0].comparisons]
    by_hand = holm(raw) if method == "holm" else benjamini_hochberg(raw)
    assert [c.p_value_adjusted for c in found.comparisons] == pytest.approx(by_hand)
    assert not any(c.warnings for c in found.comparisons)


def test_no_correction_is_warned_of_where_there_are_several_comparisons():
    metrics = [metric("ctr", "primary", 560, 545), metric("orders", "secondary", 560), metric("ms", "guardrail", 1, 2)]
    first, second, third = adjust_families(metrics, dict.fromkeys(("primary", "secondary", "guardrail"), "none"))
    for comparison in first.comparisons:
        assert comparison.p_value_adjusted == comparison.p_value
        (warning,) = (w for w in comparison.warnings if w.code == "uncorrected")
        assert "of 2 comparisons" in warning.text
        assert "10%" in warning.text
    assert not any(w.code == "uncorrected" for one in (second, third) for c in one.comparisons for w in c.warnings)


def test_an_unknown_correction_is_refused():
    with pytest.raises(ValueError, match="method is 'sidak'"):
        adjust_families([metric("ctr", "primary", 560)], {"primary": "sidak"})
