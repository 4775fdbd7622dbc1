from __future__ import annotations

import json
from enum import StrEnum
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from reclift.web.pages import schema_form


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Params(BaseModel):
    k: int = Field(100, ge=1, le=2000, description="Neighbours.")
    days: int | None = Field(30, gt=0)
    share: float = Field(0.5, ge=0, le=1)
    window: float | None = Field(None, gt=0, lt=10)
    mode: Literal["a", "b"] | None = "a"
    name: str = "x"
    segment: str | None = None
    colour: Colour = Colour.RED
    on: bool = True
    weights: dict[str, float] = Field(default_factory=dict)
    needed: int


SCHEMA = Params.model_json_schema()


def test_fields_are_described_by_the_schema():
    fields = {f.name: f for f in schema_form.fields(SCHEMA)}
    kinds = {name: f.kind for name, f in fields.items()}
    assert kinds == {"k": "integer", "days": "integer", "share": "number", "window": "number", "mode": "choice",
                     "name": "text", "segment": "text",
                     "colour": "choice",
                     "on": "boolean", "weights": "json", "needed": "integer"}  # fmt: skip
    k = fields["k"]
    assert (k.minimum, k.maximum, k.value, k.help, k.optional) == (1, 2000, 100, "Neighbours.", True)
    assert fields["days"].minimum == 1  # "greater than 0" of a whole number
    assert fields["colour"].choices == ("red", "blue")
    assert not fields["needed"].optional


def test_what_is_sent_becomes_typed_values():
    form = {"p-k": "7", "p-days": "", "p-share": "0.25", "p-name": " y ", "p-colour": "blue", "p-on-there": "1",
            "p-weights": '{"click": 1}', "p-needed": "3"}  # fmt: skip
    values, problems = schema_form.parse(SCHEMA, form, "p-", "params.")
    assert problems == []
    assert values == {"k": 7, "days": None, "share": 0.25, "name": "y", "colour": "blue", "on": False,
                      "weights": {"click": 1}, "needed": 3}  # fmt: skip
    Params.model_validate(values)


@pytest.mark.parametrize(("name", "text", "rule"), [
    ("k", "many", "whole number"), ("k", "0", "at least 1"), ("k", "2001", "at most 2000"), ("share", "half",
    "a number"),
    ("share", "nan", "finite"),
    ("window", "0", "more than 0"), ("window", "10", "less than 10"),
    ("colour", "green", "one of red, blue"), ("weights", "{", "JSON"), ("needed", "",
    "needed"),
])  # fmt: skip
def test_what_is_wrong_is_named(name, text, rule):
    _, problems = schema_form.parse(SCHEMA, {name: text}, "", "params.")
    assert problems[0]["field"] == f"params.{name}"
    assert rule in problems[0]["rule"]


def test_what_is_not_in_the_form_is_left_to_the_defaults():
    assert schema_form.parse(SCHEMA, {}, "", "params.") == ({}, [])
    assert schema_form.parse(SCHEMA, {"segment": " ", "days": "30"}, "", "params.") == ({"days": 30}, [])
    assert schema_form.parse(SCHEMA, {"name": ""}, "", "params.") == ({"name": ""}, [])


def test_values_go_before_defaults():
    fields = {f.name: f for f in schema_form.fields(SCHEMA, {"k": 5, "weights": {"a": 1}})}
    assert schema_form.text_of(fields["k"]) == "5"
    assert schema_form.text_of(fields["weights"]) == '{"a": 1}'


def test_a_choice_can_be_none_again():
    field = next(f for f in schema_form.fields(SCHEMA) if f.name == "mode")
    assert (field.nullable, field.default) == (True, "a")
    assert schema_form.parse(SCHEMA, {"mode": ""}, "", "params.") == ({"mode": None}, [])


def test_long_json_has_a_line_for_each_part_and_what_was_refused_stays_as_typed():
    components = [{"strategy": "matrix_factorization", "weight": 2.0}, {"strategy": "user_cf", "weight": 1.0}]
    text = schema_form.pretty(components)
    assert text.count("\n") == 3
    assert json.loads(text) == components
    field = next(f for f in schema_form.fields(SCHEMA, {"weights": '{"a": '}) if f.name == "weights")
    assert schema_form.text_of(field) == '{"a": '
