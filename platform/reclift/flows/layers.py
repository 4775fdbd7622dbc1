"""Gives experiments their part of a layer's users, such that parts never overlap and nobody who is in moves."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.flows.configuration import take_turns
from reclift.flows.errors import Conflict
from reclift.storage.tables import ExperimentRow

_CLOSE = 1e-9


def occupied(session: Session, layer: str, besides: str = "") -> list[tuple[float, float, str]]:
    """Parts of the layer that running and paused experiments hold: start, end, experiment; in order."""
    rows = session.scalars(
        select(ExperimentRow).where(
            ExperimentRow.layer == layer, ExperimentRow.status.in_(["running", "paused"]), ExperimentRow.key != besides
        )
    )
    return sorted(
        (row.slot_start, row.slot_end, row.key)
        for row in rows
        if row.slot_start is not None and row.slot_end is not None
    )


def free(taken: list[tuple[float, float, str]]) -> list[tuple[float, float]]:
    """What is left of `[0, 1)`, in order."""
    gaps, edge = [], 0.0
    for start, end, _ in taken:
        if start - edge > _CLOSE:
            gaps.append((edge, start))
        edge = max(edge, end)
    if 1.0 - edge > _CLOSE:
        gaps.append((edge, 1.0))
    return gaps


def place_in_layer(session: Session, row: ExperimentRow) -> None:
    """Give the experiment a part as large as its traffic, or grow the one it has to the right.

    The start never moves and the share of the part that is in never falls, so nobody who is in leaves. `Conflict` says
    how much is free when it does not fit.
    """
    layer = row.layer
    if layer is None:
        return
    take_turns(session)
    taken = occupied(session, layer, besides=row.key)
    if row.slot_start is None or row.slot_end is None or row.started_at is None:
        fitting = [gap for gap in free(taken) if gap[1] - gap[0] >= row.traffic - _CLOSE]
        if not fitting:
            raise Conflict(_no_room(row, layer, taken))
        start = fitting[0][0]
        row.slot_start, row.slot_end = start, min(1.0, start + row.traffic)
        return
    if row.traffic <= row.slot_end - row.slot_start + _CLOSE:
        return
    limit = min((start for start, _, _ in taken if start >= row.slot_end - _CLOSE), default=1.0)
    wanted = row.slot_start + row.traffic
    if wanted > limit + _CLOSE:
        raise Conflict(
            f"{row.key}: traffic {row.traffic:g} needs {row.slot_start:g} to {wanted:g} of layer {layer!r}, "
            f"but only up to {limit:g} is free; moving it would move users who are in"
        )
    row.slot_end = min(1.0, wanted)


def _no_room(row: ExperimentRow, layer: str, taken: list[tuple[float, float, str]]) -> str:
    gaps = ", ".join(f"{start:g}-{end:g}" for start, end in free(taken)) or "nothing"
    holders = ", ".join(f"{key} ({start:g}-{end:g})" for start, end, key in taken)
    return f"{row.key}: traffic {row.traffic:g} does not fit into layer {layer!r}; free: {gaps}; held by {holders}"
