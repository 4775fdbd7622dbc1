"""One unit's facts become its totals: the definitions, one by one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from reclift.domain.metric import Metric, MetricKind, Source
from reclift.domain.totals import DAY_MICROS, HOUR_MICROS, Day, Measured, Total, Unit, UnitFacts, compute

T0 = 20_000 * DAY_MICROS + 12 * HOUR_MICROS
KEY = ("e", 1)

CLICKS = Metric("clicks", "", MetricKind.COUNT, Source("click", attributed=True))
CTR = Metric("ctr", "", MetricKind.RATIO, Source("click", attributed=True), Source("impression"))
BUYS = Metric("buys", "", MetricKind.COUNT, Source("purchase"), window_hours=24.0)
BOUGHT = Metric("bought", "", MetricKind.PROPORTION, Source("purchase"), window_hours=24.0, minimum=2)
REVENUE = Metric("revenue", "", MetricKind.SUM, Source("purchase", "value"))
BACK = Metric("back", "", MetricKind.RETENTION, Source("visit"), after_hours=24.0)
LATENCY = Metric("latency", "", MetricKind.RATIO, Source("impression", "latency_ms"), Source("impression"))
FALLBACK = Metric("fallback", "", MetricKind.RATIO, Source("impression", "fallback"), Source("impression"))


def exposed(arm: str = "a", at: int = T0, phase: int = 1, **attributes: Any) -> SimpleNamespace:
    return SimpleNamespace(experiment="e", phase=phase, arm=arm, at=at, attributes=attributes)


def shown(name: str = "r1", arm: str = "a", at: int = T0, *, phase: int = 1, **more: Any) -> SimpleNamespace:
    values = {"latency_ms": 5.0, "fallback": None, "items": [], **more}
    return SimpleNamespace(
        recommendation_id=name, arm=arm, at=at, placement="home", experiment="e", phase=phase, **values
    )


def did(kind: str, at: int = T0, rec: str | None = None, value: float | None = None, **more: Any) -> SimpleNamespace:
    values = {"item_id": "i", "properties": {}, "received_at": T0 + 9 * DAY_MICROS, **more}
    return SimpleNamespace(type=kind, at=at, recommendation_id=rec, value=value, **values)


def unit(
    metrics: list[Metric], exposures: list[Any], impressions: list[Any] | None = None, events: list[Any] | None = None
) -> Unit:
    return compute(UnitFacts(exposures, impressions or [], events or []), {KEY: Measured(metrics)})[KEY]


def total(metric: Metric, exposures: list[Any], impressions: list[Any] | None = None, *events: Any) -> Total | None:
    return unit([metric], exposures, impressions, list(events)).totals.get(metric.key)


def test_a_unit_belongs_to_the_arm_it_met_first() -> None:
    found = unit([], [exposed("b", T0 + 1), exposed("a", T0, country="CN"), exposed("c", T0 + 2)])
    assert (found.arm, found.exposed_at, found.day, found.arms_seen) == ("a", T0, 20_000, 3)
    assert found.attributes == {"country": "CN"}


def test_arms_met_at_the_same_moment_are_decided_by_name_not_by_order() -> None:
    both = [exposed("b"), exposed("a")]
    assert unit([], both).arm == unit([], both[::-1]).arm == "a"


def test_phases_do_not_mix() -> None:
    facts = UnitFacts(
        [exposed("a"), exposed("b", T0 + 9, phase=2)],
        [shown("r1"), shown("r2", "b", T0 + 9, phase=2)],
        [did("click", T0 + 10, "r1"), did("click", T0 + 10, "r2"), did("click", T0 + 11, "r2")],
    )
    found = compute(facts, {("e", 1): Measured([CTR]), ("e", 2): Measured([CTR])})
    assert {phase: (one.arm, one.totals["ctr"].numerator) for (_, phase), one in found.items()} == {
        1: ("a", 1.0),
        2: ("b", 2.0),
    }


def test_experiments_that_nobody_knows_are_left_out() -> None:
    assert compute(UnitFacts([exposed()], [], []), {("other", 1): Measured([BUYS])}) == {}


def test_a_unit_that_did_nothing_has_no_totals() -> None:
    assert unit([CTR, BUYS, BOUGHT, REVENUE, BACK], [exposed()]).totals == {}


@pytest.mark.parametrize(
    ("at", "after", "before"),
    [
        (T0 - 24 * HOUR_MICROS - 1, 0, 0),
        (T0 - 24 * HOUR_MICROS, 0, 1),
        (T0 - 1, 0, 1),
        (T0, 1, 0),
        (T0 + 24 * HOUR_MICROS - 1, 1, 0),
        (T0 + 24 * HOUR_MICROS, 0, 0),
    ],
)
def test_the_window_is_half_open_on_both_sides_of_the_exposure(at: int, after: int, before: int) -> None:
    found = total(BUYS, [exposed()], [], did("purchase", at))
    assert (found.numerator, found.pre_numerator) == (after, before) if found else after == before == 0


def test_without_a_window_the_past_is_a_week() -> None:
    week = 7 * DAY_MICROS
    found = total(
        REVENUE,
        [exposed()],
        [],
        did("purchase", T0 + 900 * DAY_MICROS, value=1.0),
        did("purchase", T0 - week, value=2.0),
        did("purchase", T0 - week - 1, value=4.0),
    )
    assert found is not None
    assert (found.numerator, found.pre_numerator) == (1.0, 2.0)


def test_only_lists_of_the_own_arm_since_the_exposure_count() -> None:
    lists = [shown("r0", at=T0 - 1), shown("r1"), shown("r2", "b"), shown("r3", at=T0 + 5)]
    clicks = [did("click", T0 + 9, name) for name in ("r0", "r1", "r2", "r3", "elsewhere", None)]
    found = unit([CTR, CLICKS], [exposed()], lists, clicks)
    assert found.impressions == 2
    assert (found.totals["ctr"].numerator, found.totals["ctr"].denominator) == (2.0, 2.0)
    assert found.totals["clicks"].numerator == 2.0


@pytest.mark.parametrize(
    ("days", "bought", "clicked"), [(None, 1.0, 2.0), (1, 1.0, 1.0), (2, 2.0, 1.0), (30, 3.0, 3.0)]
)
def test_the_past_is_as_long_as_the_experiment_chose(days: int | None, bought: float, clicked: float) -> None:
    """BUYS has a window of a day, CLICKS has none: by default its past is a week."""
    ages = (HOUR_MICROS, DAY_MICROS + 1, 29 * DAY_MICROS)
    lists = [shown(f"old{n}", at=T0 - age) for n, age in enumerate((HOUR_MICROS, 6 * DAY_MICROS, 8 * DAY_MICROS))]
    events = [did("purchase", T0 - age) for age in ages]
    events += [did("click", T0 - 1, f"old{n}") for n in range(3)]
    measured = Measured([BUYS, CLICKS], past_days=days)
    found = compute(UnitFacts([exposed()], lists, events), {KEY: measured})[KEY].totals
    assert (found["buys"].pre_numerator, found["clicks"].pre_numerator) == (bought, clicked)
    assert measured.past == (days or 7) * DAY_MICROS


def test_a_clock_that_is_behind_cannot_click_before_the_list_was_shown() -> None:
    lists = [shown("r1"), shown("r2", at=T0 + DAY_MICROS)]
    early = [did("click", T0 - 3_600_000_000, "r1"), did("click", T0 - 5, "r2")]
    found = total(CTR, [exposed()], lists, *early)
    assert found == Total(2.0, 2.0, 0.0, 0.0, (Day(20_000, 1.0, 1.0), Day(20_001, 1.0, 1.0)))


def test_what_arrived_long_before_a_list_was_shown_is_none_of_it() -> None:
    lists = [shown("r1", at=T0 + 13 * HOUR_MICROS, items=[{"item_id": "i", "position": 1}])]
    for hours, clicks in ((0, 0.0), (1, 1.0)):  # servers' clocks may differ by half a day, not more
        early = did("click", T0, "r1", received_at=T0 + hours * HOUR_MICROS)
        found = unit([CTR], [exposed()], lists, [early])
        assert found.totals["ctr"].numerator == clicks
        assert found.positions == {1: (1, int(clicks))}


def test_an_exposure_that_is_logged_after_its_conversion_counts_by_when_it_happened() -> None:
    bought = did("purchase", T0 + 5)
    assert total(BUYS, [exposed(at=T0 + 9)], [], bought).pre_numerator == 1.0  # type: ignore[union-attr]
    assert total(BUYS, [exposed(at=T0 + 9), exposed(at=T0)], [], bought).numerator == 1.0  # type: ignore[union-attr]


def test_a_proportion_is_one_from_the_minimum_on_at_that_moment() -> None:
    day = DAY_MICROS
    wide = Metric("bought", "", MetricKind.PROPORTION, Source("purchase"), minimum=2)
    times = [T0 + 3 * day, T0 + day, T0 + 2 * day]
    found = total(wide, [exposed()], [], *(did("purchase", at) for at in times))
    assert found == Total(1.0, 0.0, 0.0, 0.0, (Day(20_002, 1.0, 0.0),))
    assert total(wide, [exposed()], [], did("purchase", T0)) is None
    assert total(BOUGHT, [exposed()], [], did("purchase", T0), did("purchase", T0 + day)) is None


def test_retention_is_coming_back_after_the_hours() -> None:
    assert total(BACK, [exposed()], [], did("visit", T0 + DAY_MICROS - 1)) is None
    found = total(BACK, [exposed()], [], did("visit", T0 + 2 * DAY_MICROS), did("visit", T0 + DAY_MICROS))
    assert found is not None
    assert (found.numerator, found.days) == (1.0, (Day(20_001, 1.0, 0.0),))


def test_sums_take_values_and_missing_ones_are_nothing() -> None:
    found = total(REVENUE, [exposed()], [], did("purchase", value=2.5), did("purchase"), did("purchase", value=-1.0))
    assert found is not None
    assert found.numerator == 1.5


def test_filters_compare_properties() -> None:
    metric = Metric("m", "", MetricKind.COUNT, Source("purchase", where={"country": "CN", "gift": True}))
    events = [
        did("purchase", properties={"country": "CN", "gift": True, "more": 1}),
        did("purchase", properties={"country": "CN"}),
        did("purchase", properties={"country": "US", "gift": True}),
        did("purchase", properties={}),
    ]
    found = total(metric, [exposed()], [], *events)
    assert found is not None
    assert found.numerator == 1.0


def test_lists_have_latency_and_fallback() -> None:
    lists = [shown("r1", latency_ms=10.0), shown("r2", latency_ms=None, fallback={"reason": "error"})]
    found = unit([LATENCY, FALLBACK], [exposed()], lists)
    assert (found.totals["latency"].numerator, found.totals["latency"].denominator) == (10.0, 2.0)
    assert (found.totals["fallback"].numerator, found.totals["fallback"].denominator) == (1.0, 2.0)


def test_days_add_up_to_the_total_and_leave_out_empty_ones() -> None:
    times = [T0, T0 + 1, T0 + DAY_MICROS, T0 + 5 * DAY_MICROS]
    found = total(REVENUE, [exposed()], [], *(did("purchase", at, value=0.1) for at in times), did("purchase", value=0))
    assert found is not None
    assert [day.day for day in found.days] == [20_000, 20_001, 20_005]
    assert sum(day.numerator for day in found.days) == pytest.approx(found.numerator) == pytest.approx(0.4)


def test_the_order_of_facts_changes_no_bit() -> None:
    values = [0.1, 0.2, 0.3, 1e9, -1e9]
    events = [did("purchase", T0 + number, value=value) for number, value in enumerate(values)]
    assert total(REVENUE, [exposed()], [], *events) == total(REVENUE, [exposed()], [], *events[::-1])


def test_positions_count_each_item_once_a_list() -> None:
    items = [{"item_id": "x", "position": 1}, {"item_id": "y", "position": 2}]
    found = unit(
        [],
        [exposed()],
        [shown("r1", items=items), shown("r2", items=items[:1]), shown("other", "b", items=items)],
        [
            did("click", rec="r1", item_id="y"),
            did("click", rec="r1", item_id="y"),
            did("click", rec="r2", item_id="z"),
            did("click", rec="other", item_id="x"),
            did("purchase", rec="r1", item_id="x"),
        ],
    )
    assert found.positions == {1: (2, 0), 2: (1, 1)}


P95 = Metric("p95", "", MetricKind.QUANTILE, Source("impression", "latency_ms"), quantile=0.95)
ORDERS = Metric("orders", "", MetricKind.QUANTILE, Source("purchase", "value"), window_hours=24.0)
PER_BUYER = Metric("per_buyer", "", MetricKind.QUANTILE, Source("purchase", "value"), of="units")


def test_a_quantile_keeps_the_single_values_that_count() -> None:
    lists = [shown("r1", latency_ms=9.0), shown("r2", at=T0 + 1, latency_ms=4.0), shown("r3", latency_ms=None)]
    lists += [shown("r0", at=T0 - 5, latency_ms=70.0), shown("other", "b", latency_ms=80.0)]
    found = total(P95, [exposed()], lists)
    assert found == Total(13.0, 0.0, pre_numerator=70.0, sample=(4.0, 9.0))
    bought = [
        did("purchase", T0 + at, value=value) for at, value in ((5, 30.0), (6, 10.0), (DAY_MICROS, 99.0), (-1, 7.0))
    ]
    assert total(ORDERS, [exposed()], [], *bought) == Total(40.0, 0.0, pre_numerator=7.0, sample=(10.0, 30.0))


def test_a_quantile_of_units_is_of_their_totals() -> None:
    bought = [did("purchase", T0 + 5, value=30.0), did("purchase", T0 + 6, value=-10.0)]
    found = total(PER_BUYER, [exposed()], [], *bought)
    assert found is not None
    assert found.sample == (20.0,)
    before = total(PER_BUYER, [exposed()], [], did("purchase", T0 - 5, value=1.0))
    assert before is not None
    assert before.sample == ()  # it bought nothing since
    assert total(PER_BUYER, [exposed()]) is None


COVER = Metric("cover", "", MetricKind.COVERAGE, Source("impression"), window_hours=24.0)
TOP = Metric("top", "", MetricKind.COVERAGE, Source("impression", position=1))


def test_coverage_keeps_each_item_of_a_units_own_lists_once() -> None:
    items = [{"item_id": one, "position": place} for place, one in enumerate("yxz", 1)]
    lists = [shown("r1", items=items), shown("r2", at=T0 + 1, items=items[:1]), shown("r3", at=T0 + 2, items=[])]
    lists += [shown("late", at=T0 + DAY_MICROS, items=[{"item_id": "w", "position": 1}])]
    lists += [shown("r0", at=T0 - 5, items=[{"item_id": "v", "position": 1}])]
    lists += [shown("other", "b", items=[{"item_id": "u", "position": 1}])]
    assert total(COVER, [exposed()], lists) == Total(3.0, 3.0, sample=("x", "y", "z"))
    assert total(TOP, [exposed()], lists) == Total(2.0, 4.0, sample=("w", "y"))
    assert total(COVER, [exposed()], [shown("r3", items=[])]) == Total(0.0, 1.0, sample=())
    assert total(COVER, [exposed()], lists[-2:]) is None


def test_other_metrics_keep_no_single_values() -> None:
    found = total(REVENUE, [exposed()], [], did("purchase", T0 + 5, value=30.0))
    assert found is not None
    assert found.sample is None
