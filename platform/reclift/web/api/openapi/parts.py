"""Small makers of JSON Schema and OpenAPI pieces, so that the tables of schemas and routes stay readable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]


def ref(name: str) -> Json:
    """A schema of the document by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def text(about: str, **rules: Any) -> Json:
    """A string; `rules` are JSON Schema's (`maxLength`, `pattern`, `format`, `examples` …)."""
    return {"type": "string", "description": about, **rules}


def ident(about: str, **rules: Any) -> Json:
    """An id of the shop's own: any text that is not empty."""
    return text(about, minLength=1, maxLength=200, **rules)


def key(about: str, **rules: Any) -> Json:
    """A key of ours: plain, lower case."""
    return text(about, pattern="^[a-z0-9][a-z0-9_-]{0,63}$", **rules)


def choice(about: str, *words: str, **rules: Any) -> Json:
    """One of some words."""
    return {"type": "string", "enum": list(words), "description": about, **rules}


def number(about: str, **rules: Any) -> Json:
    """A finite number."""
    return {"type": "number", "description": about, **rules}


def whole(about: str, **rules: Any) -> Json:
    """A whole number."""
    return {"type": "integer", "description": about, **rules}


def flag(about: str, **rules: Any) -> Json:
    """True or false."""
    return {"type": "boolean", "description": about, **rules}


def when(about: str) -> Json:
    """A moment as the server writes it."""
    return text(about, format="date-time")


def anything(about: str) -> Json:
    """An object of the caller's own."""
    return {"type": "object", "description": about, "additionalProperties": True}


def many(items: Json, about: str, **rules: Any) -> Json:
    """A list."""
    return {"type": "array", "description": about, "items": items, **rules}


def maybe(schema: Json) -> Json:
    """The same, or null."""
    if "type" in schema:
        kinds = {**schema, "type": [schema["type"], "null"]}
        return {**kinds, "enum": [*schema["enum"], None]} if "enum" in schema else kinds
    return {"anyOf": [schema, {"type": "null"}], "description": schema.get("description", "")}


def pair(about: str) -> Json:
    """An interval, or null where it cannot be computed."""
    return {
        "type": ["array", "null"],
        "description": about,
        "items": {"type": "number"},
        "minItems": 2,
        "maxItems": 2,
    }


def obj(
    about: str,
    properties: Mapping[str, Json],
    *,
    required: Sequence[str] | None = None,
    example: Any = None,
    **rules: Any,
) -> Json:
    """An object; `required` None: all of its properties."""
    names = list(properties) if required is None else list(required)
    schema: Json = {"type": "object", "description": about, "properties": dict(properties), **rules}
    if names:
        schema["required"] = names
    if example is not None:
        schema["examples"] = [example]
    return schema


def closed(about: str, properties: Mapping[str, Json], *, required: Sequence[str] = (), example: Any = None) -> Json:
    """An object that is sent to us: what it may hold is fixed, since a misspelt field is refused."""
    return obj(about, properties, required=required, example=example, additionalProperties=False)


def listing(field: str, name: str, about: str) -> Json:
    """An object with one list of a schema."""
    return obj(about, {field: many(ref(name), about)})


def in_path(name: str, schema: Json) -> Json:
    """A part of the address."""
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": schema["description"]}


def in_query(name: str, schema: Json, *, required: bool = False) -> Json:
    """A part of the query string."""
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": schema["description"]}


def in_header(name: str, schema: Json) -> Json:
    """A header that may be sent."""
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": schema["description"]}


def content(schema: str) -> Json:
    """JSON of a schema."""
    return {"application/json": {"schema": ref(schema)}}


def operation(
    summary: str,
    about: str,
    answers: Mapping[int, tuple[str, str | None]],
    *,
    body: str | None = None,
    parameters: Sequence[Json] = (),
    refusals: Sequence[int] = (),
) -> Json:
    """One route: `answers` maps a status to its meaning and its schema's name; `refusals` lists problem statuses.

    What depends on scopes and bodies (401, 403, 400, 413, 415, 422) is added where it applies.
    """
    result: Json = {"summary": summary, "description": about}
    if parameters:
        result["parameters"] = list(parameters)
    if body is not None:
        result["requestBody"] = {"required": True, "content": content(body)}
    responses: Json = {}
    for status, (meaning, schema) in answers.items():
        responses[str(status)] = {"description": meaning}
        if schema is not None:
            responses[str(status)]["content"] = content(schema)
    for status in sorted({*refusals, *((400, 413, 415, 422) if body is not None else ())}):
        responses[str(status)] = {"$ref": f"#/components/responses/{REFUSALS[status]}"}
    result["responses"] = responses
    return result


REFUSALS = {
    400: "MalformedRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    413: "TooLarge",
    415: "UnsupportedContent",
    422: "InvalidRequest",
    503: "NotReady",
}
"""Status -> name of its response in the document."""
