"""What an experiment is: arms, weights, traffic, audience, and the lifecycle that guards it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from reclift.domain.bucketing import BUCKETS, whole_steps


class Status(StrEnum):
    """Where an experiment is in its life."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    ARCHIVED = "archived"


TRANSITIONS: Mapping[str, tuple[frozenset[Status], Status]] = {
    "start": (frozenset({Status.DRAFT}), Status.RUNNING),
    "pause": (frozenset({Status.RUNNING}), Status.PAUSED),
    "resume": (frozenset({Status.PAUSED}), Status.RUNNING),
    "stop": (frozenset({Status.RUNNING, Status.PAUSED}), Status.STOPPED),
    "archive": (frozenset({Status.DRAFT, Status.STOPPED}), Status.ARCHIVED),
}
"""Action -> (states it is allowed from, state it leads to)."""


class TransitionError(ValueError):
    """An action that the experiment's state does not allow."""


def transition(status: Status, action: str) -> Status:
    """The state after `action`; `TransitionError` names the state, the action and what is allowed instead."""
    if action not in TRANSITIONS:
        raise TransitionError(f"action {action!r} is unknown; actions: {', '.join(TRANSITIONS)}")
    allowed_from, leads_to = TRANSITIONS[action]
    if status not in allowed_from:
        possible = [name for name, (states, _) in TRANSITIONS.items() if status in states]
        raise TransitionError(
            f"cannot {action} an experiment that is {status.value}; "
            + (f"possible now: {', '.join(possible)}" if possible else "nothing leads on from there")
        )
    return leads_to


@dataclass(frozen=True, slots=True)
class Arm:
    """One variation: a strategy with its parameters.

    `model` pins a version; `None` follows the active one. `rerank` makes its lists more varied; see `domain.rerank`.
    """

    key: str
    strategy: str
    params: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 1.0
    control: bool = False
    model: int | None = None
    rerank: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class LayerSlot:
    """The part `[start, end)` of a layer's users that an experiment has for itself."""

    layer: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Experiment:
    """A question put to traffic on one placement, as the plan sees it.

    Attributes:
        traffic: share of all users who are to be in, 0 to 1.
        audience: a condition on attributes; empty lets everyone in.
        phase: 1 at first; a new phase re-hashes users and never mixes its data with earlier ones.
        overrides: user id -> arm key, for people who test.
        exclude: a condition; who fulfils it (bots, staff) gets the control and is not in the experiment.
        sticky: a unit keeps the arm it met first in this phase.
        started_at: when it first ran; on one placement the earlier one is asked first.
    """

    key: str
    placement: str
    arms: tuple[Arm, ...]
    traffic: float = 1.0
    audience: Mapping[str, Any] = field(default_factory=dict)
    slot: LayerSlot | None = None
    status: Status = Status.RUNNING
    phase: int = 1
    kind: str = "ab"
    overrides: Mapping[str, str] = field(default_factory=dict)
    exclude: Mapping[str, Any] = field(default_factory=dict)
    sticky: bool = False
    started_at: datetime | None = None

    @property
    def seed(self) -> str:
        """What users are hashed with: the key, and the phase from the second on."""
        return self.key if self.phase == 1 else f"{self.key}:{self.phase}"

    @property
    def control(self) -> Arm:
        """The arm that others are compared with."""
        return next(arm for arm in self.arms if arm.control)

    @property
    def ordered_arms(self) -> tuple[Arm, ...]:
        """Arms in the order in which they take their ranges: by key, so that reordering a list moves nobody."""
        return tuple(sorted(self.arms, key=lambda arm: arm.key))

    @property
    def coverage(self) -> float:
        """Share of the users who get as far as bucketing (inside the layer's slot) that are in."""
        if self.slot is None:
            return self.traffic
        # In whole buckets, as slots are: a slot that was made for this traffic is covered wholly.
        size = round(self.slot.end - self.slot.start, 9)
        return min(1.0, whole_steps(self.traffic) / BUCKETS / size) if size > 0 else 0.0


HELD_OUT = "held-out"
"""The arm of a holdout whose units see only default strategies; it is the holdout's control."""
OPEN = "open"
"""The arm of a holdout whose units may be in experiments."""


@dataclass(frozen=True, slots=True)
class Holdout:
    """A share of units that no experiment may take, on one placement or everywhere, to measure what all of them bring.

    It is measured like an experiment with the two arms `held-out` (the control) and `open`; its key stands among the
    experiments' keys.

    Attributes:
        share: part of the units that is held out, 0 to 1. Raising it keeps those who are.
        placement: where it holds; `None` holds everywhere.
        phase: as an experiment's.
    """

    key: str
    share: float
    placement: str | None = None
    status: Status = Status.RUNNING
    phase: int = 1

    @property
    def seed(self) -> str:
        """What units are hashed with; never the seed of an experiment, since keys have no colon."""
        return f"holdout:{self.key}" if self.phase == 1 else f"holdout:{self.key}:{self.phase}"
