"""Rows of facts, with what a test does not care about filled in."""

from __future__ import annotations

from typing import Any


def event(event_id: str = "e1", unit: str = "u1", at: int = 1_000, **more: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "type": "click",
        "unit_id": unit,
        "item_id": "i1",
        "recommendation_id": None,
        "value": None,
        "at": at,
        "client_at": None,
        "received_at": at,
        "properties": {},
        **more,
    }


def impression(recommendation_id: str = "r1", unit: str = "u1", at: int = 1_000, **more: Any) -> dict[str, Any]:
    return {
        "recommendation_id": recommendation_id,
        "unit_id": unit,
        "at": at,
        "received_at": at,
        "placement": "home",
        "experiment": None,
        "phase": None,
        "arm": None,
        "strategy": "popularity",
        "model": None,
        "fallback": None,
        "latency_ms": 1.0,
        "items": [],
        "novelty": None,
        "diversity": None,
        **more,
    }


def exposure(unit: str = "u1", arm: str = "a", at: int = 1_000, **more: Any) -> dict[str, Any]:
    return {
        "experiment": "e",
        "phase": 1,
        "unit_id": unit,
        "arm": arm,
        "at": at,
        "source": "assign",
        "attributes": {},
        **more,
    }
