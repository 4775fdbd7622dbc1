"""The demo's logged experiments: three campaigns of the Open Bandit test, as experiments with a source of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import merge
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from reclift.domain.events import MICROS
from reclift.flows import placements
from reclift.flows.logged import LoggedList, Reaction, Shown
from reclift.flows.public_data import OPEN_BANDIT
from reclift.flows.public_open_bandit import CAMPAIGNS, POLICIES, BanditLog, read_wheel
from reclift.strategy import Registry

TITLES: Mapping[str, str] = {"all": "all customers", "men": "men", "women": "women"}
PLACEMENT = "fashion"
ROWS = 60_000
"""Of all three campaigns and both policies."""


def experiment_key(campaign: str) -> str:
    """The experiment of a campaign."""
    return f"open-bandit-{campaign}"


KEYS = tuple(experiment_key(campaign) for campaign in CAMPAIGNS)


def payload(campaign: str) -> dict[str, Any]:
    """The experiment as its owners ran it: a uniformly random list is the control, a bandit the challenger."""
    return {
        "key": experiment_key(campaign),
        "name": f"Fashion shop, {TITLES[campaign]}: does a bandit beat chance?",
        "hypothesis": (
            "Bernoulli Thompson sampling (bts) gets more clicks than items drawn at random. Really tested in the shop "
            "ZOZOTOWN in November 2019; imported from its published log, not run here."
        ),
        "placement": PLACEMENT,
        "arms": [
            {"key": policy, "strategy": policy, "weight": 0.5, "control": policy == "random"} for policy in POLICIES
        ],
        "metrics": {"primary": "ctr", "secondary": [], "guardrails": []},
        "planned_days": 7,
        "note": (
            f"{OPEN_BANDIT.title}. {OPEN_BANDIT.citation}. The small edition has 10,000 rows of each policy, sampled "
            "row by row: visits cannot be put together again, so each row is a unit of its own, with one item. It "
            "is too small to repeat the paper's findings."
        ),
    }


def set_up_placement(session: Session, registry: Registry, strategy: str, actor: str) -> None:
    """The place of the logged experiments; nothing is served there."""
    wanted = {"name": "Fashion shop (logged elsewhere)", "strategy": strategy, "fallback": [strategy]}
    placements.put(session, registry, PLACEMENT, wanted, actor)


def logged(wheel: Path) -> Iterator[tuple[dict[str, Any], list[LoggedList]]]:
    """Per campaign the experiment and its log, in the order of time."""
    for campaign, (_items, logs) in zip(CAMPAIGNS, read_wheel(wheel), strict=True):
        rows = merge(*(_lists(log) for log in logs), key=lambda row: row.at)
        yield payload(campaign), list(rows)


def _lists(log: BanditLog) -> Iterator[LoggedList]:
    for row in range(len(log)):
        unit = log.unit_id(row)
        item = f"zozo-{log.campaign}-{log.item_ids[row]}"
        yield LoggedList(
            list_id=unit,
            unit_id=unit,
            arm=log.policy,
            at=round(log.times[row] * MICROS),
            items=[Shown(item, int(log.positions[row]), float(log.propensities[row]))],
            reactions=[Reaction("click", item)] if log.clicks[row] else [],
            attributes={"position": f"position {log.positions[row]}"},
        )
