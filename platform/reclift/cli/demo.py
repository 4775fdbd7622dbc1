"""`reclift demo`: real data, real experiments, reports, and a server with all of it; safe to break off and repeat."""

from __future__ import annotations

import signal
import time
from types import FrameType

import click
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import select

from reclift import wiring
from reclift.cli.demo_server import DemoServer, DemoServerError
from reclift.cli.demo_steps import EMAIL, KEYS, Demo, DemoError
from reclift.flows.errors import FlowError
from reclift.flows.public_data import PublicDataError
from reclift.flows.public_movielens import read_wheel
from reclift.flows.replay_http import ReplayError
from reclift.settings import load_settings
from reclift.storage.tables import ExperimentRow, JobRun

HOST = "127.0.0.1"


@click.command()
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535), help="Where to serve.")
@click.option("--no-serve", is_flag=True, help="End after the reports.")
def demo(port: int, no_serve: bool) -> None:
    """Real data, real experiments and their reports, from nothing; then serves them.

    A second start finds everything in place and just serves. Data is fetched from PyPI once.
    """
    began = time.monotonic()
    console = Console()
    settings = load_settings()
    runtime = wiring.build(settings)
    for sign in (signal.SIGTERM, signal.SIGINT):  # a shell may have told background jobs to ignore the latter
        signal.signal(sign, _leave)
    try:
        with DemoServer(HOST, port, settings.data_dir / "demo-server.log") as server:
            server.check_port()
            runtime.set_up()
            if not settings.embedded:
                console.print("Redis is set, so `reclift worker` and `reclift beat` must run beside this.", style="dim")
            _run(runtime, server, console, stays=not no_serve)
            console.print(f"Ready after {time.monotonic() - began:.0f} seconds.", style="dim")
            if not no_serve:
                console.print("Ctrl+C stops it; `make demo` serves it again at once.", style="dim")
                server.wait()
    except (DemoServerError, FlowError, PublicDataError, ReplayError) as error:
        raise DemoError(str(error)) from error
    except KeyboardInterrupt:
        console.print("Stopped. `make demo` serves it again.")
    finally:
        runtime.close()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(runtime: wiring.Runtime, server: DemoServer, console: Console, *, stays: bool) -> None:
    columns = (
        SpinnerColumn(finished_text="[blue]✓"),
        TextColumn("{task.description:<36}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        steps = Demo(runtime, server, bars)
        if steps.is_in_place:
            server.start()
        else:
            steps.make_account()
            steps.recover()
            bandit, movielens = steps.fetch()
            data = read_wheel(movielens)
            steps.fill_shop(data)
            steps.start_experiments(data)
            server.start()
            steps.import_open_bandit(bandit)  # while the worker trains
            steps.train()
            steps.replay(data)
            steps.report()
            if stays:
                steps.ask_for_evaluation()
    console.print(_summary(runtime))
    sign_in = f"{server.url}\n[bold]{EMAIL}[/bold]   password [bold]{steps.notes.password}[/bold]"
    console.print(Panel(sign_in, title="Reclift", expand=False))


def _summary(runtime: wiring.Runtime) -> Table:
    """The experiments with what their latest report calls for."""
    table = Table("Experiment", "What it is", "Verdict")
    sources = {"imported": "a logged test, imported", "replay": "a replay of real histories"}
    with runtime.database.read() as session:
        verdicts = {}
        for run in session.scalars(select(JobRun).where(JobRun.task == "report", JobRun.state == "done")):
            verdicts[run.arguments["experiment"]] = run.message.rpartition(": ")[2].replace("_", " ")
        rows = {row.key: row for row in session.scalars(select(ExperimentRow).where(ExperimentRow.key.in_(KEYS)))}
        for key in KEYS:
            table.add_row(rows[key].name, sources.get(rows[key].source, rows[key].source), verdicts.get(key, "…"))
    return table
