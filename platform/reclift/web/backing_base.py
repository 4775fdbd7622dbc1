"""What every part of the pages' door to the platform stands on: transactions, and refusals in the pages' words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from reclift.flows.errors import Conflict, FlowError
from reclift.flows.errors import Invalid as FlowInvalid
from reclift.flows.errors import NotFound as FlowNotFound
from reclift.web.pages.backend import Invalid, NotFound, Problem, Refused
from reclift.wiring import Runtime


@contextmanager
def in_words() -> Iterator[None]:
    """What flows refuse, in the pages' words."""
    try:
        yield
    except FlowNotFound as error:
        raise NotFound(f"There is no {error.kind} {error.key!r}.") from error
    except FlowInvalid as error:
        raise Invalid([Problem(field=p.field, value=p.value, rule=p.rule) for p in error.problems]) from error
    except (Conflict, FlowError) as error:
        raise Refused(str(error)) from error


class Backed:
    """A part of the door: every method is one flow, in one transaction."""

    def __init__(self, runtime: Runtime) -> None:
        """`runtime` lives as long as the process."""
        self._here = runtime

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with in_words(), self._here.database.read() as session:
            yield session

    @contextmanager
    def _write(self) -> Iterator[Session]:
        with in_words(), self._here.database.write() as session:
            yield session

    def _refresh(self) -> None:
        self._here.live.refresh()
