"""Segments: the interaction test against statsmodels, corrected p-values, stated reasons."""

from __future__ import annotations

import json

import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects

from reclift.stats.result import Code
from reclift.stats.segments import by_segment
from reclift.stats.sums import Sums


def pair(control, treatment, n=5000):
    return Sums.of_counts(n, control), Sums.of_counts(n, treatment)


SEGMENTS = {"CN": pair(500, 560), "US": pair(400, 390), "DE": pair(300, 390)}


def test_q_is_statsmodels():
    reading = by_segment(SEGMENTS, kind="proportion")
    lifts = np.array([c.lift for c in reading.segments.values()])
    variances = np.array([c.lift_std_error**2 for c in reading.segments.values()])
    expected = combine_effects(lifts, variances).test_homogeneity()
    assert reading.q == pytest.approx(expected.statistic)
    assert reading.interaction_p == pytest.approx(expected.pvalue)
    assert (reading.df, reading.scale) == (2, "lift")


def test_p_values_are_corrected_for_the_number_of_segments():
    reading = by_segment(SEGMENTS, kind="proportion", arm="new")
    assert reading.segments["DE"].p_value_adjusted == pytest.approx(3 * reading.segments["DE"].p_value)
    assert reading.segments["CN"].arm == "new"


def test_an_empty_segment_is_shown_and_not_counted():
    reading = by_segment(SEGMENTS | {"FR": (Sums.of_counts(50, 2), Sums.empty())}, kind="proportion")
    assert reading.df == 2
    assert reading.segments["FR"].reasons["lift"].code is Code.NO_UNITS
    json.dumps(reading.to_dict(), allow_nan=False)


def test_without_lifts_differences_are_compared():
    zero = {"a": SEGMENTS["CN"], "b": (Sums.from_arrays([-1.0, 1.0, 0.0] * 30), Sums.from_arrays([1.0, 0.0, 2.0] * 30))}
    reading = by_segment(zero, kind="mean")
    assert reading.scale == "difference"
    assert reading.interaction_p < 0.001


def test_one_segment_has_no_interaction():
    reading = by_segment({"CN": SEGMENTS["CN"]}, kind="proportion")
    assert reading.interaction_p is None
    assert reading.reasons["interaction_p"].code is Code.TOO_FEW_UNITS
