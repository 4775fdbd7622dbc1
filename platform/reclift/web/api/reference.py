"""The OpenAPI document as /docs shows it: routes with fields, examples and curl; nothing but what is in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from markupsafe import Markup, escape

Json = Mapping[str, Any]

_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"(?=\s*:))|(?P<text>"(?:[^"\\]|\\.)*")|(?P<word>\b(?:true|false|null)\b)'
    r"|(?P<number>-?\b\d+(?:\.\d+)?(?:[eE][-+]?\d+)?\b)"
)


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a table of fields. `link`: the schema it is made of."""

    name: str
    kind: str
    about: str
    required: bool
    link: str = ""
    rules: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """One route."""

    anchor: str
    method: str
    path: str
    summary: str
    about: str
    scopes: tuple[str, ...]
    people: bool
    open: bool
    parameters: tuple[Field, ...]
    body: tuple[Field, ...]
    curl: str
    answers: tuple[tuple[str, str, str], ...]
    example: str
    example_status: str


@dataclass(frozen=True, slots=True)
class Section:
    """The routes of one tag."""

    anchor: str
    title: str
    about: str
    routes: list[Shown] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Type:
    """One schema."""

    name: str
    about: str
    fields: tuple[Field, ...]
    example: str


def inline(words: str) -> Markup:
    """Plain words with `code` in them."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(words))))  # noqa: S704 (escaped just before)


def code(source: str) -> Markup:
    """JSON inside any text, coloured by what its parts are."""
    parts, end = [], 0
    for found in _TOKEN.finditer(source):
        parts.append(escape(source[end : found.start()]))
        parts.append(Markup('<span class="c-{}">{}</span>').format(found.lastgroup, found.group()))
        end = found.end()
    return Markup("").join([*parts, escape(source[end:])])


def sections(document: Json, host: str) -> list[Section]:
    """The document's routes by tag; `host` stands in the curl examples."""
    result = {tag["name"]: Section(tag["name"].lower(), tag["name"], tag["description"]) for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            shown = _shown(document, host, path, method, operation)
            result[operation["tags"][0]].routes.append(shown)
    return [section for section in result.values() if section.routes]


def types(document: Json) -> list[Type]:
    """The document's schemas by name."""
    return [
        Type(name, schema["description"], tuple(_fields(schema)), _pretty(_example(document, schema)))
        for name, schema in sorted(document["components"]["schemas"].items())
    ]


def _shown(document: Json, host: str, path: str, method: str, operation: Json) -> Shown:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    answers = []
    for status, response in operation["responses"].items():
        full = _resolved(document, response)
        answers.append((status, full["description"], _link(_json_of(full))))
    best = next(status for status in operation["responses"] if status < "300")
    answered = _resolved(document, operation["responses"][best])
    return Shown(
        anchor=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        about=operation["description"],
        scopes=tuple(operation.get("x-scopes", ())),
        people=any("session" in way for way in operation.get("security", ())),
        open=not operation.get("security"),
        parameters=tuple(
            Field(one["name"], _kind(one["schema"]), one["description"], one["required"], rules=_rules(one["schema"]))
            for one in operation.get("parameters", ())
        ),
        body=tuple(_fields(_resolved(document, body))) if body else (),
        curl=_curl(document, host, path, method, operation, body),
        answers=tuple(answers),
        example=_pretty(_example(document, _json_of(answered) or {})),
        example_status=best,
    )


def _curl(document: Json, host: str, path: str, method: str, operation: Json, body: Json | None) -> str:
    query = []
    for one in operation.get("parameters", ()):
        sample = {"key": "home-recs", "user_id": "u1", "item_id": "i7", "client_key": "$CLIENT_KEY"}.get(
            one["name"], "1"
        )
        if one["in"] == "path":
            if one["name"] == "key":
                sample = {"placements": "home", "groups": "staff"}.get(path.split("/")[3], sample)
            path = path.replace(f"{{{one['name']}}}", sample)
        elif one["required"]:
            query.append(f"{one['name']}={sample}")
    address = f"{host}{path}{'?' if query else ''}{'&'.join(query)}"
    lines = [f"curl {address}" if method == "get" else f"curl -X {method.upper()} {address}"]
    if operation.get("security"):
        lines.append('-H "Authorization: Bearer $RECLIFT_KEY"')
    if body is not None:
        lines += ["-H 'Content-Type: application/json'", f"-d '{_pretty(_example(document, body))}'"]
    return " \\\n  ".join(lines)


def _resolved(document: Json, schema: Json) -> Json:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return _resolved(document, found)


def _json_of(response: Json) -> Json | None:
    for kind, content in response.get("content", {}).items():
        if kind.endswith("json"):
            schema: Json = content["schema"]
            return schema
    return None


def _link(schema: Json | None) -> str:
    """The name of the schema that a value, or a list's entry, is made of."""
    if schema is None:
        return ""
    for inner in (schema, schema.get("items", {}), *schema.get("anyOf", ())):
        if "$ref" in inner:
            return str(inner["$ref"]).rsplit("/", 1)[1]
    return ""


def _kind(schema: Json) -> str:
    if "$ref" in schema:
        return "object"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    kinds = schema.get("type", "any")
    words = [kinds] if isinstance(kinds, str) else kinds
    return " or ".join(
        f"list of {_plural(schema)}" if word == "array" else "anything" if word == "any" else word for word in words
    )


def _plural(schema: Json) -> str:
    inner = _kind(schema.get("items", {}))
    return "anything" if inner == "anything" else " or ".join(f"{word}s" for word in inner.split(" or "))


def _rules(schema: Json) -> str:
    """What a value must keep to, in a few words."""
    words = []
    if "enum" in schema:
        words.append(", ".join(f"`{word}`" for word in schema["enum"] if word is not None))
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        words.append(f"{low:,} to {high:,}")
    elif low is not None:
        words.append(f"at least {low:,}")
    if "exclusiveMinimum" in schema:
        words.append(f"above {schema['exclusiveMinimum']}" + (f", at most {high}" if high is not None else ""))
    for least, most, unit in (("minLength", "maxLength", "characters"), ("minItems", "maxItems", "entries")):
        if most in schema and schema.get("type") != ["array", "null"]:
            words.append(f"at most {schema[most]:,} {unit}")
        elif schema.get(least, 0) > 1:
            words.append(f"at least {schema[least]:,} {unit}")
    if schema.get("format") == "date-time":
        words.append("RFC 3339, with zone")
    if "pattern" in schema:
        words.append(f"`{schema['pattern']}`")
    if "default" in schema:
        words.append(f"default `{orjson.dumps(schema['default']).decode()}`")
    return "; ".join(words)


def _fields(schema: Json) -> Iterator[Field]:
    for name, inner in schema.get("properties", {}).items():
        about = inner.get("description") or _first_about(inner)
        yield Field(name, _kind(inner), about, name in schema.get("required", ()), _link(inner), _rules(inner))


def _first_about(schema: Json) -> str:
    return next((one["description"] for one in schema.get("anyOf", ()) if one.get("description")), "")


def _example(document: Json, schema: Json) -> Any:
    """The schema's own example, or one made of its parts'."""
    schema = _resolved(document, schema)
    if "examples" in schema:
        return schema["examples"][0]
    if "anyOf" in schema:
        return _example(document, schema["anyOf"][0])
    kinds = schema.get("type")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    if kind == "object":
        return {name: _example(document, inner) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [_example(document, schema["items"])]
    if "enum" in schema:
        return schema["enum"][0]
    if kind == "string":
        return "2026-05-01T12:00:00.000Z" if schema.get("format") == "date-time" else "…"
    return {"integer": schema.get("minimum", 1), "number": schema.get("minimum", 0.5), "boolean": True}.get(str(kind))


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() if value not in (None, {}) else ""
