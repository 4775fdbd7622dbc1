"""What goes on, behind the pages' door: events, the worker's runs, and what could not be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import and_, func, not_, select

from reclift.flows import dead_letters, jobs, jobs_again
from reclift.flows.clock import rfc3339
from reclift.storage.eventlog import SinkUnavailable
from reclift.storage.tables import EventRow, JobRun
from reclift.web.backing_base import Backed, in_words
from reclift.web.pages.backend import JSON, NotFound, Page, Person, Refused

SIZE = 50
LATEST = 5_000
"""Newest events whose types are offered as filters: all events would be read for the few types there are."""


class OperationsPages(Backed):
    """What the platform does, and what the shop sent."""

    # events
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

    # what could not be written
    def dead_letters(self, page: int, source: str | None = None, text: str = "") -> Page:
        """What lies there."""
        with self._read() as session:
            rows, total = dead_letters.search(session, source, text, SIZE, (page - 1) * SIZE)
        return Page(rows=[{**row, "id": str(row["id"])} for row in rows], page=page, size=SIZE, total=total)

    def dead_letter_sources(self) -> list[JSON]:
        """Where it came from."""
        with self._read() as session:
            return [{"source": source, "count": count} for source, count in dead_letters.sources(session).items()]

    def dead_letter(self, letter_id: str) -> JSON:
        """One of them."""
        with self._read() as session:
            row = dead_letters.find(session, _number("dead letter", letter_id))
            return {**dead_letters.view(row), "id": letter_id, "unit": row.unit_id}

    def replay_dead_letter(self, letter_id: str, actor: Person) -> int:
        """Write it now."""
        with _tables():
            number = _number("dead letter", letter_id)
            return dead_letters.replay(self._here.database, self._here.direct, number, actor=actor.email)

    def replay_dead_letters(self, source: str | None, text: str, actor: Person) -> JSON:
        """Write all that match."""
        with _tables():
            found = dead_letters.replay_all(self._here.database, self._here.direct, source, text, actor=actor.email)
        return found._asdict()

    def discard_dead_letter(self, letter_id: str, actor: Person) -> None:
        """Remove it."""
        with self._read() as session:
            number = dead_letters.find(session, _number("dead letter", letter_id)).id
        dead_letters.discard(self._here.database, number, actor=actor.email)

    # the worker
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
            views = [_run(run) for run in session.scalars(query)]
        return Page(rows=views, page=page, size=SIZE, total=total)

    def job(self, job_id: str) -> JSON:
        """One run."""
        with self._read() as session:
            return _run(jobs.find(session, _number("job", job_id)))

    def run_again(self, job_id: str, actor: Person) -> JSON:
        """The same work once more."""
        with self._write() as session:
            return _run(jobs_again.again(session, self._here.queue, _number("job", job_id), actor.email))


@contextmanager
def _tables() -> Iterator[None]:
    """Refusals in words, also that the tables cannot be written at all now."""
    with in_words():
        try:
            yield
        except SinkUnavailable as error:
            raise Refused(f"The tables cannot be written now: {error}") from error


def _number(kind: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise NotFound(f"There is no {kind} {text!r}.")
    return int(text)


def _run(run: JobRun) -> JSON:
    view = jobs.view(run)
    return {
        **view,
        "id": str(run.id),
        "subject": str(run.arguments.get("experiment") or run.arguments.get("strategy") or ""),
        "status": run.state,
        "result": run.message or None if run.state != "running" else None,
        "attempts": run.attempts,
        "again": jobs_again.hindrance(run),
    }
