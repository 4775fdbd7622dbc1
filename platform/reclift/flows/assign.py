"""Which arm a user is in: from the plan in memory, without IO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reclift.domain.decision import Decision, UnknownExperiment
from reclift.domain.events import Facts
from reclift.flows.clock import now_micros
from reclift.flows.errors import NotFound
from reclift.flows.serving import Serving
from reclift.storage.eventlog import EventLog


def assign(serving: Serving, user_id: str, experiment: str | None, attributes: Mapping[str, Any]) -> list[Decision]:
    """The decisions for one experiment, or for all that are running; `NotFound` for an unknown one."""
    unit = serving.canonical(user_id)
    if experiment is None:
        return serving.plan.decide_all(unit, attributes)
    try:
        return [serving.plan.decide(experiment, unit, attributes)]
    except UnknownExperiment:
        raise NotFound("experiment", experiment) from None


def expose(
    serving: Serving, log: EventLog, user_id: str, decisions: list[Decision], attributes: Mapping[str, Any]
) -> None:
    """Log that the user meets these arms now."""
    unit, at = serving.canonical(user_id), now_micros()
    log.append(
        Facts(
            exposures=[
                exposure(serving, decision, unit, at, "assign", attributes) for decision in decisions if decision.counts
            ]
        )
    )


def exposure(
    serving: Serving, decision: Decision, unit: str, at: int, source: str, attributes: Mapping[str, Any]
) -> dict[str, Any]:
    """One row of the table of exposures."""
    return {
        "experiment": decision.experiment,
        "phase": serving.arms_of(decision.experiment)[decision.arm],
        "unit_id": unit,
        "arm": decision.arm,
        "at": at,
        "source": source,
        "attributes": dict(attributes),
    }
