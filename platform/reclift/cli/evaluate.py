"""`reclift evaluate`: the offline table."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from reclift.cli.common import console, runtime
from reclift.flows import evaluations
from reclift.flows import train as train_flow
from reclift.flows.errors import Invalid

_SHOWN = ("ndcg", "recall", "hit_rate", "mrr", "coverage", "novelty")


@click.command()
@click.argument("strategies", nargs=-1)
@click.option("--split", type=click.Choice(evaluations.SPLITS), default="temporal", show_default=True)
@click.option("--share", default=0.8, show_default=True, help="Of a temporal split: the part that is learnt from.")
@click.option("--k", "ks", multiple=True, type=click.IntRange(1, 1000), default=(5, 10, 20), show_default=True)
@click.option(
    "--fallback", default=None, help="Strategy that fills short lists, or none.  [default: as on most placements]"
)
@click.option("--json", "as_json", is_flag=True, help="The whole result as JSON.")
def evaluate(
    strategies: tuple[str, ...], split: str, share: float, ks: tuple[int, ...], fallback: str | None, as_json: bool
) -> None:
    """Ask strategies, fitted on the past, what they would have found of what people chose later."""
    with runtime() as here:
        with here.database.read() as session:
            usual = evaluations.usual_fallback(session, here.registry)
        filler = usual if fallback is None else None if fallback == "none" else fallback
        if filler is not None and filler not in here.registry:
            there = ", ".join(here.registry.keys())
            raise Invalid.of("fallback", fallback, f"must be none or installed; there are {there}")
        data = train_flow.load_dataset(here.database, here.settings.event_weights)
        with Progress(
            TextColumn("evaluate"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console
        ) as bars:
            bar = bars.add_task("", total=1.0)
            body = evaluations.run(
                here.database,
                here.registry,
                data,
                strategies,
                split=split,
                share=share,
                ks=sorted(ks),
                fallback=filler,
                progress=lambda done, what: bars.update(bar, completed=done, description=what),
            )
    if as_json:
        click.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())
    else:
        _print(body)


def _print(body: Mapping[str, Any]) -> None:
    k = str(body["primary_k"])
    out = Console(highlight=False, width=max(120, shutil.get_terminal_size().columns))
    table = Table("strategy", "own share", *(f"{name}@{k}" for name in _SHOWN), "fit", "answer")
    for result in body["results"]:
        found = result["metrics"][k]
        table.add_row(
            result["name"],
            f"{result['own_share']:.0%}",
            *(_estimate(found.get(name)) for name in _SHOWN),
            f"{result['fit_seconds']:.1f} s",
            f"{result['answer_ms']:.2f} ms",
        )
    out.print(table)
    filled = body.get("fallback")
    out.print(f"  short lists are filled by {filled}" if filled else "  short lists stay short: --fallback fills them")
    bands = [_history(band) for band in body["results"][0]["by_history"]]
    by_history = Table(f"{body['primary']}@{k} by signals in the history", *bands)
    for result in body["results"]:
        by_history.add_row(
            result["name"], *(f"{_estimate(band)} of {band['users']:,}" for band in result["by_history"])
        )
    out.print(by_history)
    for pair in body.get("comparisons", ()):
        difference = pair["difference"]["value"]
        if difference is not None:
            out.print(
                f"  {pair['second']} minus {pair['first']}: {difference:+.4f} {body['primary']}@{k}, "
                f"p = {pair['p_value_adjusted']:.3f} (adjusted)"
            )


def _estimate(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return (found or {}).get("reason") or "not measured"
    text = f"{found['value']:.4f}"
    interval = found["interval"]
    return text if interval is None else f"{text} [{interval[0]:.4f}, {interval[1]:.4f}]"


def _history(band: Mapping[str, Any]) -> str:
    first, last = band["history"]
    return str(first) if first == last else f"{first}+" if last is None else f"{first}-{last}"
