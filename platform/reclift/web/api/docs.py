"""The contract, published: OpenAPI at /openapi.json, readable at /docs."""

from __future__ import annotations

from flask import Blueprint, Response

from reclift.web.api.body import answer

docs = Blueprint("docs", __name__)


@docs.get("/openapi.json")
def openapi() -> Response:
    """The OpenAPI document."""
    return answer({"openapi": "3.1.0"})
