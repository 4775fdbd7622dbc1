"""What a process answers from at one moment: immutable, and swapped whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reclift.domain.plan import Plan
from reclift.domain.pseudonym import Pseudonyms
from reclift.domain.rerank import Diversity
from reclift.flows.serving_catalogue import Items
from reclift.strategy import Strategy


@dataclass(frozen=True, slots=True)
class Served:
    """A strategy as it answers: its model, or None where none is ready; and how varied its lists are to be."""

    strategy: str
    label: str | None
    model: Strategy | None
    diversity: Diversity | None = None


@dataclass(frozen=True, slots=True)
class ServedPlacement:
    """A placement with everything needed to answer for it."""

    key: str
    seen: str
    default: Served
    fallback: tuple[Served, ...]
    explore: float = 0.0


@dataclass(frozen=True, slots=True)
class Key:
    """What an API key may do."""

    name: str
    scopes: frozenset[str]


@dataclass(frozen=True)
class Serving:
    """One snapshot.

    Attributes:
        arms: (experiment, arm) -> what answers, of running experiments.
        described: (experiment, arm) -> its strategy and parameters, of all experiments.
        phases: experiment -> arm -> phase, of experiments and holdouts that were started.
        sticky: running experiments that keep people where they are -> their phase.
        changed_at: when the configuration last changed.
        aliases, new_aliases: id -> canonical id; in two parts, so that a new one does not mean to copy them all.
        aliases_version: which aliases these are.
        pseudonyms: hides user ids, where the settings ask for it.
        unusable: whether a model in use could not be loaded.
    """

    version: int
    catalogue_version: int
    plan: Plan
    placements: Mapping[str, ServedPlacement]
    arms: Mapping[tuple[str, str], Served]
    described: Mapping[tuple[str, str], Mapping[str, Any]]
    keys: Mapping[str, Key]
    phases: Mapping[str, Mapping[str, int]]
    items: Items
    aliases_version: int = 0
    unusable: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
    sticky: Mapping[str, int] = field(default_factory=dict)
    changed_at: datetime | None = None
    new_aliases: Mapping[str, str] = field(default_factory=dict)
    pseudonyms: Pseudonyms = field(default_factory=Pseudonyms)

    @property
    def describes(self) -> bool:
        """Whether anything asks for what items are like."""
        served = [*self.arms.values(), *(placement.default for placement in self.placements.values())]
        return any(one.diversity is not None and one.diversity.balance > 0 for one in served)

    @property
    def explores(self) -> bool:
        """Whether any placement gives slots to new items."""
        return any(placement.explore > 0 for placement in self.placements.values())

    def canonical(self, user_id: str) -> str:
        """The person behind an id, under the id by which everything of theirs is kept."""
        user_id = self.pseudonyms(user_id)
        found = self.aliases.get(user_id)
        return found if found is not None else self.new_aliases.get(user_id, user_id)

    def arms_of(self, experiment: str) -> Mapping[str, int]:
        """Arm -> phase of an experiment that was started; empty when there is none of this key."""
        return self.phases.get(experiment, {})
