"""What the contract's tests are made of: a small shop with a known right answer, and what holds for every answer."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from reclift.strategy import Dataset, Item, Query, Registry, Scored, Signal, State, Strategy, parse_parameters

DAY = 86_400.0
Row = tuple[str, str, float, float, float]


def quiet(_share: float, _what: str) -> None:
    """Progress that nobody looks at."""


def load_through_files(state: State, folder: Path) -> State:
    """Save as the platform does, one .npy per array and one JSON, and load memory-mapped and read-only."""
    for name, array in state.arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    (folder / "meta.json").write_text(json.dumps(dict(state.meta), allow_nan=False), encoding="utf-8")
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in state.arrays}
    return State(arrays=arrays, meta=json.loads((folder / "meta.json").read_text(encoding="utf-8")))


class Shop:
    """Twenty items, twenty-four users, two sides: whoever chooses even items wants even ones."""

    key: ClassVar[str]
    """The strategy's name: of its entry point, or any where `cls` is given."""
    cls: ClassVar[type[Strategy] | None] = None
    """The strategy itself, where it is not installed yet."""
    params: ClassVar[dict[str, Any]] = {}
    personal: ClassVar[bool] = True
    """Whether a user's history must lead to items like those in it."""
    cold_items: ClassVar[bool] = False
    """Whether items without any interaction must be recommendable."""
    complete: ClassVar[bool] = False
    """Whether every allowed item of the catalogue is returned where k asks for it."""

    # -- what the tests are made of; override where a strategy needs other data

    def rows(self) -> list[Row]:
        """Twelve even users chose even items, twelve odd users odd ones, each eight of ten; values are ratings."""
        return [
            (f"u{user}", f"i{2 * step + user % 2:02}", 1.0, DAY * (user + step), 5.0 - step % 2)
            for user in range(24)
            for step in range(10)
            if step not in {user // 2 % 10, (user // 2 + 3) % 10}
        ]

    def items(self) -> list[Item]:
        """Twenty items; the title and the category tell the side, too."""
        return [
            Item(
                f"i{number:02}",
                title=f"{'crimson scarf' if number % 2 else 'blue kettle'} number {number}",
                category="odd" if number % 2 else "even",
                price=10.0 + number % 2 * 80 + number,
                attributes={"maker": "north" if number % 2 else "south"},
            )
            for number in range(20)
        ]

    def history(self, *item_ids: str) -> tuple[Signal, ...]:
        """Signals as strong as the rows', one a second."""
        return tuple(Signal(item_id, 1.0, 40 * DAY + at, "click", 5.0) for at, item_id in enumerate(item_ids))

    def strategy(self) -> type[Strategy]:
        """The class that is tested."""
        return self.cls or Registry.installed().get(self.key)

    def fit(self, rows: list[Row] | None = None, items: list[Item] | None = None) -> Strategy:
        data = Dataset.from_rows(self.rows() if rows is None else rows, self.items() if items is None else items)
        return self.fit_data(data)

    def fit_data(self, data: Dataset) -> Strategy:
        strategy = self.strategy()
        return strategy.fit(data, parse_parameters(self.key, strategy, self.params), quiet)

    def queries(self) -> list[Query]:
        """One of each kind: known user, guest, page, stranger, nothing at all."""
        return [
            Query(5, "u0", self.history("i00", "i02", "i04"), seed=11, now=41 * DAY),
            Query(5, None, self.history("i01"), seed=12, now=41 * DAY),
            Query(5, "u1", context_items=("i03",), seed=13, now=41 * DAY),
            Query(5, "stranger", self.history("no such item"), seed=14, now=41 * DAY),
            Query(5, seed=15, now=41 * DAY),
        ]

    @staticmethod
    def ids(answer: Any) -> list[str]:
        return [scored.item_id for scored in answer]

    @staticmethod
    def check(answer: Any, query: Query) -> None:
        """What holds for every answer."""
        ids = Shop.ids(answer)
        assert all(isinstance(scored, Scored) for scored in answer)
        assert len(set(ids)) == len(ids), "an item twice"
        assert all(type(scored.item_id) is str and type(scored.score) is float for scored in answer)
        assert all(np.isfinite(scored.score) for scored in answer)
        assert all(first.score >= second.score for first, second in pairwise(answer)), "scores must fall"
        assert not set(ids) & query.exclude
        assert not set(ids) & set(query.context_items), "a page's own item"
        assert query.candidates is None or set(ids) <= query.candidates
        assert all(scored.propensity is None or 0 < scored.propensity <= 1 for scored in answer)
        assert all(scored.reason is None or scored.reason for scored in answer)
