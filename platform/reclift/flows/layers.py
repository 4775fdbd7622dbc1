"""Gives experiments their part of a layer's users; the rules are `domain.layers`'."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.domain.experiment import LayerSlot
from reclift.domain.layers import LayerFullError, allocate, free_ranges, grow
from reclift.flows.configuration import take_turns
from reclift.flows.errors import Conflict
from reclift.storage.tables import ExperimentRow

_LEAST = 0.0001


def _reserve(row: ExperimentRow) -> float:
    """As much as the experiment is to have at most: a ramp must not run into a neighbour half-way."""
    return max([row.traffic, *(float(step["traffic"]) for step in row.data.get("ramp") or ())])


def slots(session: Session, layer: str, *, besides: str = "") -> dict[str, LayerSlot]:
    """What running and paused experiments hold of a layer."""
    rows = session.scalars(
        select(ExperimentRow).where(
            ExperimentRow.layer == layer, ExperimentRow.status.in_(["running", "paused"]), ExperimentRow.key != besides
        )
    )
    return {
        row.key: LayerSlot(layer, row.slot_start, row.slot_end)
        for row in rows
        if row.slot_start is not None and row.slot_end is not None
    }


def place_in_layer(session: Session, row: ExperimentRow) -> None:
    """Give the experiment a part as large as its traffic, or grow the one it has. `Conflict` says what is free."""
    if row.layer is None:
        return
    take_turns(session)
    held = slots(session, row.layer, besides=row.key)
    try:
        if row.started_at is None or row.slot_start is None or row.slot_end is None:
            slot = allocate(row.layer, max(_reserve(row), _LEAST), held)
        else:
            mine = LayerSlot(row.layer, row.slot_start, row.slot_end)
            slot = grow(row.key, row.traffic, {**held, row.key: mine})
    except LayerFullError as error:
        raise Conflict(f"{row.key}: {error}") from None
    row.slot_start, row.slot_end = slot.start, slot.end


def view(session: Session, layer: str) -> dict[str, Any]:
    """A layer as the API and pages show it: who holds what, and what is free."""
    held = slots(session, layer)
    free = free_ranges(held)
    return {
        "layer": layer,
        "slots": [
            {"experiment": key, "start": slot.start, "end": slot.end}
            for key, slot in sorted(held.items(), key=lambda entry: entry[1].start)
        ],
        "free": [list(part) for part in free],
        "free_share": sum(end - start for start, end in free),
    }


def all_layers(session: Session) -> list[dict[str, Any]]:
    """Every layer that an open experiment names."""
    names = session.scalars(
        select(ExperimentRow.layer)
        .where(ExperimentRow.layer.is_not(None), ExperimentRow.status.in_(["draft", "running", "paused"]))
        .distinct()
        .order_by(ExperimentRow.layer)
    )
    return [view(session, name) for name in names if name is not None]
