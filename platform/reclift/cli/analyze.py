"""`reclift analyze`: the report's statistics on a file."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from reclift.cli.tables import print_metrics
from reclift.flows import analyze as flow
from reclift.flows.errors import Invalid


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--arm", required=True, help="Column that tells the arm.")
@click.option("--control", default=None, help="The arm to compare with. Default: `control`, else the first.")
@click.option(
    "--metric", "metrics", multiple=True, required=True, help="COL, COL:mean, COL:proportion or NUM/DEN; @COVARIATE."
)
@click.option("--unit", default=None, help="Column of the randomised unit; rows are summed per unit. Default: a row.")
@click.option(
    "--weight", "weights", multiple=True, help="ARM=SHARE as planned, for the sample-ratio test. Default: equal."
)
@click.option("--level", default=0.95, show_default=True, help="Level of intervals.")
@click.option("--json", "as_json", is_flag=True, help="The whole result as JSON.")
def analyze(
    file: Path,
    arm: str,
    control: str | None,
    metrics: tuple[str, ...],
    unit: str | None,
    weights: tuple[str, ...],
    level: float,
    as_json: bool,
) -> None:
    """Lifts, intervals and p-values of any CSV or Parquet table of outcomes. Nothing is stored."""
    result = flow.analyze(
        file,
        arm=arm,
        metrics=metrics,
        control=control,
        unit=unit,
        weights=_weights(weights) or None,
        level=_level(level),
    )
    if as_json:
        click.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())
        return
    ratio = result["srm"]
    verdict = {True: "as planned", False: "NOT as planned: do not trust the lifts", None: "not testable"}[ratio["ok"]]
    click.echo(f"sample ratio: {ratio['observed']} of expected {[round(n, 1) for n in ratio['expected']]}: {verdict}")
    if result["multi_arm_units"]:
        click.echo(f"{result['multi_arm_units']:,} units in several arms were left out")
    print_metrics(result["metrics"])


def _weights(given: tuple[str, ...]) -> dict[str, float]:
    result = {}
    for text in given:
        name, _, share = text.rpartition("=")
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not name or not 0 < value < float("inf"):
            raise Invalid.of("weight", text, "must be ARM=SHARE with a positive number")
        result[name] = value
    return result


def _level(level: float) -> float:
    if not 0 < level < 1:
        raise Invalid.of("level", level, "must be between 0 and 1, such as 0.95")
    return level
