"""The shop's side of the pages' door: strategies, models, placements, metrics and items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from reclift.domain.metric import Metric
from reclift.domain.metric_words import sentence
from reclift.flows import catalogue, evaluations, holdouts, jobs, metrics, models, placements
from reclift.flows.errors import Invalid as FlowInvalid
from reclift.flows.model_uses import Uses
from reclift.flows.offline_online import beside_online
from reclift.flows.parameter_problems import parameter_problems
from reclift.storage.tables import ExperimentRow, ModelRow
from reclift.strategy import StrategyError
from reclift.web.backing_base import Backed
from reclift.web.pages.backend import JSON, NotFound, Page, Person

SIZE = 50


class ShopPages(Backed):
    """What the shop has and does."""

    # strategies and models
    def strategies(self) -> list[JSON]:
        """Installed strategies; one that cannot be loaded says why in its summary."""
        result = []
        for key in self._here.registry:
            try:
                kind = self._here.registry.get(key)
                schema = kind.Parameters.model_json_schema()
            except Exception as error:  # noqa: BLE001 (foreign code; a broken plug-in must not hide the others)
                text = f"cannot be used: {type(error).__name__}: {error}"
                result.append({"key": key, "title": key, "summary": text, "needs_training": False, "schema": {}})
                continue
            result.append(
                {
                    "key": key,
                    "title": kind.title,
                    "summary": kind.summary,
                    "needs_training": kind.needs_training,
                    "schema": schema,
                }
            )
        return result

    def models(self) -> list[JSON]:
        """Trained versions."""
        with self._read() as session:
            uses = Uses(session, self._here.registry)
            return [{**_model(view), "uses": uses.of(view)} for view in models.all_models(session)]

    def train(self, strategy: str, params: Mapping[str, Any], actor: Person) -> None:
        """Ask the worker for a new model."""
        if strategy not in self._here.registry:
            raise NotFound(f"There is no strategy {strategy!r}.")
        with self._write() as session:
            try:
                full = models.complete(self._here.registry, strategy, params)
            except StrategyError as error:
                raise FlowInvalid(parameter_problems(error, "params", dict(params))) from error
            jobs.request(session, self._here.queue, "train", {"strategy": strategy, "params": full}, actor.email)

    def offline(self, number: int | None = None) -> JSON | None:
        """Offline results beside online lifts."""
        with self._read() as session:
            found = beside_online(session, self._here.registry, 1 if number is None else evaluations.KEEP)
        return next((body for body in found if number in {None, body["id"]}), None)

    def evaluations(self) -> list[JSON]:
        """Those that are kept."""
        with self._read() as session:
            return evaluations.kept(session)

    def usual_fallback(self) -> str | None:
        """What fills short lists on most placements."""
        with self._read() as session:
            return evaluations.usual_fallback(session, self._here.registry)

    def evaluate(self, wanted: Mapping[str, Any], actor: Person) -> None:
        """Ask the worker to evaluate."""
        with self._write() as session:
            evaluations.request(session, self._here.queue, self._here.registry, wanted, actor.email)

    def activate(self, model_id: str, actor: Person) -> JSON:
        """Let a model answer from now on."""
        if not model_id.isdigit():
            raise NotFound(f"There is no model {model_id!r}.")
        with self._write() as session:
            view = _model(models.view(models.activate(session, int(model_id), actor.email, self._usable)))
        self._refresh()
        return view

    def _usable(self, row: ModelRow) -> bool:
        return models.restore(self._here.registry, self._here.artifacts, row) is not None

    # the shop
    def placements(self) -> list[JSON]:
        """Placements with what serves them now."""
        with self._read() as session:
            running = session.execute(
                select(ExperimentRow.placement, ExperimentRow.key).where(
                    ExperimentRow.status == "running", ExperimentRow.kind != holdouts.KIND
                )
            ).all()
            views = placements.all_placements(session)
        served = self._here.live.current.placements
        return [
            {
                **view,
                "model": served[view["key"]].default.label if view["key"] in served else None,
                "experiments": [key for placement, key in running if placement == view["key"]],
            }
            for view in views
        ]

    def save_placement(self, key: str, payload: Mapping[str, Any], actor: Person) -> JSON:
        """Make or change a placement, and train what it needs."""
        with self._write() as session:
            view = placements.put(session, self._here.registry, key, payload, actor.email)
            for strategy, params in models.missing(session, self._here.registry):
                jobs.request(session, self._here.queue, "train", {"strategy": strategy, "params": params}, actor.email)
        self._refresh()
        return view

    def metrics(self) -> list[JSON]:
        """Metrics, in the pages' words."""
        with self._read() as session:
            return [_metric(metric) for metric in metrics.all_metrics(session).values()]

    def metric_uses(self) -> dict[str, list[JSON]]:
        """Who reads which metric."""
        with self._read() as session:
            return metrics.uses(session)

    def create_metric(self, payload: Mapping[str, Any], actor: Person) -> JSON:
        """A new metric."""
        with self._write() as session:
            metric = metrics.create(session, payload, actor.email)
        self._refresh()
        return _metric(metric)

    def items(self, query: str, page: int) -> Page:
        """The catalogue."""
        with self._read() as session:
            rows, total = catalogue.search_items(session, query, SIZE, (page - 1) * SIZE)
        return Page(rows=rows, page=page, size=SIZE, total=total)


def _model(view: JSON) -> JSON:
    status = {"ready": "ready", "training": "training"}.get(view["state"], "failed")
    return {**view, "id": str(view["id"]), "status": status}


def _metric(metric: Metric) -> JSON:
    return {
        **metric.to_dict(),
        "direction": "up" if metric.direction == "increase" else "down",
        "window_days": metric.window_hours / 24 if metric.window_hours is not None else None,
        "event": metric.numerator.event,
        "sentence": sentence(metric),
        "definition": metric.to_dict(),
    }
