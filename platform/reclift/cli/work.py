"""What the worker does on its own, done now: train, report."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import click
import orjson
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from reclift.cli.common import console, runtime
from reclift.cli.tables import print_metrics
from reclift.flows import models, report_parts, rollup
from reclift.flows import report as report_flow
from reclift.flows import train as train_flow


@click.command()
@click.argument("strategies", nargs=-1)
def train(strategies: tuple[str, ...]) -> None:
    """Train model versions now: of the given strategies with their defaults, or of everything that is in use."""
    with runtime() as here:
        with here.database.read() as session:
            wanted = [(key, params) for (key, _), params in models.wanted(session, here.registry).items()]
        if strategies:
            wanted = [(key, models.complete(here.registry, key, {})) for key in strategies]
        data = train_flow.load_dataset(here.database, here.settings.event_weights)
        console.print(f"{len(data):,} interactions of {data.shape[0]:,} users with {data.shape[1]:,} items")
        failed = 0
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[what]}"),
            TimeElapsedColumn(),
            console=console,
        ) as bars:
            for key, params in wanted:
                bar = bars.add_task(key, total=1.0, what="")
                result = train_flow.train(
                    here.database,
                    here.registry,
                    here.artifacts,
                    key,
                    params,
                    weights=here.settings.event_weights,
                    progress=partial(_tell, bars, bar),
                    data=data,
                    keep=here.settings.keep_models,
                    actor="command line",
                    check_users=here.settings.model_check_users,
                    floor=here.settings.model_floor,
                )
                what = "active" if result["active"] else f"{result['state']}: {result['error']}"
                bars.update(bar, completed=1.0, what=f"{result['model']} {what}")
                failed += result["state"] != "ready"
    if failed:
        sys.exit(1)


def _tell(bars: Progress, bar: TaskID, share: float, what: str) -> None:
    bars.update(bar, completed=share, what=what)


@click.command()
@click.argument("experiment")
@click.option("--json", "form", flag_value="json", help="The whole report as JSON.")
@click.option("--csv", "form", flag_value="csv", help="Its numbers as a table.")
def report(experiment: str, form: str | None) -> None:
    """Compute and print the report now."""
    with runtime() as here:
        rollup.roll_up(here.database)
        body = report_flow.refresh(here.database, experiment, keep=here.settings.keep_reports)
    if form == "json":
        click.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())
    elif form == "csv":
        click.echo(report_parts.to_csv(body), nl=False)
    else:
        _print(body)


def _print(body: Mapping[str, Any]) -> None:
    click.echo(f"{body['experiment']}: {body['decision']['call']}")
    for sentence in body["decision"]["because"]:
        click.echo(f"  {sentence}")
    print_metrics(body["metrics"])
