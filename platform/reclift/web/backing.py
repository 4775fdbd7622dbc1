"""The pages' door to the platform: `web.pages.backend.Pages` over the real flows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select

from reclift import __version__
from reclift.flows import configuration as configuration_flow
from reclift.flows import experiments, jobs, ramps, report, report_parts, report_segments
from reclift.flows.clock import rfc3339
from reclift.storage.tables import EventRow, ExperimentRow, JobRun, ModelRow
from reclift.web.backing_operations import OperationsPages
from reclift.web.backing_people import PeoplePages
from reclift.web.backing_plan import PlanPages
from reclift.web.backing_shop import ShopPages
from reclift.web.backing_traffic import TrafficPages
from reclift.web.pages.backend import JSON, Invalid, Person, Problem, Refused

_LATEST_JOBS = 50
"""Newest jobs among which an experiment's own is looked for: it was asked for just now."""


class PlatformPages(PlanPages, ShopPages, OperationsPages, TrafficPages, PeoplePages):
    """Reads and changes the platform for people. Every method is one flow, in one transaction."""

    # general
    def about(self) -> JSON:
        """Version, kind of installation, and facts for the settings page."""
        settings = self._here.settings
        database = "SQLite (embedded)" if self._here.database.is_sqlite else "PostgreSQL"
        return {
            "version": __version__,
            "environment": settings.environment,
            "facts": [
                {"name": "Database", "text": database},
                {"name": "Jobs", "text": "embedded worker" if settings.embedded else "Celery over Redis"},
                {"name": "Data folder", "text": str(settings.data_dir)},
            ],
        }

    def home(self) -> JSON:
        """What runs, what ended lately, placements and health."""
        entries = self.experiments()
        return {
            "running": [entry for entry in entries if entry["status"] in {"running", "paused"}],
            "ended": [entry for entry in entries if entry["status"] == "stopped"][:5],
            "drafts": sum(entry["status"] == "draft" for entry in entries),
            "placements": self.placements(),
            "health": self._health(),
        }

    def _health(self) -> list[JSON]:
        with self._read() as session:
            last = session.scalar(select(JobRun).where(JobRun.state != "queued").order_by(JobRun.id.desc()).limit(1))
            failed = session.scalars(
                select(JobRun).where(JobRun.state == "failed").order_by(JobRun.id.desc()).limit(1)
            ).first()
            latest = session.scalar(select(func.max(EventRow.at)))  # an index has it
            active = session.scalar(select(func.count()).select_from(ModelRow).where(ModelRow.active)) or 0
            queued = session.scalar(select(func.count()).select_from(JobRun).where(JobRun.state == "queued")) or 0
        spool = self._here.spool.size()
        jobs_ok = failed is None or last is None or failed.id != last.id
        return [
            {
                "name": "Events",
                "ok": spool == 0,
                "text": f"{spool:,} bytes wait in the spool" if spool else f"last one {rfc3339(latest) or 'never'}",
            },
            {
                "name": "Jobs",
                "ok": jobs_ok,
                "text": f"{last.task} failed: {last.error}" if last and not jobs_ok else f"ok, {queued} queued",
            },
            {"name": "Models", "ok": active > 0, "text": f"{active} active" if active else "none trained yet"},
        ]

    # experiments
    def experiments(self, status: str | None = None) -> list[JSON]:
        """All experiments with their stored reports."""
        with self._read() as session:
            return [
                {**entry, "report": report.latest(session, entry["key"])}
                for entry in experiments.all_experiments(session, status)
            ]

    def experiment(self, key: str) -> JSON:
        """One experiment."""
        with self._read() as session:
            row = experiments.find(session, key)
            return {**experiments.view(row), "warnings": experiments.warnings(session, row)}

    def create_experiment(self, payload: Mapping[str, Any], actor: Person) -> JSON:
        """A new draft."""
        if payload.get("key"):
            with self._read() as session:
                if session.scalar(select(ExperimentRow.id).where(ExperimentRow.key == payload["key"])) is not None:
                    raise Invalid([Problem(field="key", value=payload["key"], rule="is taken by another experiment")])
        with self._write() as session:
            row = experiments.create(session, self._here.registry, payload, actor.email)
            if payload.get("ramp"):
                ramps.put(session, row.key, payload["ramp"], actor.email)
            return experiments.view(row)

    def change_experiment(self, key: str, payload: Mapping[str, Any], actor: Person) -> JSON:
        """Change fields; a version that is not the stored one means that somebody else was faster."""
        with self._write() as session:
            row = experiments.find(session, key)
            if payload.get("version", row.version) != row.version:
                raise Refused("Somebody else changed this experiment meanwhile. Look at it again, then change it.")
            row = experiments.change(session, self._here.registry, key, payload, actor.email)
            if "ramp" in payload and payload["ramp"] != (row.data.get("ramp") or []):
                ramps.put(session, key, payload["ramp"], actor.email)
            view = experiments.view(row)
        self._refresh()
        return view

    def act(self, key: str, action: str, actor: Person) -> JSON:
        """Lead it on through its life."""
        with self._write() as session:
            view = experiments.view(
                experiments.act(session, self._here.registry, self._here.queue, key, action, actor.email)
            )
        self._refresh()
        return view

    # reports
    def report(self, key: str) -> JSON | None:
        """The stored report."""
        with self._read() as session:
            experiments.find(session, key)
            return report.latest(session, key)

    def segments(self, key: str, attribute: str) -> JSON:
        """The primary metric by value of an attribute, and whether its lift differs between them."""
        with self._read() as session:
            return report_segments.read_segments(session, experiments.find(session, key), attribute)._asdict()

    def report_csv(self, key: str) -> str:
        """The stored report's numbers as a table."""
        with self._read() as session:
            return report_parts.to_csv(report.find_report(session, key))

    def refresh_report(self, key: str, actor: Person) -> None:
        """Ask the worker for a fresh one."""
        with self._write() as session:
            experiments.find(session, key)
            jobs.request(session, self._here.queue, "report", {"experiment": key}, actor.email)

    def report_state(self, key: str) -> JSON:
        """When the stored report was computed, and how its newest job fares."""
        with self._read() as session:
            experiments.find(session, key)
            stored = report.latest(session, key)
            runs = session.scalars(
                select(JobRun).where(JobRun.task == "report").order_by(JobRun.id.desc()).limit(_LATEST_JOBS)
            )
            run = next((run for run in runs if run.arguments.get("experiment") == key), None)
        return {
            "computed_at": stored["computed_at"] if stored else None,
            "job": run.state if run else None,
            "error": run.error if run else None,
        }

    def audit(self, subject: str) -> list[JSON]:
        """Who did what to it."""
        kind, _, name = subject.partition(":")
        with self._read() as session:
            return [
                {"at": row["at"], "actor": row["actor"], "action": row["action"], "detail": _detail(row)}
                for row in configuration_flow.audit(session, kind, name)
            ]


def _detail(row: JSON) -> str:
    before, after = row["before"], row["after"]
    if before is None or after is None:
        return ""
    return "; ".join(
        f"{name}: {_short(before.get(name))} → {_short(after.get(name))}"
        for name in after
        if name not in {"version", "updated_at", "started_at", "stopped_at"}
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"
