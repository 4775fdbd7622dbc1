"""What commands share: a runtime for the time of a command, and words on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from reclift import wiring
from reclift.settings import Settings, load_settings
from reclift.storage.database import Database

console = Console(stderr=True, highlight=False)


@contextmanager
def runtime(settings: Settings | None = None, *, set_up: bool | None = None) -> Iterator[wiring.Runtime]:
    """A runtime, closed at the end. A SQLite database is brought up to date first: it has one user only."""
    settings = settings or load_settings()
    wiring.configure_logging(settings)
    here = wiring.build(settings)
    try:
        if here.database.is_sqlite if set_up is None else set_up:
            here.set_up()
        yield here
    finally:
        here.close()


def progress_bar() -> Progress:
    """How all long work is shown; on standard error, so that output can be piped."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


def where(database: Database) -> str:
    """The database in words, without its password."""
    return database.url.render_as_string(hide_password=True)
