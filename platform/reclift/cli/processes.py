"""The production processes: worker, beat, migrate."""

from __future__ import annotations

import os
from pathlib import Path

import click

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
def worker(concurrency: int, with_beat: bool) -> None:
    """Do jobs: training, rollups, reports."""
    from reclift.worker import make_app

    settings = load_settings()
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
    make_app(settings).worker_main(arguments)


@click.command()
def beat() -> None:
    """Send out scheduled work. Run exactly one."""
    from reclift.worker import make_app

    settings = load_settings()
    make_app(settings).Beat(loglevel="WARNING", schedule=str(_schedule(settings.data_dir))).run()


def _schedule(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve() / "beat-schedule"
