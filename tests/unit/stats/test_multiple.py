"""Holm and Benjamini-Hochberg against statsmodels."""

from __future__ import annotations

import pytest
from statsmodels.stats.multitest import multipletests

from reclift.stats.comparison import compare
from reclift.stats.multiple import adjust, benjamini_hochberg, holm
from reclift.stats.sums import Sums

P = [0.011, 0.02, 0.0004, 0.9, 0.03, 0.02, 0.5]


@pytest.mark.parametrize(("ours", "theirs"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
def test_adjusted_p_values_are_statsmodels(ours, theirs):
    assert ours(P) == pytest.approx(multipletests(P, method=theirs)[1])
    assert ours([]) == []


def test_a_p_value_outside_its_range_is_named():
    with pytest.raises(ValueError, match=r"p_values\[1\] is 1.5"):
        holm([0.1, 1.5])


def test_comparisons_without_a_p_value_are_not_counted():
    control = Sums.of_counts(1000, 100)
    real = [compare(control, Sums.of_counts(1000, k), kind="proportion") for k in (140, 120)]
    nothing = compare(control, Sums.empty(), kind="proportion")
    adjusted = adjust([real[0], nothing, real[1]])
    assert adjusted[0].p_value_adjusted == pytest.approx(2 * real[0].p_value)
    assert adjusted[1].p_value_adjusted is None
    assert adjusted[2].p_value_adjusted == real[1].p_value
    assert [c.p_value for c in adjusted] == [real[0].p_value, None, real[1].p_value]
    with pytest.raises(ValueError, match="method is 'sidak'"):
        adjust(real, "sidak")
