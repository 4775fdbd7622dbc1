"""Threads, locks and connections do not survive a fork: who has any makes them anew in the child."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewable(Protocol):
    """Holds what a forked child must not share with its parent."""

    def after_fork(self) -> None:
        """Called in the child, where this is the only thread."""
        ...


_known: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renew_after_fork(one: Renewable) -> None:
    """From now on until it is gone."""
    _known.add(one)


def _renew() -> None:
    for one in list(_known):
        one.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
