"""Placements: where recommendations are shown, by what when no experiment decides, and what fills up."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.domain.jsvalue import is_number
from reclift.domain.problem import Problem
from reclift.domain.rerank import check_rerank
from reclift.flows.clock import now, rfc3339
from reclift.flows.configuration import bump, record
from reclift.flows.errors import Invalid, NotFound
from reclift.flows.parameter_problems import parameter_problems
from reclift.storage.tables import Placement
from reclift.strategy import Registry, StrategyError, parse_parameters

MOST_EXPLORED = 0.5
"""Half of a list is for what is known: more is no list of recommendations."""
SEEN = {
    "bought": "never what the user has bought",
    "shown": "never what the user has bought, and only where nothing else is left what the last day's lists had",
    "interacted": "never what the user has had anything to do with",
    "none": "also what the user knows already",
}


def chain(fallback: Sequence[Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """(strategy, parameters) of each entry of a fallback chain: `"popularity"`, or `{"strategy": …, "params": {…}}`."""
    return [
        (str(entry["strategy"]), entry.get("params", {})) if isinstance(entry, Mapping) else (str(entry), {})
        for entry in fallback
    ]


def view(row: Placement) -> dict[str, Any]:
    """A placement as the API and pages show it."""
    return {
        "key": row.key,
        "name": row.name,
        "strategy": row.strategy,
        "params": row.params,
        "fallback": row.fallback,
        "seen": row.settings.get("seen", "bought"),
        "rerank": row.settings.get("rerank"),
        "explore": row.settings.get("explore", 0.0),
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


def all_placements(session: Session) -> list[dict[str, Any]]:
    """All placements by key."""
    return [view(row) for row in session.scalars(select(Placement).order_by(Placement.key))]


def get(session: Session, key: str) -> dict[str, Any]:
    """One placement; `NotFound`."""
    row = session.get(Placement, key)
    if row is None:
        raise NotFound("placement", key)
    return view(row)


def put(session: Session, registry: Registry, key: str, payload: Mapping[str, Any], actor: str) -> dict[str, Any]:
    """Make or change a placement; what is not sent stays as it is."""
    problems: list[Problem] = []
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", key):
        problems.append(Problem("key", key, "must be 1-64 of a-z, 0-9, _ and -, starting with a letter or digit"))
    allowed = {"key", "name", "strategy", "params", "fallback", "seen", "rerank", "explore"}
    problems += [
        Problem(str(name), payload[name], f"is not a field of a placement; fields: {', '.join(sorted(allowed))}")
        for name in payload.keys() - allowed - {"created_at", "updated_at"}
    ]
    row = session.get(Placement, key)
    before = view(row) if row else None
    strategy = payload.get("strategy", row.strategy if row else None)
    params = payload.get("params", row.params if row else {})
    fallback = payload.get("fallback", row.fallback if row else [])
    seen = payload.get("seen", row.settings.get("seen", "bought") if row else "bought")
    rerank, wrong = check_rerank(payload.get("rerank", row.settings.get("rerank") if row else None), "rerank")
    problems += wrong
    explore = payload.get("explore", row.settings.get("explore", 0.0) if row else 0.0)
    if not is_number(explore) or not 0 <= explore <= MOST_EXPLORED:
        problems.append(Problem("explore", explore, f"must be a share of the slots from 0 to {MOST_EXPLORED:g}"))
    name = payload.get("name", row.name if row else key)
    problems += _strategy_problems(registry, strategy, params)
    problems += _fallback_problems(registry, fallback)
    if not isinstance(seen, str) or seen not in SEEN:
        problems.append(Problem("seen", seen, f"must be one of {', '.join(SEEN)}"))
    if not isinstance(name, str) or len(name) > 200:
        problems.append(Problem("name", name, "must be a string of at most 200 characters"))
    if problems:
        raise Invalid(problems)
    at = now()
    if row is None:
        row = Placement(key=key, created_at=at, settings={})
        session.add(row)
    row.name, row.strategy, row.params, row.fallback = name, str(strategy), dict(params), list(fallback)
    row.settings = {**row.settings, "seen": seen, "rerank": rerank, "explore": float(explore)}
    row.updated_at = at
    session.flush()
    bump(session)
    after = view(row)
    record(session, actor, "change" if before else "create", "placement", key, before, after)
    return after


def _fallback_problems(registry: Registry, fallback: object) -> list[Problem]:
    if not isinstance(fallback, list):
        return [Problem("fallback", fallback, f"must be a list of installed strategies: {', '.join(registry.keys())}")]
    problems = []
    for index, entry in enumerate(fallback):
        given = entry if isinstance(entry, Mapping) else {"strategy": entry}
        problems += [
            Problem(f"fallback.{index}.{name}", given[name], "is not a field of a fallback; fields: params, strategy")
            for name in map(str, given.keys() - {"strategy", "params"})
        ]
        problems += [
            Problem(f"fallback.{index}.{problem.field}", problem.value, problem.rule)
            for problem in _strategy_problems(registry, given.get("strategy"), given.get("params", {}))
        ]
    return problems


def _strategy_problems(registry: Registry, strategy: object, params: object) -> list[Problem]:
    if not isinstance(strategy, str) or strategy not in registry:
        return [Problem("strategy", strategy, f"must be an installed strategy: {', '.join(registry.keys())}")]
    if not isinstance(params, Mapping):
        return [Problem("params", params, "must be an object")]
    try:
        parse_parameters(strategy, registry.get(strategy), params)
    except StrategyError as error:
        return parameter_problems(error, "params", dict(params))
    return []
