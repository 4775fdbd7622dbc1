"""A simulated experiment, as raw facts, and its numbers by NumPy alone from the raw tables."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from reclift.domain.events import Facts
from reclift.flows import experiments, metrics
from reclift.flows.configuration import ensure_defaults
from reclift.storage.database import Database
from reclift.storage.facts import write_facts
from reclift.storage.tables import EventRow, ExposureRow, ImpressionRow
from reclift.strategy import NullStrategy, Registry
from tests.unit.storage.rows import event, exposure, impression

HOUR = 3_600_000_000
DAY = 24 * HOUR
WEEK = 7 * DAY
T0 = 20_500 * DAY + 5 * HOUR
REGISTRY = Registry({"none": NullStrategy})
CAPPED = {
    "key": "capped",
    "kind": "sum",
    "numerator": {"event": "purchase", "value": "value"},
    "window_hours": 168,
    "cap_percentile": 0.97,
}


class _NoQueue:
    def send(self, job_id: int, task: str) -> None:
        """Nothing is trained here."""


def set_up(database: Database, key: str = "sim", arms: tuple[str, ...] = ("control", "new"), **more: Any) -> None:
    """A running experiment with the usual metrics and a capped one."""
    ensure_defaults(database, "none")
    with database.write() as session:
        if "capped" not in metrics.all_metrics(session):
            metrics.create(session, CAPPED, "test")
        payload = {
            "key": key,
            "placement": "home",
            "arms": [{"key": arm, "strategy": "none", "control": arm == arms[0]} for arm in arms],
            "metrics": {
                "primary": "ctr",
                "secondary": ["conversion", "revenue_per_user", "capped", "clicks_per_user"],
                "guardrails": ["latency"],
            },
            **more,
        }
        experiments.create(session, REGISTRY, payload, "test")
        experiments.act(session, REGISTRY, _NoQueue(), key, "start", "test")


def simulate(database: Database, users: int = 400, seed: int = 5, key: str = "sim", second_arm: float = 0.5) -> None:
    """Users with lists, clicks and purchases over ten days; some meet both arms, some bought before or too late."""
    random = np.random.default_rng(seed)
    together = Facts()
    for number in range(users):
        unit = f"{key}-u{number}"
        arm = "new" if random.random() < second_arm else "control"
        start = T0 + int(random.integers(0, 10 * DAY))
        country = str(random.choice(["CN", "US", "DE"]))
        together.exposures.append(
            exposure(unit, arm, start, experiment=key, attributes={"country": country, "age": number % 3})
        )
        if random.random() < 0.02:
            other = "control" if arm == "new" else "new"
            together.exposures.append(exposure(unit, other, start + HOUR, experiment=key))
        appetite = random.gamma(1.5, 0.12 if arm == "control" else 0.16)
        for visit in range(int(random.integers(1, 9))):
            at = start + visit * int(random.integers(1, 20)) * HOUR
            name = f"{unit}-r{visit}"
            together.impressions.append(
                impression(
                    name,
                    unit,
                    at,
                    experiment=key,
                    phase=1,
                    arm=arm,
                    latency_ms=float(random.gamma(4.0, 3.0)),
                    items=[{"item_id": f"i{place}", "position": place} for place in (1, 2, 3)],
                )
            )
            for place in (1, 2, 3):
                if random.random() < appetite / place:
                    together.events.append(
                        event(
                            f"{name}-c{place}",
                            unit,
                            at + place * 1_000_000,
                            item_id=f"i{place}",
                            recommendation_id=name,
                        )
                    )
        for purchase in range(int(random.poisson(0.4 if arm == "control" else 0.5))):
            at = start + int(random.integers(-10 * DAY, 14 * DAY))
            value = float(np.round(random.lognormal(3.0, 1.0), 2))
            together.events.append(event(f"{unit}-p{purchase}", unit, at, type="purchase", value=value))
        if random.random() < 0.1:
            together.events.append(event(f"{unit}-x", unit, start + 5, recommendation_id="somebody-elses"))
    with database.connection() as connection:
        write_facts(connection, together)


class Raw(NamedTuple):
    """Per unit that met one arm only: what it did, from the raw tables."""

    unit: NDArray[np.str_]
    arm: NDArray[np.str_]
    clicks: NDArray[np.float64]
    lists: NDArray[np.float64]
    bought: NDArray[np.float64]
    spent: NDArray[np.float64]
    latency: NDArray[np.float64]
    several: int


def read(database: Database, key: str = "sim", until: int = 2**62) -> Raw:
    """Straight from impressions, exposures and events, unit by unit. `until`: as of this moment."""
    with database.read() as session:
        met: dict[str, list[tuple[int, str]]] = {}
        for row in session.scalars(select(ExposureRow).where(ExposureRow.experiment == key)):
            met.setdefault(row.unit_id, []).append((row.at, row.arm))
        lists = list(session.scalars(select(ImpressionRow).where(ImpressionRow.experiment == key)))
        events = list(session.scalars(select(EventRow)))
    alone = {unit: pairs[0] for unit, pairs in met.items() if len(pairs) == 1 and pairs[0][0] < until}
    units = sorted(alone)
    place = {unit: number for number, unit in enumerate(units)}
    columns = np.zeros((5, len(units)))
    own = {}
    for row in lists:
        if row.unit_id in alone and row.arm == alone[row.unit_id][1] and alone[row.unit_id][0] <= row.at < until:
            own[row.recommendation_id] = row.unit_id
            columns[1, place[row.unit_id]] += 1
            columns[4, place[row.unit_id]] += row.latency_ms
    for row in events:
        if row.unit_id not in alone or row.at >= until:
            continue
        number, start = place[row.unit_id], alone[row.unit_id][0]
        if row.type == "click" and own.get(row.recommendation_id) == row.unit_id:
            columns[0, number] += 1
        if row.type == "purchase" and start <= row.at < start + WEEK:
            columns[2, number] = 1
            columns[3, number] += row.value
    several = sum(len(pairs) > 1 for pairs in met.values())
    return Raw(np.array(units), np.array([alone[unit][1] for unit in units]), *columns, several)


class Level(NamedTuple):
    units: int
    mean: float
    variance: float
    """Of the mean."""
    spread: float
    """Per unit, for the degrees of freedom."""


def of_ratio(x: NDArray[np.float64], y: NDArray[np.float64]) -> Level:
    r = x.sum() / y.sum()
    residual = (x - r * y) / y.mean()
    spread = residual.var(ddof=1)
    return Level(len(x), float(r), float(spread / len(x)), float(spread))


def of_mean(x: NDArray[np.float64]) -> Level:
    return Level(len(x), float(x.mean()), float(x.var(ddof=1) / len(x)), float(x.var(ddof=1)))


def of_share(x: NDArray[np.float64]) -> Level:
    p = float(x.mean())
    return Level(len(x), p, p * (1 - p) / len(x), p * (1 - p))


def welch(a: Level, b: Level) -> dict[str, Any]:
    """Difference, relative lift, intervals at 95 % and p-value of b against a."""
    df = (a.variance + b.variance) ** 2 / (a.variance**2 / (a.units - 1) + b.variance**2 / (b.units - 1))
    error = math.sqrt(a.variance + b.variance)
    difference = b.mean - a.mean
    lift = difference / a.mean
    lift_error = (b.mean / a.mean) * math.sqrt(a.variance / a.mean**2 + b.variance / b.mean**2)
    reach = t_quantile(0.975, df)
    return {
        "difference": difference,
        "difference_ci": [difference - reach * error, difference + reach * error],
        "lift": lift,
        "lift_ci": [lift - reach * lift_error, lift + reach * lift_error],
        "p_value": 2 * (1 - t_distribution(abs(difference) / error, df)),
    }


def t_distribution(x: float, df: float) -> float:
    """P(T <= x) for x >= 0, by adding up the density (Simpson's rule)."""
    grid = np.linspace(0.0, x, 2_001)
    log = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    density = np.exp(log - (df + 1) / 2 * np.log1p(grid**2 / df))
    weights = np.full(len(grid), 2.0)
    weights[1::2] = 4.0
    weights[0] = weights[-1] = 1.0
    return 0.5 + float(density @ weights) * (grid[1] - grid[0]) / 3


def t_quantile(p: float, df: float) -> float:
    low, high = 0.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_distribution(middle, df) < p else (low, middle)
    return (low + high) / 2
