"""Segments: the interaction test against statsmodels, corrected p-values, stated reasons."""

from __future__ import annotations

import json

import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects

from reclift.stats.comparison import compare
from reclift.stats.quantile import Sample, compare_samples
from reclift.stats.result import Code
from reclift.stats.segments import by_segment
from reclift.stats.sums import Sums


def pair(control, treatment, n=5000):
    return Sums.of_counts(n, control), Sums.of_counts(n, treatment)


SEGMENTS = {"CN": pair(500, 560), "US": pair(400, 390), "DE": pair(300, 390)}


def within(segments, kind, arm="treatment"):
    """Each segment's comparison."""
    return {name: compare(*sides, kind=kind, arm=arm) for name, sides in segments.items()}


def test_q_is_statsmodels():
    reading = by_segment(within(SEGMENTS, "proportion"))
    lifts = np.array([c.lift for c in reading.segments.values()])
    variances = np.array([c.lift_std_error**2 for c in reading.segments.values()])
    expected = combine_effects(lifts, variances).test_homogeneity()
    assert reading.q == pytest.approx(expected.statistic)
    assert reading.interaction_p == pytest.approx(expected.pvalue)
    assert (reading.df, reading.scale) == (2, "lift")


def test_p_values_are_corrected_for_the_number_of_segments():
    reading = by_segment(within(SEGMENTS, "proportion", "new"))
    assert reading.segments["DE"].p_value_adjusted == pytest.approx(3 * reading.segments["DE"].p_value)
    assert reading.segments["CN"].arm == "new"


def test_an_empty_segment_is_shown_and_not_counted():
    reading = by_segment(within(SEGMENTS | {"FR": (Sums.of_counts(50, 2), Sums.empty())}, "proportion"))
    assert reading.df == 2
    assert reading.segments["FR"].reasons["lift"].code is Code.NO_UNITS
    json.dumps(reading.to_dict(), allow_nan=False)


def test_without_lifts_differences_are_compared():
    zero = {"a": SEGMENTS["CN"], "b": (Sums.from_arrays([-1.0, 1.0, 0.0] * 30), Sums.from_arrays([1.0, 0.0, 2.0] * 30))}
    reading = by_segment(within(zero, "mean"))
    assert reading.scale == "difference"
    assert reading.interaction_p < 0.001


def test_one_segment_has_no_interaction():
    reading = by_segment(within({"CN": SEGMENTS["CN"]}, "proportion"))
    assert reading.interaction_p is None
    assert reading.reasons["interaction_p"].code is Code.TOO_FEW_UNITS


def test_segments_of_a_quantile_are_tested_alike():
    rng = np.random.default_rng(4)

    def arms(scale):
        return (Sample(rng.gamma(4.0, 5.0 * one, 2_000), np.arange(2_000)) for one in (1.0, scale))

    reading = by_segment({name: compare_samples(*arms(scale), 0.9) for name, scale in (("CN", 1.0), ("US", 1.5))})
    assert (reading.df, reading.scale) == (1, "lift")
    assert reading.interaction_p < 1e-6
    assert reading.segments["US"].p_value_adjusted == pytest.approx(2 * reading.segments["US"].p_value)
