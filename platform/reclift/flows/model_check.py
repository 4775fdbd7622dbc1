"""Is a fresh model good enough to answer? A quick look at how well it would have found what people chose last.

From a bounded sample of users the item that each chose last is taken away; the strategy is fitted on the rest and asked
for it, as it is served, all items competing. Popularity of the same data stands beside it. `reclift evaluate` is the
thorough measurement; this one is there so that no model that is plainly broken begins to answer by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclift.flows.guard import checked
from reclift.flows.offline_split import Split
from reclift.strategy import Dataset, Parameters, Query, Strategy

K = 10
FEWEST_USERS = 20
"""With fewer users a measurement says nothing."""
MOST_INTERACTIONS = 200_000
"""Only the latest so many are looked at, so that measuring costs less than training."""
UNLIKELY = 0.001
"""A model that finds so little that chance would find as little this rarely is worse than chance."""


def measure(
    kind: type[Strategy], params: Parameters, data: Dataset, *, users: int, seed: int = 0
) -> tuple[dict[str, Any], str | None]:
    """Metrics of a strategy on the data that it is to be trained on, or why there are none.

    Args:
        kind: the strategy.
        params: its parameters.
        data: what the model learns from.
        users: at most so many are asked for; 0 measures nothing.
        seed: of the sample.

    Returns:
        `ndcg@10`, `hit_rate@10` and `coverage@10` (share of the items that can be shown that were in a list), the
        first two for popularity and for chance, and `users`; and a reason where they are empty.
    """
    if users < 1:
        return {}, "measuring is switched off"
    split = _last_out(data, users, np.random.default_rng(seed))
    available = np.array([item.available for item in data.items], dtype=bool)
    asked = [n for n, wanted in enumerate(split.wanted) if available[next(iter(wanted))]] if len(split.users) else []
    if len(asked) < FEWEST_USERS:
        return {}, (
            f"{len(asked)} users chose two items of which the last can be shown; measuring needs {FEWEST_USERS}"
        )
    model = kind.fit(split.train, params, lambda _share, _what: None)
    place = {item_id: number for number, item_id in enumerate(data.item_ids.tolist())}
    histories = split.histories()
    popular = _most_chosen(split.train, available)
    ranks, popular_ranks, choices, shown = [], [], [], set[int]()
    for n in asked:
        (wanted,) = split.wanted[n]
        seen = frozenset(signal.item_id for signal in histories[n])
        known = {place[item_id] for item_id in seen}
        unit = str(data.user_ids[split.users[n]])
        query = Query(
            k=K + len(known),
            user_id=unit,
            history=histories[n],
            attributes=data.user_attributes.get(unit, {}),
            exclude=seen,
            seed=seed * 1_000_003 + n,
            now=split.train.until,
        )
        found = dict.fromkeys(place.get(scored.item_id, -1) for scored in checked(model.recommend(query)))
        items = [item for item in found if item >= 0 and available[item] and item not in known][:K]
        shown.update(items)
        ranks.append(items.index(wanted) + 1 if wanted in items else 0)
        best = [item for item in popular[: K + len(known)].tolist() if item not in known][:K]
        popular_ranks.append(best.index(wanted) + 1 if wanted in best else 0)
        choices.append(int(available.sum()) - sum(bool(available[item]) for item in known))
    own, by_popularity = np.array(ranks), np.array(popular_ranks)
    by_chance = np.minimum(1.0, K / np.array(choices))
    return {
        f"ndcg@{K}": _ndcg(own),
        f"hit_rate@{K}": float((own > 0).mean()),
        f"coverage@{K}": len(shown) / int(available.sum()),
        f"popularity ndcg@{K}": _ndcg(by_popularity),
        f"popularity hit_rate@{K}": float((by_popularity > 0).mean()),
        f"chance hit_rate@{K}": float(by_chance.mean()),
        "users": len(asked),
    }, None


def below_floor(found: Mapping[str, Any], active: Mapping[str, Any] | None, *, floor: float) -> str | None:
    """Why a model must not begin to answer by itself; None: it may.

    Args:
        found: its metrics; with none of them there is nothing to hold against it.
        active: those of the model that it would replace, if there is one.
        floor: the share of the active model's nDCG that it must reach; 0 compares with nothing.
    """
    if "users" not in found or floor <= 0:
        return None
    from scipy.stats import binom

    users, rate, chance = int(found["users"]), found[f"hit_rate@{K}"], found[f"chance hit_rate@{K}"]
    if chance < 1 and binom.cdf(round(rate * users), users, chance) < UNLIKELY:
        return f"it is worse than chance: hit_rate@{K} is {rate:.4f}, and {chance:.4f} for lists drawn at random"
    name = f"ndcg@{K}"
    if active and active.get(name) is not None and found[name] < floor * active[name]:
        return f"{name} is {found[name]:.4f}, below {floor:g} times the {active[name]:.4f} of the active model"
    return None


def _last_out(data: Dataset, users: int, random: np.random.Generator) -> Split:
    """The latest interactions without those that sampled users had with the item that they chose last."""
    if len(data) > MOST_INTERACTIONS:
        latest = np.zeros(len(data), dtype=bool)
        latest[np.argsort(data.times, kind="stable")[-MOST_INTERACTIONS:]] = True
        data = data.where(latest)
    order = np.lexsort((np.arange(len(data)), data.times, data.users))
    last = np.full(data.shape[0], -1, dtype=np.int64)
    last[data.users[order]] = data.columns[order]
    several = np.flatnonzero(np.diff(data.matrix.indptr) >= 2)
    sample = np.sort(random.permutation(several)[:users])
    chosen = np.zeros(data.shape[0], dtype=bool)
    chosen[sample] = True
    away = chosen[data.users] & (data.columns == last[data.users])
    return Split(
        train=data.where(~away),
        users=sample,
        wanted=tuple(frozenset({int(last[user])}) for user in sample.tolist()),
        kind="leave_last_out",
        details={},
        exclude_seen=True,
        given=data.where(~away),
    )


def _most_chosen(data: Dataset, available: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Items that can be shown, those that most users chose first."""
    by_users = np.diff(data.matrix.tocsc().indptr)
    order = np.argsort(-by_users, kind="stable")
    return order[available[order]]


def _ndcg(ranks: NDArray[np.int64]) -> float:
    """Mean of 1 / log2(rank + 1), 0 where not found: with one item to find the best possible is 1."""
    gains = np.where(ranks > 0, 1.0 / np.log2(np.maximum(ranks, 1) + 1), 0.0)
    return float(gains.mean())
