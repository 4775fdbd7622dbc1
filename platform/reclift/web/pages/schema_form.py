"""A form out of a JSON schema: strategies' parameters as pydantic describes them, without code per strategy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .backend import Problem

_LINE = 60


class Field(NamedTuple):
    """One input, starting with `value`. `kind`: `integer`, `number`, `boolean`, `choice`, `text` or `json`."""

    name: str
    label: str
    help: str
    kind: str
    value: Any
    optional: bool
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    step: str = "any"
    above: float | None = None
    below: float | None = None
    """Bounds that the value itself may not have."""
    nullable: bool = False
    default: Any = None


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """The schema without references and without "or null"; whether null was allowed."""
    while "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = {**target, **{k: v for k, v in schema.items() if k != "$ref"}}
    options = schema.get("anyOf")
    if options:
        real = [o for o in options if o.get("type") != "null"]
        if len(real) == 1:
            inner, _ = _resolve(real[0], root)
            return {**inner, **{k: v for k, v in schema.items() if k != "anyOf"}}, len(real) < len(options)
        return schema, len(real) < len(options)
    return schema, False


def fields(schema: Mapping[str, Any], values: Mapping[str, Any] | None = None) -> list[Field]:
    """The inputs of an object schema, in its order; `values` go before the schema's defaults."""
    required = set(schema.get("required", ()))
    found = []
    for name, described in schema.get("properties", {}).items():
        prop, nullable = _resolve(described, schema)
        choices = tuple(prop["enum"]) if "enum" in prop else ((prop["const"],) if "const" in prop else ())
        kind = "choice" if choices else {"integer": "integer", "number": "number", "boolean": "boolean",
                                         "string": "text"}.get(str(prop.get("type")), "json")  # fmt: skip
        minimum, maximum = prop.get("minimum"), prop.get("maximum")
        step = "1" if kind == "integer" else "any"
        if kind == "integer":  # exclusive bounds of whole numbers have an inclusive twin
            if "exclusiveMinimum" in prop:
                minimum = math.floor(prop["exclusiveMinimum"]) + 1
            if "exclusiveMaximum" in prop:
                maximum = math.ceil(prop["exclusiveMaximum"]) - 1
        value = (values or {}).get(name, prop.get("default"))
        label = name.replace("_", " ").capitalize()
        optional = nullable or name not in required
        text = prop.get("description", "")
        above, below = (
            (None, None) if kind == "integer" else (prop.get("exclusiveMinimum"), prop.get("exclusiveMaximum"))
        )
        found.append(
            Field(name, label, text, kind, value, optional, choices, minimum, maximum, step, above, below, nullable,
                  prop.get("default"))
        )  # fmt: skip
    return found


def text_of(field: Field) -> str:
    """What stands in the input for the field's value."""
    if field.value is None:
        return ""
    if field.kind == "json":
        if isinstance(field.value, str):  # as it was typed, and refused
            return field.value
        return pretty(field.value)
    return str(field.value)


def pretty(value: Any) -> str:
    """JSON as people read it: short things on one line, a long list or object with a line for each of its parts."""
    whole = json.dumps(value, ensure_ascii=False)
    if len(whole) <= _LINE or not isinstance(value, list | dict):
        return whole
    if isinstance(value, list):
        return "[\n" + ",\n".join(f"  {json.dumps(part, ensure_ascii=False)}" for part in value) + "\n]"
    parts = [f"  {json.dumps(name)}: {json.dumps(part, ensure_ascii=False)}" for name, part in value.items()]
    return "{\n" + ",\n".join(parts) + "\n}"


def _as_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("must be a number") from None
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _as_integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _as_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"must be JSON ({error})") from None


def _convert(field: Field, text: str) -> Any:
    """The typed value within its bounds, or `ValueError` with the rule."""
    if field.kind == "choice":
        for choice in field.choices:
            if str(choice) == text:
                return choice
        raise ValueError("must be one of " + ", ".join(str(c) for c in field.choices))
    convert: dict[str, Callable[[str], Any]] = {
        "integer": _as_integer,
        "number": _as_number,
        "json": _as_json,
        "text": str,
    }
    value = convert[field.kind](text)
    if field.minimum is not None and value < field.minimum:
        raise ValueError(f"must be at least {field.minimum:g}")
    if field.maximum is not None and value > field.maximum:
        raise ValueError(f"must be at most {field.maximum:g}")
    if field.above is not None and value <= field.above:
        raise ValueError(f"must be more than {field.above:g}")
    if field.below is not None and value >= field.below:
        raise ValueError(f"must be less than {field.below:g}")
    return value


def parse(
    schema: Mapping[str, Any], form: Mapping[str, str], prefix: str, path: str
) -> tuple[dict[str, Any], list[Problem]]:
    """Values typed as the schema wants them, from form fields `prefix + name`; what is not in the form is left out.

    `path` stands before the field's name in a problem. Bounds are checked too; the strategy checks the rest itself.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for field in fields(schema):
        key = prefix + field.name
        if field.kind == "boolean":
            if key in form or f"{key}-there" in form:  # an unticked box sends nothing, its hidden twin does
                values[field.name] = form.get(key, "") in {"on", "true", "1"}
            continue
        if key not in form:
            continue
        text = form[key].strip()
        if text == "" and (field.kind != "text" or field.nullable):
            if not field.optional:
                problems.append({"field": path + field.name, "value": "", "rule": "is needed"})
            elif field.value is not None and field.nullable:
                values[field.name] = None  # emptied on purpose; without "or null" the default holds
            continue
        try:
            values[field.name] = _convert(field, text)
        except ValueError as error:
            problems.append({"field": path + field.name, "value": text, "rule": str(error)})
    return values, problems
