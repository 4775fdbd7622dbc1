"""The production processes: worker, drain, beat, migrate."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import click

from reclift.cli.child import ChildProcess, end_with_parent
from reclift.cli.common import console, runtime, where
from reclift.settings import load_settings


@click.command()
def migrate() -> None:
    """Bring the database to the newest revision and fill in what every installation starts with."""
    with runtime(set_up=False) as here:
        before, after = here.set_up()
        console.print(f"{where(here.database)}: {before or 'empty'} → {after}")


@click.command()
@click.option("--concurrency", default=2, show_default=True, help="Processes that do jobs at the same time.")
@click.option("--beat", "with_beat", is_flag=True, help="Also send out scheduled work (one process only).")
@click.option("--drain/--no-drain", default=True, help="Also move events from Redis into the tables, in a child.")
def worker(concurrency: int, with_beat: bool, drain: bool) -> None:
    """Do jobs: training, rollups, reports."""
    from reclift.worker import make_app
    from reclift.worker_end import end_quickly

    settings = load_settings()
    child = ChildProcess("drain") if drain and not settings.embedded else None
    arguments = [
        "worker",
        f"--concurrency={concurrency}",
        "--loglevel=WARNING",  # a line for each message every few seconds; what tasks do is logged by them
        "--without-gossip",
        "--without-mingle",
        f"--hostname=reclift-{os.getpid()}@%h",
    ]
    if with_beat:
        arguments += ["--beat", f"--schedule={_schedule(settings.data_dir)}"]
    # A process of its own: events keep flowing, at their own pace, whatever jobs compute.
    if child is not None:
        child.start()
    if settings.embedded:
        end_quickly()
    try:
        make_app(settings).worker_main(arguments)
    finally:
        if child is not None:
            child.stop()


@click.command(name="drain")
def drain_stream() -> None:
    """Move events from Redis into the tables. `reclift worker` runs one as its child; run more for more events."""
    end_with_parent()
    stopping = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stopping.set())
    with runtime(set_up=False) as here:
        drain = here.stream_drain()
        if drain is None:
            raise click.UsageError("RECLIFT_REDIS_URL is not set: there is no stream to drain")
        drain.run(stopping)


@click.command()
def beat() -> None:
    """Send out scheduled work. Run exactly one."""
    from reclift.worker import make_app

    settings = load_settings()
    make_app(settings).Beat(loglevel="WARNING", schedule=str(_schedule(settings.data_dir))).run()


def _schedule(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve() / "beat-schedule"
