"""Sample ratio mismatch against SciPy, and its edges."""

from __future__ import annotations

import pytest
from scipy import stats as scipy_stats

from reclift.stats.result import Code
from reclift.stats.srm import srm


def test_chi_square_is_scipys():
    result = srm([4900, 5200, 10100], [1, 1, 2])
    assert result.expected == (5050, 5050, 10100)
    assert result.p_value == pytest.approx(scipy_stats.chisquare([4900, 5200, 10100], result.expected).pvalue)
    assert result.ok is True


def test_few_units_are_read_exactly():
    result = srm([0, 6], [0.5, 0.5])
    assert result.method == "exact binomial"
    assert result.p_value == pytest.approx(scipy_stats.binomtest(0, 6, 0.5).pvalue)


def test_a_broken_split_is_not_ok_and_the_threshold_is_used():
    assert srm([1000, 1200], [0.5, 0.5]).ok is False
    assert srm([1000, 1200], [0.5, 0.5], threshold=1e-6).ok is True


def test_units_where_none_may_be():
    result = srm([100, 1], [1, 0])
    assert (result.p_value, result.ok) == (0.0, False)
    assert srm([100, 0], [1, 0]).ok is True


def test_no_units_is_no_verdict():
    result = srm([0, 0], [1, 1])
    assert (result.p_value, result.ok) == (None, None)
    assert result.to_dict()["reasons"]["p_value"]["code"] == Code.NO_UNITS.value


@pytest.mark.parametrize(
    ("observed", "weights", "message"),
    [
        ([1], [1], "at least two"),
        ([1, 2], [1], "each arm needs both"),
        ([1, -2], [1, 1], r"observed\[1\] is -2"),
        ([1, 2], [1, float("nan")], r"weights\[1\] is nan"),
        ([1, 2], [0, 0], "weights sum to 0"),
    ],
)
def test_bad_input_is_named(observed, weights, message):
    with pytest.raises(ValueError, match=message):
        srm(observed, weights)


def test_json_is_the_contracts():
    assert srm([100, 120], [1, 1]).to_dict() | {"reasons": {}} == {
        "observed": [100, 120],
        "expected": [110.0, 110.0],
        "p_value": pytest.approx(0.1775, abs=1e-4),
        "ok": True,
        "threshold": 0.001,
        "method": "chi-square",
        "reasons": {},
    }
