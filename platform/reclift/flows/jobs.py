"""Jobs: asked for in a transaction, sent to a worker only after its commit, and visible all the way."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol

import structlog
from sqlalchemy import delete, event, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from reclift.flows.clock import now, rfc3339
from reclift.flows.errors import NotFound
from reclift.storage.database import Database, rows_changed
from reclift.storage.tables import JobLock, JobRun

log = structlog.get_logger(__name__)

LOST_SECONDS = 7 * 3600
"""No job runs for longer: the worker's time limit is shorter."""

STALE_SECONDS = 60
"""A job that has been queued for this long may have lost its message; the sweeper sends it again."""


class JobError(Exception):
    """A job cannot be done; the message says why."""


class Queue(Protocol):
    """Carries a job's number to a worker."""

    def send(self, job_id: int, task: str) -> None:
        """May raise; the job stays queued and the sweeper tries again."""
        ...


class NullQueue:
    """Carries nothing: jobs wait for a sweeper, or for a test or command that runs them itself."""

    def send(self, job_id: int, task: str) -> None:
        """Leave the job in its row."""


def request(
    session: Session, queue: Queue, task: str, arguments: Mapping[str, Any] | None = None, actor: str = ""
) -> JobRun:
    """Ask for a job within the caller's transaction. An equal one that is still queued is not asked for twice."""
    wanted = dict(arguments or {})
    for queued in session.scalars(select(JobRun).where(JobRun.task == task, JobRun.state == "queued")):
        if queued.arguments == wanted:
            return queued
    run = JobRun(task=task, arguments=wanted, state="queued", actor=actor, queued_at=now(), progress=0.0, message="")
    session.add(run)
    session.flush()
    job_id = run.id

    @event.listens_for(session, "after_commit", once=True)
    def _send(_session: Session) -> None:
        _try_send(queue, job_id, task)

    return run


def _try_send(queue: Queue, job_id: int, task: str) -> None:
    try:
        queue.send(job_id, task)
    except Exception as error:  # noqa: BLE001 (whatever the broker raises: the row is the truth, the sweeper sends again)
        log.warning("job_not_sent", job=job_id, task=task, reason=str(error))


def sweep(database: Database, queue: Queue, *, older_than_seconds: int = STALE_SECONDS) -> int:
    """Send jobs again whose message may be lost; returns how many."""
    with database.read() as session:
        stale = [
            (run.id, run.task)
            for run in session.scalars(
                select(JobRun).where(
                    JobRun.state == "queued", JobRun.queued_at < now() - timedelta(seconds=older_than_seconds)
                )
            )
        ]
    for job_id, task in stale:
        _try_send(queue, job_id, task)
    return len(stale)


def begin(database: Database, job_id: int) -> JobRun | None:
    """Take a queued job; None when another worker has it, or it is over (a message that came twice)."""
    with database.write() as session:
        taken = rows_changed(
            session.execute(
                update(JobRun)
                .where(JobRun.id == job_id, JobRun.state == "queued")
                .values(state="running", started_at=now())
            )
        )
        return session.get(JobRun, job_id) if taken else None


def report_progress(database: Database, job_id: int, share: float, message: str) -> None:
    """How far a running job is."""
    with database.write() as session:
        session.execute(
            update(JobRun).where(JobRun.id == job_id).values(progress=max(0.0, min(1.0, share)), message=message[:500])
        )


def finish(database: Database, job_id: int, message: str = "", error: str | None = None) -> None:
    """The end of a job, good or bad."""
    with database.write() as session:
        values: dict[str, Any] = {"state": "failed" if error else "done", "finished_at": now(), "error": error}
        if not error:
            values |= {"progress": 1.0, "message": message[:500]}
        session.execute(update(JobRun).where(JobRun.id == job_id).values(**values))


def find(session: Session, job_id: int) -> JobRun:
    """The row of a job; `NotFound`."""
    run = session.get(JobRun, job_id)
    if run is None:
        raise NotFound("job", job_id)
    return run


def again(session: Session, queue: Queue, job_id: int, actor: str) -> JobRun:
    """Ask for the same job once more."""
    run = find(session, job_id)
    return request(session, queue, run.task, run.arguments, actor)


def view(run: JobRun) -> dict[str, Any]:
    """A job as pages and the API show it."""
    seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else None
    return {
        "id": run.id,
        "task": run.task,
        "arguments": run.arguments,
        "state": run.state,
        "actor": run.actor,
        "queued_at": rfc3339(run.queued_at),
        "started_at": rfc3339(run.started_at),
        "finished_at": rfc3339(run.finished_at),
        "seconds": seconds,
        "progress": run.progress,
        "message": run.message,
        "error": run.error,
    }


def latest(session: Session, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
    """The newest runs, newest first."""
    rows = session.scalars(select(JobRun).order_by(JobRun.id.desc()).limit(limit).offset(offset))
    return [view(run) for run in rows]


@contextmanager
def only_one(database: Database, name: str, seconds: float = 3600) -> Iterator[bool]:
    """Hold the lock `name` for the block; gives False (and holds nothing) when somebody else has it.

    A holder that died loses it after `seconds`.
    """
    holder = uuid.uuid4().hex
    insert = sqlite.insert if database.is_sqlite else postgresql.insert
    statement = insert(JobLock).values(name=name, holder=holder, until=now() + timedelta(seconds=seconds))
    with database.write() as session:
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["name"],
                set_={"holder": statement.excluded.holder, "until": statement.excluded.until},
                where=JobLock.until < now(),
            )
        )
        mine = session.scalar(select(JobLock.holder).where(JobLock.name == name)) == holder
    try:
        yield mine
    finally:
        if mine:
            with database.write() as session:
                session.execute(delete(JobLock).where(JobLock.name == name, JobLock.holder == holder))


@contextmanager
def recorded(
    database: Database, task: str, arguments: Mapping[str, Any] | None = None
) -> Iterator[Callable[[str], None]]:
    """Put scheduled work on record: the block gets a function that notes what was done; what it raises is the error."""
    with database.write() as session:
        run = JobRun(
            task=task,
            arguments=dict(arguments or {}),
            state="running",
            actor="schedule",
            queued_at=now(),
            started_at=now(),
            progress=0.0,
            message="",
        )
        session.add(run)
        session.flush()
        job_id = run.id
    message = ""

    def note(text: str) -> None:
        nonlocal message
        message = text

    try:
        yield note
    except Exception as error:
        finish(database, job_id, error=f"{type(error).__name__}: {error}")
        raise
    finish(database, job_id, message)


def housekeeping(database: Database, *, keep: int = 1_000) -> int:
    """Forget the oldest finished runs beyond `keep`, and give up on runs whose worker is gone; returns how many."""
    with database.write() as session:
        lost = rows_changed(
            session.execute(
                update(JobRun)
                .where(JobRun.state == "running", JobRun.started_at < now() - timedelta(seconds=LOST_SECONDS))
                .values(state="failed", finished_at=now(), error="the worker went away")
            )
        )
        edge = session.scalar(select(JobRun.id).order_by(JobRun.id.desc()).offset(keep).limit(1))
        old = 0
        if edge is not None:
            old = rows_changed(
                session.execute(delete(JobRun).where(JobRun.id <= edge, JobRun.state.in_(["done", "failed"])))
            )
        return lost + old
