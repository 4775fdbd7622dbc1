"""compare never crashes and never makes a number up, whatever the sums."""

from __future__ import annotations

import json
from math import isfinite

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from reclift.stats.comparison import arm_summary, compare
from reclift.stats.sums import Sums

VALUES = st.one_of(
    st.just(0.0),
    st.integers(-3, 3).map(float),
    st.floats(-1e6, 1e6),
    st.floats(-1e32, 1e32),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e150, max_value=1e150),
)
KINDS = st.sampled_from(["proportion", "mean", "ratio"])


@st.composite
def sums(draw):
    n = draw(st.integers(0, 12))
    columns = [draw(st.lists(VALUES, min_size=n, max_size=n)) for _ in range(4)]
    return Sums.from_arrays(*columns)


def binary():
    return st.lists(st.sampled_from([0.0, 1.0]), max_size=40).map(Sums.from_arrays)


def check(result):
    json.dumps(result.to_dict(), allow_nan=False)
    for reading, fields in (
        (result, ["lift", "lift_ci", "lift_std_error", "difference", "difference_ci", "std_error", "p_value",
                  "p_value_adjusted", "detectable_lift"]),
        (result.sequential, ["p_value", "lift_ci", "difference_ci"]),
        (result.bayesian, ["chance_to_win", "expected_loss", "expected_loss_control", "lift_ci", "difference_ci"]),
    ):  # fmt: skip
        for name in fields:
            value = getattr(reading, name)
            assert (value is None) == (name in reading.reasons), (name, value, reading.reasons)
            if value is not None:
                bounds = value if isinstance(value, tuple) else (value,)
                assert all(isfinite(bound) for bound in bounds)
                assert list(bounds) == sorted(bounds)
    for p in (result.p_value, result.sequential.p_value, result.bayesian.chance_to_win):
        assert p is None or 0 <= p <= 1
    for loss in (result.bayesian.expected_loss, result.bayesian.expected_loss_control):
        assert loss is None or loss >= 0


@given(sums(), sums(), KINDS, st.booleans())
@example(Sums.empty(), Sums.empty(), "mean", True)
@example(Sums.of_counts(40, 30), Sums.of_counts(40, 0), "mean", False)
@settings(max_examples=300, deadline=None)
def test_every_field_has_a_finite_value_or_a_reason(control, treatment, kind, cuped):
    check(compare(control, treatment, kind=kind, cuped=cuped))


@given(binary(), binary(), st.booleans())
@example(Sums.of_counts(40, 30), Sums.of_counts(40, 0), True)
@settings(max_examples=100, deadline=None)
def test_proportions_too(control, treatment, up):
    check(compare(control, treatment, kind="proportion", higher_is_better=up))


@given(sums(), KINDS)
@settings(max_examples=200, deadline=None)
def test_arm_summaries_too(arm, kind):
    summary = arm_summary(arm, kind)
    json.dumps(summary.to_dict(), allow_nan=False)
    assert (summary.mean is None) == ("mean" in summary.reasons)
    assert (summary.std_error is None) == ("std_error" in summary.reasons)


@given(st.lists(st.floats(1, 100), min_size=3, max_size=20), st.lists(st.floats(1, 100), min_size=3, max_size=20),
       st.floats(0.01, 1000))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_a_lift_does_not_depend_on_the_currency(a, b, rate):
    one = compare(Sums.from_arrays(a), Sums.from_arrays(b), kind="mean")
    assume(one.p_value is not None and one.lift_ci is not None)
    other = compare(Sums.from_arrays([x * rate for x in a]), Sums.from_arrays([x * rate for x in b]), kind="mean")
    assert abs(one.lift - other.lift) < 1e-6
    assert abs(one.p_value - other.p_value) < 1e-5


@given(st.integers(1, 50), st.integers(1, 50))
@settings(max_examples=50, deadline=None)
def test_swapping_the_arms_swaps_the_reading(a, b):
    one = compare(Sums.of_counts(200, a), Sums.of_counts(200, b), kind="proportion")
    other = compare(Sums.of_counts(200, b), Sums.of_counts(200, a), kind="proportion")
    assert abs(one.difference + other.difference) < 1e-12
    assert abs(one.p_value - other.p_value) < 1e-9
    assert abs(one.bayesian.chance_to_win + other.bayesian.chance_to_win - 1) < 1e-9
