from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reclift.web.pages import audience
from reclift.web.pages.audience import OPERATORS, rows_of, to_condition


def row(attribute, op, value):
    return {"attribute": attribute, "op": op, "value": value}


def test_rows_become_a_condition():
    rows = [row("country", "$in", "CN, US"), row("age", "$gte", "18"), row("age", "$lt", "65.5"), row("beta", "$eq",
            "true"),
            row("zip", "$eq", '"0123"'), row("email", "!$exists", ""), row("", "$eq", "")]  # fmt: skip
    condition, problems = to_condition(rows)
    assert problems == []
    assert condition == {"country": {"$in": ["CN", "US"]}, "age": {"$gte": 18, "$lt": 65.5}, "beta": {"$eq": True},
                         "zip": {"$eq": "0123"}, "email": {"$exists": False}}  # fmt: skip


@pytest.mark.parametrize(("bad", "field"), [
    (row("", "$eq", "x"), "audience.0.attribute"), (row("$or", "$eq", "x"), "audience.0.attribute"),
    (row("a", "$where", "x"), "audience.0.op"), (row("a", "$eq", ""), "audience.0.value"),
    (row("age", "$gt", "old"), "audience.0.value"),
])  # fmt: skip
def test_bad_rows_are_named(bad, field):
    _, problems = to_condition([bad])
    assert [p["field"] for p in problems] == [field]


def test_the_same_comparison_twice_is_refused():
    _, problems = to_condition([row("a", "$eq", "1"), row("a", "$eq", "2")])
    assert problems[0]["field"] == "audience.1.attribute"


@pytest.mark.parametrize(("text", "rule"), [("{", "JSON"), ("[]", "object")])
def test_a_written_condition_must_be_an_object(text, rule):
    _, problems = to_condition([], text)
    assert rule in problems[0]["rule"]
    assert to_condition([row("a", "$eq", "1")], '{"$or": []}') == ({"$or": []}, [])


@pytest.mark.parametrize("condition", [
    {"$or": [{"a": 1}]}, {"a": {"$regex": "x"}}, {"a": {"$in": "x"}}, {"a": None}, {"a": {"$eq": {"b": 1}}},
    {"a": {"$eq": "with, comma"}},
])  # fmt: skip
def test_what_rows_cannot_say_stays_written(condition):
    assert rows_of(condition) is None


SCALARS = st.one_of(
    st.booleans(), st.integers(-(10**9), 10**9),
    st.text("abcXYZ019 .-_é", min_size=1, max_size=12).map(str.strip).filter(bool),
)  # fmt: skip
NUMBERS = st.integers(-(10**6), 10**6) | st.sampled_from([0.5, -2.25, 1e3])
TESTS = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne"]), SCALARS),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(SCALARS, min_size=1, max_size=4)),
    st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), NUMBERS),
    st.tuples(st.just("$exists"), st.booleans()),
)


@given(st.dictionaries(st.sampled_from(["country", "age", "device", "plan"]), TESTS))
def test_rows_say_exactly_what_the_condition_says(tests):
    condition = {attribute: {op: value} for attribute, (op, value) in tests.items()}
    rows = rows_of(condition)
    assert rows is not None
    assert all(r["op"] in OPERATORS for r in rows)
    back, problems = to_condition(rows)
    assert problems == []
    assert back == condition
    for attribute, (op, value) in tests.items():  # True == 1, but an attribute that is 1 is not true
        got = back[attribute][op]
        pairs = zip(got, value, strict=True) if isinstance(value, list) else [(got, value)]
        assert all(isinstance(a, bool) == isinstance(b, bool) for a, b in pairs)


GROUPS = [
    ({"$savedGroup": {"id": "staff"}}, [("", "$inGroup", "staff")]),
    ({"$not": {"$savedGroup": {"id": "bots"}}}, [("", "$notInGroup", "bots")]),
    ({"country": {"$inGroup": "eu"}}, [("country", "$inGroup", "eu")]),
    ({"$and": [{"$savedGroup": {"id": "a"}}, {"$not": {"$savedGroup": {"id": "b"}}}]},
     [("", "$inGroup", "a"), ("", "$notInGroup", "b")]),
    ({"age": {"$gte": 18}, "$savedGroup": {"id": "a"}}, [("age", "$gte", "18"), ("", "$inGroup", "a")]),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "rows"), GROUPS)
def test_saved_groups_are_rows_and_back(condition, rows):
    typed = audience.rows_of(condition)
    assert [tuple(row.values()) for row in typed] == rows
    assert audience.to_condition(typed) == (condition, [])


@pytest.mark.parametrize("condition", [
    {}, {"is_bot": {"$eq": True}}, {"$savedGroup": {"id": "bots"}},
    {"$or": [{"$savedGroup": {"id": "bots"}}, {"is_staff": {"$eq": True}}]},
    {"$or": [{"age": {"$lt": 3}}, {"age": {"$gt": 120}}]},
])  # fmt: skip
def test_what_is_left_out_is_rows_of_which_one_is_enough(condition):
    assert audience.to_condition(audience.rows_of_any(condition), enough=True) == (condition, [])


@pytest.mark.parametrize("condition", [
    {"a": 1, "b": 2}, {"$or": [{"a": 1, "b": 2}]}, {"$or": [{}]}, {"$or": [3]},
    {"$or": [{"a": 1}], "b": 2}, {"$nor": []},
])  # fmt: skip
def test_what_rows_of_which_one_is_enough_cannot_say(condition):
    assert audience.rows_of_any(condition) is None


@pytest.mark.parametrize("condition", [
    {"$savedGroup": {"id": "a", "attributeKey": "b"}}, {"$not": {"a": 1}}, {"$and": [{"a": 1}]}, {"$and": [3]},
    {"$not": {"$savedGroup": 3}},
])  # fmt: skip
def test_what_rows_that_must_all_hold_cannot_say(condition):
    assert audience.rows_of(condition) is None


@pytest.mark.parametrize("value", ["", "a, b"])
def test_a_row_names_one_group(value):
    rows = [{"attribute": "", "op": "$inGroup", "value": value}, {"attribute": "x", "op": "$inGroup", "value": value}]
    _, problems = audience.to_condition(rows, name="exclude", enough=True)
    assert [p["field"] for p in problems][-1] == "exclude.1.value"
