"""What each arm of an experiment would show one person now, side by side; nothing of it enters the data."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.domain.decision import Decision
from reclift.domain.experiment import Arm, Experiment, Status
from reclift.domain.plan import Plan
from reclift.domain.rerank import to_diversity
from reclift.flows import models
from reclift.flows.preview import Preview
from reclift.flows.recommend import Recommender
from reclift.flows.serving import Served, Serving
from reclift.flows.serving_catalogue import load_items
from reclift.flows.wish import Wish
from reclift.storage.artifacts import Artifacts
from reclift.storage.histories import Histories
from reclift.storage.sticky import Sticky
from reclift.storage.tables import ItemRow, ModelRow
from reclift.strategy import Registry, Strategy, StrategyError

log = structlog.get_logger(__name__)

_KEPT = 4
"""Models that only previews need and that stay in memory: they are mapped from disk, so each costs little."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """The person whose eyes are borrowed: `user_id`, or `session_id` for a guest; `item_id`: the page they are on."""

    user_id: str | None = None
    session_id: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    item_id: str | None = None
    k: int = 10


class PreviewModels:
    """Models for arms that nobody is served yet. Restores what the serving snapshot does not hold; keeps a few."""

    def __init__(self, registry: Registry, artifacts: Artifacts) -> None:
        """Both live as long as the process."""
        self._registry = registry
        self._artifacts = artifacts
        self._kept: OrderedDict[str, Strategy] = OrderedDict()
        self._lock = threading.Lock()

    def serve(self, session: Session, arm: Arm) -> tuple[Served, str | None]:
        """The arm as it would answer, and why it would not: no model, or one that cannot be loaded."""
        bare = Served(arm.strategy, None, None, to_diversity(arm.rerank))
        query = select(ModelRow).where(ModelRow.strategy == arm.strategy, ModelRow.state == "ready")
        if arm.model is not None:
            row = session.scalar(query.where(ModelRow.version == arm.model))
            missing = f"there is no ready version {arm.model} of {arm.strategy}"
        else:
            try:
                mark = models.fingerprint(models.complete(self._registry, arm.strategy, arm.params))
            except StrategyError as error:
                return bare, str(error)
            row = session.scalar(query.where(ModelRow.fingerprint == mark, ModelRow.active))
            missing = f"{arm.strategy} has no model with these parameters yet: it is trained when the experiment starts"
        if row is None:
            return bare, missing
        model = self._restore(row)
        if model is None:
            return bare, f"the model {models.label(row)} cannot be loaded; the server's log says why"
        return replace(bare, label=models.label(row), model=model), None

    def _restore(self, row: ModelRow) -> Strategy | None:
        name = row.artifact or ""
        with self._lock:
            model = self._kept.get(name)
            if model is None:
                model = models.restore(self._registry, self._artifacts, row)
                if model is None:
                    return None
            self._kept[name] = model
            self._kept.move_to_end(name)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return model


@dataclass(frozen=True, slots=True)
class Eyes:
    """What a look needs of the process."""

    serving: Serving
    recommender: Recommender
    histories: Histories
    sticky: Sticky
    models: PreviewModels


def look(session: Session, eyes: Eyes, experiment: Experiment, viewer: Viewer) -> dict[str, Any]:
    """The arms' lists for the viewer, and which arm the viewer would get, and why.

    The experiment may be a draft that is stored nowhere; it is looked at as if it ran. Lists are made by the same code
    as the shop's, with its filters, variety and fallbacks. `NotFound` for an unknown placement.
    """
    serving = eyes.serving
    unit = serving.canonical(viewer.user_id or viewer.session_id or "")
    served, problems = {}, {}
    for arm in experiment.arms:
        served[experiment.key, arm.key], problems[arm.key] = _served(session, eyes, experiment, arm)
    groups = serving.plan.groups.values()
    as_if = replace(experiment, status=Status.RUNNING)
    trial = Plan([as_if], groups=groups, holdouts=serving.plan.holdouts.values(), version=serving.version)
    stage = replace(serving, plan=trial, arms=served)
    if stage.describes and serving.items.features is None:
        stage = replace(stage, items=load_items(session, described=True, exploring=stage.explores))
    lists = []
    for arm in experiment.arms:
        wish = Wish(
            unit=unit, placement=experiment.placement, k=viewer.k, user_id=viewer.user_id,
            session_id=viewer.session_id, attributes=viewer.attributes,
            context_items=[viewer.item_id] if viewer.item_id else [], request_id="preview",
            preview=Preview(experiment.key, arm.key),
        )  # fmt: skip
        made = eyes.recommender.recommend(stage, wish)
        lists.append({
            "arm": arm.key, "control": arm.control, "strategy": arm.strategy, "model": made["model"],
            "fallback": made["fallback"], "problem": problems[arm.key], "items": made["items"],
        })  # fmt: skip
    history = eyes.histories.get(unit)
    met = [signal.item_id for signal in history][-20:]
    titles = _describe(session, lists, {*met, *([viewer.item_id] if viewer.item_id else [])})
    return {
        "placement": experiment.placement,
        "history": met,
        "titles": titles,
        "signals": len(history),
        "decision": _decision(eyes, experiment, trial, unit, viewer),
        "shown": _shown(eyes, experiment, unit, viewer),
        "arms": lists,
    }


def _served(session: Session, eyes: Eyes, experiment: Experiment, arm: Arm) -> tuple[Served, str | None]:
    """As the snapshot serves it where it does; else as it would."""
    if experiment.status in {Status.RUNNING, Status.PAUSED}:
        there = eyes.serving.arms.get((experiment.key, arm.key))
        if there is not None and there.model is not None:
            return there, None
    return eyes.models.serve(session, arm)


def _met(eyes: Eyes, unit: str) -> Mapping[str, str] | None:
    return eyes.sticky.get(unit, eyes.serving.sticky) if eyes.serving.sticky else None


def _decision(eyes: Eyes, experiment: Experiment, trial: Plan, unit: str, viewer: Viewer) -> dict[str, Any]:
    """What `/assign` says, or would say once the experiment runs."""
    runs = experiment.status is Status.RUNNING and experiment.key in eyes.serving.plan.experiments
    plan = eyes.serving.plan if runs else trial
    met = _met(eyes, unit) if runs else None
    found = plan.decide(experiment.key, unit, viewer.attributes, met.get(experiment.key) if met else None)
    return {"arm": found.arm, "in_experiment": found.in_experiment, "reason": str(found.reason), "now": runs}


def _shown(eyes: Eyes, experiment: Experiment, unit: str, viewer: Viewer) -> dict[str, Any] | None:
    """The experiment that decides on this placement for the viewer today; None: the placement's default does."""
    found: Decision | None = eyes.serving.plan.for_placement(
        experiment.placement, unit, viewer.attributes, _met(eyes, unit)
    )
    return {"experiment": found.experiment, "arm": found.arm} if found is not None else None


def _describe(session: Session, lists: list[dict[str, Any]], others: set[str]) -> dict[str, str]:
    """Titles and categories beside the ids; returns the titles of the `others`, where they have one."""
    wanted = {row["item_id"] for made in lists for row in made["items"]} | others
    rows = session.execute(select(ItemRow.item_id, ItemRow.title, ItemRow.category).where(ItemRow.item_id.in_(wanted)))
    known = {row.item_id: (row.title, row.category) for row in rows}
    for made in lists:
        for row in made["items"]:
            row["title"], row["category"] = known.get(row["item_id"], (None, None))
    return {item: known[item][0] for item in others if item in known and known[item][0]}
