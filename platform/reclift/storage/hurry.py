"""Threads that may not wait: a server's event loop answers what needs no waiting itself, and hands on the rest.

Whoever answers in a hurry is told by `MustWait` that it cannot be done, before anything has happened that others see:
then a thread that may wait does all of it anew. What is to be kept is not kept yet when the answer is ready, but
collected; the answer leaves when it is durable.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from types import TracebackType
from typing import Self

from reclift.domain.events import Facts


class MustWait(Exception):  # noqa: N818 (a state, not a mistake)
    """This needs a database, a strategy or another process, and the thread is in a hurry."""


class Hurry:
    """While this lasts, its thread may not wait.

    Attributes:
        facts: what is to be durable before the answer leaves, in order.
        after: what is to be done then, in the same thread; it must not wait either.
    """

    def __init__(self) -> None:
        self.facts: list[Facts] = []
        self.after: list[Callable[[], object]] = []

    def __enter__(self) -> Self:
        _hurries[get_ident()] = self
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        del _hurries[get_ident()]


_hurries: dict[int, Hurry] = {}


def current() -> Hurry | None:
    """The hurry that this thread is in."""
    return _hurries.get(get_ident()) if _hurries else None


def may_wait() -> None:
    """Say that waiting follows. `MustWait` for a thread in a hurry."""
    if _hurries and get_ident() in _hurries:
        raise MustWait
