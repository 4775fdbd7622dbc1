"""`reclift import`: items, interactions and experiments from files."""

from __future__ import annotations

from pathlib import Path

import click

from reclift.cli.common import console, progress_bar, runtime
from reclift.flows import importing, importing_interactions, logged, logged_file
from reclift.flows.errors import Conflict, Invalid
from reclift.flows.tables_in import column_names, row_count


@click.group("import")
def import_data() -> None:
    """Bring in items, interactions and experiments that ran elsewhere, from CSV or Parquet."""


def _mapping(given: tuple[str, ...]) -> dict[str, str]:
    result = {}
    for text in given:
        ours, _, theirs = text.partition("=")
        if not ours or not theirs:
            raise Invalid.of("map", text, "must be OURS=THEIRS, such as user_id=customer")
        result[ours] = theirs
    return result


def _print(what: str, count: importing.Count) -> None:
    console.print(
        f"{count.taken:,} {what} taken, {count.duplicates:,} known already, {sum(count.skipped.values()):,} skipped"
    )
    if count.replaced:
        console.print(f"  {count.replaced:,} rows came again further down, where the last one counts")
    for reason, number in count.skipped.most_common(20):
        console.print(f"  {number:,} skipped: {reason} (first: row {count.first_rows[reason]:,})")


@import_data.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--map", "mapping", multiple=True, help="OURS=THEIRS; ours: " + ", ".join(importing.ITEM_COLUMNS))
@click.option("--attribute", "attributes", multiple=True, help="A further column to keep as an attribute.")
def items(file: Path, mapping: tuple[str, ...], attributes: tuple[str, ...]) -> None:
    """Add or replace items of the catalogue."""
    with runtime() as here, progress_bar() as bars:
        bar = bars.add_task("items", total=row_count(file) if file.exists() else None)
        count = importing.import_items(
            here.database, file, _mapping(mapping), attributes=attributes, told=lambda n: bars.advance(bar, n)
        )
    _print("items", count)


@import_data.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--map",
    "mapping",
    multiple=True,
    help="OURS=THEIRS; ours: " + ", ".join(importing_interactions.INTERACTION_COLUMNS),
)
@click.option("--type", "kind", default="rating", show_default=True, help="Event type of rows that name none.")
def interactions(file: Path, mapping: tuple[str, ...], kind: str) -> None:
    """Add what users did. The same file twice changes nothing."""
    with runtime() as here, progress_bar() as bars:
        bar = bars.add_task("interactions", total=row_count(file) if file.exists() else None)
        count = importing_interactions.import_interactions(
            here.database,
            file,
            _mapping(mapping),
            kind=kind,
            pseudonyms=here.pseudonyms,
            told=lambda n: bars.advance(bar, n),
        )
        weights = here.settings.event_weights
    _print("interactions", count)
    for name in sorted(name for name in count.types if weights.get(name, 0) <= 0):
        console.print(
            f"  strategies learn nothing from events of type {name}: give it a weight in RECLIFT_EVENT_WEIGHTS, "
            f"which has {', '.join(weights)}"
        )


@import_data.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", default=None, help="The experiment's key; else made from the file's name.")
@click.option("--name", default=None, help="For people; else the file's name.")
@click.option("--hypothesis", default="", help="What was asked, and where it ran.")
@click.option("--placement", default="imported", show_default=True, help="Where lists were shown; made if need be.")
@click.option("--control", default=None, help="The control arm; else `control`, or the first arm of the log.")
@click.option(
    "--weight", "weights", multiple=True, help="ARM=SHARE of the units, for the sample-ratio test; else equal."
)
@click.option("--map", "mapping", multiple=True, help="OURS=THEIRS; ours: " + ", ".join(logged_file.COLUMNS))
@click.option("--event", "events", multiple=True, help="TYPE or TYPE=COLUMN; else click, add_to_cart, purchase.")
@click.option("--attribute", "attributes", multiple=True, help="A column to keep as an attribute, for segments.")
@click.option("--metric", default="ctr", show_default=True, help="The primary metric.")
@click.option("--secondary", multiple=True, help="A further metric.")
def experiment(
    file: Path,
    key: str | None,
    name: str | None,
    hypothesis: str,
    placement: str,
    control: str | None,
    weights: tuple[str, ...],
    mapping: tuple[str, ...],
    events: tuple[str, ...],
    attributes: tuple[str, ...],
    metric: str,
    secondary: tuple[str, ...],
) -> None:
    """Report on an experiment that ran elsewhere: a row for each item that somebody was shown.

    Columns: user_id, arm, timestamp; list_id (rows of one list; else each row is a list), item_id, position,
    propensity; and one for each event type: empty or 0 is no event, any other number is one with that value.
    """
    key = key or logged.key_of(file.stem)
    with runtime() as here:
        if logged.is_complete(here.database, key):
            raise Conflict(f"experiment {key} is there already, with its whole log: nothing was imported")
        console.print(f"reading {file.name}")
        log = logged_file.LoggedFile(
            file,
            key,
            _mapping(mapping),
            events=logged_file.events_of(column_names(file), events),
            attributes=attributes,
            pseudonyms=here.pseudonyms,
        )
        payload = logged.payload(
            key,
            log.arms,
            name=name or file.stem,
            hypothesis=hypothesis,
            placement=placement,
            control=control,
            weights=_shares(weights),
            metrics={"primary": metric, "secondary": list(secondary), "guardrails": []},
        )
        with here.database.write() as session:
            logged.set_up_placement(session, here.registry, placement, here.settings.default_strategy, "command line")
        with progress_bar() as bars:
            bar = bars.add_task("lists", total=len(log))
            logged.import_experiment(
                here.database, here.registry, here.queue, payload, log, actor="command line",
                advance=lambda n: bars.advance(bar, n),
            )  # fmt: skip
    _print("rows", log.tally)
    console.print(f"experiment {key}: {len(log):,} lists, arms {', '.join(log.arms)}; read it: reclift report {key}")


def _shares(given: tuple[str, ...]) -> dict[str, float]:
    result = {}
    for text in given:
        arm, _, share = text.rpartition("=")
        try:
            result[arm] = float(share)
        except ValueError:
            raise Invalid.of("weight", text, "must be ARM=SHARE, such as control=0.5") from None
    return result
