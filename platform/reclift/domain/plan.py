"""The plan: an immutable, compiled snapshot of the configuration, from which every decision is made without IO.

Precedence, first that applies:

1. `not_running`: the experiment is a draft, paused, stopped or archived.
2. `override`: the unit is listed for testing. It sees that arm whatever else holds, and does not enter the data.
3. `not_targeted`: the unit fulfils the experiment's `exclude` condition (bots, staff).
4. `holdout`: the unit is in a holdout of the placement or in a global one. A holdout's promise is kept to units that
   were in an experiment before it began, too.
5. `sticky`: the experiment is sticky and the unit has met one of its arms in this phase; it keeps it, though audience,
   traffic, weights or the layer's slot have changed since.
6. `not_targeted`: the unit does not fulfil the audience.
7. `layer`: the unit is in another part of the layer.
8. `bucketed`, or `not_in_traffic` where its bucket is beyond the arms' ranges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from reclift.domain.bucketing import HashBank, code_units
from reclift.domain.compiled import Attributes, CompiledExperiment, CompiledHoldout, Idle, Room
from reclift.domain.condition_check import check_condition
from reclift.domain.decision import Decision, UnknownExperiment
from reclift.domain.experiment import HELD_OUT, Arm, Experiment, Holdout, Status
from reclift.domain.groups import Groups, SavedGroup
from reclift.domain.operators import Test
from reclift.domain.problem import Problem

_NOTHING: Attributes = MappingProxyType({})
_REMEMBERED = 50_000
"""Decisions that are kept for units met lately, all experiments together: about 5 MB at most."""
_MANY = 10
"""Seeds from which on hashing with all at once is faster than one by one."""


class Plan:
    """All experiments, compiled. Build one with everything, keep it, swap it when the configuration has changed.

    Attributes:
        version: the configuration's version it was built from.
        experiments: by key, running or not.
        groups, holdouts: by key.
        problems: by experiment, what is wrong with its conditions. Nobody is let into such an experiment; validation
            refuses such conditions, so this shows what broke later, like a saved group that was deleted.
    """

    def __init__(
        self,
        experiments: Iterable[Experiment] = (),
        *,
        groups: Iterable[SavedGroup] = (),
        holdouts: Iterable[Holdout] = (),
        version: int = 0,
    ) -> None:
        """Compile. `ValueError` when two experiments or holdouts share a key."""
        self.version = version
        self.groups: Groups = MappingProxyType({group.key: group for group in groups})
        self.holdouts = MappingProxyType({holdout.key: holdout for holdout in holdouts})
        ordered = sorted(experiments, key=_start)
        self.experiments = MappingProxyType({experiment.key: experiment for experiment in ordered})
        if len(self.experiments) != len(ordered) or self.experiments.keys() & self.holdouts.keys():
            raise ValueError("experiment keys must differ from each other and from holdouts' keys")

        holding = [CompiledHoldout(holdout) for holdout in self.holdouts.values() if holdout.status == Status.RUNNING]
        self._global = tuple(held for held in holding if held.placement is None)
        self._holdouts: dict[str, tuple[CompiledHoldout, ...]] = {
            placement: tuple(held for held in holding if held.placement in (None, placement))
            for placement in {held.placement for held in holding if held.placement is not None}
        }
        self._compiled: dict[str, CompiledExperiment | CompiledHoldout | Idle] = {
            key: Idle(key, HELD_OUT) for key in self.holdouts
        }
        self._compiled.update((held.key, held) for held in holding)
        problems: dict[str, tuple[Problem, ...]] = {}
        running: list[CompiledExperiment] = []
        members: dict[str, Test] = {}
        room = Room(_REMEMBERED)
        for experiment in ordered:
            if experiment.status != Status.RUNNING:
                self._compiled[experiment.key] = Idle(experiment.key, experiment.control.key)
                continue
            found = [
                *check_condition(experiment.audience, "audience", self.groups),
                *check_condition(experiment.exclude, "exclude", self.groups),
            ]
            if found:
                problems[experiment.key] = tuple(found)
            here = self._holdouts.get(experiment.placement, self._global)
            compiled = CompiledExperiment(experiment, self.groups, here, members, broken=bool(found), room=room)
            self._compiled[experiment.key] = compiled
            running.append(compiled)
        self.problems = MappingProxyType(problems)
        self._running = tuple(running)
        self._seeds = tuple(dict.fromkeys(seed for one in running for seed in one.seeds()))
        self._bank = HashBank(self._seeds) if len(self._seeds) >= _MANY else None
        self._on_placement: dict[str, _OnPlacement] = {
            placement: _OnPlacement([one for one in running if one.experiment.placement == placement])
            for placement in {one.experiment.placement for one in running}
        }

    @property
    def running(self) -> tuple[Experiment, ...]:
        """The running experiments in order of their start."""
        return tuple(one.experiment for one in self._running)

    def decide(
        self, experiment_key: str, unit: str, attributes: Attributes | None = None, sticky: str | None = None
    ) -> Decision:
        """The arm of a unit in one experiment (or holdout).

        `sticky` is the key of the arm that the unit met in this phase, where that is known; see `Experiment.sticky`.
        Raises `UnknownExperiment`, and nothing else whatever the attributes are.
        """
        compiled = self._compiled.get(experiment_key)
        if compiled is None:
            raise UnknownExperiment(experiment_key)
        # The usual case of each is written out: a call costs as much as a round of the hash.
        units = unit.encode() if unit.isascii() else code_units(unit)
        return compiled.decide(
            unit, units, attributes if isinstance(attributes, dict) else _mapping(attributes), sticky
        )

    def decide_all(
        self, unit: str, attributes: Attributes | None = None, sticky: Mapping[str, str] | None = None
    ) -> list[Decision]:
        """The decisions of all running experiments, in order of their start. `sticky`: experiment -> arm met."""
        units, given, met = code_units(unit), _mapping(attributes), sticky or {}
        known = None if self._bank is None else dict(zip(self._seeds, self._bank.buckets(units), strict=True))
        return [one.decide(unit, units, given, met.get(one.key), known) for one in self._running]

    def for_placement(
        self,
        placement: str,
        unit: str,
        attributes: Attributes | None = None,
        sticky: Mapping[str, str] | None = None,
    ) -> Decision | None:
        """The first experiment (by start) on a placement that the unit is in; `None`: show the placement's default.

        An override comes before all, so that people who test see what they asked for.
        """
        here = self._on_placement.get(placement)
        if here is None:
            return None
        if here.overrides and (forced := here.overrides.get(unit)) is not None:
            return forced
        units, given, met = code_units(unit), _mapping(attributes), sticky or {}
        for one in here.experiments:
            decision = one.decide(unit, units, given, met.get(one.key))
            if decision.in_experiment:
                return decision
        return None

    def holdouts_for(self, placement: str, unit: str) -> tuple[Decision, ...]:
        """Which side of each running holdout a unit is on that holds on this placement; to be logged as exposures."""
        units = code_units(unit)
        return tuple(one.decide(unit, units, _NOTHING, None) for one in self._holdouts.get(placement, self._global))

    def arm(self, decision: Decision) -> Arm:
        """The arm that a decision of an experiment names."""
        arms = self.experiments[decision.experiment].arms
        return next(arm for arm in arms if arm.key == decision.arm)


class _OnPlacement:
    """The running experiments of one placement, and who tests which."""

    __slots__ = ("experiments", "overrides")

    def __init__(self, experiments: list[CompiledExperiment]) -> None:
        self.experiments = tuple(experiments)
        self.overrides: dict[str, Decision] = {}
        for one in reversed(experiments):
            self.overrides.update(one.overrides)


def _mapping(attributes: Any) -> Attributes:
    if isinstance(attributes, dict):
        return attributes
    return attributes if isinstance(attributes, Mapping) else _NOTHING


def _start(experiment: Experiment) -> tuple[bool, float, str]:
    """Earlier starts first, then those that have not started, each by key."""
    at = experiment.started_at
    return (at is None, 0.0 if at is None else at.timestamp(), experiment.key)
