"""What the client hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Assignment:
    """The arm of a user in one experiment.

    Attributes:
        arm: its key; the control's where the user is not in.
        in_experiment: whether the experiment decides what this user sees.
        reason: `bucketed`, `override`, `sticky`, `not_targeted`, `not_in_traffic`, `layer`, `holdout`, `not_running`.
        strategy, params: the arm's.
        phase: of the experiment, where it was decided here; an exposure is reported with it.
    """

    experiment: str
    arm: str
    in_experiment: bool
    reason: str
    strategy: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    phase: int | None = None

    @property
    def counts(self) -> bool:
        """Whether meeting this arm is an exposure: people who test see, but do not count."""
        return self.in_experiment and self.reason != "override"


@dataclass(frozen=True, slots=True)
class Item:
    """One place of a list."""

    item_id: str
    position: int
    score: float
    source: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A list. Send `recommendation_id` back with clicks and purchases.

    Attributes:
        experiment, arm: what decided; None: no experiment, the placement's default.
        fallback: why others than the arm's strategy filled places; None: they did not.
        answer: the server's whole answer.
    """

    recommendation_id: str
    items: tuple[Item, ...]
    experiment: str | None
    arm: str | None
    strategy: str
    model: str | None
    fallback: Mapping[str, Any] | None
    answer: Mapping[str, Any]

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The items, best first."""
        return tuple(item.item_id for item in self.items)


def read_assignment(body: Mapping[str, Any]) -> Assignment:
    """One of `/assign`'s."""
    return Assignment(
        body["experiment"],
        body["arm"],
        body["in_experiment"],
        body["reason"],
        body.get("strategy"),
        body.get("params") or {},
    )


def read_recommendation(body: Mapping[str, Any]) -> Recommendation:
    """Of `/recommend`."""
    items = (Item(one["item_id"], one["position"], one["score"], one["source"]) for one in body["items"])
    return Recommendation(
        body["recommendation_id"],
        tuple(items),
        body["experiment"],
        body["arm"],
        body["strategy"],
        body["model"],
        body["fallback"],
        body,
    )
