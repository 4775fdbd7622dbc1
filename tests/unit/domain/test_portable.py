import pytest

from reclift.domain.groups import SavedGroup
from reclift.domain.portable import EVERYONE, NOBODY, all_of, any_of, memberships, none_of, portable

GROUPS = {
    "europe": SavedGroup("europe", values=("DE", "FR"), attribute="country"),
    "staff": SavedGroup("staff", values=("u1", "u2", 3)),
    "rich": SavedGroup("rich", condition={"spend": {"$gt": 100}}),
}
STAFF = frozenset({"u1", "u2"})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({}, EVERYONE),
        ({"x": "a"}, {"x": {"$eq": "a"}}),
        ({"x": None}, {"x": None}),
        ({"x": {"$eq": None}}, {"x": None}),
        ({"x": {"$ne": False}}, {"$nor": [{"x": {"$eq": False}}]}),
        ({"x": [1, 2]}, {"x": [1, 2]}),
        ({"x": {"$vlt": "1.0"}}, {"x": {"$type": "string", "$vlt": "1.0"}}),
        ({"x": {"$vne": "1.0"}}, {"$nor": [{"x": {"$type": "string", "$veq": "1.0"}}]}),
        ({"x": {"$regexi": "a"}}, {"x": {"$type": "string", "$regexi": "a"}}),
        ({"x": {"$notRegexi": "a"}}, {"$nor": [{"x": {"$type": "string", "$regexi": "a"}}]}),
        ({"x": {"$lt": "z"}}, {"x": {"$type": "string", "$lt": "z"}}),
        (
            {"x": {"$gt": 0}},
            {"$or": [{"x": {"$type": "number", "$gt": 0}}, {"x": {"$type": "string", "$gt": 0}}, {"x": {"$eq": True}}]},
        ),
        ({"x": {"$gt": "Infinity"}}, {"$or": [
            {"x": {"$type": "number", "$in": []}}, {"x": {"$type": "string", "$gt": "Infinity"}}]}),
        ({"x": {"$not": {"$exists": True}}}, {"$nor": [{"x": {"$exists": True}}]}),
        ({"x": {"$size": 2}}, {"x": {"$size": {"$eq": 2}}}),
        ({"x": {"$all": ["a", {"$gt": 2}]}}, {"x": {"$all": [{"$eq": "a"}, {"$gt": 2}]}}),
        ({"x": {"$alli": ["a", 1]}}, {"x": {"$all": [{"$type": "string", "$ini": ["a"]}, {"$eq": 1}]}}),
        ({"x": {"$elemMatch": {"y": 1}}}, {"x": {"$elemMatch": {"_": {"$nin": []}, "y": {"$eq": 1}}}}),
        (
            {"x": {"$elemMatch": {"$notRegex": "a"}}},
            {"x": {"$elemMatch": {"$not": {"$type": "string", "$regex": "a"}}}},
        ),
        ({"x": {"$elemMatch": {"$inGroup": "europe"}}}, {"x": {"$elemMatch": {"$in": ["DE", "FR"]}}}),
        ({"x": {"$elemMatch": {"id": "u1"}}}, {"x": {"$elemMatch": {"_": {"$nin": []}, "id": {"$eq": "u1"}}}}),
        ({"x": {"$notInGroup": "europe"}}, {"$nor": [{"x": {"$in": ["DE", "FR"]}}]}),
        ({"$savedGroup": "europe"}, {"country": {"$in": ["DE", "FR"]}}),
        ({"$or": []}, EVERYONE),
        ({"$nor": []}, NOBODY),
        ({"$and": [{"x": "a"}, {"x": "b"}]}, {"$and": [{"x": {"$eq": "a"}}, {"x": {"$eq": "b"}}]}),
        ({"$or": [{"x": "a"}, {}]}, EVERYONE),
        ({"$nor": [{"x": "a"}, {"$nor": [{}]}]}, {"$nor": [{"x": {"$eq": "a"}}]}),
        ({"$not": {}}, NOBODY),
    ],
)  # fmt: skip
def test_conditions_are_rewritten_into_what_all_sdks_read_alike(condition, expected):
    assert portable(condition, GROUPS, {}) == expected


@pytest.mark.parametrize("member", [True, False])
@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ({"id": {"$in": ["u1", "u2"]}}, True),
        ({"id": {"$nin": ["u2", "u1", 5]}}, False),
        ({"id": {"$inGroup": "staff"}}, True),
        ({"id": {"$notInGroup": "staff"}}, False),
        ({"$savedGroup": {"id": "staff"}}, True),
        ({"$not": {"$savedGroup": {"id": "staff"}}}, False),
        ({"id": {"$not": {"$inGroup": "staff"}}}, False),
    ],
)
def test_lists_of_ids_are_taken_out_and_answered(condition, wanted, member):
    assert memberships(condition, GROUPS) == [STAFF]
    assert portable(condition, GROUPS, {STAFF: member}) == (EVERYONE if member is wanted else NOBODY)


def test_each_list_is_asked_once_and_the_shortest_first():
    condition = {"$or": [{"id": {"$inGroup": "staff"}}, {"id": "u9"}, {"id": {"$ne": "u9"}}, {"id": {"$in": [1]}}]}
    assert memberships(condition, GROUPS) == [frozenset({"u9"}), STAFF]


def test_what_is_decided_folds_away():
    some = {"x": {"$eq": 1}}
    assert all_of([EVERYONE, some]) == some
    assert all_of([some, NOBODY]) == NOBODY
    assert any_of([NOBODY, some]) == some
    assert any_of([some, EVERYONE]) == EVERYONE
    assert any_of([]) == NOBODY
    assert none_of([NOBODY]) == EVERYONE
    assert none_of([some, EVERYONE]) == NOBODY
