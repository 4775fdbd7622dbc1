import json

import pytest

from reclift.domain.condition_check import check_condition, check_group
from reclift.domain.groups import SavedGroup, groups_from
from tests.shared_data import shared_path

GROUPS = {
    "staff": SavedGroup("staff", values=("u1",)),
    "rich": SavedGroup("rich", condition={"spend": {"$gt": 100}}),
}


@pytest.mark.parametrize(
    ("condition", "field", "rule"),
    [
        ({"name": {"$regx": "x"}}, "audience.name.$regx", "operator $regx is unknown"),
        ({"$xor": []}, "audience.$xor", "operator $xor is unknown"),
        ({"$and": [{"a": 1}, {"b": {"$foo": 1}}]}, "audience.$and.1.b.$foo", "unknown"),
        ({"country": {"$in": "CN"}}, "audience.country.$in", "must be a list"),
        ({"country": {"$in": list(range(10_000))}}, "audience.country.$in", "at most 1000 values"),
        ({"country": {"$in": [[1]]}}, "audience.country.$in.0", "must be text, a number"),
        ({"country": [0] * 2000}, "audience.country", "at most 1000 entries"),
        ({"country": "x" * 2000}, "audience.country", "at most 1000 characters"),
        ({"ua": {"$regex": "(a+)+$"}}, "audience.ua.$regex", "several ways"),
        ({"ua": {"$regex": 5}}, "audience.ua.$regex", "as text"),
        ({"n": {"$gt": None}}, "audience.n.$gt", "must be a number or text"),
        ({"n": {"$gt": True}}, "audience.n.$gt", "must be a number or text"),
        ({"n": {"$gt": float("nan")}}, "audience.n.$gt", "finite"),
        ({"n": {"$eq": [1]}}, "audience.n.$eq", "a list never equals"),
        ({"n": {"$exists": 1}}, "audience.n.$exists", "true or false"),
        ({"n": {"$type": "text"}}, "audience.n.$type", "one of string"),
        ({"n": {"$size": -1}}, "audience.n.$size", "whole number"),
        ({"n": {"$size": float("inf")}}, "audience.n.$size", "whole number"),
        ({"n": {"$size": "2"}}, "audience.n.$size", "whole number"),
        ({"n": {"$size": {"$gt": "a", "$foo": 1}}}, "audience.n.$size.$foo", "unknown"),
        ({"n": {"$all": 1}}, "audience.n.$all", "must be a list"),
        ({"n": {"$all": [0] * 101}}, "audience.n.$all", "at most 100 values"),
        ({"n": 2**53 + 1}, "audience.n", "between -2^53 and 2^53"),
        ({"n": {"$elemMatch": 1}}, "audience.n.$elemMatch", "operators on an element"),
        ({"n": {"$elemMatch": {"x": {"$foo": 1}}}}, "audience.n.$elemMatch.x.$foo", "unknown"),
        ({"n": {"$elemMatch": {"$or": []}}}, "audience.n.$elemMatch.$or", "outside"),
        ({"n": {"$elemMatch": {"$gt": 1, "$lt": None}}}, "audience.n.$elemMatch.$lt", "number or text"),
        ({"n": {"$not": {"$foo": 1}}}, "audience.n.$not.$foo", "unknown"),
        ({"v": {"$vgt": 1}}, "audience.v.$vgt", "version as text"),
        ({"n": {}}, "audience.n", "not empty"),
        ({"n": {"$gt": 1, "x": 2}}, "audience.n", "operators only or a value only"),
        ({"n": {1, 2}}, "audience.n", "must be text, a number"),
        ({"": 1}, "audience", "attribute names"),
        ({"$or": {"a": 1}}, "audience.$or", "list of conditions"),
        ({"$or": [{}] * 1001}, "audience.$or", "at most 1000"),
        ({"$not": [1]}, "audience.$not", "must be an object"),
        ([], "audience", "must be an object"),
        ({"id": {"$inGroup": "gone"}}, "audience.id.$inGroup", "must be a saved group; there are: rich, staff"),
        ({"id": {"$inGroup": "rich"}}, "audience.id.$inGroup", "must be a group of values"),
        ({"id": {"$inGroup": 1}}, "audience.id.$inGroup", "saved group's key"),
        ({"$savedGroup": {"id": "gone"}}, "audience.$savedGroup", "must be a saved group"),
        ({"$savedGroup": {}}, "audience.$savedGroup", "must name a group"),
        ({"$savedGroup": {"id": "staff", "attribute": "x"}}, "audience.$savedGroup.attribute", "id or attributeKey"),
    ],
)
def test_a_bad_condition_is_refused_with_its_place(condition, field, rule):
    [problem] = check_condition(condition, groups=GROUPS)
    assert problem.field == field
    assert rule in problem.rule
    assert field in str(problem)


def test_all_problems_are_told_at_once():
    problems = check_condition({"a": {"$foo": 1, "$in": 2}, "$or": [{"b": {"$bar": 1}}, 5]}, "exclude")
    assert [problem.field for problem in problems] == [
        "exclude.a.$foo",
        "exclude.a.$in",
        "exclude.$or.0.b.$bar",
        "exclude.$or.1",
    ]


@pytest.mark.parametrize("wrap", [lambda c: {"$not": c}, lambda c: {"$or": [c]}, lambda c: {"x": {"$elemMatch": c}}])
def test_nesting_too_deep_is_refused(wrap):
    condition = {"x": 1}
    for _ in range(20):
        condition = wrap(condition)
    assert "nest more than" in check_condition(condition)[0].rule


def test_a_value_nested_too_deep_is_refused():
    value = [1]
    for _ in range(900):
        value = [value]
    [problem] = check_condition({"x": value})
    assert "nest more than" in problem.rule
    assert "x" in str(check_condition({"x": {"$eq": value}})[0])  # shown without going as deep


def test_a_condition_too_large_is_refused_once():
    problems = check_condition({"$or": [{"x": [1, 2]} for _ in range(900)]})
    assert [problem.rule for problem in problems] == ["makes the condition larger than 2000 parts"]


def test_published_conditions_are_good_unless_they_are_meant_to_be_bad():
    cases = json.loads(shared_path("conformance", "growthbook_cases.json").read_text(encoding="utf-8"))["evalCondition"]
    refused = [case[0] for case in cases if check_condition(case[1])]
    assert refused == [
        "$in - not array", "$nin - not array", "$ini - not array", "$nini - not array",
        "unknown operator - pass", "$regex invalid - pass", "$regex invalid - fail",
    ]  # fmt: skip


def test_a_group_is_values_or_a_condition():
    assert check_group(GROUPS["staff"], "staff", GROUPS) == []
    assert check_group(GROUPS["rich"], "rich", GROUPS) == []
    [problem] = check_group(SavedGroup("x"), "x", GROUPS)
    assert problem.rule == "must have either values or a condition"
    [problem] = check_group(SavedGroup("x", values=("a", None)), "x", GROUPS)
    assert (problem.field, problem.rule) == ("groups.x.values.1", "must be text or a number")
    [problem] = check_group(SavedGroup("x", values=("a",) * 5_001), "x", GROUPS)
    assert problem.rule == "must have at most 5000 values"
    [problem] = check_group(SavedGroup("x", condition={"n": {"$foo": 1}}), "x", GROUPS)
    assert problem.field == "groups.x.condition.n.$foo"
    assert len(check_group(SavedGroup("x", values=(None,) * 1000), "x", GROUPS)) == 10


def test_cyclic_groups_are_refused_with_the_way_round():
    groups = groups_from(
        {
            "a": {"condition": {"$or": [{"x": 1}, {"$savedGroup": {"id": "b"}}]}},
            "b": {"condition": {"$not": {"$savedGroup": "c"}}},
            "d": {"condition": {"$savedGroup": "a"}},
            "list": {"type": "list", "values": ["x"], "attributeKey": "country"},
            "bare": ["x"],
            "broken": 7,
        }
    )
    assert groups["list"].attribute == "country"
    assert groups["bare"].attribute == "id"
    assert "broken" not in groups
    assert all(check_group(groups[key], key, groups) for key in ("b", "d"))  # c is not there yet
    closing = SavedGroup("c", condition={"$savedGroup": {"id": "a"}})
    [problem] = check_group(closing, "c", groups)
    assert problem.field == "groups.c.condition.$savedGroup(a).$or.1.$savedGroup(b).$not.$savedGroup"
    assert problem.value == "c -> a -> b -> c"
    assert problem.rule == "must not contain itself, directly or through others"
    [problem] = check_condition({"$savedGroup": "d"}, groups={**groups, "c": closing})
    assert problem.value == "d -> a -> b -> c -> a"
    itself = SavedGroup("s", condition={"$savedGroup": {"id": "s"}})
    assert check_group(itself, "s", {})[0].value == "s -> s"


def test_a_chain_of_groups_counts_as_nesting():
    chain = {f"g{i}": SavedGroup(f"g{i}", condition={"$savedGroup": f"g{i + 1}"}) for i in range(20)}
    chain["g20"] = SavedGroup("g20", condition={"x": 1})
    assert check_condition({"$savedGroup": "g15"}, groups=chain) == []
    assert "nest more than" in check_condition({"$savedGroup": "g0"}, groups=chain)[0].rule


def test_what_broke_inside_of_a_group_is_told_where_it_is_used():
    groups = {"g": SavedGroup("g", condition={"id": {"$inGroup": "deleted"}})}
    assert check_condition({"$savedGroup": "g"}, groups=groups)[0].field == "audience.$savedGroup(g).id.$inGroup"
