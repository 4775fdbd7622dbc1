"""A list is given again exactly as long as the question is the very same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from reclift.flows.answered import Answered
from reclift.flows.snapshot import Served
from reclift.strategy import Query, Scored, Signal
from tests.unit.flows.toys import Scripted

ITEMS = [Scored("a", 1.0)]
HISTORY = (Signal("x", 1.0, 5.0),)
QUERY = Query(k=3, user_id="u1", history=HISTORY, context_items=["p"], exclude=frozenset({"b"}), attributes={"c": 1})


class Steady(Scripted):
    repeatable = True


def served(kind: type[Scripted] = Steady) -> Served:
    return Served("toy", "toy@1", kind(lambda query: ITEMS))


def test_the_same_question_gets_the_same_list_whenever_it_is_asked() -> None:
    answered, toy = Answered(), served()
    assert answered.get(toy, QUERY) is None
    answered.note(toy, QUERY, ITEMS)
    same = replace(QUERY, context_items=("p",), exclude=frozenset({"b"}), attributes={"c": 1}, seed=9, now=77.0)
    assert answered.get(toy, same) is ITEMS
    assert answered.get(replace(toy, diversity=None), same) is ITEMS


@pytest.mark.parametrize(
    "change",
    [
        {"history": (*HISTORY, Signal("y", 1.0, 6.0))},
        {"history": (Signal("x", 1.0, 5.0),)},
        {"history": ()},
        {"k": 4},
        {"context_items": []},
        {"context_items": ["q"]},
        {"exclude": frozenset({"b", "c"})},
        {"attributes": {"c": 2}},
        {"attributes": {"c": True}},
        {"attributes": {"c": 1.0}},
        {"attributes": {"c": 1, "stored": None}},
        {"attributes": {}},
        {"candidates": frozenset({"a"})},
        {"user_id": "u2"},
    ],
)
def test_any_change_is_another_question(change: dict[str, Any]) -> None:
    answered, toy = Answered(), served()
    answered.note(toy, QUERY, ITEMS)
    assert answered.get(toy, replace(QUERY, **change)) is None


@pytest.mark.parametrize("inner", [{"a": 1}, [1], [[{"a": 1}]]])
def test_attributes_are_told_apart_however_deep(inner: Any) -> None:
    answered, toy = Answered(), served()
    other = orjson.loads(orjson.dumps(inner).replace(b"1", b"true"))
    assert inner == other  # to Python
    answered.note(toy, replace(QUERY, attributes={"c": inner}), ITEMS)
    assert answered.get(toy, replace(QUERY, attributes={"c": other})) is None
    assert answered.get(toy, replace(QUERY, attributes={"c": orjson.loads(orjson.dumps(inner))})) is ITEMS


def test_another_model_is_asked_anew() -> None:
    answered = Answered()
    answered.note(served(), QUERY, ITEMS)
    assert answered.get(served(), QUERY) is None


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        pytest.param(Scripted, {}, id="a strategy that does not say so"),
        pytest.param(Steady, {"candidates": frozenset({"a"})}, id="candidates"),
        pytest.param(Steady, {"history": [*HISTORY]}, id="a history that may change in place"),
    ],
)
def test_what_might_change_is_not_kept(kind: type[Scripted], change: dict[str, Any]) -> None:
    answered, toy = Answered(), served(kind)
    query = replace(QUERY, **change)
    answered.note(toy, query, ITEMS)
    assert answered.get(toy, query) is None
    assert not answered._answers


def test_memory_is_bounded_and_forgets() -> None:
    answered, toy = Answered(3), served()
    for number in range(5):
        answered.note(toy, replace(QUERY, user_id=f"u{number}"), ITEMS)
    assert [unit for _, unit in answered._answers] == ["u2", "u3", "u4"]
    answered.note(toy, replace(QUERY, user_id="u2"), ITEMS)
    answered.forget("u3")
    assert [unit for _, unit in answered._answers] == ["u4", "u2"]
    answered.forget_all()
    assert not answered._answers
    off = Answered(0)
    off.note(toy, QUERY, ITEMS)
    assert off.get(toy, QUERY) is None
