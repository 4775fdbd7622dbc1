"""Which conditions name a group."""

from __future__ import annotations

import pytest

from reclift.flows.groups import _mentions


@pytest.mark.parametrize(
    "condition",
    [
        {"id": {"$inGroup": "g"}},
        {"id": {"$notInGroup": "g"}},
        {"$savedGroup": {"id": "g"}},
        {"$and": [{"a": 1}, {"$not": {"$savedGroup": {"id": "g"}}}]},
        {"tags": {"$elemMatch": {"$inGroup": "g"}}},
    ],
)
def test_a_group_is_found_wherever_it_stands(condition):
    assert _mentions(condition, "g")
    assert not _mentions(condition, "other")


@pytest.mark.parametrize("condition", [None, {}, {"g": "g"}, {"id": "g"}, {"id": {"$in": ["g"]}}])
def test_values_that_look_like_its_name_are_not_the_group(condition):
    assert not _mentions(condition, "g")
