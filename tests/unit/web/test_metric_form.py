"""What is typed into the form of a metric, what it means, and what is wrong with it in the form's own words."""

from __future__ import annotations

from typing import Any

import pytest

from reclift.domain.metric import BUILT_IN, Metric
from reclift.web.pages import metric_form

FORM = {
    "name": "Big baskets", "kind": "proportion", "direction": "increase", "format": "percent", "margin": "2",
    "numerator_event": "purchase", "numerator_value": "count", "window_hours": "7", "minimum": "1", "after_hours": "1",
    "denominator_event": "impression",
}  # fmt: skip


def read(**more: str) -> tuple[dict[str, Any], list[Any]]:
    return metric_form.definition(metric_form.typed_of(FORM | more), taken=["ctr"])


def wrong(**more: str) -> list[tuple[str, Any, str]]:
    return [(problem["field"], problem["value"], problem["rule"]) for problem in read(**more)[1]]


def test_a_form_means_a_definition() -> None:
    meant, problems = read(
        **{"numerator_where-0-property": "category", "numerator_where-0-equals": "shoes",
           "numerator_where-3-property": "n", "numerator_where-3-equals": "3",
           "numerator_where-4-property": "code", "numerator_where-4-equals": '"007"',
           "numerator_where-5-property": "list", "numerator_where-5-equals": "[1]"},
        numerator_attributed="on", margin="2,5", cap="9",
    )  # fmt: skip
    assert problems == []
    assert meant == {
        "key": "big_baskets", "name": "Big baskets", "kind": "proportion", "direction": "increase", "format": "percent",
        "description": "", "window_hours": 168.0, "minimum": 1, "margin": 0.025,
        "numerator": {"event": "purchase", "value": "count", "attributed": True,
                      "where": {"category": "shoes", "n": 3, "code": "007", "list": "[1]"}},
    }  # fmt: skip
    assert Metric.from_dict(meant).margin == 0.025


def test_only_what_the_kind_has_is_taken() -> None:
    assert "denominator" not in read()[0]
    ratio, problems = read(kind="ratio", cap="20", cap_percentile="99", key="rate")
    assert problems == []
    assert (ratio["denominator"]["event"], ratio["cap"], ratio["cap_percentile"], "minimum" in ratio) == (
        "impression", 20.0, 0.99, False)  # fmt: skip
    assert read(kind="retention", after_hours="0.5", window_hours="")[0]["after_hours"] == 12.0


def test_coverage_is_of_lists_whatever_the_hidden_fields_hold() -> None:
    meant, problems = read(
        kind="coverage", key="cover", numerator_event="purchase", numerator_value="value", numerator_attributed="on",
        numerator_position="1", cap="5", minimum="3",
        **{"numerator_where-0-property": "", "numerator_where-0-equals": "shoes"},
    )  # fmt: skip
    assert problems == []
    metric = Metric.from_dict(meant)
    assert metric.is_coverage
    assert (metric.numerator.event, metric.numerator.value, metric.numerator.position) == ("impression", "count", 1)
    assert metric.cap is None


def test_everything_wrong_is_named_at_once_by_the_forms_fields_and_units() -> None:
    assert wrong(
        name="", kind="ratio", numerator_event="", denominator_event="", denominator_value="latency_ms",
        window_hours="soon", cap="-1", cap_percentile="30", margin="120", direction="up",
        **{"numerator_where-0-property": "", "numerator_where-0-equals": "x"},
    ) == [
        ("name", "", "is needed: what people call this metric"),
        ("numerator_where.0.property", "", "is needed: the property's name"),
        ("window_hours", "soon", "must be a number of days"),
        ("numerator.event", "", "must be an event type of 1 to 64 characters, or `impression`"),
        ("denominator.event", "", "must be an event type of 1 to 64 characters, or `impression`"),
        ("cap", "-1", "must be from 0 to 1,000,000,000,000,000"),
        ("cap_percentile", "30", "must be from 50 to 100 percent"),
        ("margin", "120", "must be from 0 to 99 percent"),
        ("direction", "up", "must be one of increase, decrease"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"window_hours": "0"}, ("window_hours", "0", "must be above 0 and at most 3,650 days")),
        ({"minimum": "1.5"}, ("minimum", "1.5", "must be a whole number")),
        ({"minimum": "0"}, ("minimum", "0", "must be from 1 to 1,000,000")),
        ({"key": "CTR!"}, ("key", "CTR!", "must be 1-64 of a-z, 0-9, _ and -, starting with a letter or digit")),
        ({"key": "ctr"}, ("key", "ctr", "is taken by another metric")),
        ({"name": "商品"}, ("key", "", "must be 1-64 of a-z, 0-9, _ and -, starting with a letter or digit")),
        ({"numerator_position": "1"}, ("numerator.position", 1, "needs attributed")),
        ({"numerator_position": "first"}, ("numerator.position", "first", "must be a whole number from 1 to 1000")),
        (
            {"kind": "mean"},
            ("kind", "mean", "must be one of proportion, count, sum, ratio, retention, quantile, coverage"),
        ),
        ({"kind": "sum", "cap": "1e400"}, ("cap", "1e400", "must be a number")),
        ({"format": "furlongs"}, ("format", "furlongs", "must be one of percent, number, money, ms")),
    ],
)  # fmt: skip
def test_a_mistake_is_told_beside_its_field(given: dict[str, str], expected: tuple[str, Any, str]) -> None:
    assert wrong(**given)[0][:2] == expected[:2]
    assert wrong(**given)[0][2].startswith(expected[2])


def test_a_property_stands_once() -> None:
    rows = {f"numerator_where-{n}-{name}": "a" for n in (0, 1) for name in ("property", "equals")}
    assert wrong(**rows) == [("numerator_where.1.property", "a", "stands here twice")]


@pytest.mark.parametrize("metric", BUILT_IN, ids=lambda metric: metric.key)
def test_a_copy_means_the_same(metric: Metric) -> None:
    typed = metric_form.from_definition(metric.to_dict())
    assert (typed["key"], typed["name"]) == ("", "")
    meant, problems = metric_form.definition(typed | {"key": metric.key, "name": metric.name})
    assert problems == []
    assert Metric.from_dict(meant) == metric


def test_filters_survive_a_copy() -> None:
    where = {"plain": "shoes", "number": 3, "text": "3", "flag": True, "quoted": '"x"'}
    definition = BUILT_IN[1].to_dict()
    definition["numerator"]["where"] = where
    typed = metric_form.from_definition(definition)
    assert [row["equals"] for row in typed["numerator"]["where"]] == ["shoes", "3", '"3"', "true", '"\\"x\\""']
    assert metric_form.definition(typed)[0]["numerator"]["where"] == where


def test_a_field_that_the_domain_gains_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    known = metric_form._OWN - {"margin", "format"}
    monkeypatch.setattr(metric_form, "_OWN", known)
    extras = {extra.name: extra for extra in metric_form.extras()}
    assert extras["margin"].numeric
    assert extras["format"].choices == ("percent", "number", "money", "ms")
    assert (extras["margin"].label, extras["margin"].choices) == ("Margin", ())
