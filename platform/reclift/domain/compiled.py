"""One experiment or holdout, compiled: every answer it can give, ready made, and what is needed to choose one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reclift.domain.bucketing import (
    BucketTable,
    SeededHash,
    bucket_ranges,
    first_bucket,
    layer_seed,
    normalised,
)
from reclift.domain.decision import Decision, Reason
from reclift.domain.experiment import HELD_OUT, OPEN, Experiment, Holdout
from reclift.domain.groups import UNIT_ATTRIBUTE, Groups
from reclift.domain.operators import Test
from reclift.domain.targeting import Predicate, always, compile_condition, mentions_unit

Attributes = Mapping[str, Any]
Known = Mapping[str, int] | None
"""Buckets that have been computed already, by seed; `None` where each is computed when it is needed."""

_IN = frozenset({Reason.BUCKETED, Reason.OVERRIDE, Reason.STICKY})


class Room:
    """How many decisions a plan may still remember. Threads may miscount it a little: it bounds memory, no more."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


class Idle:
    """An experiment or holdout that does not run."""

    __slots__ = ("_answer", "key")

    def __init__(self, key: str, control: str) -> None:
        self.key = key
        self._answer = Decision(key, control, in_experiment=False, reason=Reason.NOT_RUNNING)

    def decide(
        self, _unit: str, _units: Iterable[int], _attributes: Attributes, _sticky: str | None, _known: Known = None
    ) -> Decision:
        """Always the same."""
        return self._answer


class CompiledHoldout:
    """A running holdout: the share from 0 on, by its own hash."""

    __slots__ = ("_held", "_limit", "_open", "hash", "key", "placement")

    def __init__(self, holdout: Holdout) -> None:
        self.key = holdout.key
        self.placement = holdout.placement
        self.hash = SeededHash(holdout.seed)
        self._limit = first_bucket(holdout.share)
        self._held = Decision(holdout.key, HELD_OUT, in_experiment=True, reason=Reason.BUCKETED)
        self._open = Decision(holdout.key, OPEN, in_experiment=True, reason=Reason.BUCKETED)

    def holds(self, units: Iterable[int], known: Known) -> bool:
        """Whether the unit with these code units is held out."""
        return (self.hash.bucket(units) if known is None else known[self.hash.seed]) < self._limit

    def decide(
        self, _unit: str, units: Iterable[int], _attributes: Attributes, _sticky: str | None, known: Known = None
    ) -> Decision:
        """Which side the unit is on."""
        return self._held if self.holds(units, known) else self._open


class CompiledExperiment:
    """A running experiment; `plan` documents the order in which its rules apply.

    `members` are the compiled lists of the groups; a `broken` one lets nobody in; `room` is shared by all of a plan.
    """

    __slots__ = (
        "_audience",
        "_beyond",
        "_elsewhere",
        "_exclude",
        "_hash",
        "_held_out",
        "_holdouts",
        "_layer",
        "_layer_from",
        "_layer_to",
        "_memo",
        "_met",
        "_needs_unit",
        "_not_targeted",
        "_room",
        "_table",
        "experiment",
        "key",
        "overrides",
    )

    def __init__(
        self,
        experiment: Experiment,
        groups: Groups,
        holdouts: tuple[CompiledHoldout, ...],
        members: dict[str, Test],
        *,
        broken: bool,
        room: Room,
    ) -> None:
        self.experiment = experiment
        self.key = experiment.key
        out = experiment.control.key

        def answer(arm: str, reason: Reason) -> Decision:
            return Decision(experiment.key, arm, reason in _IN, reason)

        self._not_targeted = answer(out, Reason.NOT_TARGETED)
        self._held_out = answer(out, Reason.HOLDOUT)
        self._elsewhere = answer(out, Reason.LAYER)
        self._beyond = answer(out, Reason.NOT_IN_TRAFFIC)
        keys = {arm.key for arm in experiment.arms}
        self.overrides = {
            unit: answer(arm, Reason.OVERRIDE) for unit, arm in experiment.overrides.items() if arm in keys
        }
        self._met = {key: answer(key, Reason.STICKY) for key in keys} if experiment.sticky else {}
        self._holdouts = holdouts
        self._exclude: Predicate | None = None
        self._audience: Predicate | None = None
        if broken:
            self._exclude = always(True)
        else:
            self._exclude = compile_condition(experiment.exclude, groups, members) if experiment.exclude else None
            self._audience = compile_condition(experiment.audience, groups, members) if experiment.audience else None
        self._needs_unit = mentions_unit([experiment.audience, experiment.exclude], groups)
        self._layer: SeededHash | None = None
        if experiment.slot is not None:
            self._layer = SeededHash(layer_seed(experiment.slot.layer))
            self._layer_from = first_bucket(experiment.slot.start)
            self._layer_to = first_bucket(experiment.slot.end)
        arms = experiment.ordered_arms
        ranges = bucket_ranges(len(arms), experiment.coverage, normalised([arm.weight for arm in arms]))
        self._hash = SeededHash(experiment.seed)
        self._table = BucketTable(ranges, [answer(arm.key, Reason.BUCKETED) for arm in arms], self._beyond)
        self._memo: dict[str, Decision] = {}
        self._room = room

    def decide(
        self, unit: str, units: Iterable[int], attributes: Attributes, sticky: str | None, known: Known = None
    ) -> Decision:
        """The answer for a unit; `units` are its code units, `sticky` is the arm it has met, if any."""
        if not unit:
            return self._beyond  # nothing to hash: as every SDK, we keep it out
        if self.overrides and unit in self.overrides:
            return self.overrides[unit]
        if self._needs_unit:
            attributes = {**attributes, UNIT_ATTRIBUTE: unit}
        if self._exclude is not None and self._exclude(attributes):
            return self._not_targeted
        for holdout in self._holdouts:
            if holdout.holds(units, known):
                return self._held_out
        if sticky is not None and sticky in self._met:
            return self._met[sticky]
        if self._audience is not None and not self._audience(attributes):
            return self._not_targeted
        if known is not None:
            return self._split(units, known)
        # A visit asks many times for one user, so the last ones met are kept. The answer is the same either way.
        found = self._memo.get(unit)
        if found is None:
            found = self._split(units, None)
            if self._room.left <= 0:
                self._room.left += len(self._memo)
                self._memo.clear()
            if self._room.left > 0:
                self._room.left -= 1
                self._memo[unit] = found
        return found

    def _split(self, units: Iterable[int], known: Known) -> Decision:
        """What the hashes alone say: a function of the unit, whatever its attributes are."""
        if self._layer is not None:
            place = self._layer.bucket(units) if known is None else known[self._layer.seed]
            if not self._layer_from <= place < self._layer_to:
                return self._elsewhere
        return self._table[self._hash.bucket(units) if known is None else known[self._hash.seed]]

    def seeds(self) -> list[str]:
        """All that a decision may have to hash with."""
        hashes = [self._hash, *(holdout.hash for holdout in self._holdouts)]
        return [hashed.seed for hashed in (hashes if self._layer is None else [*hashes, self._layer])]
