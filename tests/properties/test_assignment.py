"""What holds for every split, whatever the experiments: the promises of docs/assignment.md."""

from __future__ import annotations

import math
import random
from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from reclift.domain.bucketing import bucket_ranges, hash_v1, hash_v2, layer_seed, normalised
from reclift.domain.experiment import Arm, Experiment, Holdout, LayerSlot
from reclift.domain.plan import Plan

keys = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)
units = st.text(max_size=40)
weights = st.lists(st.floats(0.01, 100), min_size=2, max_size=6)
shares = st.floats(0, 1)
UNITS = [f"user-{i}" for i in range(4000)]


def arms(given_weights):
    return tuple(Arm(f"arm-{i}", "s", weight=weight, control=i == 0) for i, weight in enumerate(given_weights))


@st.composite
def experiments(draw, key=keys):
    slot = draw(st.none() | st.builds(LayerSlot, keys, st.just(0.0), st.floats(0.1, 1)))
    return Experiment(
        draw(key), draw(keys), arms(draw(weights)), traffic=draw(shares), slot=slot, sticky=draw(st.booleans())
    )


@given(experiments(), units)
def test_a_decision_is_a_function_of_plan_and_unit(experiment, unit):
    first, second = Plan([experiment]), Plan([experiment], version=2)
    assert first.decide(experiment.key, unit) == second.decide(experiment.key, unit) == first.decide_all(unit)[0]


@given(experiments(), units)
def test_who_is_not_in_gets_the_control(experiment, unit):
    decision = Plan([experiment]).decide(experiment.key, unit)
    assert decision.in_experiment or decision.arm == experiment.control.key
    assert decision.in_experiment == (decision.reason == "bucketed")


@given(weights, shares, shares)
def test_ranges_grow_from_their_own_start_and_never_overlap(given_weights, one, other):
    low, high = sorted((one, other))
    shares_of_arms = normalised(given_weights)
    narrow, wide = (bucket_ranges(len(given_weights), c, shares_of_arms) for c in (low, high))
    for (start, end), (same_start, further) in zip(narrow, wide, strict=True):
        assert start == same_start
        assert end <= further
    assert all(end <= start + 1e-12 for (_, end), (start, _) in pairwise(wide))


@settings(max_examples=30, deadline=None)
@given(keys, weights, shares, shares, st.sampled_from([None, LayerSlot("layer", 0.2, 0.9)]))
def test_raising_the_traffic_moves_nobody(key, given_weights, one, other, slot):
    low, high = sorted((one, other))
    before, after = (Plan([Experiment(key, "p", arms(given_weights), traffic=t, slot=slot)]) for t in (low, high))
    for unit in UNITS[:500]:
        decision = before.decide(key, unit)
        if decision.in_experiment:
            assert after.decide(key, unit) == decision


@settings(max_examples=30, deadline=None)
@given(keys, weights, st.randoms(use_true_random=False), shares)
def test_the_order_in_which_arms_are_listed_is_of_no_consequence(key, given_weights, chance, traffic):
    listed = list(arms(given_weights))
    shuffled = listed.copy()
    chance.shuffle(shuffled)
    one, other = (Plan([Experiment(key, "p", tuple(order), traffic=traffic)]) for order in (listed, shuffled))
    assert [one.decide(key, unit) for unit in UNITS[:300]] == [other.decide(key, unit) for unit in UNITS[:300]]


@settings(max_examples=25, deadline=None)
@given(keys, st.lists(st.floats(0.05, 0.5), min_size=2, max_size=6))
def test_experiments_of_a_layer_exclude_each_other(layer, sizes):
    bounds = [0.0]
    for size in sizes:
        bounds.append(bounds[-1] + size)
    assume(bounds[-1] <= 1)
    shared = [
        Experiment(f"e{i}", "p", arms([1, 1]), slot=LayerSlot(layer, start, end))
        for i, (start, end) in enumerate(pairwise(bounds))
    ]
    plan = Plan(shared)
    for unit in UNITS[:500]:
        assert sum(decision.in_experiment for decision in plan.decide_all(unit)) <= 1


def within(count, n, p, sigmas=4.5):
    """Within binomial bounds; two-sided, about 1 in 150,000 by chance (and the seeds are fixed)."""
    return abs(count - n * p) <= sigmas * math.sqrt(n * p * (1 - p)) + 1


@settings(max_examples=25, derandomize=True, deadline=None)
@given(keys, weights, st.floats(0.1, 1))
def test_arms_get_their_shares_within_binomial_bounds(key, given_weights, traffic):
    plan = Plan([Experiment(key, "p", arms(given_weights), traffic=traffic)])
    found = [plan.decide(key, unit) for unit in UNITS]
    for arm, share in zip(arms(given_weights), normalised(given_weights), strict=True):
        count = sum(decision.in_experiment and decision.arm == arm.key for decision in found)
        assert within(count, len(UNITS), share * traffic)


def table(one, other, unit_ids):
    """How often each pair of arms was met."""
    counts = [[0, 0], [0, 0]]
    for unit in unit_ids:
        counts[one(unit)][other(unit)] += 1
    return counts


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.lists(keys, min_size=2, max_size=2, unique=True))
def test_two_experiments_are_independent(pair):
    one, other = pair
    counts = table(lambda u: hash_v2(one, u) < 0.5, lambda u: hash_v2(other, u) < 0.5, UNITS)
    assert chi2_contingency(counts).pvalue > 1e-5


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.lists(keys, min_size=2, max_size=2, unique=True))
def test_two_layers_are_independent_and_so_are_a_layer_and_an_arm_in_it(pair):
    one, other = pair
    seed, other_seed = layer_seed(one), layer_seed(other)
    layers = table(lambda u: hash_v2(seed, u) < 0.5, lambda u: hash_v2(other_seed, u) < 0.5, UNITS)
    assert chi2_contingency(layers).pvalue > 1e-5
    inside = table(lambda u: hash_v2(seed, u) < 0.5, lambda u: hash_v2(one, u) < 0.5, UNITS)
    assert chi2_contingency(inside).pvalue > 1e-5


def test_namespaces_of_version_1_would_not_be_independent():
    """Why layers do not use them: the share of units for which two of them agree should be a half."""
    agree = sum((hash_v1("__layer-2", unit) < 0.5) == (hash_v1("__layer-3", unit) < 0.5) for unit in UNITS)
    assert not within(agree, len(UNITS), 0.5)


def test_a_new_phase_and_a_holdout_are_independent_of_what_was_before():
    experiment = Experiment("home-recs", "home", arms([1, 1]))
    again = Experiment("home-recs", "home", arms([1, 1]), phase=2)
    holdout = Holdout("all", 0.3)
    for seed in (again.seed, holdout.seed, holdout.key):
        counts = table(lambda u: hash_v2(experiment.seed, u) < 0.5, lambda u, s=seed: hash_v2(s, u) < 0.5, UNITS)
        assert chi2_contingency(counts).pvalue > 1e-5


@settings(max_examples=25, deadline=None)
@given(shares, shares)
def test_raising_a_holdout_keeps_those_who_are_held_out(one, other):
    low, high = sorted((one, other))
    before, after = (Plan(holdouts=[Holdout("all", share)]) for share in (low, high))
    for unit in UNITS[:300]:
        if before.decide("all", unit).arm == "held-out":
            assert after.decide("all", unit).arm == "held-out"


def test_similar_ids_are_spread_as_evenly_as_others():
    """Ids that differ in their last characters only, numbers, and hexadecimal ones (uuids)."""
    chance = random.Random(1)
    families = {
        "counted": [f"customer-00{i:06d}" for i in range(20_000)],
        "numbers": [str(10_000_000 + i) for i in range(20_000)],
        "hex": [f"{chance.getrandbits(128):032x}" for _ in range(20_000)],
    }
    for ids in families.values():
        for seed in ("home-recs", "a", "exp_2024-11"):
            tenths = [0] * 10
            for unit in ids:
                tenths[int(hash_v2(seed, unit) * 10)] += 1
            assert all(within(count, len(ids), 0.1) for count in tenths)
