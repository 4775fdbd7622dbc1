"""A job once more: what failed is tried again, what was done is done anew."""

from __future__ import annotations

from sqlalchemy.orm import Session

from reclift.flows.configuration import record
from reclift.flows.errors import Conflict
from reclift.flows.jobs import ASKED_FOR, Queue, find, request
from reclift.storage.tables import JobRun


def hindrance(run: JobRun) -> str | None:
    """What keeps a run from being run again, in words; None: nothing."""
    if run.state not in {"done", "failed"}:
        return f"it is {run.state}: only what is over can be run again"
    if run.task not in ASKED_FOR:
        return f"{run.task} is work of the schedule: it comes again by itself"
    return None


def again(session: Session, queue: Queue, job_id: int, actor: str) -> JobRun:
    """Ask for the same work once more; an equal job that waits already is that one. `NotFound`, `Conflict`."""
    run = find(session, job_id)
    why_not = hindrance(run)
    if why_not is not None:
        raise Conflict(f"job {job_id} cannot be run again: {why_not}")
    new = request(session, queue, run.task, run.arguments, actor)
    record(session, actor, "run again", "job", str(job_id), None, {"task": run.task, "job": new.id})
    return new
