"""Coverage of the catalogue: its level, its error, what is refused, and when a guardrail reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pytest

from reclift.stats.decision import Call, MetricReading, decide
from reclift.stats.estimate import Estimate
from reclift.stats.evidence import guard
from reclift.stats.plan import Plan
from reclift.stats.rarefaction import Losses, Spread, compare_coverage, depth, estimate, expected_items, summary
from reclift.stats.result import CannotCompute, Code, Reason
from reclift.stats.srm import srm
from tests.unit.stats.test_decision import primary


def spread_of(units: Sequence[set[int]], lists: int | None = None) -> Spread:
    met = np.bincount(np.concatenate([list(items) for items in units] or [[]]).astype(int))
    items = {int(f): int((met == f).sum()) for f in np.unique(met[met > 0])}
    return Spread(len(units), len(units) if lists is None else lists, items)


def read(units: Sequence[set[int]], drawn: int, catalogue: int) -> Estimate:
    met = np.bincount(np.concatenate([list(items) for items in units]).astype(int))

    def losses(weights: Mapping[int, float]) -> Losses:
        own = np.array([sum(weights[int(met[item])] for item in items) for items in units])
        return Losses(float(own.sum()), float((own**2).sum()))

    return estimate(spread_of(units), drawn, catalogue, losses)


def test_the_level_is_the_average_over_all_ways_to_draw_units() -> None:
    units = [{0, 1}, {0, 2}, {1}, set(), {3, 4, 0}, {2}, {5}]
    for drawn in range(1, len(units) + 1):
        drawings = [len(set().union(*some)) for some in combinations(units, drawn)]
        assert expected_items(spread_of(units), drawn) == pytest.approx(np.mean(drawings))


def test_the_error_is_that_of_leaving_out_each_unit_in_turn() -> None:
    rng = np.random.default_rng(8)
    units = [set(rng.integers(0, 30, 4).tolist()) for _ in range(25)]
    found = read(units, 6, 40)
    without = [expected_items(spread_of(units[:one] + units[one + 1 :]), 6) / 40 for one in range(25)]
    assert found.value == pytest.approx(expected_items(spread_of(units), 6) / 40)
    assert found.error_variance == pytest.approx(24 / 25 * np.sum((without - np.mean(without)) ** 2))


def test_at_a_single_unit_it_is_the_mean_of_units() -> None:
    rng = np.random.default_rng(9)
    units = [set(rng.integers(0, 30, 4).tolist()) for _ in range(25)]
    sizes = np.array([len(items) for items in units])
    found = read(units, 1, 1)
    assert (found.value, found.variance) == (pytest.approx(sizes.mean()), pytest.approx(sizes.var(ddof=1)))


def test_units_that_are_all_shown_the_same_are_not_known_for_certain() -> None:
    same = read([{0, 1, 2}] * 50, 12, 30)
    assert same.value == pytest.approx(0.1)
    assert same.std_error == pytest.approx(1.5 / 50 / 30)
    assert compare_coverage(same, same).p_value == 1.0


def test_arms_are_read_at_a_quarter_of_the_smallest_that_can_be() -> None:
    large, small = Spread(4_001, 9_000, {1: 5}), Spread(401, 700, {1: 5})
    assert depth([large, small]) == 100
    assert depth([large, Spread(3, 5, {1: 2}), Spread(50, 0, {})]) == 1000
    assert depth([]) == 0


@pytest.mark.parametrize(
    ("spread", "catalogue", "code"),
    [
        (Spread(100, 100, {1: 5}), 0, Code.NO_CATALOGUE),
        (Spread(0, 0, {}), 10, Code.NO_UNITS),
        (Spread(100, 0, {}), 10, Code.NO_LISTS),
        (Spread(3, 3, {1: 5}), 10, Code.TOO_FEW_UNITS),
    ],
)
def test_what_cannot_be_read_is_a_reason_of_every_field(spread: Spread, catalogue: int, code: Code) -> None:
    with pytest.raises(CannotCompute) as caught:
        estimate(spread, 5, catalogue, lambda _: Losses(0.0, 0.0))
    assert caught.value.reason.code is code
    level = summary(caught.value.reason, spread.units)
    assert (level.mean, level.reasons["mean"].code, level.reasons["std_error"].code) == (None, code, code)
    compared = compare_coverage(caught.value.reason, Estimate(100, 0.5, 0.01), arm="new", control_arm="old")
    assert compared.reasons["lift_ci"] == Reason(code, f"old: {caught.value.reason.text}")
    assert compared.p_value is None
    assert compared.difference is None


def test_lists_of_nothing_that_is_available_cover_nothing() -> None:
    found = estimate(Spread(40, 90, {}), 10, 20, lambda _: Losses(0.0, 0.0))
    assert found.value == 0.0
    assert compare_coverage(found, Estimate(40, 0.5, 0.01)).reasons["lift"].code is Code.ZERO_DENOMINATOR


def test_an_impossible_spread_is_refused() -> None:
    with pytest.raises(ValueError, match="must be from 1 to 3 units"):
        Spread(3, 3, {4: 1})


def test_there_is_never_an_always_valid_reading_and_small_arms_are_told() -> None:
    compared = compare_coverage(Estimate(20, 0.5, 0.01), Estimate(400, 0.6, 0.01))
    assert compared.sequential.p_value is None
    assert compared.sequential.to_dict()["reasons"]["lift_ci"]["code"] == "not_sequential"
    assert compared.kind == "coverage"
    assert [warning.code for warning in compared.warnings] == [Code.SMALL_SAMPLE]
    assert compare_coverage(Estimate(30, 0.5, 0.01), Estimate(400, 0.6, 0.01)).warnings == ()


def coverage(lift: float, margin: float | None = 0.1) -> MetricReading:
    compared = compare_coverage(Estimate(4000, 0.5, 0.5), Estimate(4000, 0.5 * (1 + lift), 0.5), arm="arm-1")
    return MetricReading("coverage", "guardrail", [compared], margin)


OVER = Plan("fixed", days_planned=14, days_run=14)
LOOKING = Plan("sequential", days_planned=14, days_run=6)
STOPPED = Plan("sequential", finished=True)
AT_LOOKS = Plan("group_sequential", days_planned=14, days_run=14, look_alpha=0.04)


@pytest.mark.parametrize("plan", [OVER, STOPPED, AT_LOOKS])
@pytest.mark.parametrize(
    ("lift", "margin", "state"),
    [(0.0, 0.1, "safe"), (-0.2, 0.1, "harmed"), (-0.08, 0.1, "unproven"), (-0.08, None, "harmed"), (0.0, None, "safe")],
)
def test_a_guardrail_is_read_when_the_plan_is_over(plan: Plan, lift: float, margin: float | None, state: str) -> None:
    reading = coverage(lift, margin)
    assert guard("coverage", reading.comparisons[0], margin, plan).state == state


@pytest.mark.parametrize("plan", [LOOKING, Plan(), Plan("fixed", days_planned=14, days_run=6)])
@pytest.mark.parametrize("margin", [0.1, None])
def test_before_that_it_neither_holds_nor_harms(plan: Plan, margin: float | None) -> None:
    for lift in (0.3, -0.3):
        found = guard("coverage", coverage(lift).comparisons[0], margin, plan)
        assert found.state == "unproven"
        assert "once the plan is over or the experiment stopped" in found.sentence


def test_a_better_arm_waits_for_it_and_ships_past_it_only_when_it_holds() -> None:
    split = srm([20_000, 20_000], [1, 1])
    early = decide(split, [primary(2400), coverage(0.0)], LOOKING)
    assert early.call is Call.KEEP_RUNNING
    assert any("Guardrail coverage is read for arm-1 once" in one for one in early.because)
    assert decide(split, [primary(2400), coverage(0.0)], STOPPED).call is Call.SHIP
    harmed = decide(split, [primary(2400), coverage(-0.3)], STOPPED)
    assert harmed.call is Call.KEEP_CONTROL
    assert any(one.startswith("Guardrail coverage is harmed by arm-1") for one in harmed.because)


def test_without_a_difference_p_is_below_five_per_cent_in_about_five_of_a_hundred() -> None:
    rng, found = np.random.default_rng(10), []
    chances = 1.0 / np.arange(1, 401)
    for _ in range(400):
        arms = []
        for _ in range(2):
            items = rng.choice(400, (120, 5), p=chances / chances.sum())
            arms.append(read([set(row) for row in items.tolist()], 30, 400))
        found.append(compare_coverage(*arms).p_value)
    assert 0.02 <= np.mean(np.array(found) < 0.05) <= 0.085
