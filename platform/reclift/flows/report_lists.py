"""What the arms' newest lists were like: how much of the catalogue, how novel, how varied, how quick."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from reclift.stats.coverage import Coverage, coverage
from reclift.storage.aggregates import latest_lists
from reclift.storage.tables import ExperimentRow, ItemRow

LISTS = 5_000


def lists(session: Session, row: ExperimentRow) -> list[dict[str, Any]]:
    """By arm, of the newest lists. What is not known is None.

    More lists show more items: so coverage is that of equally many of each arm's newest lists (`coverage_lists`).
    """
    by_arm: dict[str, list[Any]] = defaultdict(list)
    for shown in latest_lists(session, row.key, row.phase, LISTS):
        by_arm[str(shown.arm)].append(shown)
    catalogue = session.scalar(select(func.count()).select_from(ItemRow).where(ItemRow.available)) or 0
    if row.source == "imported":
        catalogue = 0  # it was another's
    same = min((len(own) for own in by_arm.values()), default=0)
    return [_of_arm(arm.key, by_arm[arm.key], same, catalogue) for arm in row.arms]


def _of_arm(arm: str, shown: Sequence[Any], same: int, catalogue: int) -> dict[str, Any]:
    latencies = [one.latency_ms for one in shown if one.latency_ms is not None]
    covered = _covered(shown[:same])
    interval = covered.interval()
    return {
        "arm": arm,
        "lists": len(shown),
        "items_shown": len({item["item_id"] for one in shown for item in one.items}),
        "coverage": min(1.0, covered.items / catalogue) if catalogue and shown else None,
        "coverage_ci": [min(1.0, end / catalogue) for end in interval] if catalogue and shown and interval else None,
        "coverage_lists": min(same, len(shown)),
        "novelty": _mean([one.novelty for one in shown]),
        "diversity": _mean([one.diversity for one in shown]),
        "fallback_rate": sum(one.fallback is not None for one in shown) / len(shown) if shown else None,
        "fallback_reasons": _reasons(shown),
        "latency_ms": _mean(latencies),
        "latency_p95_ms": float(np.quantile(latencies, 0.95)) if latencies else None,
    }


def _reasons(shown: Sequence[Any]) -> dict[str, float]:
    """The share of the lists that needed the fallback, by reason, the most frequent first."""
    found = Counter(str(one.fallback.get("reason")) for one in shown if one.fallback is not None)
    return {reason: number / len(shown) for reason, number in found.most_common()}


def _covered(shown: Sequence[Any]) -> Coverage:
    units: dict[str, set[str]] = defaultdict(set)
    for one in shown:
        units[one.unit_id].update(item["item_id"] for item in one.items)
    return coverage(list(units.values()))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
