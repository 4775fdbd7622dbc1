"""The plan as JSON: what a client needs to decide exactly as the server does, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reclift.domain.experiment import Arm, Experiment, Holdout, LayerSlot, Status
from reclift.domain.groups import SavedGroup
from reclift.domain.plan import Plan

FORMAT = 1
"""Grows when a reader of the format before would decide otherwise."""


class PlanFormatError(ValueError):
    """This is not a plan that this version can read."""


def to_json(plan: Plan) -> dict[str, Any]:
    """The plan. Of what does not run only the arms are in it, so that its control can be shown."""
    return {
        "format": FORMAT,
        "version": plan.version,
        "experiments": [_experiment(experiment) for experiment in plan.experiments.values()],
        "holdouts": [
            {"key": one.key, "share": one.share, "placement": one.placement, "status": one.status, "phase": one.phase}
            for one in plan.holdouts.values()
        ],
        "groups": [
            {"key": group.key, "values": group.values, "condition": group.condition, "attribute": group.attribute}
            for group in plan.groups.values()
        ],
    }


def _experiment(one: Experiment) -> dict[str, Any]:
    body: dict[str, Any] = {
        "key": one.key,
        "placement": one.placement,
        "status": one.status,
        "phase": one.phase,
        "started_at": one.started_at.isoformat() if one.started_at is not None else None,
        "arms": [
            {
                "key": arm.key,
                "strategy": arm.strategy,
                "params": arm.params,
                "weight": arm.weight,
                "control": arm.control,
            }
            for arm in one.arms
        ],
    }
    if one.status == Status.RUNNING:
        body |= {
            "traffic": one.traffic,
            "audience": one.audience,
            "exclude": one.exclude,
            "overrides": one.overrides,
            "sticky": one.sticky,
            "slot": [one.slot.layer, one.slot.start, one.slot.end] if one.slot is not None else None,
        }
    return body


def from_json(body: Mapping[str, Any]) -> Plan:
    """The plan of a server of the same format; `PlanFormatError` says what it cannot read."""
    if body.get("format") != FORMAT:
        raise PlanFormatError(f"format={body.get('format')!r}: this client reads format {FORMAT}; update it")
    try:
        return Plan(
            [_read_experiment(one) for one in body["experiments"]],
            holdouts=[Holdout(**{**one, "status": Status(one["status"])}) for one in body["holdouts"]],
            groups=[
                SavedGroup(
                    one["key"],
                    values=tuple(one["values"]) if one["values"] is not None else None,
                    condition=one["condition"],
                    attribute=one["attribute"],
                )
                for one in body["groups"]
            ],
            version=body["version"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PlanFormatError(f"the plan cannot be read: {type(error).__name__}: {error}") from error


def _read_experiment(one: Mapping[str, Any]) -> Experiment:
    slot = one.get("slot")
    return Experiment(
        key=one["key"],
        placement=one["placement"],
        arms=tuple(Arm(**arm) for arm in one["arms"]),
        traffic=one.get("traffic", 1.0),
        audience=one.get("audience", {}),
        exclude=one.get("exclude", {}),
        overrides=one.get("overrides", {}),
        sticky=one.get("sticky", False),
        slot=LayerSlot(*slot) if slot is not None else None,
        status=Status(one["status"]),
        phase=one["phase"],
        started_at=datetime.fromisoformat(one["started_at"]) if one["started_at"] is not None else None,
    )
