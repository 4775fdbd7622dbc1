"""Accounts and API keys."""

from __future__ import annotations

import click

from reclift.cli.common import console, runtime
from reclift.flows import accounts


@click.command("create-user")
@click.argument("email")
@click.option("--role", type=click.Choice(accounts.ROLES), required=True)
@click.option("--name", default="", help="How the person is called.")
@click.option("--password", default=None, help="Without it one is made up and printed.")
def create_user(email: str, role: str, name: str, password: str | None) -> None:
    """Make an account; prints its password once, if it was made up."""
    with runtime() as here, here.database.write() as session:
        row, secret = accounts.create_account(session, email, role, password, name, "command line")
        console.print(f"{row.email} is a {row.role}")
    if password is None:
        click.echo(secret)


@click.command("create-key")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(list(accounts.SCOPES)))
def create_key(name: str, scopes: tuple[str, ...]) -> None:
    """Make an API key; prints it once."""
    with runtime() as here, here.database.write() as session:
        row, secret = accounts.create_key(session, name, list(scopes), "command line")
        console.print(f"key {row.name!r} may: {', '.join(row.scopes)}")
    click.echo(secret)
