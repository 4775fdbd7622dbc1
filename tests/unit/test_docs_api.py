"""The pages for developers name every route, name nothing else, and show bodies that are what the schemas say."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from reclift.flows.accounts import SCOPES
from reclift.web.api.openapi.document import document
from reclift.web.app import create_app
from reclift.wiring import Runtime
from tests.openapi_check import Contract
from tests.shared_data import ROOT

PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("shop-developer", "automation")}
SHOPS = {"Shop", "SDKs", "Health"}


@pytest.fixture
def described(runtime: Runtime) -> dict[str, Any]:
    return document(create_app(runtime))


def named(text: str) -> set[tuple[str, str]]:
    """Each `METHOD /path` of a page."""
    found = re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`\s?]*)`", text)
    return {(method.lower(), path) for method, path in found}


def test_every_route_is_on_the_page_of_its_reader(described: dict[str, Any]) -> None:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            page = "shop-developer" if set(operation["tags"]) & SHOPS else "automation"
            assert (method, path) in named(PAGES[page]), f"docs/{page}.md does not name {method.upper()} {path}"


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_named_that_is_not_there(described: dict[str, Any], page: str) -> None:
    there = {(method, path) for path, methods in described["paths"].items() for method in methods}
    assert named(PAGES[page]) <= there


def test_every_scope_is_explained() -> None:
    for scope in SCOPES:
        assert f"`{scope}`" in PAGES["automation"]


@pytest.mark.parametrize("page", PAGES)
def test_curl_calls_are_what_the_schemas_say(described: dict[str, Any], page: str) -> None:
    contract = Contract(described)
    calls = re.findall(r"curl (?:-X (\w+) )?\"?\$RECLIFT(/[^\s\"]*)(.*?)(?=\ncurl|\n```)", PAGES[page], re.DOTALL)
    assert calls
    for given, path, rest in calls:
        method, plain = (given or "GET").lower(), contract.path_of(path)
        assert plain is not None, path
        assert method in described["paths"][plain], (method, path)
        body = re.search(r"-d '(.*)'", rest, re.DOTALL)
        if body is not None:
            name = described["paths"][plain][method]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            assert contract.complaints(name.removeprefix("#"), orjson.loads(body[1])) == []


@pytest.mark.parametrize("page", PAGES)
def test_bodies_are_what_some_schema_says(described: dict[str, Any], page: str) -> None:
    contract = Contract(described)
    bodies = re.findall(r"```json\n(.*?)```", PAGES[page], re.DOTALL)
    assert bodies
    for body in bodies:
        value = orjson.loads(body)
        names = described["components"]["schemas"]
        fitting = [name for name in names if not contract.complaints(f"/components/schemas/{name}", value)]
        assert fitting, body
