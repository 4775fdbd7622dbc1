"""Metrics: everything that is wrong is named at once, nothing changes once made, and who uses what."""

from __future__ import annotations

import pytest

from reclift.domain.problem import Problem
from reclift.flows import configuration, experiments, metrics
from reclift.flows.errors import Conflict, Invalid
from reclift.wiring import Runtime

GOOD = {"key": "wishes", "name": "Wishes", "kind": "proportion", "numerator": {"event": "wish"}}


def test_what_is_right_has_no_problem() -> None:
    assert metrics.problems(GOOD) == []


def test_all_problems_are_named_with_field_value_and_rule() -> None:
    found = metrics.problems(
        {
            "key": "A b", "kind": "ratio", "numerator": {"event": "", "value": "price", "attributed": "yes"},
            "cap": -1, "minimum": 1.5, "direction": "up", "margin": None, "colour": "red",
        }
    )  # fmt: skip
    assert [(problem.field, problem.value) for problem in found] == [
        ("colour", "red"), ("key", "A b"), ("numerator.event", ""), ("denominator", None), ("cap", -1),
        ("minimum", 1.5), ("margin", None),
        ("direction", "up"),
    ]  # fmt: skip
    assert found[4] == Problem("cap", -1, "must be from 0 to 1e+15")
    assert found[6].rule == "must be a number"


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"kind": "mean"}, ["kind"]),
        ({"numerator": "click"}, ["numerator"]),
        ({"denominator": {"event": "visit"}}, ["denominator"]),
        ({"kind": "ratio", "denominator": {"event": "impression", "value": "value"}}, ["denominator.value"]),
        ({"kind": "ratio", "denominator": 3}, ["denominator"]),
        ({"numerator": {"event": "wish", "odd": 1}}, ["numerator.odd"]),
        ({"numerator": {"event": "impression", "where": {"a": 1}}}, ["numerator"]),
    ],
)
def test_one_mistake_is_one_problem(change: dict[str, object], fields: list[str]) -> None:
    assert list(dict.fromkeys(problem.field for problem in metrics.problems({**GOOD, **change}))) == fields


def test_a_metric_is_made_once_and_on_record(here: Runtime) -> None:
    with here.database.write() as session:
        before = configuration.version(session)
        made = metrics.create(session, GOOD, "mia")
        assert metrics.all_metrics(session)["wishes"] == made
        assert configuration.version(session) == before + 1
        entry = configuration.audit(session, "metric", "wishes")[0]
        assert (entry["actor"], entry["action"], entry["after"]["kind"]) == ("mia", "create", "proportion")
        with pytest.raises(Conflict, match="there is already a metric 'wishes'"):
            metrics.create(session, GOOD, "mia")
        with pytest.raises(Invalid) as refused:
            metrics.create(session, {**GOOD, "key": "no", "cap": -1, "minimum": 0}, "mia")
        assert [problem.field for problem in refused.value.problems] == ["cap", "minimum"]


def test_who_uses_a_metric(here: Runtime) -> None:
    arms = [
        {"key": "a", "strategy": "toy", "weight": 0.5, "control": True},
        {"key": "b", "strategy": "toy", "weight": 0.5},
    ]
    payload = {"name": "One", "placement": "home", "arms": arms}
    with here.database.write() as session:
        chosen = {"primary": "ctr", "secondary": ["conversion"], "guardrails": ["latency"]}
        experiments.create(session, here.registry, {**payload, "key": "one", "metrics": chosen}, "mia")
        experiments.create(
            session, here.registry, {**payload, "key": "two", "metrics": {"primary": "conversion"}}, "mia"
        )
        found = metrics.uses(session)
    assert [(use["experiment"], use["role"]) for use in found["conversion"]] == [
        ("two", "primary"),
        ("one", "secondary"),
    ]
    assert found["latency"] == [{"experiment": "one", "name": "One", "status": "draft", "role": "guardrail"}]
    assert "revenue_per_user" not in found
