"""Strategies that do exactly what a test needs, and experiments to put them into."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from reclift.strategy import Dataset, Parameters, Progress, Query, Scored, State, StrategyError


class ToyParameters(Parameters):
    boost: float = Field(1.0, ge=0)
    fail: str = ""


class Toy:
    """Recommends the items it learnt of, most clicked first. `fail` chooses how its fit goes wrong."""

    title: ClassVar[str] = "Toy"
    summary: ClassVar[str] = "For tests."
    Parameters: ClassVar[type[Parameters]] = ToyParameters
    needs_training: ClassVar[bool] = True
    during_fit: ClassVar[Callable[[], None] | None] = None

    def __init__(self, items: list[str]) -> None:
        self.items = items

    @classmethod
    def fit(cls, data: Dataset, params: Any, progress: Progress) -> Self:
        if cls.during_fit is not None:
            cls.during_fit()
        progress(0.5, "half way")
        if params.fail == "strategy error":
            raise StrategyError("too little to learn from")
        if params.fail == "bug":
            raise ZeroDivisionError("a bug")
        weights = np.bincount(data.columns, data.weights, minlength=len(data.item_ids))
        order = np.argsort(-weights, kind="stable")
        return cls([str(data.item_ids[place]) for place in order] if params.fail != "silent" else [])

    def recommend(self, query: Query) -> Sequence[Scored]:
        return [Scored(item, 1.0 / (place + 1)) for place, item in enumerate(self.items)][: query.k]

    def state(self) -> State:
        return State(arrays={"items": np.array(self.items, dtype=np.str_)})

    @classmethod
    def restore(cls, state: State, params: Any) -> Self:
        if params.fail == "restore":
            raise RuntimeError("cannot be brought back")
        return cls([str(item) for item in state.arrays["items"]])


class Other(Toy):
    """The same, by another name, in reverse order."""

    def recommend(self, query: Query) -> Sequence[Scored]:
        return [Scored(item, 0.5) for item in reversed(self.items)][: query.k]


class Scripted(Toy):
    """Answers with whatever `answer` returns."""

    def __init__(self, answer: Callable[[Query], Any]) -> None:
        super().__init__([])
        self.answer = answer

    def recommend(self, query: Query) -> Any:
        return self.answer(query)


class Gate:
    """Calls that hang until they are let go; a test must open it at its end."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.entered = threading.Semaphore(0)
        self.calls = 0

    def __call__(self, query: Query) -> list[Scored]:
        self.calls += 1
        self.entered.release()
        self.event.wait(30)
        return [Scored("late", 1.0)]


def draft(key: str = "exp", **more: Any) -> dict[str, Any]:
    """The JSON of a good experiment."""
    return {
        "key": key,
        "placement": "home",
        "arms": [
            {"key": "control", "strategy": "toy", "control": True},
            {"key": "new", "strategy": "other"},
        ],
        "metrics": {"primary": "ctr", "secondary": ["conversion"], "guardrails": ["latency"]},
        **more,
    }
