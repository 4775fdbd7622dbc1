"""Small random shops, and an answer as pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from reclift.strategy import Dataset, Item, Signal


def quiet(_share: float, _what: str) -> None:
    """Progress that nobody looks at."""


def shop(seed: int = 0, users: int = 60, items: int = 40, events: int = 900) -> Dataset:
    """Random interactions with weights, ratings and times; some repeat."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{u}", f"i{i}", float(w), float(t), float(r))
        for u, i, w, t, r in zip(
            rng.integers(0, users, events),
            (rng.random(events) ** 2 * items).astype(int),
            rng.integers(1, 4, events),
            rng.integers(0, 10_000, events),
            rng.integers(1, 6, events),
            strict=True,
        )
    ]
    return Dataset.from_rows(rows, [Item(f"i{n}", category=f"c{n % 3}") for n in range(items)])


def history_of(data: Dataset, user: int) -> tuple[Signal, ...]:
    """A user's signals, oldest first, as the platform passes them."""
    own = np.flatnonzero(data.users == user)
    own = own[np.argsort(data.times[own], kind="stable")]
    return tuple(
        Signal(
            str(data.item_ids[data.columns[n]]),
            float(data.weights[n]),
            float(data.times[n]),
            "rating",
            float(data.values[n]),
        )
        for n in own
    )


def scores(answer: Any) -> dict[str, float]:
    """Item id -> score."""
    return {scored.item_id: scored.score for scored in answer}
