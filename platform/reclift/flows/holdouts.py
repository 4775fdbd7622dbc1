"""Holdouts: a share of users that no experiment may take, measured like an experiment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.domain.experiment import HELD_OUT, OPEN, Holdout, Status
from reclift.domain.problem import Problem
from reclift.domain.validation import KEY, KEY_RULE
from reclift.flows.clock import now
from reclift.flows.configuration import record
from reclift.flows.errors import Conflict, Invalid
from reclift.flows.experiment_checks import metric_kinds, primary_problems
from reclift.storage.tables import ArmRow, ExperimentRow, Placement

KIND = "holdout"
_FIELDS = frozenset({"key", "name", "placement", "share", "metrics", "note"})
_ROLES = ("primary", "secondary", "guardrails")
_METRICS: Mapping[str, Any] = {"primary": "conversion", "secondary": ["revenue_per_user"], "guardrails": []}


def to_domain(row: ExperimentRow) -> Holdout:
    """The holdout as the plan sees it."""
    share = next(arm.weight for arm in row.arms if arm.key == HELD_OUT)
    total = sum(arm.weight for arm in row.arms)
    return Holdout(row.key, share / total, row.placement, Status(row.status), row.phase)


def create(session: Session, payload: Mapping[str, Any], actor: str) -> ExperimentRow:
    """Make a holdout as a draft; it is started, stopped and reported like an experiment.

    `{"key", "name", "placement": KEY or null for everywhere, "share": 0.05, "metrics"}`. The share is fixed once it
    has started: changing it would mix users who were held out from the start with users who were not.
    """
    problems = [
        Problem(str(name), payload[name], f"is not a field of a holdout; fields: {', '.join(sorted(_FIELDS))}")
        for name in payload.keys() - _FIELDS
    ]
    key, share, placement = payload.get("key"), payload.get("share"), payload.get("placement")
    if not isinstance(key, str) or KEY.fullmatch(key) is None:
        problems.append(Problem("key", key, KEY_RULE))
    if (
        isinstance(share, bool)
        or not isinstance(share, int | float)
        or not math.isfinite(share)
        or not 0 < share <= 0.5
    ):
        problems.append(Problem("share", share, "must be a number above 0 and at most 0.5"))
    if placement is not None and (not isinstance(placement, str) or session.get(Placement, placement) is None):
        problems.append(Problem("placement", placement, "must be a placement's key, or null for everywhere"))
    name, note = payload.get("name", key), payload.get("note", "")
    if not isinstance(name, str) or len(name) > 200:
        problems.append(Problem("name", name, "must be a string of at most 200 characters"))
    if not isinstance(note, str):
        problems.append(Problem("note", note, "must be a string"))
    given = payload.get("metrics")
    metrics = _METRICS if given is None else given
    problems += _metric_problems(session, metrics)
    if problems:
        raise Invalid(problems)
    if session.scalar(select(ExperimentRow.id).where(ExperimentRow.key == key)) is not None:
        raise Conflict(f"there is already an experiment or holdout {key!r}")
    at = now()
    row = ExperimentRow(
        key=key, name=name, kind=KIND, source="live", placement=placement, status="draft", phase=1, version=1,
        hypothesis="", traffic=1.0, audience={}, exclude={}, overrides={}, sticky=False,
        metrics={role: metrics.get(role) or [] for role in _ROLES}, data={"note": note}, created_at=at, updated_at=at,
        arms=[
            ArmRow(key=HELD_OUT, position=0, strategy="", params={}, weight=share, control=True),
            ArmRow(key=OPEN, position=1, strategy="", params={}, weight=1.0 - float(share or 0), control=False),
        ],
    )  # fmt: skip
    session.add(row)
    session.flush()
    record(session, actor, "create", "holdout", row.key, None, {"share": share, "placement": placement})
    return row


def _metric_problems(session: Session, metrics: object) -> list[Problem]:
    if not isinstance(metrics, Mapping) or not isinstance(metrics.get("primary"), str):
        return [Problem("metrics.primary", metrics, "must be a metric's key")]
    unknown = metrics.keys() - set(_ROLES)
    if unknown:
        name = min(unknown)
        return [Problem(f"metrics.{name}", metrics[name], f"is not a role; roles: {', '.join(_ROLES)}")]
    kinds = metric_kinds(session)
    known = set(kinds)
    named = [metrics["primary"]]
    for role in ("secondary", "guardrails"):
        keys = metrics.get(role)
        keys = [] if keys is None else keys
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            return [Problem(f"metrics.{role}", keys, "must be a list of metrics' keys")]
        named += keys
    return [
        Problem("metrics", key, f"must be a metric; there are {', '.join(sorted(known))}")
        for key in named
        if key not in known
    ] + primary_problems(metrics["primary"], kinds)
