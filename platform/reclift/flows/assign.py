"""Which arm a user is in: from the plan in memory, without IO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reclift.domain.decision import Decision, Reason, UnknownExperiment
from reclift.domain.events import Facts
from reclift.flows.clock import now_micros
from reclift.flows.errors import NotFound
from reclift.flows.serving import Serving
from reclift.storage.eventlog import EventLog
from reclift.storage.hurry import may_wait
from reclift.storage.sticky import Sticky


def assign(
    serving: Serving, sticky: Sticky, user_id: str, experiment: str | None, attributes: Mapping[str, Any]
) -> list[Decision]:
    """The decisions for one experiment, or for all that are running; `NotFound` for an unknown one."""
    unit = serving.canonical(user_id)
    met = sticky.get(unit, serving.sticky) if serving.sticky else None
    if experiment is None:
        return serving.plan.decide_all(unit, attributes, met)
    try:
        return [serving.plan.decide(experiment, unit, attributes, met.get(experiment) if met else None)]
    except UnknownExperiment:
        raise NotFound("experiment", experiment) from None


def expose(
    serving: Serving,
    sticky: Sticky,
    log: EventLog,
    user_id: str,
    decisions: list[Decision],
    attributes: Mapping[str, Any],
) -> None:
    """Log that the user meets these arms now, and the holdouts of their placements, on whichever side of them."""
    unit, at = serving.canonical(user_id), now_micros()
    met = [one for one in decisions if one.counts]
    # Both sides alike, whatever the experiment says: who is held out is in none, but has met the holdout.
    placements = {
        serving.plan.experiments[one.experiment].placement
        for one in decisions
        if one.reason not in {Reason.OVERRIDE, Reason.NOT_RUNNING} and one.experiment in serving.plan.experiments
    }
    sides = {side for placement in sorted(placements) for side in serving.plan.holdouts_for(placement, unit)}
    rows = [exposure(serving, one, unit, at, "assign", attributes) for one in [*met, *sorted(sides)]]
    if not rows:
        return
    if serving.sticky:
        may_wait()  # what is noted afterwards may be for other processes, too
    log.append(Facts(exposures=rows))
    sticky.note(rows, serving.sticky)


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
