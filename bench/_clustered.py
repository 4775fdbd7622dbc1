"""A shop in which there is something to learn: departments with words of their own, users who keep to a few of them."""

from __future__ import annotations

import numpy as np

from reclift.strategy import Dataset, Item, Query, Signal

DEPARTMENTS, BRANDS, WORDS, WORDS_OF_ONE = 200, 2_000, 30_000, 120
INTERESTS, OWN = 4, 0.75
"""A user has so many departments, and this share of choices is in them."""
SKEW = 0.15
"""Popularity within a department falls as rank to the power of -0.15: no few items have it all, which is the harder
case: where they do, their factors are so long that the exact search stops after some thousands of items."""


def clustered_shop(items: int, users: int, each: int, seed: int = 0) -> Dataset:
    """`users` users with `each` choices among `items` items, which have titles, categories, brands and prices."""
    random = np.random.default_rng(seed)
    count = users * each
    who = np.repeat(np.arange(users, dtype=np.int32), each)
    rank = np.floor(items // DEPARTMENTS * random.random(count) ** (1 / (1 - SKEW))).astype(np.int64)
    interests = random.integers(0, DEPARTMENTS, (users, INTERESTS))
    department = interests[who, random.integers(0, INTERESTS, count)]
    elsewhere = random.random(count) >= OWN
    department[elsewhere] = (DEPARTMENTS * random.random(elsewhere.sum()) ** 2).astype(np.int64)
    return Dataset(
        user_ids=np.array([f"u{n}" for n in range(users)]),
        item_ids=np.array([f"i{n}" for n in range(items)]),
        items=_described(items, random),
        users=who,
        columns=(rank * DEPARTMENTS + department).astype(np.int32),
        weights=np.ones(count, dtype=np.float32),
        values=np.full(count, np.nan, dtype=np.float32),
        times=np.arange(count, dtype=np.float64),
    )


def _described(items: int, random: np.random.Generator) -> tuple[Item, ...]:
    own = random.integers(0, WORDS, (DEPARTMENTS, WORDS_OF_ONE))
    department = np.arange(items) % DEPARTMENTS
    of_department = own[department[:, None], (WORDS_OF_ONE * random.random((items, 4)) ** 2).astype(int)].tolist()
    of_all = (WORDS * random.random((items, 2)) ** 4).astype(int).tolist()
    brands = (BRANDS * random.random(items) ** 3).astype(int).tolist()
    prices = np.round(np.exp(random.normal(3, 1, items)), 2).tolist()
    return tuple(
        Item(
            f"i{n}",
            title=" ".join(f"w{word}" for word in (*of_department[n], *of_all[n])),
            category=f"d{n % DEPARTMENTS // 10} > c{n % DEPARTMENTS}",
            price=prices[n],
            attributes={"brand": f"b{brands[n]}"},
        )
        for n in range(items)
    )


def people(data: Dataset, count: int, each: int, k: int, seed: int = 1) -> list[Query]:
    """Questions of users who in the meantime chose ten more items, not to be shown what they chose."""
    random = np.random.default_rng(seed)
    chosen = data.columns.reshape(-1, each)
    histories = [np.concatenate([row, random.choice(data.columns, 10)]) for row in chosen[:count]]
    return [
        Query(
            k, f"u{n}", [Signal(f"i{c}", 1.0, float(at)) for at, c in enumerate(history)],
            exclude=frozenset(f"i{c}" for c in history), seed=n,
        )
        for n, history in enumerate(histories)
    ]  # fmt: skip
