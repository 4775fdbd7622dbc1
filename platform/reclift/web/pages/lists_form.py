"""What people type about how lists are shaped: variety, a pinned model, and a chain of fallbacks; and what it means."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .backend import JSON, Problem
from .traffic_form import number

VARIETY = ("balance", "category_cap")
MOST_FALLBACKS = 3

Typed = dict[str, Any]


def variety_shown(rerank: Mapping[str, Any] | None) -> dict[str, str]:
    """What the form shows for a `rerank` block; nothing where lists are left as they are."""
    balance, cap = (rerank or {}).get("balance") or 0.0, (rerank or {}).get("category_cap")
    return {"balance": f"{balance:.10g}" if balance else "", "category_cap": "" if cap is None else str(cap)}


def variety_sent(form: Any, prefix: str) -> dict[str, str]:
    """What was sent, as typed: fields `prefix + name`."""
    return {name: str(form.get(prefix + name, "")).strip() for name in VARIETY}


def variety(typed: Mapping[str, str], path: str) -> tuple[JSON | None, list[Problem]]:
    """The `rerank` block that was meant, `None` where nothing is wanted; `path` stands before a problem's field."""
    problems: list[Problem] = []
    balance = number(typed["balance"] or "0")
    if balance is None or not 0 <= balance <= 1:
        rule = "must be a number from 0 (the strategy's order) to 1 (nothing but variety)"
        problems.append({"field": path + "balance", "value": typed["balance"], "rule": rule})
    cap = number(typed["category_cap"]) if typed["category_cap"] else None
    if typed["category_cap"] and (cap is None or cap != int(cap) or not 1 <= cap <= 1_000):
        rule = "must be a whole number from 1 to 1000, or empty for no limit"
        problems.append({"field": path + "category_cap", "value": typed["category_cap"], "rule": rule})
    if problems or (not balance and cap is None):
        return None, problems
    return {"balance": balance, "category_cap": None if cap is None else int(cap)}, []


def model(text: str, strategy: str, models: Sequence[JSON] | None, field: str) -> tuple[int | None, list[Problem]]:
    """The version that an arm stays with, `None` for the active one. `models` are those that there are, if known."""
    if not text:
        return None, []
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:
        return None, [{"field": field, "value": text, "rule": "must be a model's version number, or empty"}]
    ready = [m["version"] for m in models or () if m["strategy"] == strategy and m["status"] == "ready"]
    if models is not None and int(text) not in ready:
        there = ", ".join(str(version) for version in sorted(ready)) or "none yet"
        return None, [{"field": field, "value": text, "rule": f"is no ready version of {strategy}; there are {there}"}]
    return int(text), []


def chain_shown(fallback: Sequence[Any]) -> list[dict[str, str]]:
    """What the form shows for a fallback chain: strategies, and their parameters as JSON where they have their own."""
    rows = []
    for entry in fallback:
        if isinstance(entry, Mapping):
            params = entry.get("params") or {}
            text = json.dumps(params, ensure_ascii=False) if params else ""
            rows.append({"strategy": str(entry["strategy"]), "params": text})
        else:
            rows.append({"strategy": str(entry), "params": ""})
    return rows


def chain(typed: Sequence[Mapping[str, str]]) -> tuple[list[Any], list[Problem]]:
    """The chain that was meant: rows without a strategy say nothing, and none may stand in it twice.

    The placement's own strategy may stand in it: it fills the lists of arms that show another one.
    """
    found: list[Any] = []
    problems: list[Problem] = []
    for n, row in enumerate(typed):
        if not row["strategy"]:
            if row["params"]:
                rule = "belong to no strategy: choose one, or empty them"
                problems.append({"field": f"fallback.{n}.params", "value": row["params"], "rule": rule})
            continue
        entry: Any = row["strategy"]
        if row["params"]:
            try:
                params = json.loads(row["params"])
            except ValueError as error:
                rule = f"must be JSON ({error})"
                problems.append({"field": f"fallback.{n}.params", "value": row["params"], "rule": rule})
                continue
            if not isinstance(params, dict):
                rule = 'must be an object, such as {"window_days": 7}'
                problems.append({"field": f"fallback.{n}.params", "value": row["params"], "rule": rule})
                continue
            entry = {"strategy": row["strategy"], "params": params} if params else entry
        if entry in found:
            rule = "stands in the chain twice"
            problems.append({"field": f"fallback.{n}.strategy", "value": row["strategy"], "rule": rule})
        else:
            found.append(entry)
    return found, problems


def variety_said(rerank: Mapping[str, Any]) -> str:
    """A `rerank` block in words."""
    parts = [f"variety {rerank['balance']:g}"] if rerank.get("balance") else []
    if rerank.get("category_cap"):
        parts.append(f"{rerank['category_cap']} of a category at most")
    return ", ".join(parts)
