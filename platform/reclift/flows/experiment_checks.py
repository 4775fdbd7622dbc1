"""What is wrong with an experiment in the light of what is stored and installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.domain.metric import NOT_PRIMARY
from reclift.domain.problem import Problem
from reclift.flows.parameter_problems import parameter_problems
from reclift.storage.tables import ExperimentRow, MetricRow, ModelRow, Placement
from reclift.strategy import Registry, StrategyError, parse_parameters


def override_problems(row: ExperimentRow, fields: Mapping[str, Any]) -> list[Problem]:
    """Overrides that are kept, or sent without arms, must still name arms that there are."""
    if "overrides" in fields and "arms" in fields:
        return []  # checked together already
    overrides = fields.get("overrides", row.overrides)
    arms = {arm["key"] for arm in fields["arms"]} if "arms" in fields else {arm.key for arm in row.arms}
    return [
        Problem(f"overrides.{unit}", arm, f"must be an arm: {', '.join(sorted(arms))}")
        for unit, arm in overrides.items()
        if arm not in arms
    ]


def reference_problems(session: Session, registry: Registry | None, fields: Mapping[str, Any]) -> list[Problem]:
    """What the fields name but does not exist: placement, strategies with their parameters, metrics."""
    problems = []
    placement = fields.get("placement")
    if placement and session.get(Placement, placement) is None:
        known = ", ".join(session.scalars(select(Placement.key).order_by(Placement.key)))
        problems.append(Problem("placement", placement, f"must be a placement; there are {known}"))
    for index, arm in enumerate(fields.get("arms") or ()):
        if registry is None or not isinstance(arm, Mapping) or not isinstance(arm.get("strategy"), str):
            continue
        place = f"arms.{index}"
        if arm["strategy"] not in registry:
            problems.append(
                Problem(
                    f"{place}.strategy", arm["strategy"], f"must be installed; there are {', '.join(registry.keys())}"
                )
            )
            continue
        try:
            parse_parameters(arm["strategy"], registry.get(arm["strategy"]), arm.get("params") or {})
        except StrategyError as error:
            problems += parameter_problems(error, f"{place}.params", arm.get("params"))
        problems += _pin_problems(session, arm, f"{place}.model")
    metrics = fields.get("metrics") or {}
    if isinstance(metrics, Mapping):
        kinds = metric_kinds(session)
        known_metrics = set(kinds)
        named = [("metrics.primary", metrics.get("primary"))]
        for role in ("secondary", "guardrails"):
            named += [(f"metrics.{role}", key) for key in metrics.get(role) or ()]
        problems += [
            Problem(field, key, f"must be a metric; there are {', '.join(sorted(known_metrics))}")
            for field, key in named
            if key is not None and key not in known_metrics
        ]
        problems += primary_problems(metrics.get("primary"), kinds)
    return problems


def metric_kinds(session: Session) -> dict[str, Any]:
    """Metric -> its kind."""
    return {
        key: definition.get("kind") for key, definition in session.execute(select(MetricRow.key, MetricRow.definition))
    }


def primary_problems(primary: object, kinds: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with a metric as the primary one; nothing of an unknown one. `kinds`: metric -> its kind."""
    kind = kinds.get(primary) if isinstance(primary, str) else None
    if kind not in NOT_PRIMARY:
        return []
    rule = f"cannot be {kind} (power and segments are of units, and no unit has one); secondary or guardrail can"
    return [Problem("metrics.primary", primary, rule)]


def _pin_problems(session: Session, arm: Mapping[str, Any], field: str) -> list[Problem]:
    """A pinned version must be there, or the arm would show nothing but the fallback."""
    version = arm.get("model")
    if version is None:
        return []
    ready = session.scalars(
        select(ModelRow.version)
        .where(ModelRow.strategy == arm["strategy"], ModelRow.state == "ready")
        .order_by(ModelRow.version)
    ).all()
    if version in ready:
        return []
    there = ", ".join(map(str, ready)) or "none yet"
    return [Problem(field, version, f"must be a ready version of {arm['strategy']}; there are {there}")]
