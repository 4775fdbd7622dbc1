"""Holds answers against the published document: the status must be described, and the body must be as described."""

from __future__ import annotations

import copy
import re
from functools import cached_property
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

ROOT = "urn:reclift"


class Contract:
    """An OpenAPI 3.1 document that can be asked."""

    def __init__(self, document: dict[str, Any], *, closed: bool = True) -> None:
        """`closed`: an object's undescribed fields are errors, unless its schema says that it is open."""
        self.document = copy.deepcopy(document)
        if closed:
            _close(self.document["components"]["schemas"])
        self._validators: dict[str, Draft202012Validator] = {}

    @cached_property
    def _registry(self) -> Registry:
        resource = Resource.from_contents(self.document, default_specification=DRAFT202012)
        return Registry().with_resource(ROOT, resource)

    def validator(self, pointer: str) -> Draft202012Validator:
        """Of the schema at a JSON pointer of the document."""
        if pointer not in self._validators:
            schema = {"$ref": f"{ROOT}#{pointer}"}
            self._validators[pointer] = Draft202012Validator(
                schema, registry=self._registry, format_checker=Draft202012Validator.FORMAT_CHECKER
            )
        return self._validators[pointer]

    def complaints(self, pointer: str, value: Any) -> list[str]:
        """What is wrong with a value."""
        found = self.validator(pointer).iter_errors(value)
        return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in found]

    def path_of(self, path: str) -> str | None:
        """The document's path that an address is of; words win over parameters."""
        plain = path.partition("?")[0]
        fitting = [one for one in self.document["paths"] if re.fullmatch(re.sub(r"{\w+}", ".+", one), plain)]
        return min(fitting, key=lambda one: (one.count("{"), -len(one)), default=None)

    def check(self, method: str, path: str, status: int, mimetype: str | None, body: Any) -> None:
        """Fails unless the document describes this answer."""
        described = self.path_of(path)
        if described is None or (status in {404, 405} and method.lower() not in self.document["paths"][described]):
            return
        operation = self.document["paths"][described][method.lower()]
        assert str(status) in operation["responses"], f"{method} {described} answered an undescribed {status}"
        place = f"/paths/{_escaped(described)}/{method.lower()}/responses/{status}"
        response = operation["responses"][str(status)]
        if "$ref" in response:
            place = response["$ref"].removeprefix("#")
            response = self.document["components"]["responses"][place.rsplit("/", 1)[1]]
        if "content" not in response:
            assert body is None, f"{method} {described} {status} has a body that is not described"
            return
        assert mimetype in response["content"], f"{method} {described} {status} answered {mimetype}"
        if mimetype is not None and mimetype.endswith("json"):
            wrong = self.complaints(f"{place}/content/{_escaped(mimetype)}/schema", body)
            assert not wrong, f"{method} {described} {status} is not as described:\n" + "\n".join(wrong)


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")


def _close(node: Any) -> None:
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node and "additionalProperties" not in node:
            node["additionalProperties"] = False
        for inner in node.values():
            _close(inner)
    elif isinstance(node, list):
        for inner in node:
            _close(inner)
