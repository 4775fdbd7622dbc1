import pytest

from reclift.domain.groups import SavedGroup
from reclift.domain.targeting import compile_condition, evaluate, mentions_unit

GROUPS = {
    "staff": SavedGroup("staff", values=("u1", "u2")),
    "eu": SavedGroup("eu", values=("DE", "FR"), attribute="country"),
    "rich": SavedGroup("rich", condition={"spend": {"$gt": 100}}),
    "rich-eu": SavedGroup("rich-eu", condition={"$savedGroup": {"id": "rich"}, "country": {"$inGroup": "eu"}}),
    "a": SavedGroup("a", condition={"$not": {"$savedGroup": {"id": "b"}}}),
    "b": SavedGroup("b", condition={"$savedGroup": {"id": "a"}}),
}


def holds(condition, attributes):
    return compile_condition(condition, GROUPS)(attributes)


@pytest.mark.parametrize(
    ("condition", "attributes", "expected"),
    [
        # a plain value is compared by type and value
        ({"n": 1}, {"n": 1}, True),
        ({"n": 1}, {"n": 1.0}, True),
        ({"n": 1}, {"n": True}, False),
        ({"n": 1}, {"n": "1"}, False),
        ({"b": True}, {"b": 1}, False),
        ({"s": "1"}, {"s": 1}, False),
        # so are members of lists
        ({"n": {"$in": [1, 0]}}, {"n": True}, False),
        ({"n": {"$in": [True]}}, {"n": 1}, False),
        ({"n": {"$in": [True]}}, {"n": True}, True),
        ({"n": {"$in": [None]}}, {}, True),
        ({"n": {"$nin": ["a"]}}, {}, True),
        ({"n": {"$in": ["a"]}}, {"n": {"a": 1}}, False),
        ({"n": {"$in": ["a", 1]}}, {"n": [[], {}, None, 1]}, True),
        ({"n": {"$ini": ["É"]}}, {"n": "é"}, True),
        ({"n": {"$ini": [2]}}, {"n": 2}, True),
        # order: JavaScript's
        ({"n": {"$lt": 10}}, {"n": " 0x9 "}, True),
        ({"n": {"$lt": 10}}, {"n": "nine"}, False),
        ({"n": {"$gte": 0}}, {"n": False}, True),
        ({"n": {"$gte": 1}}, {"n": None}, False),
        ({"n": {"$gt": 1}}, {"n": [2]}, False),
        ({"n": {"$lt": "z"}}, {"n": {}}, False),
        ({"n": {"$lt": "\uffff"}}, {"n": "😀"}, True),
        ({"n": {"$gt": 5}}, {"n": 10**400}, True),
        ({"n": {"$gt": 5}}, {"n": "1" * 1000}, False),
        ({"n": {"$gt": 5}}, {"n": "-Infinity"}, False),
        # regular expressions look at texts only
        ({"ua": {"$regex": "null"}}, {}, False),
        ({"ua": {"$regex": "5"}}, {"ua": 5}, False),
        ({"ua": {"$regex": "^a.c$"}}, {"ua": "a\ud800c"}, True),
        ({"ua": {"$notRegex": "bot"}}, {"ua": "Firefox"}, True),
        ({"ua": {"$notRegexi": "bot"}}, {"ua": "GoogleBOT"}, False),
        # versions: between texts only
        ({"v": {"$vlt": "2.0.0"}}, {}, False),
        ({"v": {"$vne": "2.0.0"}}, {}, True),
        ({"v": {"$vgte": "1.9"}}, {"v": "1.10"}, True),
        # paths into lists and past their end
        ({"tags.0": "a"}, {"tags": ["a"]}, True),
        ({"tags.1": None}, {"tags": ["a"]}, True),
        ({"tags.length": {"$gte": 1}}, {"tags": ["a"]}, True),
        ({"a.b.c": 1}, {"a": {"b": {"c": 1}}}, True),
        ({"a.b.c": 1}, {"a": "text"}, False),
        # lists of objects
        (
            {"orders": {"$elemMatch": {"total": {"$gt": 10}, "paid": True}}},
            {"orders": [{"total": 20, "paid": True}]},
            True,
        ),
        ({"orders": {"$elemMatch": {"total": {"$gt": 10}}}}, {"orders": [None, 5, "x", [1]]}, False),
        ({"orders": {"$elemMatch": {"0": 1}}}, {"orders": [[1]]}, True),
        ({"orders": {"$elemMatch": {"$or": [{"x": 1}, {"x": 2}]}}}, {"orders": [{"x": 2}]}, True),
        ({"tags": {"$all": [{"$regex": "^a"}, "b"]}}, {"tags": ["abc", "b"]}, True),
        ({"tags": {"$alli": ["A", 1]}}, {"tags": ["a", 1]}, True),
        ({"tags": {"$alli": ["A", 1]}}, {"tags": ["a", "1"]}, False),
        # equal as JSON
        ({"o": {"x": 1, "y": [1, None]}}, {"o": {"x": 1.0, "y": [1, None]}}, True),
        ({"o": {"x": 1, "y": 2}}, {"o": {"y": 2, "x": 1}}, False),
        ({"o": {"b": 1, "1": 2}}, {"o": {"1": 2, "b": 1}}, True),
        ({"o": [True]}, {"o": [1]}, False),
    ],
)
def test_values(condition, attributes, expected):
    assert evaluate(condition, attributes) is expected


@pytest.mark.parametrize(
    ("condition", "attributes", "expected"),
    [
        ({"id": {"$inGroup": "staff"}}, {"id": "u1"}, True),
        ({"id": {"$notInGroup": "staff"}}, {"id": "u9"}, True),
        ({"$savedGroup": {"id": "staff"}}, {"id": "u2"}, True),
        ({"$savedGroup": "staff"}, {"id": "u3"}, False),
        ({"$savedGroup": {"id": "eu"}}, {"country": "FR"}, True),
        ({"$savedGroup": {"id": "eu", "attributeKey": "ship_to"}}, {"country": "FR", "ship_to": "US"}, False),
        ({"$savedGroup": {"id": "rich-eu"}}, {"country": "FR", "spend": 200}, True),
        ({"$savedGroup": {"id": "rich-eu"}}, {"country": "FR", "spend": 20}, False),
        ({"$not": {"$savedGroup": {"id": "rich"}}}, {"spend": 20}, True),
        ({"$savedGroup": {"id": "gone"}}, {}, False),
        ({"id": {"$inGroup": "rich"}}, {"id": "u1"}, False),
        ({"id": {"$notInGroup": "rich"}}, {"id": "u1"}, False),
    ],
)
def test_saved_groups(condition, attributes, expected):
    assert holds(condition, attributes) is expected


@pytest.mark.parametrize(
    "condition",
    [
        {"x": {"$regx": 1}},
        {"x": {"$not": {"$regx": 1}}},
        {"$not": {"x": {"$regx": 1}}},
        {"$nor": [{"x": {"$regx": 1}}]},
        {"$not": {"$nor": [{"x": {"$not": {"$regx": 1}}}]}},
        {"x": {"$notRegex": "(a+)+$"}},
        {"x": {"$not": {"$regex": "(a+)+$"}}},
        {"$not": {"$and": "x"}},
        {"$not": {"$savedGroup": 3}},
        {"$not": {"$savedGroup": {"id": "b"}}},
        {"$savedGroup": {"id": "a"}},
    ],
)
def test_what_cannot_be_compiled_matches_nobody_however_it_is_negated(condition):
    assert holds(condition, {"x": "hello"}) is False
    assert holds(condition, {}) is False


def test_one_broken_branch_leaves_the_others_alone():
    assert holds({"$or": [{"x": {"$regx": 1}}, {"x": 1}]}, {"x": 1}) is True


def test_what_nests_too_deep_matches_nobody():
    deep = {"x": 1}
    for _ in range(3000):
        deep = {"$not": deep}
    assert holds(deep, {"x": 1}) is False


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"id": "u1"}, True),
        ({"$or": [{"x": 1}, {"id": {"$in": ["u"]}}]}, True),
        ({"$savedGroup": {"id": "staff"}}, True),
        ({"$savedGroup": {"id": "staff", "attributeKey": "email"}}, False),
        ({"$savedGroup": {"id": "eu"}}, False),
        ({"$savedGroup": {"id": "a"}}, False),
        ({"country": {"$inGroup": "staff"}, "idle": 1}, False),
    ],
)
def test_conditions_on_the_unit_are_recognised(condition, expected):
    assert mentions_unit(condition, GROUPS) is expected
