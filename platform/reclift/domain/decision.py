"""What the plan answers: which arm, whether the unit is in, and why."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """Why a decision came out as it did; API.md's words."""

    BUCKETED = "bucketed"
    OVERRIDE = "override"
    STICKY = "sticky"
    NOT_TARGETED = "not_targeted"
    NOT_IN_TRAFFIC = "not_in_traffic"
    LAYER = "layer"
    HOLDOUT = "holdout"
    NOT_RUNNING = "not_running"


class Decision(NamedTuple):
    """One experiment's answer for one unit. Shared between units: every possible one is made when the plan is built.

    Attributes:
        experiment: its key.
        arm: the arm's key; the control's where the unit is not in.
        in_experiment: whether the arm is what the experiment wants this unit to see.
        reason: why.
    """

    experiment: str
    arm: str
    in_experiment: bool
    reason: Reason

    @property
    def counts(self) -> bool:
        """Whether what the unit does enters the data. People who test (`override`) see, but do not count."""
        return self.in_experiment and self.reason is not Reason.OVERRIDE


class UnknownExperiment(KeyError):  # noqa: N818 (it reads as what it is)
    """No experiment has this key."""

    def __init__(self, key: object) -> None:
        """`key` is what was asked for."""
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        """Which key, as a sentence."""
        return f"experiment {self.key!r} does not exist"
