"""Properties of the engine's other parts: nothing crashes, rates stay rates, promises hold for every input."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reclift.stats.bootstrap import UnitValues, bootstrap, grouped
from reclift.stats.comparison import compare
from reclift.stats.decision import Call, MetricReading, decide
from reclift.stats.group_sequential import looks
from reclift.stats.multiple import benjamini_hochberg, holm
from reclift.stats.plan import Plan
from reclift.stats.power import Baseline, Design, achieved_power, detectable_lift, required_units
from reclift.stats.quantile import Sample, compare_samples, quantile, quantile_summary
from reclift.stats.rarefaction import Losses, Spread, compare_coverage, depth, estimate, expected_items
from reclift.stats.result import CannotCompute
from reclift.stats.segments import by_segment
from reclift.stats.sequential import always_valid_p, confidence_sequence
from reclift.stats.srm import srm
from reclift.stats.srm_sequential import sequential_srm
from reclift.stats.sums import Sums

COUNTS = st.lists(st.integers(0, 10_000), min_size=2, max_size=5)
VALUES = st.lists(st.floats(-1e6, 1e6), max_size=15)
PAIRS = st.lists(st.tuples(VALUES.map(Sums.from_arrays), VALUES.map(Sums.from_arrays)), max_size=4)


@given(COUNTS, st.data())
@settings(max_examples=150, deadline=None)
def test_splits_have_a_p_value_or_a_reason(observed, data):
    weights = data.draw(
        st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=len(observed), max_size=len(observed)).filter(any)
    )
    for result in (srm(observed, weights), sequential_srm([observed], weights)):
        json.dumps(result.to_dict(), allow_nan=False)
        assert (result.p_value is None) == (sum(observed) == 0) == ("p_value" in result.reasons)
        assert result.p_value is None or 0 <= result.p_value <= 1


@given(st.integers(1, 50), st.integers(2, 5))
@settings(max_examples=50, deadline=None)
def test_an_exact_split_is_never_suspect(units, arms):
    assert srm([units] * arms, [1] * arms).p_value == 1.0
    assert sequential_srm([[units] * arms], [1] * arms).p_value == 1.0


@given(st.lists(st.floats(0, 1), max_size=20))
def test_corrections_never_lower_a_p_value_nor_change_the_order(p_values):
    for method in (holm, benjamini_hochberg):
        adjusted = method(p_values)
        assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
        by_p = [q for _, q in sorted(zip(p_values, adjusted, strict=True))]
        assert by_p == sorted(by_p)


@given(
    st.lists(st.floats(0.05, 1.0), min_size=1, max_size=5, unique_by=lambda t: round(t, 2)).map(sorted),
    st.sampled_from(["obrien_fleming", "power"]),
    st.floats(0.01, 0.2),
)
@settings(max_examples=30, deadline=None)
def test_looks_spend_in_order_and_never_more_than_alpha(information, family, alpha):
    design = looks(information, alpha=alpha, family=family)
    assert all(a.spent <= b.spent for a, b in pairwise(design))
    assert design[-1].spent <= alpha * (1 + 1e-9)
    assert all(0 < look.nominal_alpha <= alpha * (1 + 1e-6) for look in design)
    assert all(look.nominal_alpha <= look.spent * (1 + 1e-6) + 1e-14 for look in design)


@given(st.floats(-5, 5), st.floats(1e-6, 1e6), st.floats(2, 1e9), st.floats(0.5, 0.999))
def test_always_valid_intervals_and_p_values_agree(z, variance, n, level):
    estimate = z * variance**0.5
    low, high = confidence_sequence(estimate, variance, n, level=level)
    p = always_valid_p(estimate, variance, n, level=level)
    assert 0 < p <= 1
    if abs(p - (1 - level)) > 1e-9:
        assert (p < 1 - level) == (low > 0 or high < 0)


@given(st.floats(0.001, 0.9), st.floats(0.01, 0.5), st.floats(0.5, 0.95), st.floats(0.1, 0.9))
@settings(max_examples=50, deadline=None)
def test_units_lift_and_power_answer_each_other(rate, lift, power, share):
    base, design = Baseline.proportion(rate), Design(power=power, control_share=share)
    units = required_units(base, lift, design)
    assert achieved_power(base, lift, units, design) >= power - 1e-6
    assert units <= 4 or achieved_power(base, lift, units - 1, design) < power + 1e-6
    assert detectable_lift(base, units, design) <= lift * (1 + 1e-6)


@given(st.lists(st.floats(-1e6, 1e6), max_size=60), st.floats(0.05, 0.95), st.booleans())
@settings(max_examples=100, deadline=None)
def test_quantiles_lie_in_their_interval_or_have_a_reason(values, q, clustered):
    units = [i // 3 for i in range(len(values))] if clustered else None
    try:
        estimate = quantile(values, q, units=units)
    except CannotCompute:
        assert len(values) < 5 / min(q, 1 - q) + 60  # never for want of anything but values
        return
    assert estimate.low <= estimate.value <= estimate.high
    assert np.mean(np.array(values) <= estimate.value) >= q - 1e-9


@given(PAIRS)
@settings(max_examples=100, deadline=None)
def test_strata_and_segments_always_answer(pairs):
    control, treatment = (sum((pair[side] for pair in pairs), Sums.empty()) for side in (0, 1))
    for kind in ("mean", "ratio", "proportion"):
        stratified = compare(control, treatment, kind=kind, strata=pairs)
        json.dumps(stratified.to_dict(), allow_nan=False)
        assert (stratified.p_value is None) == ("p_value" in stratified.reasons)
    reading = by_segment({str(i): pair for i, pair in enumerate(pairs)}, kind="mean")
    json.dumps(reading.to_dict(), allow_nan=False)
    assert (reading.interaction_p is None) == ("interaction_p" in reading.reasons)


@given(
    st.tuples(st.integers(0, 300), st.integers(0, 300)),
    st.tuples(st.integers(0, 300), st.integers(0, 300)),
    st.sampled_from(["fixed", "sequential", "group_sequential"]),
    st.booleans(),
    st.sampled_from([None, 0.02]),
)
@settings(max_examples=100, deadline=None)
def test_decisions_are_always_reasoned_and_never_ship_a_worse_arm(first, second, regime, finished, margin):
    def reading(metric, role, counts, margin=None):
        a, b = (Sums.of_counts(300, k) for k in counts)
        return MetricReading(metric, role, [compare(a, b, kind="proportion", arm="new")], margin)

    plan = Plan(regime, days_planned=7, days_run=3, finished=finished, look_alpha=0.01)
    decision = decide(
        srm([300, 300], [1, 1]), [reading("m", "primary", first), reading("g", "guardrail", second, margin)], plan
    )
    assert decision.because
    if decision.call is Call.SHIP:
        assert first[1] > first[0]
        assert decision.arm == "new"


SHOWN = st.lists(st.sets(st.integers(0, 12), max_size=5), max_size=40)


def _losses(units, met):
    def losses(weights):
        own = np.array([sum(weights[int(met[item])] for item in items) for items in units])
        return Losses(float(own.sum()), float((own**2).sum()))

    return losses


@given(SHOWN, SHOWN, st.integers(0, 20), st.booleans())
@settings(max_examples=150, deadline=None)
def test_coverage_is_a_share_of_the_catalogue_or_has_a_reason(first, second, catalogue, any_lists):
    arms, spreads = [first, second], []
    mets = [np.bincount([item for items in units for item in items] or [0], minlength=13) for units in arms]
    for units in arms:
        met = Counter(Counter(item for items in units for item in items).values())
        spreads.append(Spread(len(units), len(units) if any_lists or met else 0, dict(met)))
    drawn, reads = depth(spreads), []
    assert all(drawn <= one.units / 4 or one.units < 4 or not one.lists for one in spreads)
    for units, spread, met in zip(arms, spreads, mets, strict=True):
        try:
            reads.append(estimate(spread, drawn, catalogue, _losses(units, met)))
        except CannotCompute as impossible:
            assert not catalogue or spread.units < 4 or not spread.lists
            reads.append(impossible.reason)
        else:
            assert 0 <= reads[-1].value * catalogue <= spread.shown + 1e-9
            assert reads[-1].std_error > 0
            more = [expected_items(spread, n) for n in range(1, spread.units + 1)]
            assert more == sorted(more)  # more units are never shown less
            assert more[-1] == pytest.approx(spread.shown)
    found = compare_coverage(*reads)
    json.dumps(found.to_dict(), allow_nan=False)
    assert (found.p_value is None) == ("p_value" in found.reasons)
    back = compare_coverage(*reversed(reads))
    assert found.p_value == (pytest.approx(back.p_value) if back.p_value is not None else None)


UNITS = st.lists(
    st.tuples(st.floats(-1e6, 1e6), st.sampled_from([0.0, 0.0, 1.0, 3.0]), st.floats(-1e3, 1e3)), max_size=40
)


@given(UNITS, UNITS, st.integers(0, 100), st.sampled_from(["mean", "ratio"]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_bootstrap_has_finite_numbers_or_a_reason(first, second, zeros, kind, use_cuped):
    arms = []
    for rows in (first, second):
        x, y, u = np.array(rows, dtype=float).reshape(len(rows), 3).T
        arms.append(grouped(UnitValues(x, y, u, np.zeros_like(x)), len(rows) + zeros, seed=1))
    try:
        found = bootstrap(*arms, kind=kind, cuped=use_cuped, draws=100)
    except CannotCompute:
        return  # the only error that it may raise
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.lift_ci.low <= found.lift_ci.high


@given(
    st.lists(st.lists(st.floats(-1e6, 1e6), max_size=6), max_size=40),
    st.lists(st.lists(st.floats(-1e6, 1e6), max_size=6), max_size=40),
    st.sampled_from([0.05, 0.5, 0.95]),
)
@settings(max_examples=100, deadline=None)
def test_quantiles_of_units_compare_or_say_why_not(first, second, q):
    arms = []
    for units in (first, second):
        values = np.array([value for own in units for value in own], dtype=float)
        arms.append(Sample(values, np.repeat(np.arange(len(units)), [len(own) for own in units])))
    found = compare_samples(*arms, q)
    json.dumps(found.to_dict(), allow_nan=False)
    assert (found.p_value is None) == ("p_value" in found.reasons)
    for arm in arms:
        level = quantile_summary(arm, q)
        assert (level.mean is None) == ("mean" in level.reasons)
