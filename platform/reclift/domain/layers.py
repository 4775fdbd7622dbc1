"""Room in a layer: where its experiments sit, what is free, and how one of them grows.

A layer is the line from 0 to 1 on which every unit has its place (by the layer's own hash). Experiments hold parts of
it that do not overlap, so they exclude each other. Bounds lie on the hash's 10,000 steps, so that no sliver is lost to
rounding.
"""

from __future__ import annotations

from collections.abc import Mapping

from reclift.domain.bucketing import BUCKETS, Range, whole_steps
from reclift.domain.experiment import LayerSlot


class LayerFullError(ValueError):
    """A layer has no room in one piece for what is asked; the message says what there is."""


def free_ranges(slots: Mapping[str, LayerSlot]) -> list[Range]:
    """The parts of a layer that nobody holds, ascending. `slots`: experiment -> what it holds of this layer."""
    free: list[Range] = []
    at = 0
    for slot in sorted(slots.values(), key=lambda slot: slot.start):
        start, end = _step(slot.start), _step(slot.end)
        if start > at:
            free.append((at / BUCKETS, start / BUCKETS))
        at = max(at, end)
    if at < BUCKETS:
        free.append((at / BUCKETS, 1.0))
    return free


def allocate(layer: str, share: float, slots: Mapping[str, LayerSlot]) -> LayerSlot:
    """A slot of `share` (above 0, to 1) in the first gap that holds it.

    `LayerFullError` when no gap does: it names the largest.
    """
    wanted = _share(share)
    free = free_ranges(slots)
    for start, end in free:
        if _step(end) - _step(start) >= wanted:
            return LayerSlot(layer, start, (_step(start) + wanted) / BUCKETS)
    largest = max((end - start for start, end in free), default=0.0)
    total = sum(end - start for start, end in free)
    raise LayerFullError(
        f"layer {layer!r} has no room for {share:.4g} of its users in one piece: {total:.4g} is free, "
        f"the largest piece is {largest:.4g}; held by {_held(slots)}"
    )


def grow(experiment: str, traffic: float, slots: Mapping[str, LayerSlot]) -> LayerSlot:
    """The slot of a running experiment after its traffic is set to `traffic` (0 to 1).

    It keeps its start and never shrinks, and its coverage (traffic by size) never falls when traffic rises, so nobody
    who is in moves or leaves. It grows to the right only, and only into free room; else `LayerFullError` names who is
    in the way and how far it can be raised. `slots` holds this experiment's slot and the others' of the layer.
    """
    slot = slots[experiment]
    start, end = _step(slot.start), _step(slot.end)
    wanted = start + _share(traffic) if traffic > 0 else start
    if wanted <= end:
        return slot
    others = {key: other for key, other in slots.items() if key != experiment and _step(other.end) > start}
    limit = min((max(_step(other.start), end) for other in others.values()), default=BUCKETS)
    if wanted <= limit:
        return LayerSlot(slot.layer, slot.start, wanted / BUCKETS)
    most = (limit - start) / BUCKETS
    neighbour = next((key for key, other in others.items() if _step(other.start) <= limit), None)
    in_the_way = f"experiment {neighbour!r} holds what comes next" if neighbour else "the layer ends there"
    raise LayerFullError(
        f"traffic {traffic:.4g}: {experiment!r} holds {slot.start:.4g} to {slot.end:.4g} of layer {slot.layer!r} and "
        f"can be raised to {most:.4g} at most, since {in_the_way}; users who are in must not move"
    )


def _step(bound: float) -> int:
    return round(bound * BUCKETS)


def _share(share: float) -> int:
    """A share as whole steps, rounded up to one at least, so that no traffic is lost."""
    if not 0 < share <= 1:
        raise ValueError(f"share {share!r} must be above 0 and at most 1")
    return max(1, whole_steps(share))


def _held(slots: Mapping[str, LayerSlot]) -> str:
    ordered = sorted(slots.items(), key=lambda pair: pair[1].start)
    return ", ".join(f"{key} ({slot.start:.4g} to {slot.end:.4g})" for key, slot in ordered) or "nobody"
