"""Offline results beside the online lifts of the same strategies: does the one predict the other?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.flows import models
from reclift.flows.clock import rfc3339
from reclift.storage.tables import EvaluationRow, ExperimentRow, ReportRow
from reclift.strategy import Registry

MOST_EXPERIMENTS = 50
"""Experiments, the latest started first, whose reports are looked at."""


def beside_online(session: Session, registry: Registry, limit: int = 1) -> list[dict[str, Any]]:
    """The newest evaluations, each row with `online`: lifts of the arms that show just this strategy.

    An entry of `online` has `experiment`, `arm`, `metric`, `against` (the control's strategy), `lift` and `lift_ci`
    as the newest report has them, and `offline_lift`: the relative difference of the primary offline metric between
    the same two, or None where the control's strategy with its parameters was not evaluated.
    """
    rows = session.scalars(select(EvaluationRow).order_by(EvaluationRow.id.desc()).limit(limit)).all()
    comparisons = _comparisons(session, registry) if rows else []
    return [_with_online(row, comparisons) for row in rows]


def _with_online(row: EvaluationRow, comparisons: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    body = row.body
    k, primary = str(body["primary_k"]), body["primary"]
    values = {
        _mark(result["strategy"], result["params"]): result["metrics"][k][primary]["value"]
        for result in body["results"]
    }
    results = []
    for result in body["results"]:
        own = _mark(result["strategy"], result["params"])
        online = []
        for one in comparisons:
            if one["mark"] != own:
                continue
            base, mine = values.get(one["control_mark"]), values[own]
            shown = {name: one[name] for name in ("experiment", "arm", "metric", "against", "lift", "lift_ci")}
            known = base is not None and base > 0 and mine is not None
            online.append({**shown, "offline_lift": mine / base - 1 if known else None})
        results.append({**result, "online": online})
    return {**body, "id": row.id, "computed_at": rfc3339(row.computed_at), "results": results}


def _comparisons(session: Session, registry: Registry) -> list[dict[str, Any]]:
    """The primary metric's comparisons in the newest reports of experiments that were started."""
    found = []
    started = (
        select(ExperimentRow)
        .where(ExperimentRow.started_at.is_not(None), ExperimentRow.source != "imported", ExperimentRow.kind == "ab")
        .order_by(ExperimentRow.started_at.desc())
        .limit(MOST_EXPERIMENTS)
    )
    for experiment in session.scalars(started):
        report = session.scalar(
            select(ReportRow.body)
            .where(ReportRow.experiment == experiment.key, ReportRow.phase == experiment.phase)
            .order_by(ReportRow.id.desc())
            .limit(1)
        )
        primary = next((metric for metric in (report or {}).get("metrics", ()) if metric["role"] == "primary"), None)
        if primary is None:
            continue
        arms = {arm.key: arm for arm in experiment.arms}
        marks = {key: _mark(arm.strategy, _complete(registry, arm.strategy, arm.params)) for key, arm in arms.items()}
        for comparison in primary["comparisons"]:
            arm, control = arms.get(comparison["arm"]), arms.get(comparison["control"])
            if arm is None or control is None or comparison["lift"] is None:
                continue
            found.append(
                {
                    "experiment": experiment.key,
                    "arm": arm.key,
                    "metric": primary["metric"],
                    "against": control.strategy,
                    "lift": comparison["lift"],
                    "lift_ci": comparison["lift_ci"],
                    "mark": marks[arm.key],
                    "control_mark": marks[control.key],
                }
            )
    return found


def _complete(registry: Registry, strategy: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return models.complete(registry, strategy, params)
    except Exception:  # noqa: BLE001 (a strategy that is not installed any more, or foreign code that does not load)
        return params


def _mark(strategy: str, params: Mapping[str, Any]) -> tuple[str, bytes]:
    return strategy, orjson.dumps(dict(params), option=orjson.OPT_SORT_KEYS)
