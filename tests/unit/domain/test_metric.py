"""Metrics are data that people make: what is wrong with one is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reclift.domain.metric import BUILT_IN, Metric, MetricError, MetricKind, Source

GOOD: dict[str, Any] = {"key": "m", "kind": "count", "numerator": {"event": "click"}}
RATIO = {**GOOD, "kind": "ratio", "denominator": {"event": "impression"}}


@pytest.mark.parametrize("metric", BUILT_IN, ids=lambda metric: metric.key)
def test_built_in_metrics_survive_json(metric: Metric) -> None:
    assert Metric.from_dict(json.loads(json.dumps(metric.to_dict()))) == metric


def test_defaults() -> None:
    metric = Metric.from_dict(GOOD)
    assert metric == Metric("m", "m", MetricKind.COUNT, Source("click"))
    assert metric.statistic == "mean"


@pytest.mark.parametrize(
    ("kind", "statistic"),
    [("proportion", "proportion"), ("retention", "proportion"), ("count", "mean"), ("sum", "mean"), ("ratio", "ratio")],
)
def test_the_kind_chooses_the_statistic(kind: str, statistic: str) -> None:
    assert Metric.from_dict({**(RATIO if kind == "ratio" else GOOD), "kind": kind}).statistic == statistic


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": None}, r"key=None: must be 1-64"),
        ({"key": "UPPER"}, r"key='UPPER'"),
        ({"key": "x" * 65}, r"key="),
        ({"key": "a\n"}, r"key="),
        ({"kind": "average"}, r"kind='average': must be one of proportion, count"),
        ({"kind": None}, r"kind=None"),
        ({"windwo_hours": 3}, r"windwo_hours: unknown field; fields: key, name"),
        ({3: 4}, r"3: unknown field"),
        ({"name": 5}, r"name=5: must be a string"),
        ({"name": "x" * 201}, r"name=.*at most 200"),
        ({"description": None}, r"description=None: must be a string"),
        ({"numerator": None}, r"numerator=None: must be an object"),
        ({"numerator": {}}, r"numerator.event=None: must be an event type"),
        ({"numerator": {"event": "x" * 65}}, r"numerator.event="),
        ({"numerator": {"event": "click", "vaule": "value"}}, r"numerator.vaule: unknown field; fields: event, value"),
        ({"numerator": {"event": "click", "value": "sum"}}, r"numerator.value='sum': must be one of"),
        ({"numerator": {"event": "click", "value": "latency_ms"}}, r"only impressions have it, not 'click'"),
        ({"numerator": {"event": "impression", "value": "value"}}, r"impressions carry no value"),
        ({"numerator": {"event": "impression", "attributed": True}}, r"numerator: where and attributed filter events"),
        ({"numerator": {"event": "impression", "where": {"a": 1}}}, r"numerator: where and attributed filter events"),
        ({"numerator": {"event": "click", "where": [1]}}, r"numerator.where=\[1\]: must be an object"),
        ({"numerator": {"event": "click", "where": {1: 2}}}, r"numerator.where="),
        ({"numerator": {"event": "click", "attributed": 1}}, r"numerator.attributed=1: must be true or false"),
        ({"numerator": {"event": "click", "value": "novelty"}}, r"only impressions have it, not 'click'"),
        ({"numerator": {"event": "click", "position": 1}}, r"numerator.position=1: needs attributed"),
        ({"numerator": {"event": "impression", "position": 0}}, r"numerator.position=0: must be a whole number from 1"),
        ({"numerator": {"event": "impression", "position": True}}, r"numerator.position=True"),
        ({"numerator": {"event": "impression", "value": "novelty", "position": 1}}, r"novelty is of a whole list"),
        ({"denominator": {"event": "click"}}, r"denominator: a count metric has no one"),
        ({"kind": "ratio"}, r"denominator: a ratio metric needs one"),
        ({"window_hours": 0}, r"window_hours=0: must be from 0.001"),
        ({"window_hours": "3"}, r"window_hours='3': must be a number"),
        ({"window_hours": True}, r"window_hours=True: must be a number"),
        ({"window_hours": float("nan")}, r"window_hours=nan"),
        ({"cap": float("inf")}, r"cap=inf"),
        ({"cap": -1}, r"cap=-1: must be from 0"),
        ({"cap": 10**400}, r"cap=1000"),
        ({"cap_percentile": 0.4}, r"cap_percentile=0.4: must be from 0.5 to 1"),
        ({"minimum": 0}, r"minimum=0: must be from 1"),
        ({"minimum": 2.5}, r"minimum=2.5: must be a whole number"),
        ({"minimum": 2.0}, r"minimum=2.0: must be a whole number"),
        ({"minimum": None}, r"minimum=None: must be a number"),
        ({"after_hours": -1}, r"after_hours=-1"),
        ({"margin": 2}, r"margin=2: must be from 0 to 0.99"),
        ({"direction": "up"}, r"direction='up': must be one of increase, decrease"),
        ({"format": None}, r"format=None"),
    ],
)
def test_what_is_wrong_is_named_with_its_value_and_the_rule(change: dict[Any, Any], message: str) -> None:
    with pytest.raises(MetricError, match=message):
        Metric.from_dict({**GOOD, **change})


COVERAGE = {"key": "cover", "kind": "coverage", "numerator": {"event": "impression"}}


def test_coverage_is_of_the_items_of_lists_or_of_a_place_in_them() -> None:
    metric = Metric.from_dict({**COVERAGE, "numerator": {"event": "impression", "position": 1}, "window_hours": 24})
    assert metric.is_coverage
    assert (metric.by_sums, metric.is_quantile, metric.numerator.position) == (False, False, 1)
    assert Metric.from_dict(metric.to_dict()) == metric
    assert Metric.from_dict(GOOD).by_sums
    assert not Metric.from_dict(QUANTILE).by_sums


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numerator": {"event": "purchase"}}, "numerator.event='purchase': coverage is of the items of lists"),
        ({"numerator": {"event": "impression", "value": "novelty"}}, "numerator.value='novelty': coverage counts"),
        ({"cap": 5}, "cap=5: coverage has no cap"),
        ({"cap_percentile": 0.9}, "cap_percentile=0.9: coverage has no cap"),
        ({"denominator": {"event": "impression"}}, "denominator: a coverage metric has no one"),
        ({"margin": 2}, "margin=2: must be from 0 to 0.99"),
    ],
)
def test_what_is_wrong_with_coverage_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MetricError, match=message):
        Metric.from_dict({**COVERAGE, **change})


@pytest.mark.parametrize("name", ["window_hours", "cap", "cap_percentile"])
def test_bounds_may_be_left_open(name: str) -> None:
    assert getattr(Metric.from_dict({**GOOD, name: None}), name) is None


QUANTILE = {**GOOD, "kind": "quantile", "numerator": {"event": "purchase", "value": "value"}, "quantile": 0.9}


def test_quantiles_are_of_amounts_or_of_units() -> None:
    metric = Metric.from_dict(QUANTILE)
    assert metric.is_quantile
    assert (metric.quantile, metric.of) == (0.9, "facts")
    assert Metric.from_dict({**QUANTILE, "numerator": {"event": "click"}, "of": "units"}).of == "units"
    assert not Metric.from_dict(GOOD).is_quantile


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantile": 1}, "quantile=1: must be from 0.01 to 0.99"),
        ({"quantile": None}, "quantile=None: must be a number"),
        ({"of": "orders"}, "of='orders': must be one of facts, units"),
        ({"cap": 5}, "cap=5: a quantile has no cap"),
        ({"cap_percentile": 0.9}, "cap_percentile=0.9: a quantile has no cap"),
        ({"numerator": {"event": "click"}}, "numerator.value='count': of single facts only amounts"),
        ({"denominator": {"event": "impression"}}, "denominator: a quantile metric has no one"),
    ],
)
def test_what_is_wrong_with_a_quantile_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MetricError, match=message):
        Metric.from_dict({**QUANTILE, **change})
