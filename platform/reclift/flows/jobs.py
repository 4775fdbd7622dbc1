"""Jobs: asked for in a transaction, sent to a worker only after its commit, and visible all the way.

The row is the truth, messages only carry its number. A worker that has a job says every few seconds that it is alive;
when it falls silent for a lease, the job is queued again. A worker that comes back from the dead cannot end a job that
another has taken since: each taking counts `attempts`, and only the latest may write.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog
from sqlalchemy import delete, event, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from reclift.flows.clock import now, rfc3339
from reclift.flows.errors import NotFound
from reclift.flows.heartbeat import LEASE_SECONDS, Heartbeat
from reclift.storage.database import Database, rows_changed
from reclift.storage.tables import JobLock, JobRun

log = structlog.get_logger(__name__)

MOST_ATTEMPTS = 3
"""A job whose worker went away this often is not given to another: it may be the job that kills them."""

STALE_SECONDS = 60
"""A job whose message was sent this long ago and is still queued may have lost it; the sweeper sends it again."""

ASKED_FOR = ("train", "report", "evaluate", "alerts")
"""Tasks that a worker does when asked; others it does by its schedule."""

SCHEDULE = "schedule"
"""Who asks for what nobody asked for."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


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
    run = JobRun(
        task=task, arguments=wanted, state="queued", actor=actor, queued_at=now(), attempts=0, progress=0.0, message=""
    )
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


def sweep(database: Database, queue: Queue, *, older_than_seconds: float = STALE_SECONDS) -> int:
    """Send jobs again whose message may be lost, and those that a dead worker left; returns how many."""
    with database.write() as session:
        _recover(session)
        last_sent = func.coalesce(JobRun.alive_at, JobRun.queued_at)
        stale = [
            (run.id, run.task)
            for run in session.scalars(
                select(JobRun)
                .where(JobRun.state == "queued", last_sent < now() - timedelta(seconds=older_than_seconds))
                .order_by(JobRun.id)
            )
        ]
        # Not again by the next sweep: a long queue would be filled with copies.
        session.execute(update(JobRun).where(JobRun.id.in_([job for job, _ in stale])).values(alive_at=now()))
    for job_id, task in stale:
        _try_send(queue, job_id, task)
    return len(stale)


def _recover(session: Session) -> None:
    silent = select(JobRun).where(
        JobRun.state == "running",
        func.coalesce(JobRun.alive_at, JobRun.started_at) < now() - timedelta(seconds=LEASE_SECONDS),
    )
    for run in session.scalars(silent.with_for_update(skip_locked=True)):
        log.warning("job_lost", job=run.id, task=run.task, attempts=run.attempts)
        if 0 < run.attempts < MOST_ATTEMPTS:
            run.state, run.alive_at, run.started_at, run.progress = "queued", _LONG_AGO, None, 0.0
            run.message = f"its worker went away; attempt {run.attempts + 1} follows"
        else:
            run.state, run.finished_at = "failed", now()
            run.error = "the worker went away" + (f", {run.attempts} times" if run.attempts > 1 else "")
    session.flush()


def begin(database: Database, job_id: int) -> JobRun | None:
    """Take a queued job; None when another worker has it, or it is over (a message that came twice)."""
    with database.write() as session:
        taken = rows_changed(
            session.execute(
                update(JobRun)
                .where(JobRun.id == job_id, JobRun.state == "queued")
                .values(state="running", started_at=now(), alive_at=now(), attempts=JobRun.attempts + 1)
            )
        )
        return session.get(JobRun, job_id) if taken else None


def alive(database: Database, run: JobRun) -> Heartbeat:
    """Says, for as long as the block lasts, that this worker works on the job it has taken."""
    job_id, attempt = run.id, run.attempts

    def beat() -> None:
        with database.write() as session:
            session.execute(
                update(JobRun)
                .where(JobRun.id == job_id, JobRun.attempts == attempt, JobRun.state == "running")
                .values(alive_at=now())
            )

    return Heartbeat(beat)


def report_progress(database: Database, job_id: int, share: float, message: str) -> None:
    """How far a running job is."""
    with database.write() as session:
        session.execute(
            update(JobRun).where(JobRun.id == job_id).values(progress=max(0.0, min(1.0, share)), message=message[:500])
        )


def finish(
    database: Database, job_id: int, message: str = "", error: str | None = None, *, attempt: int | None = None
) -> bool:
    """The end of a job, good or bad; False when it is not this worker's any more.

    `attempt` is `JobRun.attempts` as the worker took it.
    """
    values: dict[str, Any] = {"state": "failed" if error else "done", "finished_at": now(), "error": error}
    if not error:
        values |= {"progress": 1.0, "message": message[:500]}
    mine = [JobRun.id == job_id, JobRun.state == "running"]
    if attempt is not None:
        mine.append(JobRun.attempts == attempt)
    with database.write() as session:
        ended = rows_changed(session.execute(update(JobRun).where(*mine).values(**values)))
    if not ended:
        log.warning("job_not_mine", job=job_id, attempt=attempt, error=error)
    return bool(ended)


def find(session: Session, job_id: int) -> JobRun:
    """The row of a job; `NotFound`."""
    run = session.get(JobRun, job_id)
    if run is None:
        raise NotFound("job", job_id)
    return run


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
def only_one(database: Database, name: str, seconds: float = LEASE_SECONDS) -> Iterator[bool]:
    """Hold the lock `name` for the block; gives False (and holds nothing) when somebody else has it.

    The holder renews it; one that died loses it after `seconds`.
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
    if not mine:
        yield False
        return

    def renew() -> None:
        with database.write() as session:
            session.execute(
                update(JobLock)
                .where(JobLock.name == name, JobLock.holder == holder)
                .values(until=now() + timedelta(seconds=seconds))
            )

    try:
        with Heartbeat(renew, seconds / 4):
            yield True
    finally:
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
            actor=SCHEDULE,
            queued_at=now(),
            started_at=now(),
            alive_at=now(),
            attempts=0,
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
        with alive(database, run):
            yield note
    except Exception as error:
        finish(database, job_id, error=f"{type(error).__name__}: {error}")
        raise
    finish(database, job_id, message)


def housekeeping(database: Database, *, keep: int = 500) -> int:
    """Forget the oldest finished runs of each task beyond `keep`; returns how many."""
    forgotten = 0
    with database.write() as session:
        for task in session.scalars(select(JobRun.task).distinct()).all():
            edge = session.scalar(
                select(JobRun.id).where(JobRun.task == task).order_by(JobRun.id.desc()).offset(keep).limit(1)
            )
            if edge is not None:
                over = JobRun.task == task, JobRun.id <= edge, JobRun.state.in_(["done", "failed"])
                forgotten += rows_changed(session.execute(delete(JobRun).where(*over)))
    return forgotten
