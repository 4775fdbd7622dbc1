"""Quantile metrics in the report: from raw facts to intervals that know which values share a unit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from reclift.flows import experiments, metrics, power, report, rollup
from reclift.flows.errors import Invalid
from reclift.stats.quantile import quantile
from reclift.storage.database import Database
from reclift.storage.migrate import migrate
from tests.integration import report_world as world

PER_BUYER = {
    "key": "per_buyer", "kind": "quantile", "quantile": 0.5, "of": "units", "window_hours": 24 * 7,
    "numerator": {"event": "purchase", "value": "value"},
}  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    else:
        server = request.getfixturevalue("postgres_server")
        database = Database(server.create_database("test_quantiles"))
    migrate(database)
    yield database
    database.dispose()
    if request.param == "postgresql":
        server.drop_database("test_quantiles")


def set_up(database: Database, **more: Any) -> None:
    world.ensure_defaults(database, "none")
    with database.write() as session:
        metrics.create(session, PER_BUYER, "test")
    chosen = {"primary": "ctr", "secondary": ["per_buyer"], "guardrails": ["latency_p95"]}
    world.set_up(database, metrics=chosen, **more)


def compute(database: Database) -> dict[str, dict[str, Any]]:
    with database.read() as session:
        body = report.compute(session, experiments.find(session, "sim"))
    json.dumps(body, allow_nan=False)
    return {metric["metric"]: metric for metric in body["metrics"]}


def raw_latencies(database: Database) -> dict[str, list[tuple[float, str]]]:
    """Arm -> (latency, unit), of the units that met one arm, since their exposure; straight from the facts."""
    query = (
        "SELECT i.arm, i.latency_ms, i.unit_id FROM impressions i JOIN exposures e ON e.unit_id = i.unit_id "
        "AND e.experiment = i.experiment AND e.arm = i.arm WHERE i.at >= e.at AND NOT EXISTS "
        "(SELECT 1 FROM exposures o WHERE o.unit_id = i.unit_id AND o.experiment = i.experiment AND o.arm <> i.arm)"
    )
    found: dict[str, list[tuple[float, str]]] = {"control": [], "new": []}
    with database.engine.connect() as connection:
        for arm, latency, unit in connection.execute(text(query)):
            found[arm].append((latency, unit))
    return found


def test_the_quantile_is_that_of_the_raw_facts_clustered_by_unit(database: Database) -> None:
    set_up(database, analysis={"cuped": True, "bootstrap": 200})
    world.simulate(database, users=600)
    rollup.roll_up(database)
    shown = compute(database)["latency_p95"]
    assert (shown["kind"], shown["quantile"]) == ("quantile", 0.95)
    estimates = {}
    for arm, pairs in raw_latencies(database).items():
        values, units = zip(*pairs, strict=True)
        estimates[arm] = quantile(values, 0.95, units=units)
        (level,) = [one for one in shown["arms"] if one["arm"] == arm]
        assert level["mean"] == estimates[arm].value
        assert level["std_error"] == pytest.approx(estimates[arm].estimate.std_error)
        assert (level["units"], level["denominator"]) == (len(set(units)), len(values))
    (comparison,) = shown["comparisons"]
    assert comparison["difference"] == pytest.approx(estimates["new"].value - estimates["control"].value)
    error = sum(one.estimate.error_variance for one in estimates.values()) ** 0.5
    assert comparison["std_error"] == pytest.approx(error)
    assert comparison["reasons"] == {}
    assert comparison["bootstrap"] is None
    assert comparison["variance_reduction"] is None


def test_a_quantile_of_units_is_over_those_that_bought(database: Database) -> None:
    set_up(database)
    world.simulate(database, users=600)
    rollup.roll_up(database)
    shown = compute(database)["per_buyer"]
    query = (
        "SELECT SUM(numerator) FROM unit_totals WHERE experiment = 'sim' AND metric = 'per_buyer' AND arm = :arm "
        "GROUP BY unit_id HAVING SUM(numerator) > 0"
    )
    for level in shown["arms"]:
        with database.engine.connect() as connection:
            totals = sorted(connection.execute(text(query), {"arm": level["arm"]}).scalars())
        assert level["units"] == level["denominator"] == len(totals)
        assert level["mean"] == totals[int(np.ceil(len(totals) / 2)) - 1]


def test_too_few_values_and_no_units_are_reasons(database: Database) -> None:
    set_up(database)
    nothing = compute(database)["latency_p95"]
    assert nothing["comparisons"][0]["reasons"]["difference"] == {
        "code": "no_units",
        "text": "control: The arm has no values.",
    }
    assert nothing["arms"][0]["mean"] is None
    world.simulate(database, users=8)
    rollup.roll_up(database)
    (few,) = compute(database)["latency_p95"]["comparisons"]
    assert few["lift_ci"] is None
    assert few["reasons"]["lift_ci"]["code"] == "too_few_units"


def test_values_that_are_all_alike_are_a_reason(database: Database) -> None:
    set_up(database)
    world.simulate(database, users=600)
    with database.connection() as connection:
        connection.execute(text("UPDATE impressions SET latency_ms = 7.0"))
    rollup.roll_up(database)
    shown = compute(database)["latency_p95"]
    (same,) = shown["comparisons"]
    assert shown["arms"][0]["mean"] == 7.0
    assert same["difference"] == 0.0
    assert same["p_value"] is None
    assert same["reasons"]["p_value"]["code"] == "zero_variance"


def test_a_quantile_is_neither_primary_nor_planned_for(database: Database) -> None:
    world.ensure_defaults(database, "none")
    with database.write() as session, pytest.raises(Invalid, match="cannot be a quantile"):
        payload = {"key": "q", "placement": "home", "metrics": {"primary": "latency_p95"}}
        arms = [{"key": arm, "strategy": "none", "control": arm == "a"} for arm in "ab"]
        experiments.create(session, world.REGISTRY, {**payload, "arms": arms}, "test")
    with database.read() as session, pytest.raises(Invalid, match="is a quantile"):
        power.plan(session, "home", "latency_p95", power.Question())
