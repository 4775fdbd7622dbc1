"""The pages' door to the platform: `web.pages.backend.Pages` over the real flows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from reclift import __version__
from reclift.flows import accounts, catalogue, experiments, jobs, metrics, models, placements, report, report_parts
from reclift.flows import configuration as configuration_flow
from reclift.flows.clock import rfc3339
from reclift.flows.errors import Conflict, FlowError
from reclift.flows.errors import Invalid as FlowInvalid
from reclift.flows.errors import NotFound as FlowNotFound
from reclift.storage.tables import EventRow, ExperimentRow, JobRun, ModelRow
from reclift.strategy import StrategyError
from reclift.web.pages.backend import JSON, Invalid, NotFound, Page, Person, Problem, Refused
from reclift.wiring import Runtime

SIZE = 50


@contextmanager
def _words() -> Iterator[None]:
    """What flows refuse, in the pages' words."""
    try:
        yield
    except FlowNotFound as error:
        raise NotFound(f"There is no {error.kind} {error.key!r}.") from error
    except FlowInvalid as error:
        raise Invalid([Problem(field=p.field, value=p.value, rule=p.rule) for p in error.problems]) from error
    except (Conflict, FlowError) as error:
        raise Refused(str(error)) from error


def _person(row: Any) -> Person:
    return Person(str(row.id), row.email, row.role, row.name)


class PlatformPages:
    """Reads and changes the platform for people. Every method is one flow, in one transaction."""

    def __init__(self, runtime: Runtime) -> None:
        """`runtime` lives as long as the process."""
        self._here = runtime

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with _words(), self._here.database.read() as session:
            yield session

    @contextmanager
    def _write(self) -> Iterator[Session]:
        with _words(), self._here.database.write() as session:
            yield session

    def _refresh(self) -> None:
        self._here.live.refresh()

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
            latest = session.scalar(select(func.max(EventRow.received_at)))
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
            return experiments.view(experiments.create(session, self._here.registry, payload, actor.email))

    def change_experiment(self, key: str, payload: Mapping[str, Any], actor: Person) -> JSON:
        """Change fields; a version that is not the stored one means that somebody else was faster."""
        with self._write() as session:
            row = experiments.find(session, key)
            if payload.get("version", row.version) != row.version:
                raise Refused("Somebody else changed this experiment meanwhile. Look at it again, then change it.")
            view = experiments.view(experiments.change(session, self._here.registry, key, payload, actor.email))
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

    def segments(self, key: str, attribute: str) -> list[JSON]:
        """The primary metric by value of an attribute."""
        with self._read() as session:
            return report.segments(session, experiments.find(session, key), attribute)

    def report_csv(self, key: str) -> str:
        """The stored report's numbers as a table."""
        with self._read() as session:
            return report_parts.to_csv(report.find_report(session, key))

    def refresh_report(self, key: str, actor: Person) -> None:
        """Ask the worker for a fresh one."""
        with self._write() as session:
            experiments.find(session, key)
            jobs.request(session, self._here.queue, "report", {"experiment": key}, actor.email)

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
                select(ExperimentRow.placement, ExperimentRow.key).where(ExperimentRow.status == "running")
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

    def events(self, page: int) -> Page:
        """The newest events."""
        with self._read() as session:
            total = session.scalar(select(func.count()).select_from(EventRow)) or 0
            rows = session.scalars(select(EventRow).order_by(EventRow.at.desc()).limit(SIZE).offset((page - 1) * SIZE))
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

    def jobs(self, page: int) -> Page:
        """Runs of the worker."""
        with self._read() as session:
            total = session.scalar(select(func.count()).select_from(JobRun)) or 0
            rows = jobs.latest(session, SIZE, (page - 1) * SIZE)
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

    # people and keys
    def scopes(self) -> list[JSON]:
        """What keys can be allowed."""
        return [{"key": key, "text": text} for key, text in accounts.SCOPES.items()]

    def keys(self) -> list[JSON]:
        """API keys, without secrets."""
        with self._read() as session:
            return [{**key, "id": str(key["id"]), "last_used_at": None} for key in accounts.keys(session)]

    def create_key(self, name: str, scopes: Sequence[str], actor: Person) -> str:
        """A new key; its secret."""
        with self._write() as session:
            _, secret = accounts.create_key(session, name, list(scopes), actor.email)
        self._refresh()
        return secret

    def revoke_key(self, key_id: str, actor: Person) -> None:
        """Switch a key off."""
        if not key_id.isdigit():
            raise NotFound(f"There is no key {key_id!r}.")
        with self._write() as session:
            accounts.revoke_key(session, int(key_id), actor.email)
        self._refresh()

    def people(self) -> list[JSON]:
        """Everybody who can sign in."""
        with self._read() as session:
            return [{**person, "id": str(person["id"]), "last_seen_at": None} for person in accounts.accounts(session)]

    def create_person(self, email: str, password: str, role: str, name: str, actor: Person) -> JSON:
        """Somebody new."""
        try:
            with self._write() as session:
                row, _ = accounts.create_account(session, email, role, password, name, actor.email)
                return accounts.account_view(row)
        except Refused as error:
            raise Invalid([Problem(field="email", value=email, rule=str(error))]) from error

    def authenticate(self, email: str, password: str) -> Person | None:
        """Who this is."""
        with self._write() as session:
            row = accounts.authenticate(session, email, password)
            return _person(row) if row is not None else None

    def person(self, person_id: str) -> Person | None:
        """Who is signed in."""
        if not person_id.isdigit():
            return None
        with self._read() as session:
            row = accounts.account(session, int(person_id))
            return _person(row) if row is not None else None

    def audit(self, subject: str) -> list[JSON]:
        """Who did what to it."""
        kind, _, name = subject.partition(":")
        with self._read() as session:
            return [
                {"at": row["at"], "actor": row["actor"], "action": row["action"], "detail": _detail(row)}
                for row in configuration_flow.audit(session, kind, name)
            ]


def _model(view: JSON) -> JSON:
    status = {"ready": "ready", "training": "training"}.get(view["state"], "failed")
    return {**view, "id": str(view["id"]), "status": status}


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
