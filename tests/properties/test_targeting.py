"""Conditions and attributes of every shape: nothing raises, and the logic is logic."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reclift.domain.condition_check import check_condition
from reclift.domain.experiment import Arm, Experiment
from reclift.domain.groups import SavedGroup
from reclift.domain.operators import BUILDERS, LOGICAL, NESTING
from reclift.domain.plan import Plan
from reclift.domain.targeting import compile_condition

names = st.sampled_from(["country", "age", "device.os", "tags", "id", "a.0.b", "length", "", "$groups", "."])
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()), max_size=20)
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
attributes = st.dictionaries(names | st.text(max_size=5), json_values, max_size=6)
operators = st.sampled_from([*BUILDERS, *NESTING, *LOGICAL, "$regx"])
# Operators with operands of every type, right and wrong, in every place.
anything_goes = st.recursive(
    json_values | st.sampled_from(["staff", "rich", "loop", "1.2.3", "^a", "(a+)+$"]),
    lambda inner: st.dictionaries(operators | names, inner | st.lists(inner, max_size=3), max_size=3),
    max_leaves=8,
)
groups = {
    "staff": SavedGroup("staff", values=("u1", 2, "3")),
    "rich": SavedGroup("rich", condition={"age": {"$gt": 3}}),
    "loop": SavedGroup("loop", condition={"$not": {"$savedGroup": "loop"}}),
}

good_values: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["CN", "US", 5, True, None]),
    st.fixed_dictionaries({"$in": st.lists(st.sampled_from(["CN", 5, None, True]), max_size=3)}),
    st.fixed_dictionaries({"$gt": st.integers(-5, 5) | st.sampled_from(["a", "10"])}),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.fixed_dictionaries({"$regex": st.sampled_from(["^C", "[0-9]+"])}),
    st.fixed_dictionaries({"$vlt": st.sampled_from(["1.2.3", "2"])}),
    st.fixed_dictionaries({"$elemMatch": st.just({"$gt": 1})}),
)
leaves = st.dictionaries(st.sampled_from(["country", "age", "device.os", "tags"]), good_values, max_size=2)
good_conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"$not": inner}),
        st.fixed_dictionaries({"$and": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"$or": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"$nor": st.lists(inner, max_size=3)}),
    ),
    max_leaves=5,
)


@settings(max_examples=400)
@given(anything_goes, attributes)
def test_nothing_raises_whatever_the_condition_and_the_attributes(condition, given_attributes):
    check_condition(condition, groups=groups)
    assert compile_condition(condition, groups)(given_attributes) in (True, False)


@settings(max_examples=200)
@given(good_conditions, json_values)
def test_a_plan_answers_whatever_it_is_sent_as_attributes(condition, given_attributes):
    arms = (Arm("a", "s", control=True), Arm("b", "s"))
    plan = Plan([Experiment("e", "p", arms, audience=condition, exclude={"bot": True})], groups=groups.values())
    assert plan.decide("e", "u1", given_attributes).experiment == "e"
    assert len(plan.decide_all("u1", given_attributes)) == 1
    plan.for_placement("p", "u1", given_attributes)


@settings(max_examples=200)
@given(good_conditions, attributes)
def test_good_conditions_are_good_and_negation_is_negation(condition, given_attributes):
    assert check_condition(condition) == []
    holds = compile_condition(condition)(given_attributes)
    assert compile_condition({"$not": condition})(given_attributes) is not holds
    assert compile_condition({"$nor": [condition]})(given_attributes) is not holds
    assert compile_condition({"$or": [condition]})(given_attributes) is holds
    assert compile_condition({"$and": [condition, {}]})(given_attributes) is holds


@given(good_conditions, good_conditions, attributes)
def test_de_morgan(one, other, given_attributes):
    neither = compile_condition({"$nor": [one, other]})(given_attributes)
    both_not = compile_condition({"$and": [{"$not": one}, {"$not": other}]})(given_attributes)
    assert neither is both_not


@given(st.lists(st.sampled_from(["a", 1, True, False, 0, None, "1"]), max_size=4), json_values)
def test_not_in_is_the_opposite_of_in(values, value):
    for wanted, unwanted in (("$in", "$nin"), ("$ini", "$nini")):
        assert compile_condition({"x": {wanted: values}})({"x": value}) is not compile_condition(
            {"x": {unwanted: values}}
        )({"x": value})
