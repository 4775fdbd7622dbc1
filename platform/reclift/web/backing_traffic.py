"""How traffic is split, behind the pages' door: layers, holdouts, groups, phases, ramps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reclift.flows import experiments, groups, holdouts, layers, phases, ramps
from reclift.web.backing_base import Backed
from reclift.web.pages.backend import JSON, Invalid, Person, Problem, Refused


class TrafficPages(Backed):
    """What splits traffic beyond one experiment."""

    def layers(self) -> list[JSON]:
        """Layers with who holds what and what is free."""
        with self._read() as session:
            return layers.all_layers(session)

    def groups(self) -> list[JSON]:
        """Saved groups."""
        with self._read() as session:
            return groups.views(session)

    def save_group(self, key: str, payload: Mapping[str, Any], actor: Person) -> JSON:
        """Make or replace a saved group."""
        with self._write() as session:
            view = groups.put(session, key, payload, actor.email)
        self._refresh()
        return view

    def remove_group(self, key: str, actor: Person) -> None:
        """Delete a saved group that nothing uses."""
        with self._write() as session:
            groups.remove(session, key, actor.email)
        self._refresh()

    def create_holdout(self, payload: Mapping[str, Any], actor: Person) -> JSON:
        """A holdout, as a draft."""
        try:
            with self._write() as session:
                return experiments.view(holdouts.create(session, payload, actor.email))
        except Refused as error:
            raise Invalid([Problem(field="key", value=payload.get("key"), rule=str(error))]) from error

    def start_phase(self, key: str, payload: Mapping[str, Any], actor: Person) -> JSON:
        """Begin a new phase."""
        with self._write() as session:
            view = experiments.view(phases.start_phase(session, key, payload, actor.email))
        self._refresh()
        return view

    def change_weights(self, key: str, weights: Mapping[str, float], actor: Person) -> JSON:
        """Other weights for who is yet to come, in a sticky experiment."""
        with self._write() as session:
            view = experiments.view(phases.change_weights(session, key, {"weights": weights}, actor.email))
        self._refresh()
        return view

    def plan_ramp(self, key: str, steps: Sequence[Mapping[str, float]], actor: Person) -> JSON:
        """Another ramp, or none."""
        with self._write() as session:
            view = experiments.view(ramps.put(session, key, list(steps), actor.email))
        self._refresh()
        return view
