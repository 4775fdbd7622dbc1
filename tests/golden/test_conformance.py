"""GrowthBook's published cases (specification 5): every one that is in scope, one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reclift.domain.bucketing import bucket_ranges, choose_variation, equal_weights, hash_value, in_namespace
from reclift.domain.targeting import evaluate
from tests.shared_data import shared_path

CASES: dict[str, list[list[Any]]] = json.loads(
    shared_path("conformance", "growthbook_cases.json").read_text(encoding="utf-8")
)
IN_SCOPE = {
    "hash": 15,
    "getBucketRange": 13,
    "getEqualWeights": 6,
    "chooseVariation": 13,
    "inNamespace": 16,
    "evalCondition": 248,
}


def cases(section: str) -> list[Any]:
    return [pytest.param(*case, id=f"{i}-{case[0]}") for i, case in enumerate(CASES[section])]


def test_all_published_cases_in_scope_are_here():
    assert {section: len(CASES[section]) for section in IN_SCOPE} == IN_SCOPE
    assert sum(IN_SCOPE.values()) == 311


@pytest.mark.parametrize(("seed", "value", "version", "expected"), cases("hash"))
def test_hash(seed, value, version, expected):
    assert hash_value(seed, value, version) == expected


@pytest.mark.parametrize(("name", "arguments", "expected"), cases("getBucketRange"))
def test_bucket_ranges(name, arguments, expected):
    ranges = bucket_ranges(*arguments)
    # The published numbers are rounded to ten places.
    assert [pytest.approx(range_, abs=1e-9) for range_ in expected] == [list(range_) for range_ in ranges]


@pytest.mark.parametrize(("n", "expected"), cases("getEqualWeights"))
def test_equal_weights(n, expected):
    assert [round(weight, 8) for weight in equal_weights(n)] == expected


@pytest.mark.parametrize(("name", "n", "ranges", "expected"), cases("chooseVariation"))
def test_choose_variation(name, n, ranges, expected):
    assert choose_variation(n, [(start, end) for start, end in ranges]) == expected


@pytest.mark.parametrize(("name", "value", "namespace", "expected"), cases("inNamespace"))
def test_in_namespace(name, value, namespace, expected):
    assert in_namespace(value, tuple(namespace)) is expected


@pytest.mark.parametrize("case", [pytest.param(case, id=case[0]) for case in CASES["evalCondition"]])
def test_eval_condition(case):
    _name, condition, attributes, expected, *groups = case
    assert evaluate(condition, attributes, groups[0] if groups else None) is expected
