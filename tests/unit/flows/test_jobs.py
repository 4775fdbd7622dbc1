"""Jobs: asked for once, sent after the commit, done once, and never lost with their worker."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from reclift.flows import configuration, heartbeat, jobs, jobs_again
from reclift.flows.clock import now
from reclift.flows.errors import Conflict, NotFound
from reclift.storage.tables import JobLock, JobRun
from reclift.wiring import Runtime
from tests.unit.flows.conftest import MemoryQueue


def ask(here: Runtime, task: str = "report", **arguments: Any) -> int:
    with here.database.write() as session:
        return jobs.request(session, here.queue, task, arguments, "me").id


def row(here: Runtime, job_id: int) -> JobRun:
    with here.database.read() as session:
        return session.get_one(JobRun, job_id)


def age(here: Runtime, job_id: int, seconds: float) -> None:
    """Everything about the job happened so long ago."""
    then = now() - timedelta(seconds=seconds)
    with here.database.write() as session:
        session.execute(update(JobRun).where(JobRun.id == job_id).values(queued_at=then, alive_at=then))


def test_a_message_leaves_after_the_commit_only(here: Runtime, queue: MemoryQueue) -> None:
    with here.database.write() as session:
        run = jobs.request(session, queue, "report", {"experiment": "e"})
        assert queue.sent == []
    assert queue.sent == [(run.id, "report")]


def test_what_is_rolled_back_is_never_sent(here: Runtime, queue: MemoryQueue) -> None:
    with pytest.raises(ZeroDivisionError), here.database.write() as session:
        jobs.request(session, queue, "report", {})
        raise ZeroDivisionError
    assert queue.sent == []
    with here.database.read() as session:
        assert session.scalar(select(func.count()).select_from(JobRun)) == 0


def test_equal_jobs_are_not_queued_twice(here: Runtime, queue: MemoryQueue) -> None:
    first = ask(here, experiment="a", deep={"x": [1, 2.5]})
    assert ask(here, deep={"x": [1, 2.5]}, experiment="a") == first
    assert ask(here, experiment="b", deep={"x": [1, 2.5]}) != first
    assert ask(here, "train", experiment="a", deep={"x": [1, 2.5]}) != first
    jobs.begin(here.database, first)
    assert ask(here, experiment="a", deep={"x": [1, 2.5]}) != first  # what runs already may have missed what is new
    assert len(queue.sent) == 4


def test_a_broker_that_is_away_fails_nobody_and_the_sweeper_sends_again(here: Runtime, queue: MemoryQueue) -> None:
    queue.down = True
    job = ask(here)
    queue.down = False
    assert jobs.sweep(here.database, queue) == 0  # it may still be on its way
    age(here, job, jobs.STALE_SECONDS + 1)
    assert jobs.sweep(here.database, queue) == 1
    assert queue.sent == [(job, "report")]
    assert jobs.sweep(here.database, queue) == 0  # a long queue is not filled with copies
    assert queue.sent == [(job, "report")]


def test_a_message_that_comes_twice_does_the_job_once(here: Runtime) -> None:
    job = ask(here)
    with ThreadPoolExecutor(8) as pool:
        taken = [run for run in pool.map(lambda _: jobs.begin(here.database, job), range(16)) if run is not None]
    assert len(taken) == 1
    assert (taken[0].state, taken[0].attempts) == ("running", 1)
    jobs.finish(here.database, job, "done it")
    assert jobs.begin(here.database, job) is None
    assert jobs.begin(here.database, 999) is None


def test_ends_are_recorded(here: Runtime) -> None:
    good, bad = ask(here, n=1), ask(here, n=2)
    for job in (good, bad):
        jobs.begin(here.database, job)
        jobs.report_progress(here.database, job, 7.0, "x" * 600)
    assert (row(here, good).progress, len(row(here, good).message)) == (1.0, 500)
    jobs.report_progress(here.database, bad, -1.0, "starting")
    jobs.finish(here.database, good, "all well")
    jobs.finish(here.database, bad, error="it broke")
    with here.database.read() as session:
        newest, other = jobs.latest(session)
    assert (newest["state"], newest["error"], newest["message"], newest["progress"]) == (
        "failed",
        "it broke",
        "starting",
        0.0,
    )
    assert (other["state"], other["error"], other["message"], other["progress"]) == ("done", None, "all well", 1.0)
    assert other["seconds"] >= 0
    assert other["finished_at"].endswith("Z")


def test_a_job_whose_worker_fell_silent_is_queued_again_and_sent(here: Runtime, queue: MemoryQueue) -> None:
    job = ask(here)
    queue.sent.clear()
    jobs.begin(here.database, job)
    age(here, job, heartbeat.LEASE_SECONDS - 5)
    assert jobs.sweep(here.database, queue) == 0
    age(here, job, heartbeat.LEASE_SECONDS + 1)
    assert jobs.sweep(here.database, queue) == 1
    assert queue.sent == [(job, "report")]
    again = jobs.begin(here.database, job)
    assert again is not None
    assert again.attempts == 2


def test_a_worker_that_comes_back_from_the_dead_cannot_end_the_job_of_another(
    here: Runtime, queue: MemoryQueue
) -> None:
    job = ask(here)
    dead = jobs.begin(here.database, job)
    assert dead is not None
    age(here, job, heartbeat.LEASE_SECONDS + 1)
    jobs.sweep(here.database, queue)
    assert not jobs.finish(here.database, job, error="too late", attempt=dead.attempts)
    living = jobs.begin(here.database, job)
    assert living is not None
    assert not jobs.finish(here.database, job, error="too late", attempt=dead.attempts)
    before = row(here, job).alive_at
    jobs.alive(here.database, dead)._beat()  # nor can it keep the other's job alive
    assert row(here, job).alive_at == before
    jobs.alive(here.database, living)._beat()
    assert row(here, job).alive_at != before
    assert jobs.finish(here.database, job, "well", attempt=living.attempts)
    assert (row(here, job).state, row(here, job).message) == ("done", "well")


def test_a_job_that_kills_its_workers_is_given_up(here: Runtime, queue: MemoryQueue) -> None:
    job = ask(here)
    for _ in range(jobs.MOST_ATTEMPTS):
        assert row(here, job).state == "queued"
        jobs.begin(here.database, job)
        age(here, job, heartbeat.LEASE_SECONDS + 1)
        jobs.sweep(here.database, queue)
    assert (row(here, job).state, row(here, job).error) == ("failed", "the worker went away, 3 times")
    assert row(here, job).finished_at is not None


def test_beats_keep_a_long_job(here: Runtime, queue: MemoryQueue) -> None:
    job = ask(here)
    run = jobs.begin(here.database, job)
    assert run is not None
    age(here, job, heartbeat.LEASE_SECONDS + 1)
    beating = jobs.alive(here.database, run)
    beating._seconds = 0.01
    with beating:
        while (row(here, job).alive_at or now()) < now() - timedelta(seconds=5):
            threading.Event().wait(0.01)
        assert jobs.sweep(here.database, queue) == 0
    assert not beating._thread.is_alive()


def test_a_beat_that_fails_is_tried_again() -> None:
    from sqlalchemy.exc import OperationalError

    beats: list[int] = []
    enough = threading.Event()

    def beat() -> None:
        beats.append(1)
        if len(beats) == 1:
            raise OperationalError("UPDATE", {}, Exception("locked"))
        enough.set()

    with heartbeat.Heartbeat(beat, 0.001):
        assert enough.wait(5)


def test_scheduled_work_is_on_record_and_not_taken_up_by_others(here: Runtime, queue: MemoryQueue) -> None:
    with jobs.recorded(here.database, "rollup", {"n": 1}) as note:
        note("3 units")
    with pytest.raises(ZeroDivisionError), jobs.recorded(here.database, "rollup") as note:
        raise ZeroDivisionError("no")
    with here.database.read() as session:
        second, first = jobs.latest(session)
    assert (first["state"], first["message"], first["arguments"], first["actor"]) == (
        "done",
        "3 units",
        {"n": 1},
        "schedule",
    )
    assert (second["state"], second["error"]) == ("failed", "ZeroDivisionError: no")
    with here.database.write() as session:
        session.execute(update(JobRun).values(state="running"))
    age(here, first["id"], heartbeat.LEASE_SECONDS + 1)
    assert jobs.sweep(here.database, queue) == 0
    assert (row(here, first["id"]).state, row(here, first["id"]).error) == ("failed", "the worker went away")
    assert row(here, second["id"]).state == "running"


def test_the_same_again(here: Runtime, queue: MemoryQueue) -> None:
    job = ask(here, experiment="e")
    jobs.begin(here.database, job)
    jobs.finish(here.database, job, error="x")
    with here.database.write() as session:
        again = jobs_again.again(session, queue, job, "you")
        assert (again.id != job, again.arguments, again.actor) == (True, {"experiment": "e"}, "you")
        assert jobs_again.again(session, queue, job, "you").id == again.id  # an equal one waits already
        with pytest.raises(NotFound, match="no job 999"):
            jobs_again.again(session, queue, 999, "you")
        entries = configuration.audit(session, "job", str(job))
        assert [(entry["actor"], entry["after"]["job"]) for entry in entries] == [("you", again.id)] * 2


def test_only_what_is_over_and_was_asked_for_is_done_again(here: Runtime, queue: MemoryQueue) -> None:
    waiting = ask(here, experiment="e")
    with jobs.recorded(here.database, "rollup") as note:
        note("3 units")
    with here.database.write() as session:
        scheduled = session.scalars(select(JobRun.id).where(JobRun.task == "rollup")).one()
        with pytest.raises(Conflict, match="it is queued: only what is over"):
            jobs_again.again(session, queue, waiting, "you")
        with pytest.raises(Conflict, match="rollup is work of the schedule"):
            jobs_again.again(session, queue, scheduled, "you")
        assert configuration.audit(session, "job") == []


def test_only_one_holds_a_lock(here: Runtime) -> None:
    with jobs.only_one(here.database, "rollup") as mine:
        assert mine
        with jobs.only_one(here.database, "rollup") as other:
            assert not other
        with jobs.only_one(here.database, "reports") as else_:
            assert else_
        with jobs.only_one(here.database, "rollup") as other:
            assert not other  # that the first loser left has released nothing
    with jobs.only_one(here.database, "rollup") as mine:
        assert mine
    with pytest.raises(ZeroDivisionError), jobs.only_one(here.database, "rollup"):
        raise ZeroDivisionError
    with here.database.read() as session:
        assert session.scalar(select(func.count()).select_from(JobLock)) == 0


def test_the_lock_of_a_dead_holder_is_taken_over_and_stays_with_the_new_one(here: Runtime) -> None:
    with jobs.only_one(here.database, "x") as dead:
        with here.database.write() as session:
            session.execute(update(JobLock).values(until=now() - timedelta(seconds=1)))
        with jobs.only_one(here.database, "x") as mine:
            assert dead
            assert mine
            with jobs.only_one(here.database, "x") as third:
                assert not third


def test_a_lock_is_renewed_for_as_long_as_the_work_takes(here: Runtime) -> None:
    with jobs.only_one(here.database, "x", 0.2) as mine:
        assert mine
        for _ in range(5):
            threading.Event().wait(0.1)
            with jobs.only_one(here.database, "x", 0.2) as other:
                assert not other


def test_history_is_kept_for_each_task(here: Runtime) -> None:
    training = ask(here, "train")
    jobs.begin(here.database, training)
    jobs.finish(here.database, training, "old but rare")
    for _ in range(12):
        with jobs.recorded(here.database, "rollup"):
            pass
    waiting = ask(here, "rollup")
    assert jobs.housekeeping(here.database, keep=10) == 3
    with here.database.read() as session:
        kept = [(view["task"], view["state"]) for view in jobs.latest(session)]
    assert kept.count(("rollup", "done")) == 9
    assert ("train", "done") in kept
    assert row(here, waiting).state == "queued"
