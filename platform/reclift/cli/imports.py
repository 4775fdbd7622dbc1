"""`reclift import`: items and interactions from files."""

from __future__ import annotations

from pathlib import Path

import click

from reclift.cli.common import console, progress_bar, runtime
from reclift.flows import importing
from reclift.flows.errors import Invalid
from reclift.flows.tables_in import row_count


@click.group("import")
def import_data() -> None:
    """Bring in items and interactions from CSV or Parquet."""


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
@click.option("--map", "mapping", multiple=True, help="OURS=THEIRS; ours: " + ", ".join(importing.INTERACTION_COLUMNS))
@click.option("--type", "kind", default="rating", show_default=True, help="Event type of rows that name none.")
def interactions(file: Path, mapping: tuple[str, ...], kind: str) -> None:
    """Add what users did. The same file twice changes nothing."""
    with runtime() as here, progress_bar() as bars:
        bar = bars.add_task("interactions", total=row_count(file) if file.exists() else None)
        count = importing.import_interactions(
            here.database,
            file,
            _mapping(mapping),
            kind=kind,
            pseudonyms=here.pseudonyms,
            told=lambda n: bars.advance(bar, n),
        )
    _print("interactions", count)
