"""A strategy's versions as a table: their offline metrics in columns, and what a click on each would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reclift.web import format as fmt

from .backend import JSON
from .offline import metric_label

_BESIDE = ("popularity", "chance")
"""Baselines that were measured on the same users; they stand under the model's own number."""


def metric_columns(versions: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Metric and its name, of all that any version was measured by; not its baselines, nor those of its search."""
    there = dict.fromkeys(
        name
        for version in versions
        for name, value in (version.get("metrics") or {}).items()
        if isinstance(value, int | float) and name != "users" and " " not in name
    )
    return [(name, metric_label(name)) for name in there]


def rows(versions: Sequence[JSON]) -> list[JSON]:
    """The versions with `cells` (by metric: `value`, and `beside` as lines), `more` lines, and `does`.

    `does` is what making it active would be called: a roll back when a newer version of the same parameters answers
    now. Versions with other parameters are other models: each of these is active beside the others.
    """
    found = []
    for version in versions:
        metrics = version.get("metrics") or {}
        answers = next((v for v in versions if v["active"] and v["params"] == version["params"]), None)
        back = answers is not None and version["version"] < answers["version"]
        found.append({
            **version, "cells": {name: _cell(metrics, name) for name, _ in metric_columns([version])},
            "more": _more(metrics), "in_place_of": answers["version"] if answers else None,
            "does": ("Roll back to this" if back else "Activate") if _may_answer(version) else None,
        })  # fmt: skip
    return found


def _may_answer(version: Mapping[str, Any]) -> bool:
    return version["status"] == "ready" and not version["active"]


def _cell(metrics: Mapping[str, Any], name: str) -> JSON:
    beside = [
        f"{base} {fmt.score(value)}"
        for base in _BESIDE
        if isinstance(value := metrics.get(f"{base} {name}"), int | float)
    ]
    return {"value": metrics[name], "beside": beside}


def _more(metrics: Mapping[str, Any]) -> list[str]:
    lines = []
    if isinstance(metrics.get("users"), int | float):
        lines.append(f"measured on {fmt.count(metrics['users'])} users")
    search = {name.removeprefix("search "): value for name, value in metrics.items() if name.startswith("search ")}
    for name, value in search.items():
        if not isinstance(value, int | float):
            continue
        if name == "looked_at":
            lines.append(f"looks at {fmt.percent(value)} of the items for an answer")
        else:
            lines.append(f"search {name} {fmt.score(value)}")
    return lines
