"""The shop's side of the pages' door: strategies, models, placements, metrics, items, events and jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, func, not_, select

from reclift.flows import catalogue, evaluations, holdouts, jobs, metrics, models, placements
from reclift.flows.clock import rfc3339
from reclift.flows.offline_online import beside_online
from reclift.storage.tables import EventRow, ExperimentRow, JobRun
from reclift.strategy import StrategyError
from reclift.web.backing_base import Backed
from reclift.web.pages.backend import JSON, Invalid, NotFound, Page, Person, Problem

SIZE = 50
LATEST = 5_000
"""Newest events whose types are offered as filters: all events would be read for the few types there are."""


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
            return [_model(view) for view in models.all_models(session)]

    def train(self, strategy: str, params: Mapping[str, Any], actor: Person) -> None:
        """Ask the worker for a new model."""
        if strategy not in self._here.registry:
            raise NotFound(f"There is no strategy {strategy!r}.")
        try:
            full = models.complete(self._here.registry, strategy, params)
        except StrategyError as error:
            raise Invalid([Problem(field="params", value=dict(params), rule=str(error))]) from error
        with self._write() as session:
            jobs.request(session, self._here.queue, "train", {"strategy": strategy, "params": full}, actor.email)

    def offline(self) -> JSON | None:
        """The newest offline results beside online lifts."""
        with self._read() as session:
            return next(iter(beside_online(session, self._here.registry)), None)

    def evaluate(self, actor: Person) -> None:
        """Ask the worker to evaluate what is in use."""
        with self._write() as session:
            evaluations.request(session, self._here.queue, self._here.registry, {}, actor.email)

    def activate(self, model_id: str, actor: Person) -> JSON:
        """Let a model answer from now on."""
        if not model_id.isdigit():
            raise NotFound(f"There is no model {model_id!r}.")
        with self._write() as session:
            view = _model(models.view(models.activate(session, int(model_id), actor.email)))
        self._refresh()
        return view

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
            return [
                {
                    **metric.to_dict(),
                    "direction": "up" if metric.direction == "increase" else "down",
                    "window_days": metric.window_hours / 24 if metric.window_hours is not None else None,
                    "event": metric.numerator.event,
                }
                for metric in metrics.all_metrics(session).values()
            ]

    def items(self, query: str, page: int) -> Page:
        """The catalogue."""
        with self._read() as session:
            rows, total = catalogue.search_items(session, query, SIZE, (page - 1) * SIZE)
        return Page(rows=rows, page=page, size=SIZE, total=total)

    def events(self, page: int, kind: str | None = None) -> Page:
        """The newest events, of one type or of all."""
        wanted = [EventRow.type == kind] if kind else []
        with self._read() as session:
            total = session.scalar(select(func.count()).select_from(EventRow).where(*wanted)) or 0
            rows = session.scalars(
                select(EventRow).where(*wanted).order_by(EventRow.at.desc()).limit(SIZE).offset((page - 1) * SIZE)
            )
            views = [
                {
                    "event_id": row.event_id,
                    "type": row.type,
                    "user_id": row.unit_id,
                    "item_id": row.item_id,
                    "recommendation_id": row.recommendation_id,
                    "value": row.value,
                    "timestamp": rfc3339(row.at),
                    "received_at": rfc3339(row.received_at),
                    "properties": row.properties,
                }
                for row in rows
            ]
        return Page(rows=views, page=page, size=SIZE, total=total)

    def event_types(self) -> list[str]:
        """Types among the newest events."""
        newest = select(EventRow.type).order_by(EventRow.at.desc()).limit(LATEST).subquery()
        with self._read() as session:
            return list(session.scalars(select(newest.c.type).distinct().order_by(newest.c.type)))

    def job_tasks(self) -> list[str]:
        """Tasks that have run."""
        with self._read() as session:
            return list(session.scalars(select(JobRun.task).distinct().order_by(JobRun.task)))

    def jobs(self, page: int, task: str | None = None) -> Page:
        """Runs of the worker: of one task, or all but the rollups that went well."""
        quiet = and_(JobRun.task == "rollup", JobRun.error.is_(None))
        wanted = JobRun.task == task if task else not_(quiet)
        with self._read() as session:
            total = session.scalar(select(func.count()).select_from(JobRun).where(wanted)) or 0
            query = select(JobRun).where(wanted).order_by(JobRun.id.desc()).limit(SIZE).offset((page - 1) * SIZE)
            rows = [jobs.view(run) for run in session.scalars(query)]
        views = [
            {
                "id": str(row["id"]),
                "task": row["task"],
                "subject": str(row["arguments"].get("experiment") or row["arguments"].get("strategy") or ""),
                "status": row["state"],
                "queued_at": row["queued_at"],
                "started_at": row["started_at"],
                "seconds": row["seconds"],
                "error": row["error"],
                "result": row["message"] or None,
            }
            for row in rows
        ]
        return Page(rows=views, page=page, size=SIZE, total=total)


def _model(view: JSON) -> JSON:
    status = {"ready": "ready", "training": "training"}.get(view["state"], "failed")
    return {**view, "id": str(view["id"]), "status": status}
