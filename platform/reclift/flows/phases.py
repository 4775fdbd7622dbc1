"""New phases: weights change, users are hashed anew, and the data of the phases never mix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from reclift.domain.experiment import Status
from reclift.domain.validation import parse_experiment
from reclift.flows import holdouts
from reclift.flows.clock import now, rfc3339
from reclift.flows.configuration import bump, record
from reclift.flows.errors import Conflict, Invalid
from reclift.flows.experiments import chosen_plan, find, view
from reclift.flows.layers import place_in_layer
from reclift.storage.tables import ExperimentRow


def weights_of(payload: Mapping[str, Any], row: ExperimentRow) -> dict[str, float]:
    """`{"weights": {arm: weight}}` for every arm of the experiment; `Invalid` names what is missing or wrong."""
    given = payload.get("weights")
    keys = {arm.key for arm in row.arms}
    if not isinstance(given, Mapping) or set(given) != keys:
        raise Invalid.of("weights", given, f"must name every arm once: {', '.join(sorted(keys))}")
    arms = [
        {"key": arm.key, "strategy": arm.strategy or "none", "weight": given[arm.key], "control": arm.control}
        for arm in row.arms
    ]
    _, problems = parse_experiment({"arms": arms}, partial=True)
    if problems:
        raise Invalid(problems)
    return {key: float(weight) for key, weight in given.items()}


def start_phase(session: Session, key: str, payload: Mapping[str, Any], actor: str) -> ExperimentRow:
    """Begin a new phase of a running or paused experiment with other weights (and traffic, if given).

    Everybody is hashed anew: who was in one arm may come into another. Reports are of the newest phase only.
    """
    row = find(session, key, to_change=True)
    if row.kind == holdouts.KIND:
        raise Conflict(f"{key} is a holdout: who is held out must stay so; stop it and make another one")
    if row.status not in {Status.RUNNING, Status.PAUSED}:
        raise Conflict(f"{key} is {row.status}: only a running or paused experiment can begin a new phase")
    unknown = payload.keys() - {"weights", "traffic", "note"}
    if unknown:
        name = min(unknown)
        raise Invalid.of(name, payload[name], "is not a field of a phase; fields: note, traffic, weights")
    before = view(row)
    weights = weights_of(payload, row)
    fields, problems = parse_experiment({"traffic": payload.get("traffic", row.traffic)}, partial=True)
    if problems:
        raise Invalid(problems)
    at = now()
    past = {
        "phase": row.phase,
        "weights": {arm.key: arm.weight for arm in row.arms},
        "traffic": row.traffic,
        "ended_at": rfc3339(at),
        "note": str(payload.get("note", "")),
    }
    row.data = {
        **row.data,
        "phases": [*row.data.get("phases", ()), past],
        "weight_changes": [],
        "ramp_stopped": None,
        "phase_at": rfc3339(at),
        "chosen": chosen_plan(row),
    }
    for arm in row.arms:
        arm.weight = weights[arm.key]
    row.phase += 1
    row.traffic = fields["traffic"]
    place_in_layer(session, row)
    row.version += 1
    row.updated_at = at
    session.flush()
    bump(session)
    record(session, actor, "phase", "experiment", key, before, view(row))
    return row


def change_weights(session: Session, key: str, payload: Mapping[str, Any], actor: str) -> ExperimentRow:
    """Other weights for users who are yet to come, in a sticky experiment: who is in keeps the arm.

    Reports know when weights changed, and test the sample ratio against what was planned at each time.
    """
    row = find(session, key, to_change=True)
    if row.status not in {Status.RUNNING, Status.PAUSED}:
        raise Conflict(
            f"{key} is {row.status}: weights of a draft are changed with its arms, later ones only while it runs"
        )
    if not row.sticky:
        raise Conflict(
            f"{key} is not sticky: other weights would move users who are in to another arm. "
            "Begin a new phase (users are hashed anew, data do not mix), or make the next experiment sticky."
        )
    before = view(row)
    weights = weights_of(payload, row)
    changes = row.data.get("weight_changes") or []
    past = {"until": rfc3339(now()), "weights": {arm.key: arm.weight for arm in row.arms}}
    row.data = {**row.data, "weight_changes": [*changes, past]}
    for arm in row.arms:
        arm.weight = weights[arm.key]
    row.version += 1
    row.updated_at = now()
    session.flush()
    bump(session)
    record(session, actor, "weights", "experiment", key, before, view(row))
    return row
