"""Who is answered by which model: placements, their fallbacks, and arms of experiments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.flows.models import complete, fingerprint
from reclift.flows.placements import chain
from reclift.storage.tables import ExperimentRow, Placement
from reclift.strategy import Registry

Use = dict[str, Any]
"""`{"kind": "placement"|"fallback", "placement"}` or `{"kind": "arm", "experiment", "arm", "status", "pinned"}`."""


class Uses:
    """Whom every model answers for, looked up by `of`."""

    def __init__(self, session: Session, registry: Registry) -> None:
        """Reads placements, and experiments that are a draft, run or are paused; drafts count where they pin."""
        self._registry = registry
        self._following: dict[tuple[str, str], list[Use]] = defaultdict(list)
        self._pinned: dict[tuple[str, int], list[Use]] = defaultdict(list)
        for placement in session.scalars(select(Placement).order_by(Placement.key)):
            self._follow(placement.strategy, placement.params, {"kind": "placement", "placement": placement.key})
            for strategy, params in chain(placement.fallback):
                self._follow(strategy, params, {"kind": "fallback", "placement": placement.key})
        open_ones = ExperimentRow.status.in_(["draft", "running", "paused"])
        for experiment in session.scalars(select(ExperimentRow).where(open_ones).order_by(ExperimentRow.key)):
            if experiment.source != "imported" and experiment.kind != "holdout":
                self._arms(experiment)

    def _arms(self, experiment: ExperimentRow) -> None:
        for arm in experiment.arms:
            use: Use = {"kind": "arm", "experiment": experiment.key, "arm": arm.key, "status": experiment.status,
                        "pinned": arm.model is not None}  # fmt: skip
            if arm.model is not None:
                self._pinned[arm.strategy, arm.model].append(use)
            elif experiment.status != "draft":
                self._follow(arm.strategy, arm.params, use)

    def _follow(self, strategy: str, params: Mapping[str, Any], use: Use) -> None:
        if strategy not in self._registry:
            return
        try:
            mark = fingerprint(complete(self._registry, strategy, params))
        except Exception:  # noqa: BLE001 (foreign code that does not load has no model either)
            return
        self._following[strategy, mark].append(use)

    def of(self, view: Mapping[str, Any]) -> list[Use]:
        """Who asks for this model (a `models.view`): followers of its parameters where it is active, and pins."""
        following = self._following.get((view["strategy"], view["fingerprint"]), []) if view["active"] else []
        return [*following, *self._pinned.get((view["strategy"], view["version"]), [])]
