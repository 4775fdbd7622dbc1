"""Jobs that something outside keeps from being done: they wait, longer each time, in sight of everybody."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update

from reclift.flows.clock import now
from reclift.flows.jobs import STALE_SECONDS, JobError
from reclift.storage.database import Database, rows_changed
from reclift.storage.tables import JobRun

FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 60.0, 3600.0
MOST_RETRIES = 24
"""After one minute, then two, four, … and every hour in the end: most of a day."""


class TryLater(JobError):  # noqa: N818 (what to do, not what is wrong)
    """What a job needs is away; the same job may do it later. The message says what is away."""


def postpone(database: Database, job_id: int, why: str, *, attempt: int) -> bool:
    """Queue a running job again for later, twice as late each time; False when it was tried often enough
    (or is another worker's by now).

    The sweeper sends it when its time has come; until then its row says why it waits.
    """
    if attempt > MOST_RETRIES:
        return False
    delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** (attempt - 1))
    due = now() + timedelta(seconds=delay)
    values = {
        # The sweeper takes what was last sent `STALE_SECONDS` ago.
        "state": "queued", "started_at": None, "alive_at": due - timedelta(seconds=STALE_SECONDS), "error": why,
        "message": f"attempt {attempt + 1} follows at {due:%H:%M} UTC",
    }  # fmt: skip
    mine = JobRun.id == job_id, JobRun.state == "running", JobRun.attempts == attempt
    with database.write() as session:
        return rows_changed(session.execute(update(JobRun).where(*mine).values(**values))) > 0
