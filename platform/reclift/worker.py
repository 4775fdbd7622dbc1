"""Celery tasks, each one call of a flow. Run with `reclift worker`; the schedule with `reclift beat`.

A job that somebody asked for has a row (`job_runs`) from the moment it is asked for; a message only carries its number.
Scheduled work makes its row when there is something to do.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from celery import Celery
from celery.signals import worker_init, worker_process_init, worker_process_shutdown

from reclift import wiring
from reclift.flows import (
    alerts,
    evaluations,
    item_novelty,
    jobs,
    models,
    new_items,
    ramps,
    report,
    retention,
    rollup,
    train,
)
from reclift.flows.clock import now_micros
from reclift.flows.job_retries import TryLater, postpone
from reclift.settings import Settings, load_settings
from reclift.storage import erasures, partitions
from reclift.storage.tables import JobRun

log = structlog.get_logger(__name__)

ASKED_FOR = jobs.ASKED_FOR
SCHEDULED = (
    "rollup",
    "reports",
    "ramps",
    "training",
    "new_items",
    item_novelty.TASK,
    "sweep",
    "housekeeping",
    "retention",
)

PARENT = "RECLIFT_PARENT"
"""The variable by which a server tells its worker who it is."""

_PROGRESS_SECONDS = 0.5
_PARENT_SECONDS = 2.0


class _Process:
    """What this worker process works with; made when first needed, after any fork."""

    def __init__(self) -> None:
        self._runtime: wiring.Runtime | None = None
        self._pid = 0

    def runtime(self) -> wiring.Runtime:
        if self._runtime is None or self._pid != os.getpid():
            settings = load_settings()
            wiring.configure_logging(settings)
            self._runtime, self._pid = wiring.build(settings), os.getpid()
        return self._runtime

    def close(self) -> None:
        if self._runtime is not None and self._pid == os.getpid():
            self._runtime.close()
        self._runtime = None


_process = _Process()


def _run_job(job_id: int) -> None:
    run_job(_process.runtime(), job_id)


def _run_scheduled(task: Any) -> int:
    return scheduled(_process.runtime(), task.name.removeprefix("reclift."))


def make_app(settings: Settings) -> Celery:
    """The Celery application with its tasks and its schedule."""
    app = wiring.build_celery(settings)
    for name in ASKED_FOR:
        app.task(name=f"reclift.{name}")(_run_job)
    for name in SCHEDULED:
        app.task(name=f"reclift.{name}", bind=True)(_run_scheduled)
    seconds = {
        "rollup": 3.0,
        "reports": float(settings.report_every_seconds),
        "ramps": 30.0,
        "training": 60.0,
        "new_items": 300.0,
        item_novelty.TASK: 60.0,
        "sweep": 10.0,
        "housekeeping": 3600.0,
        "retention": 6 * 3600.0,
    }
    app.conf.beat_schedule = {
        # A message that waited longer than a period is worthless: the next one does its work.
        name: {"task": f"reclift.{name}", "schedule": every, "options": {"expires": every}}
        for name, every in seconds.items()
    }
    return app


def run_job(runtime: wiring.Runtime, job_id: int) -> None:
    """Do a job that was asked for, and write down how it ended. A message that comes twice does it once."""
    run = jobs.begin(runtime.database, job_id)
    if run is None:
        log.info("job_not_taken", job=job_id)
        return
    try:
        with jobs.alive(runtime.database, run):
            message = _do(runtime, run)
    except TryLater as error:
        log.warning("job_postponed", job=job_id, task=run.task, attempt=run.attempts, reason=str(error))
        if not postpone(runtime.database, job_id, str(error), attempt=run.attempts):
            jobs.finish(runtime.database, job_id, error=f"given up: {error}", attempt=run.attempts)
        return
    except Exception as error:
        log.exception("job_failed", job=job_id, task=run.task)
        jobs.finish(runtime.database, job_id, error=f"{type(error).__name__}: {error}", attempt=run.attempts)
        return
    jobs.finish(runtime.database, job_id, message, attempt=run.attempts)


def _do(runtime: wiring.Runtime, run: JobRun) -> str:
    arguments = run.arguments
    if run.task == "train":
        result = train.train(
            runtime.database,
            runtime.registry,
            runtime.artifacts,
            arguments["strategy"],
            arguments.get("params") or {},
            weights=runtime.settings.event_weights,
            progress=_progress(runtime, run.id),
            keep=runtime.settings.keep_models,
            actor=run.actor or train.SYSTEM,
            check_users=runtime.settings.model_check_users,
            floor=runtime.settings.model_floor,
        )
        if result["state"] != "ready":
            raise jobs.JobError(f"{result['model']} is {result['state']}: {result['error']}")
        if not result["active"]:
            return f"{result['model']} is ready but not active: {result['error']}"
        return f"{result['model']} is active"
    if run.task == "report":
        rollup.roll_up(runtime.database)
        computed = report.refresh(runtime.database, arguments["experiment"], keep=runtime.settings.keep_reports)
        _alert(runtime, arguments["experiment"], computed)
        return f"{arguments['experiment']}: {computed['decision']['call']}"
    if run.task == alerts.TASK:
        return alerts.deliver(runtime.database, arguments, runtime.channels, public_url=runtime.settings.public_url)
    if run.task == "evaluate":
        data = train.load_dataset(runtime.database, runtime.settings.event_weights)
        body = evaluations.run(
            runtime.database,
            runtime.registry,
            data,
            arguments.get("strategies") or (),
            split=arguments.get("split") or evaluations.SPLITS[0],
            fallback=arguments.get("fallback"),
            progress=_progress(runtime, run.id),
        )
        return f"{len(body['results'])} strategies, {body['split']['users']:,} users"
    raise jobs.JobError(f"there is no task {run.task!r}")


def _progress(runtime: wiring.Runtime, job_id: int) -> Callable[[float, str], None]:
    last = 0.0

    def tell(share: float, message: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _PROGRESS_SECONDS:
            last = time.monotonic()
            jobs.report_progress(runtime.database, job_id, share, message)

    return tell


def scheduled(runtime: wiring.Runtime, name: str) -> int:
    """One round of scheduled work; returns how much there was to do."""
    actions: dict[str, Callable[[], int]] = {
        "rollup": lambda: _rollup(runtime),
        "reports": lambda: _reports(runtime),
        "ramps": lambda: _ramps(runtime),
        "training": lambda: _training(runtime),
        "new_items": lambda: _new_items(runtime),
        item_novelty.TASK: lambda: _item_novelty(runtime),
        "sweep": lambda: _sweep(runtime),
        "housekeeping": lambda: _housekeeping(runtime),
        "retention": lambda: _retention(runtime),
    }
    return actions[name]()


def _rollup(runtime: wiring.Runtime) -> int:
    runtime.drain()
    with runtime.database.read() as session:
        if not rollup.waiting(session):
            return 0
    # Several at once would be right, but they would do the same units and take every worker process.
    with jobs.only_one(runtime.database, "rollup") as mine:
        if not mine:
            return 0
        with jobs.recorded(runtime.database, "rollup") as note:
            units = rollup.roll_up(runtime.database)
            note(f"{units:,} units")
    return units


def _reports(runtime: wiring.Runtime) -> int:
    with runtime.database.read() as session:
        due = report.due(session)
    with jobs.only_one(runtime.database, "reports") as mine:
        for experiment in due if mine else ():
            try:
                with jobs.recorded(runtime.database, "report", {"experiment": experiment}) as note:
                    computed = report.refresh(runtime.database, experiment, keep=runtime.settings.keep_reports)
                    note(f"{experiment}: {computed['decision']['call']}")
                _alert(runtime, experiment, computed)
            except Exception:
                # It is on record as failed; one experiment's trouble must not cost the others their reports.
                log.exception("report_failed", experiment=experiment)
    return len(due) if mine else 0


def _item_novelty(runtime: wiring.Runtime) -> int:
    with runtime.database.read() as session:
        if not item_novelty.due(session):
            return 0
    with jobs.only_one(runtime.database, item_novelty.TASK) as mine:
        if not mine:
            return 0
        with jobs.recorded(runtime.database, item_novelty.TASK) as note:
            items = item_novelty.count(runtime.database, runtime.settings.event_weights)
            note(f"{items:,} items")
    return items


def _new_items(runtime: wiring.Runtime) -> int:
    with runtime.database.read() as session:
        if not new_items.explores(session):
            return 0
    with jobs.only_one(runtime.database, "new_items") as mine:
        return new_items.find(runtime.database) if mine else 0


def _alert(runtime: wiring.Runtime, experiment: str, computed: dict[str, Any]) -> None:
    alerts.ask(runtime.database, runtime.queue, experiment, computed, runtime.channels)


def _sweep(runtime: wiring.Runtime) -> int:
    with runtime.database.write() as session:
        models.give_up_abandoned(session)
    return jobs.sweep(runtime.database, runtime.queue)


def _housekeeping(runtime: wiring.Runtime) -> int:
    with runtime.database.write() as session:
        forgotten = erasures.forget(session, now_micros())
    return forgotten + jobs.housekeeping(runtime.database) + len(partitions.ensure(runtime.database, now_micros()))


def _retention(runtime: wiring.Runtime) -> int:
    days = runtime.settings.keep_facts_days
    if not days:
        return 0
    with jobs.only_one(runtime.database, "retention") as mine:
        if not mine:
            return 0
        with jobs.recorded(runtime.database, "retention") as note:
            rollup.roll_up(runtime.database)  # what is settled must be complete
            gone = retention.drop_old(runtime.database, days)
            note(f"{gone.events:,} events, {gone.impressions:,} impressions, {len(gone.settled)} experiments settled")
    return gone.events + gone.impressions


def _ramps(runtime: wiring.Runtime) -> int:
    with jobs.only_one(runtime.database, "ramps", seconds=300) as mine:
        if not mine:
            return 0
        with runtime.database.write() as session:
            return ramps.advance(session, runtime.registry, runtime.queue)


def _training(runtime: wiring.Runtime) -> int:
    # Looked up without holding the write lock: it may load strategies' code.
    with runtime.database.read() as session:
        due = models.due(
            session, runtime.registry, hours=runtime.settings.train_every_hours, there=runtime.artifacts.has
        )
    if not due:
        return 0
    with runtime.database.write() as session:
        for strategy, params in due:
            jobs.request(session, runtime.queue, "train", {"strategy": strategy, "params": params}, train.SYSTEM)
    return len(due)


@worker_init.connect  # type: ignore[untyped-decorator]  # Celery publishes no types
def _end_with_the_server(**_: Any) -> None:
    """A server that was killed cannot end its worker, and the next one brings its own."""
    parent = os.environ.get(PARENT)
    if parent is not None:
        threading.Thread(target=_watch_parent, args=(int(parent),), name="reclift-parent", daemon=True).start()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_SECONDS)
    log.error("server_gone", parent=parent)
    os.kill(os.getpid(), signal.SIGTERM)


@worker_process_init.connect  # type: ignore[untyped-decorator]  # Celery publishes no types
def _after_fork(**_: Any) -> None:
    _process.runtime()


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]  # Celery publishes no types
def _before_exit(**_: Any) -> None:
    _process.close()
