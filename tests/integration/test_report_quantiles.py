"""Quantile metrics in the report: from raw facts to intervals that know which values share a unit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from reclift.flows import experiments, metrics, power, report, rollup
from reclift.flows.report_segments import read_segments
from reclift.stats import power as sizes
from reclift.stats.quantile import quantile
from reclift.storage.database import Database
from reclift.storage.migrate import migrate
from tests.integration import report_world as world
from tests.integration.report_rows import differ

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
    assert set(comparison["reasons"]) == {"variance_reduction"}  # CUPED was chosen, and has no part in it
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


def test_a_quantile_decides_is_planned_and_read_by_segment(database: Database) -> None:
    """As a primary metric: the verdict rests on it, sizes come from its own spread, segments from their own values."""
    world.ensure_defaults(database, "none")
    world.set_up(database, metrics={"primary": "latency_p95"}, analysis={"cuped": True}, planned_days=7)
    world.simulate(database, users=900)
    with database.connection() as connection:
        connection.execute(text("UPDATE impressions SET latency_ms = latency_ms * 2 WHERE arm = 'new'"))
    rollup.roll_up(database)
    differ(database)
    with database.write() as session:
        experiments.find(session, "sim").status = "stopped"
    with database.read() as session:
        row = experiments.find(session, "sim")
        body = report.compute(session, row)
        segments = read_segments(session, row, "country")
    json.dumps([body, segments.values, segments.test], allow_nan=False)
    (metric,) = body["metrics"]
    (comparison,) = metric["comparisons"]
    assert (metric["role"], metric["kind"]) == ("primary", "quantile")
    assert comparison["reasons"]["variance_reduction"]["code"] == "no_covariate"
    assert body["decision"]["call"] == "keep_control"
    assert "new is worse than control on Latency, 95 %" in body["decision"]["because"][0]
    assert body["novelty"] is None
    assert body["series"] == {}
    # The report's sizes: the control's quantile and its own error, for every exposed unit.
    (arm,) = body["power"]["arms"]
    (level,) = [one for one in metric["arms"] if one["control"]]
    units = next(one["units"] for one in body["arms"] if one["control"])
    base = sizes.Baseline(level["mean"], level["std_error"] ** 2 * units)
    share = units / sum(one["units"] for one in body["arms"])
    assert arm["units"] == sizes.required_units(replace(base, scales=True), 0.1, sizes.Design(control_share=share))
    assert (arm["gain"], arm["cuped_gain"]) == (None, None)
    # A segment's quantile is that of its own units' lists.
    countries = {}
    with database.engine.connect() as connection:
        for unit, attributes in connection.execute(text("SELECT unit_id, attributes FROM experiment_units")):
            known = json.loads(attributes) if isinstance(attributes, str) else attributes
            countries[unit] = known["country"]
    raw = raw_latencies(database)
    for segment in segments.values:
        (shown,) = segment["metrics"]
        for one in shown["arms"]:
            pairs = [pair for pair in raw[one["arm"]] if countries[pair[1]] == segment["value"]]
            values, whose = zip(*pairs, strict=True)
            assert one["mean"] == quantile(values, 0.95, units=whose).value
            assert one["denominator"] == len(values)
    assert len(segments.values) == 3
    assert segments.test["arms"][0]["p_value"] is not None


def test_a_quantile_is_planned_from_the_placements_past(database: Database) -> None:
    world.ensure_defaults(database, "none")
    world.set_up(database)
    world.simulate(database, users=600)
    with database.read() as session:
        found = power.plan(session, "home", "latency_p95", power.Question(effect=0.1))
    with database.engine.connect() as connection:
        rows = connection.execute(text("SELECT latency_ms, unit_id FROM impressions WHERE placement = 'home'")).all()
    values, units = zip(*rows, strict=True)
    known = quantile(values, 0.95, units=units)
    assert found["history"]["mean"] == known.value
    assert found["history"]["std_dev"] == pytest.approx(known.estimate.std_error * len(set(units)) ** 0.5)
    spread = (1 + 1.1**2) * found["history"]["std_dev"] ** 2  # a lift spreads the arm by as much
    per_arm = spread * (1.959964 + 0.841621) ** 2 / (0.1 * known.value) ** 2
    assert found["units_per_arm"] == pytest.approx(per_arm, rel=0.005)
    assert found["days"] >= 1


def test_a_past_that_is_too_thin_for_a_quantile_is_a_reason(database: Database) -> None:
    set_up(database)
    with database.read() as session:
        nothing = power.plan(session, "home", "latency_p95", power.Question())
    assert nothing["reasons"]["units"]["text"] == "No list was shown here yet, so there is no past to plan from."
    world.simulate(database, users=8)
    with database.read() as session:
        few = power.plan(session, "home", "latency_p95", power.Question())
    assert (few["units"], few["reasons"]["units"]["code"]) == (None, "too_few_units")
    with database.connection() as connection:
        connection.execute(text("UPDATE impressions SET latency_ms = NULL"))
    with database.read() as session:
        unheard = power.plan(session, "home", "latency_p95", power.Question())
    assert unheard["reasons"]["units"]["text"] == "Nothing in the placement's past has a value of this metric."
    with database.connection() as connection:
        connection.execute(text("UPDATE impressions SET latency_ms = 7.0"))
    world.simulate(database, users=300, key="other")
    with database.connection() as connection:
        connection.execute(text("UPDATE impressions SET latency_ms = 7.0"))
    with database.read() as session:
        alike = power.plan(session, "home", "latency_p95", power.Question())
    assert alike["reasons"]["units"]["code"] == "zero_variance"
