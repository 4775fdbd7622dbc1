"""Offline evaluations of installed strategies on what the platform knows, kept to be looked at beside online lifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from reclift.domain.problem import Problem
from reclift.flows import jobs, models, offline
from reclift.flows.clock import now, rfc3339
from reclift.flows.errors import Conflict, Invalid
from reclift.flows.placements import chain
from reclift.storage.database import Database
from reclift.storage.tables import EvaluationRow, JobRun, Placement
from reclift.strategy import Dataset, Progress, Registry

KEEP = 20
SPLITS = ("temporal", "leave-last-out")
_LONGEST_NAME = 60


Chosen = list[tuple[str, dict[str, Any]]]


def chosen(session: Session, registry: Registry, strategies: Sequence[str]) -> Chosen:
    """What is evaluated: the named strategies with their defaults, or everything that is in use."""
    if strategies:
        return [(key, models.complete(registry, key, {})) for key in strategies]
    return [(key, params) for (key, _), params in models.wanted(session, registry).items()]


def candidates(registry: Registry, wanted: Chosen) -> list[offline.Candidate]:
    """The same, each under a name of its own: with the parameters that differ where a strategy is there twice."""
    keys = [key for key, _ in wanted]
    names: dict[str, int] = {}
    result = []
    for key, params in wanted:
        name = key if keys.count(key) == 1 else _told_apart(registry, key, params)
        names[name] = names.get(name, 0) + 1
        result.append(
            offline.Candidate(name if names[name] == 1 else f"{name} ({names[name]})", registry.get(key), params)
        )
    return result


def _told_apart(registry: Registry, key: str, params: Mapping[str, Any]) -> str:
    defaults = models.complete(registry, key, {})
    own = [f"{name}={orjson.dumps(value).decode()}" for name, value in params.items() if value != defaults.get(name)]
    name = " ".join([key, *own])
    return name if len(name) <= _LONGEST_NAME else key


def usual_fallback(session: Session, registry: Registry) -> str | None:
    """The strategy that fills short lists on most placements, or None where none is filled."""
    first = [
        chained[0][0]
        for placement in session.scalars(select(Placement).order_by(Placement.key))
        if (chained := chain(placement.fallback)) and chained[0][0] in registry
    ]
    return max(first, key=first.count) if first else None


def request(session: Session, queue: jobs.Queue, registry: Registry, payload: Mapping[str, Any], actor: str) -> JobRun:
    """Ask the worker for an evaluation: `{"strategies", "split", "fallback"}`, all optional; see `run`.

    Without `fallback` short lists are filled as on most placements, as they are served; with `None` they stay short.
    """
    problems: list[Problem] = []
    strategies = payload.get("strategies") or []
    if not isinstance(strategies, list) or any(not isinstance(key, str) or key not in registry for key in strategies):
        problems.append(
            Problem("strategies", strategies, f"must be a list of installed ones: {', '.join(registry.keys())}")
        )
    elif len(set(strategies)) < len(strategies):
        problems.append(Problem("strategies", strategies, "must name each strategy once"))
    split = payload.get("split") or SPLITS[0]
    if split not in SPLITS:
        problems.append(Problem("split", split, f"must be one of {', '.join(SPLITS)}"))
    fallback = payload["fallback"] if "fallback" in payload else usual_fallback(session, registry)
    if fallback is not None and (not isinstance(fallback, str) or fallback not in registry):
        problems.append(Problem("fallback", fallback, f"must be installed; there are {', '.join(registry.keys())}"))
    if problems:
        raise Invalid(problems)
    wanted = {"strategies": list(strategies), "split": split, "fallback": fallback}
    return jobs.request(session, queue, "evaluate", wanted, actor)


def run(
    database: Database,
    registry: Registry,
    data: Dataset,
    strategies: Sequence[str],
    *,
    split: str = "temporal",
    share: float = 0.8,
    ks: Sequence[int] = (5, 10, 20),
    fallback: str | None = None,
    progress: Progress = lambda _share, _what: None,
) -> dict[str, Any]:
    """Evaluate and keep the result.

    Args:
        database: where the result is kept.
        registry: the installed strategies.
        data: everything that is known; see `train.load_dataset`.
        strategies: keys; none: everything that is in use.
        split: `temporal` (the last part of time is to be found) or `leave-last-out` (each user's last item is).
        share: of a temporal split, the part of interactions that is learnt from.
        ks: lengths of lists; metrics are compared at the middle one.
        fallback: the strategy that fills short lists, as on a placement (see `usual_fallback`); None: they stay short.
        progress: for a progress bar.
    """
    if split not in SPLITS:
        raise Invalid.of("split", split, f"must be one of {', '.join(SPLITS)}")
    if not 0 < share < 1:
        raise Invalid.of("share", share, "must be between 0 and 1")
    if len(data) < 100:
        raise Conflict(f"there are {len(data)} interactions: too few to evaluate on; at least 100 are needed")
    with database.read() as session:
        wanted = chosen(session, registry, strategies)
    found = candidates(registry, wanted)
    if not found:
        raise Conflict("no strategy is in use yet: name one, or give a placement a strategy that is installed")
    past = offline.Split.temporal(data, 1 - share) if split == "temporal" else offline.Split.leave_last_out(data)
    filler = offline.Candidate(fallback, registry.get(fallback)) if fallback is not None else None
    settings = offline.Settings(ks=tuple(ks), primary_k=ks[len(ks) // 2])
    body = offline.evaluate(past, found, settings, filler, progress).to_dict()
    for result, candidate in zip(body["results"], wanted, strict=True):
        result["strategy"], result["params"] = candidate
    keep(database, body)
    return body


def keep(database: Database, body: Mapping[str, Any]) -> None:
    """Store a result; the oldest beyond `KEEP` are forgotten."""
    with database.write() as session:
        session.add(EvaluationRow(computed_at=now(), body=dict(body)))
        session.flush()
        stale = session.scalars(select(EvaluationRow.id).order_by(EvaluationRow.id.desc()).offset(KEEP)).all()
        if stale:
            session.execute(delete(EvaluationRow).where(EvaluationRow.id.in_(stale)))


def latest(session: Session) -> dict[str, Any] | None:
    """The newest result with the time it was computed at, or None."""
    row = session.scalar(select(EvaluationRow).order_by(EvaluationRow.id.desc()).limit(1))
    return {**row.body, "computed_at": rfc3339(row.computed_at)} if row is not None else None


def kept(session: Session) -> list[dict[str, Any]]:
    """What the kept results are of, newest first: `id`, `computed_at`, `split`, `strategies` (names), `fallback`."""
    rows = session.scalars(select(EvaluationRow).order_by(EvaluationRow.id.desc()))
    return [
        {
            "id": row.id,
            "computed_at": rfc3339(row.computed_at),
            "split": row.body["split"]["kind"],
            "strategies": [result["name"] for result in row.body["results"]],
            "fallback": row.body.get("fallback"),
        }
        for row in rows
    ]
