"""What was acknowledged and cannot be written: look at it, write it again, or let it go."""

from __future__ import annotations

import click

from reclift.cli.common import runtime
from reclift.flows import dead_letters as flow

ACTOR = "command line"


@click.group(name="dead-letters")
def dead_letters() -> None:
    """What was acknowledged and cannot be written: list, show, replay, discard."""


@dead_letters.command(name="list")
@click.option("--limit", default=50, show_default=True, help="How many, newest first.")
def show_list(limit: int) -> None:
    """Number, time, source and reason."""
    with runtime() as here, here.database.read() as session:
        for letter in flow.latest(session, limit):
            click.echo(f"{letter['id']}\t{letter['at']}\t{letter['source']}\t{letter['bytes']} B\t{letter['reason']}")


@dead_letters.command()
@click.argument("letter", type=int)
def show(letter: int) -> None:
    """Print what came."""
    with runtime() as here, here.database.read() as session:
        row = flow.find(session, letter)
    click.echo(row.reason, err=True)
    click.echo(row.payload)


@dead_letters.command()
@click.argument("letters", nargs=-1, type=int, required=True)
def replay(letters: tuple[int, ...]) -> None:
    """Write them into the tables now; what is still refused stays, with its reason."""
    with runtime() as here:
        for letter in letters:
            click.echo(f"{letter}\t{flow.replay(here.database, here.direct, letter, actor=ACTOR)} new facts")


@dead_letters.command()
@click.argument("letters", nargs=-1, type=int, required=True)
def discard(letters: tuple[int, ...]) -> None:
    """Remove them for good."""
    with runtime() as here:
        for letter in letters:
            with here.database.read() as session:
                flow.find(session, letter)
            flow.discard(here.database, letter, actor=ACTOR)
