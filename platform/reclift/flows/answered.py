"""What strategies answered lately: the same question about a user of whom nothing new is known gets the same list.

Only of strategies that say so (`repeatable`): their answer follows from what is compared here and from nothing else, so
it is not older than a new one would be. A click makes another history, a training another model, a purchase other
exclusions: each is another question.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from reclift.flows.snapshot import Served
from reclift.strategy import Query, Scored, Signal, Strategy

CAPACITY = 10_000
"""Answers in memory: some kilobytes each."""
_MOST_ITEMS = 300


class _Answer(NamedTuple):
    model: Strategy
    k: int
    history: Sequence[Signal]
    context_items: tuple[str, ...]
    exclude: frozenset[str]
    attributes: Mapping[str, Any]
    items: Sequence[Scored]


def _same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one: to Python, true is 1 and 1 is 1.0, and to a strategy they need not be."""
    if one != other or type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return all(_same(value, other[name]) for name, value in one.items())
    return not isinstance(one, list) or all(map(_same, one, other))


class Answered:
    """A bounded memory of answers, those that were not asked for longest go first. Safe in many threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        """0: nothing is remembered."""
        self._capacity = capacity
        self._answers: OrderedDict[tuple[str, str | None], _Answer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, served: Served, query: Query) -> Sequence[Scored] | None:
        """The answer to the very same question; None: it has to be asked."""
        known = self._answers.get((served.strategy, query.user_id))
        if (
            known is None
            or known.model is not served.model
            # The same object: whoever keeps histories makes another when something new is known.
            or known.history is not query.history
            or known.k != query.k
            or query.candidates is not None
            or known.context_items != tuple(query.context_items)
            or (known.exclude is not query.exclude and known.exclude != query.exclude)
            or not _same(known.attributes, query.attributes)
        ):
            return None
        return known.items

    def note(self, served: Served, query: Query, items: Sequence[Scored]) -> None:
        """Remember an answer, where the strategy says that it would give it again."""
        if (
            self._capacity < 1
            or served.model is None
            or getattr(served.model, "repeatable", False) is not True
            or query.candidates is not None
            or len(items) > _MOST_ITEMS
            or not isinstance(query.history, tuple)  # a list might be changed in place
        ):
            return
        answer = _Answer(
            served.model, query.k, query.history, tuple(query.context_items), query.exclude, query.attributes, items
        )
        key = served.strategy, query.user_id
        with self._lock:
            self._answers[key] = answer
            self._answers.move_to_end(key)
            while len(self._answers) > self._capacity:
                self._answers.popitem(last=False)

    def forget(self, unit: str) -> None:
        """Drop what is in memory of a unit."""
        with self._lock:
            for key in [key for key in self._answers if key[1] == unit]:
                del self._answers[key]

    def forget_all(self) -> None:
        """Drop everything."""
        with self._lock:
            self._answers.clear()
