"""How a batch of facts looks outside the tables: one JSON object with the three lists of rows."""

from __future__ import annotations

import orjson

from reclift.domain.events import Facts
from reclift.storage.eventlog import Poison

_YOUNGER = ("novelty", "diversity")
"""Columns of impressions that batches of an earlier version do not have: they may still wait when a new one starts."""


def encode(facts: Facts) -> bytes:
    """`Poison` for what JSON cannot hold."""
    try:
        return orjson.dumps({"events": facts.events, "impressions": facts.impressions, "exposures": facts.exposures})
    except (orjson.JSONEncodeError, TypeError) as error:
        raise Poison(f"the batch cannot be written as JSON: {error}") from None


def decode(data: bytes) -> Facts:
    """`Poison` for what `encode` never made."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Poison(f"not JSON: {error}") from None
    names = ("events", "impressions", "exposures")
    if not isinstance(found, dict) or not found.keys() <= set(names):
        raise Poison(f"not a batch of facts: an object with {', '.join(names)} is expected")
    for name, rows in found.items():
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Poison(f"not a batch of facts: {name} must be a list of objects")
    for row in found.get("impressions", ()):
        for column in _YOUNGER:
            row.setdefault(column, None)
    return Facts(**found)
