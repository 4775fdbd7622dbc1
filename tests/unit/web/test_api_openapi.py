"""/openapi.json describes every route and nothing else, is valid, and its examples are what its schemas say."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from openapi_spec_validator import validate

from reclift.flows.accounts import SCOPES
from reclift.web.api.openapi.document import BLUEPRINTS, TAGS, document, routes
from reclift.web.app import create_app
from reclift.web.problems import KINDS, type_of
from reclift.wiring import Runtime
from tests.openapi_check import Contract


@pytest.fixture
def app(runtime: Runtime) -> Flask:
    return create_app(runtime)


@pytest.fixture
def described(app: Flask) -> dict[str, Any]:
    return document(app)


def operations(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(method, path, one) for path, methods in described["paths"].items() for method, one in methods.items()]


def test_every_route_is_in_it_and_nothing_else(app: Flask, described: dict[str, Any]) -> None:
    there = {(route.method, route.path) for route in routes(app)}
    assert {(method, path) for method, path, _ in operations(described)} == there
    tables = {(method, path) for _, _, table in TAGS for path, methods in table.items() for method in methods}
    assert tables == there


def test_every_blueprint_of_the_api_is_described(app: Flask) -> None:
    known = BLUEPRINTS | {"docs", "pages", "bootstrap"}
    assert set(app.blueprints) == known
    assert len(list(routes(app))) > 40


def test_the_document_is_valid(described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.1")
    validate(described)


def test_examples_are_as_the_schemas_say(described: dict[str, Any]) -> None:
    contract = Contract(described)
    seen = 0
    for name, schema in described["components"]["schemas"].items():
        for example in schema.get("examples", ()):
            seen += 1
            assert contract.complaints(f"/components/schemas/{name}", example) == [], name
    assert seen > 30


def test_every_body_and_most_answers_have_an_example(described: dict[str, Any]) -> None:
    for method, path, one in operations(described):
        if "requestBody" in one:
            name = one["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
            assert "examples" in described["components"]["schemas"][name], (method, path)


def test_everything_is_described_in_words(described: dict[str, Any]) -> None:
    identifiers = [one["operationId"] for _, _, one in operations(described)]
    assert len(set(identifiers)) == len(identifiers)
    for method, path, one in operations(described):
        assert one["summary"], (method, path)
        assert one["description"], (method, path)
        assert one["tags"], (method, path)
        names = {parameter["name"] for parameter in one.get("parameters", ()) if parameter["in"] == "path"}
        assert names == set(re.findall(r"{(\w+)}", path)), path
    for name, schema in described["components"]["schemas"].items():
        assert schema["description"], name


def test_no_schema_is_left_over(described: dict[str, Any]) -> None:
    import orjson

    text = orjson.dumps(described).decode()
    for name in described["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text, name


def test_scopes_and_refusals_are_those_of_the_views(app: Flask, described: dict[str, Any]) -> None:
    for route in routes(app):
        one = described["paths"][route.path][route.method]
        if route.access is None:
            assert one["security"] == []
            assert "x-scopes" not in one
            continue
        assert one["x-scopes"] == list(route.access.scopes)
        assert set(one["x-scopes"]) <= SCOPES.keys()
        assert {"key": []} in one["security"]
        assert ({"session": []} in one["security"]) == route.access.people
        assert one["responses"].keys() >= {"401", "403"}
        # OFREP answers 400 to every bad body, by its own specification.
        bad_bodies = {"400", "413"} if route.path.startswith("/ofrep/") else {"400", "413", "415", "422"}
        assert ("requestBody" not in one) or one["responses"].keys() >= bad_bodies


def test_every_kind_of_problem_is_explained(app: Flask) -> None:
    html = app.test_client().get("/docs").text
    for title in KINDS:
        assert f'id="{type_of(title).partition("#")[2]}"' in html


def test_the_document_is_served_to_anybody_and_can_be_cached(app: Flask) -> None:
    client = app.test_client()
    response = client.get("/openapi.json")
    assert response.status_code == 200
    assert response.mimetype == "application/json"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    again = client.get("/openapi.json", headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_page_shows_every_route_with_a_curl_call(app: Flask, described: dict[str, Any]) -> None:
    response = app.test_client().get("/docs")
    assert response.status_code == 200
    html = response.text
    for _, path, one in operations(described):
        assert f'id="{one["operationId"]}"' in html
        assert f"<code>{path}</code>" in html
    assert html.count("curl ") > len(operations(described))
    for name in described["components"]["schemas"]:
        assert f'id="type-{name.lower()}"' in html


def test_the_page_needs_nothing_from_elsewhere(app: Flask) -> None:
    client = app.test_client()
    response = client.get("/docs")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "style=" not in response.text
    assert "<script>" not in response.text
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', response.text)
    assert loaded
    for address in loaded:
        assert address.startswith("/"), address
        if address != "/":
            assert client.get(address).status_code == 200, address


def test_the_page_is_folded_and_its_contents_lead_to_every_part(app: Flask, described: dict[str, Any]) -> None:
    html = app.test_client().get("/docs").text
    parts = len(operations(described)) + len(described["components"]["schemas"])
    assert html.count('<details class="fold">') == parts
    assert html.count('<article class="fold-item"') == parts
    for contents in re.findall(r'<nav [^>]*aria-label="Contents.*?</nav>', html, re.DOTALL):
        for _, _, one in operations(described):
            assert f'href="#{one["operationId"]}"' in contents


def test_every_link_within_the_page_leads_somewhere(app: Flask) -> None:
    html = app.test_client().get("/docs").text
    targets = re.findall(r'\bid="([^"]+)"', html)
    assert len(set(targets)) == len(targets)
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(targets)


def test_copied_calls_are_valid_json(app: Flask) -> None:
    import html
    import json

    page = html.unescape(re.sub(r"</?span[^>]*>", "", app.test_client().get("/docs").text))
    bodies = re.findall(r"-d '(.*?)'</code>", page, re.DOTALL)
    assert len(bodies) > 15
    for body in bodies:
        assert isinstance(json.loads(body), dict)
